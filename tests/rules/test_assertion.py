"""Every phrase of the rules of assertion: what it means, how far it reaches, and what it ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from assertions import LETTERS

from clinnlp import Entity, Record
from clinnlp.record import Section, Sentence
from clinnlp.rules import load_rules
from clinnlp.stages import AssertionDetector
from clinnlp.stages._cues import FLAGS, Meaning, meanings_of
from clinnlp.stages._phrases import END, Choice, Word, parse, words_of
from rules.tables import read_table, words_in

Lists = Mapping[str, Sequence[str]]
Taken = tuple[int, frozenset[Any]]

KINDS = ("cue", "heading", "ends", "pseudo")
DETECTORS = {lang: AssertionDetector(lang) for lang in ("en", "zh")}
NAMES = {"en": "zoonosis", "zh": "甲癣"}
FILLERS = {"en": "quux", "zh": "甲"}
STRONG = {
    "en": {"n": "denies", "h": "suspected", "p": "hx of", "f": "fhx of"},
    "zh": {"n": "否认", "h": "一旦", "p": "既往", "f": "家族性"},
}
both = pytest.mark.parametrize("lang", ["en", "zh"])


def rows(lang: str, kind: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Give the phrases of the table's rows of one kind, each with its row."""
    for row in read_table(lang, "assertion"):
        if kind in row and kind != "sections":
            yield from ((row, phrase) for phrase in words_in(row["phrases"]))


def named(letters: str) -> tuple[str, ...]:
    return tuple(LETTERS[letter] for letter in letters)


def put(lang: str, *parts: str) -> str:
    return (" " if lang == "en" else "").join(part for part in parts if part)


def found(lang: str, text: str, **fields: Any) -> dict[str, str]:
    """Give the flags of the entity that is called so, each with its cue."""
    at = text.index(NAMES[lang])
    entity = Entity(at, at + len(NAMES[lang]))
    record = Record(text, entities=[entity], sentences=[Sentence(0, 1)], **fields)
    flags = DETECTORS[lang].cues(record, record.entities)[0]
    return {flag: text[slice(*cue)] if cue else "" for flag, cue in flags.items()}


def letters_of(flags: Mapping[str, str]) -> str:
    return "".join(letter for letter, flag in LETTERS.items() if flag in flags)


def meanings_in(lang: str, phrase: str) -> list[Meaning]:
    """Give what a phrase means if it is found whole, in the middle of a sentence or at its end."""
    words = words_of(phrase)
    ended = [*words, Word(words[-1].end, words[-1].end, END)]
    found = [next(DETECTORS[lang]._ready().finder.find(some), None) for some in (words, ended)]
    return [one for match in found if match and match.first == 0 and match.last >= len(words) for one in match.meanings]


def meaning_of(kind: str, row: Mapping[str, Any]) -> Meaning:
    if kind == "pseudo":
        return Meaning()
    if kind == "ends":
        return Meaning(ends=named(row["ends"]))
    if kind == "heading":
        return Meaning(named(row["heading"]), forward=bool(row["heading"]), ends=FLAGS)
    forward = row["reach"] == "forward"
    ends, clause = named(row.get("closes", "")), row.get("clause", False)
    return Meaning(named(row["cue"]), forward, not forward, row.get("words", 0), ends, clause=clause)


def in_order(one: Meaning) -> tuple[object, ...]:
    return sorted(one.flags), one.forward, one.backward, one.limit, sorted(one.ends), one.clause


@both
def test_every_phrase_of_the_table_has_the_meaning_that_it_says(lang: str) -> None:
    wrong = []
    for kind in KINDS:
        for row, phrase in rows(lang, kind):
            wanted = in_order(meaning_of(kind, row))
            for written in [phrase + mark for mark in (":", "：", "-")] if kind == "heading" else [phrase]:
                meanings = [in_order(one) for one in meanings_in(lang, written)]
                if wanted not in meanings:
                    wrong.append((kind, written, meanings))
    assert wrong == [], wrong


@both
def test_every_cue_gives_its_flags_and_no_others_and_is_named_whole(lang: str) -> None:
    wrong = []
    for row, phrase in rows(lang, "cue"):
        text = put(lang, *((phrase, NAMES[lang]) if row["reach"] == "forward" else (NAMES[lang], phrase)))
        flags = found(lang, text)
        if letters_of(flags) != row["cue"] or set(flags.values()) != {phrase}:
            wrong.append((text, flags))
    for row, phrase in rows(lang, "heading"):
        flags = found(lang, put(lang, f"{phrase}:", NAMES[lang]))
        if letters_of(flags) != row["heading"]:
            wrong.append((phrase, flags))
    assert wrong == [], wrong


@both
def test_every_cue_reaches_as_far_as_it_should(lang: str) -> None:
    wrong = []
    for row, phrase in rows(lang, "cue"):
        limit = row.get("words", 0)
        for between, reached in ((limit - 1, True), (limit, False)) if limit else ((20, True),):
            middle = put(lang, *[FILLERS[lang]] * between)
            for comma in ("，", ",", ";", "；"):
                beyond = (phrase, FILLERS[lang], comma, FILLERS[lang], NAMES[lang])
                text = put(lang, *(beyond if row["reach"] == "forward" else beyond[::-1]))
                if row.get("clause") and set(found(lang, text)) & set(named(row["cue"])):
                    wrong.append((text, "clause"))
            parts = (phrase, middle, NAMES[lang]) if row["reach"] == "forward" else (NAMES[lang], middle, phrase)
            if letters_of(found(lang, put(lang, *parts))) != (row["cue"] if reached else ""):
                wrong.append((phrase, between))
    assert wrong == [], wrong


@both
def test_what_ends_scopes_ends_those_of_its_flags_and_no_others(lang: str) -> None:
    ended, own = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for kind, field in (("ends", "ends"), ("heading", ""), ("cue", "closes")):
        for row, phrase in rows(lang, kind):
            if row.get("reach") != "backward":
                written = phrase if kind != "heading" else f"{phrase}:"
                ended[written].update(row.get(field, "") if field else "nhpf")
                own[written].update(row.get("cue", row.get("heading", "")))
    wrong = []
    for phrase, letters in ended.items():
        for letter, strong in STRONG[lang].items():
            flags = found(lang, put(lang, strong, FILLERS[lang], phrase, NAMES[lang]))
            silent = any(LETTERS[letter] in SILENCES[lang].get(flag, ()) for flag in flags)
            if (
                (flags.get(LETTERS[letter]) == strong) == (letter in letters)
                and letter not in own[phrase]
                and not silent
            ):
                wrong.append((strong, phrase, flags))
    assert wrong == [], wrong


SILENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {"negated": ("hypothetical",), "family": ("historical",)},
    "zh": {"negated": ("hypothetical",), "family": ("historical",)},
}


@pytest.mark.parametrize(
    ("lang", "text", "wanted"),
    [
        ("en", "If no zoonosis", "n"),
        ("en", "Mother, history of zoonosis", "f"),
        ("en", "No history of zoonosis", "np"),
        ("en", "Possible sequela of zoonosis", "hp"),
        ("en", "Possible family history of zoonosis", "hf"),
        ("en", "No family history of zoonosis", "nf"),
        ("zh", "既往无甲癣", "np"),
        ("zh", "如无甲癣", "n"),
        ("zh", "父亲既往甲癣", "f"),
        ("zh", "考虑家族性甲癣", "hf"),
        ("zh", "既往疑似甲癣", "hp"),
        ("zh", "否认家族性甲癣", "nf"),
    ],
)
def test_flags_that_make_others_false(lang: str, text: str, wanted: str) -> None:
    assert letters_of(found(lang, text)) == wanted


@both
def test_what_only_looks_like_a_cue_gives_no_flag_on_either_side(lang: str) -> None:
    wrong = []
    for _, phrase in rows(lang, "pseudo"):
        for text in (put(lang, phrase, NAMES[lang]), put(lang, NAMES[lang], phrase)):
            if flags := found(lang, text):
                wrong.append((text, flags))
    assert wrong == [], wrong


@both
def test_entities_of_some_sections_have_flags_by_that_alone(lang: str) -> None:
    known = {}
    (row,) = (row for row in read_table(lang, "assertion") if "sections" in row)
    for letters, names in row["sections"].items():
        known.update(dict.fromkeys(words_in(names), letters))
    titles = load_rules("sections", lang)["titles"]
    assert set(known) <= set(titles)
    for name in titles:
        text = f"X\n{NAMES[lang]}"
        flags = found(lang, text, sections=[Section(0, len(text), name, "X", 2)])
        assert letters_of(flags) == known.get(name, ""), name


# That the table has all that the rules have: each alternative of each choice, and each word of each list.


def mark(name: str) -> str:
    return "list" + name.replace("_", "")


def taken(sequence: Sequence[str | Choice], words: Sequence[str], at: int, lists: Lists) -> Iterator[Taken]:
    """Give where each way to read words as a sequence ends, and the alternatives and words of lists that it takes."""
    if not sequence:
        yield at, frozenset()
        return
    first = sequence[0]
    if isinstance(first, Choice):
        ways = [(id(option), option) for option in first.options]
    elif first in lists:
        ways = [((first, phrase), parse(phrase, {})) for phrase in lists[first]]
    else:
        word = words[at] if at < len(words) else END
        if word == first or (first in ("#", "#year") and word.isdigit()):
            yield from taken(sequence[1:], words, at + 1, lists)
        return
    for key, option in ways:
        for middle, inner in taken(option, words, at, lists):
            for end, some in taken(sequence[1:], words, middle, lists):
                yield end, inner | some | {key}


def options(sequence: Sequence[str | Choice]) -> Iterator[Sequence[str | Choice]]:
    for part in sequence:
        if isinstance(part, Choice):
            for option in part.options:
                yield option
                yield from options(option)


@both
def test_every_alternative_of_the_rules_is_in_the_table(lang: str) -> None:
    rules = load_rules("assertion", lang)
    lists: Lists = {mark(name): words for name, words in rules["words"].items()}
    phrases = [f"{phrase}{':' if kind == 'heading' else ''}"
               for kind in KINDS for _, phrase in rows(lang, kind)]  # fmt: skip
    split = [[word.form for word in words_of(phrase)] for phrase in phrases]
    missing, used = [], set[Any]()
    for pattern, _, where in meanings_of(rules):
        if where.startswith("headings"):
            pattern = pattern.replace("[:|：|-]", ":")
        sequence = parse(pattern, {name: [mark(name)] for name in rules["words"]}, where)
        wanted = {id(option) for option in options(sequence)}
        read = False
        for words in split:
            for end, some in taken(sequence, words, 0, lists):
                if end >= len(words):
                    read, wanted, used = True, wanted - some, used | some
        if wanted or not read:
            missing.append(pattern)
    assert missing == []
    assert {(mark(name), word) for name, words in rules["words"].items() for word in words} <= used
