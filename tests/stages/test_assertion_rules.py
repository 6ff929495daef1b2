"""The rules of assertion: each phrase of the files, and rules of a user."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from assertions import flags, marked

import clinnlp
from clinnlp import Entity, Pipeline, Record
from clinnlp.errors import ConfigError
from clinnlp.record import Section, Sentence
from clinnlp.rules import load_rules
from clinnlp.stages import (
    AssertionDetector,
)
from clinnlp.stages._cues import Meaning, meanings_of
from clinnlp.stages._phrases import Choice, parse

DETECTORS = {lang: AssertionDetector(lang) for lang in ("en", "zh")}


def judged(text: str, lang: str = "en", **fields: Any) -> list[str]:
    return flags(DETECTORS[lang](marked(text, **fields)))


def samples(lang: str) -> Iterator[tuple[str, Meaning]]:
    """Give phrases of each pattern of a language, so that each option of each choice is in one."""
    rules = load_rules("assertion", lang)
    for pattern, meaning, _ in meanings_of(rules):
        sequence = parse(pattern, rules["words"])
        for number in range(max([1, *(len(part.options) for part in choices(sequence))])):
            yield (" " if lang == "en" else "").join(option(sequence, number)), meaning


def choices(sequence: Sequence[str | Choice]) -> Iterator[Choice]:
    for part in sequence:
        if isinstance(part, Choice):
            yield part
            for inner in part.options:
                yield from choices(inner)


def option(sequence: Sequence[str | Choice], number: int) -> Iterator[str]:
    places = {"#": "3", "#year": "1997", "#end": ""}
    for part in sequence:
        if isinstance(part, str):
            if places.get(part, part):
                yield places.get(part, part)
        else:
            yield from option(part.options[number % len(part.options)], number)


STRONG = {
    "en": {"negated": "denies", "hypothetical": "suspected", "historical": "hx of", "family": "fhx of"},
    "zh": {"negated": "否认", "hypothetical": "疑似", "historical": "既往有", "family": "家族性"},
}
NAMES = {"en": "zoonosis", "zh": "甲癣"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_each_phrase_of_the_rules_does_what_its_group_says(lang: str) -> None:
    name, gap, wrong, seen = NAMES[lang], " " if lang == "en" else "", [], 0

    def cues(text: str) -> tuple[Record, dict[str, list[int]]]:
        record = Record(
            text, entities=[Entity(text.index(name), text.index(name) + len(name))], sentences=[Sentence(0, 1)]
        )
        return record, DETECTORS[lang].cues(record, record.entities)[0]

    for phrase, meaning in samples(lang):
        seen += 1
        if meaning.flags and (meaning.forward or meaning.backward):
            text = f"{phrase}{gap}{name}" if meaning.forward else f"{name}{gap}{phrase}"
            record, found = cues(text)
            hidden = {silent for flag in found for silent in DETECTORS[lang]._ready().silences.get(flag, ())}
            for flag in meaning.flags:
                if flag in hidden:
                    continue
                if flag not in found or record.text[slice(*found[flag])] != phrase:
                    wrong.append((phrase, flag, found))
        elif meaning.ends:
            for flag in meaning.ends:
                _, found = cues(f"{STRONG[lang][flag]}{gap}甲{gap}{phrase}{gap}{name}")
                cue = STRONG[lang][flag]
                if flag in found and found[flag] == [0, len(cue)]:
                    wrong.append((phrase, flag, found))
        else:
            _, found = cues(f"{phrase}{gap}{name}")
            if found:
                wrong.append((phrase, "pseudo", found))
    assert seen > (200 if lang == "zh" else 1500)
    assert wrong == []


def test_rules_of_ones_own_are_added_and_win(tmp_path: Path) -> None:
    own = {
        "words": {"relative": ["godmother"], "team": ["team", "staff"]},
        "cues": [{"flag": "negated", "scope": "both", "words": 2, "phrases": ["nix [|of] $team"]}],
        "pseudo": ["free of"],
        "ends": [{"flags": ["negated"], "phrases": ["basta"]}],
        "sections": {"hypothetical": ["warnings"]},
        "headings": {"historical": ["old stuff"]},
        "alone": {"hypothetical": ["[odd|strange] rash"]},
    }
    stage = AssertionDetector(rules=own)
    assert flags(stage(marked("{a} nix of team {b} and c and {d}"))) == ["n", "n", ""]
    assert flags(stage(marked("Free of {gout}"))) == [""]
    assert flags(stage(marked("No {gout} basta {asthma}"))) == ["n", ""]
    assert flags(stage(marked("Godmother with {gout}"))) == ["f"]
    assert flags(stage(marked("Old stuff: {gout}"))) == ["p"]
    assert flags(stage(marked("{gout}", sections=[Section(0, 4, "warnings")]))) == ["h"]
    assert flags(stage(marked("{Odd rash}.\n{Odd rash} seen"))) == ["h", ""]
    path = tmp_path / "mine.yaml"
    path.write_text("pseudo: ['free of']\n", encoding="utf-8")
    assert flags(AssertionDetector(rules=path)(marked("Free of {gout}"))) == [""]
    assert judged("Free of {gout}") == ["n"]
    loaded = clinnlp.load(Pipeline([stage]).save(tmp_path / "saved"))
    assert flags(loaded(marked("Godmother with {gout}"))) == ["f"]
    assert flags(pickle.loads(pickle.dumps(stage))(marked("Godmother with {gout}"))) == ["f"]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"cue": []}, "no field cue: known are words, cues"),
        ({"cues": [{"flag": "negated", "phrase": "x"}]}, r"no field cues\[0\]\.phrase: known are flag"),
        ({"cues": [{"flag": "absent", "phrases": ["x"]}]}, r"cues\[0\]\.flag: 'absent' is no flag"),
        ({"cues": [{"flag": "negated", "scope": "up", "phrases": ["x"]}]}, r"cues\[0\]\.scope is one of forward"),
        ({"cues": [{"flag": "negated", "words": -1, "phrases": ["x"]}]}, r"cues\[0\]\.words is a number"),
        ({"cues": [{"flag": "negated"}]}, r"cues\[0\]\.phrases is a text or a list"),
        ({"cues": "no"}, "cues is a list of mappings"),
        ({"pseudo": ["[a|"]}, "pseudo has a bracket that is not closed"),
        ({"pseudo": ["a]"]}, "outside of brackets"),
        ({"pseudo": ["[a|]"]}, "pseudo has no word, or may have none"),
        ({"pseudo": ["$kin"]}, r"list '\$kin', which `words` does not have"),
        ({"sections": {"old": ["x"]}}, "sections: 'old' is no flag"),
        ({"sections": []}, None),
        ({"headings": ["x"]}, "headings is a mapping"),
        ({"alone": {"old": ["x"]}}, "alone: 'old' is no flag"),
        ({"alone": {"family": ["[x"]}}, r"alone\.family has a bracket"),
        ("absent.yaml", r"absent\.yaml cannot be read: FileNotFoundError"),
        (7, "YAML file or a dictionary, not int"),
    ],
)
def test_rules_that_are_not_right_are_refused_by_name(rules: Any, told: str | None) -> None:
    if told is None:
        AssertionDetector(rules=rules)
        return
    with pytest.raises(ConfigError, match=told):
        AssertionDetector(rules=rules)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="'xx': give one of en, zh"):
        AssertionDetector("xx")
