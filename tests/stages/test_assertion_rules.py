"""Rules of assertion of a user; those of the files are tried in `tests/rules/test_assertion.py`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from assertions import flags, marked

import clinnlp
from clinnlp import Pipeline
from clinnlp.errors import ConfigError
from clinnlp.record import Section
from clinnlp.stages import (
    AssertionDetector,
)

DETECTORS = {lang: AssertionDetector(lang) for lang in ("en", "zh")}


def judged(text: str, lang: str = "en", **fields: Any) -> list[str]:
    return flags(DETECTORS[lang](marked(text, **fields)))


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
    short = AssertionDetector(rules={"cues": [{"flag": "negated", "clause": True, "phrases": ["nix"]}]})
    assert flags(short(marked("Nix {a}, {b}; and {c}"))) == ["n", "", ""]
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
        ({"cues": [{"flag": "negated", "clause": 1, "phrases": ["x"]}]}, r"cues\[0\]\.clause is true or false, not 1"),
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
