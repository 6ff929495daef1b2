"""Every title of the rules of sections, and what its lists say of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clinnlp.rules import load_rules
from clinnlp.stages import SectionDetector
from clinnlp.stages._headings import title_key
from rules.tables import read_table, words_in

STAGES = {lang: SectionDetector(lang) for lang in ("en", "zh")}
both = pytest.mark.parametrize("lang", ["en", "zh"])
LISTS = ("qualifiers", "capitals_only", "lists", "never")


def words(name: str) -> list[str]:
    return words_in(read_table("en", "sections")[name])


def titles(lang: str) -> Iterator[tuple[str, str]]:
    """Give each title and the name of its section."""
    for name, some in read_table(lang, "sections")["titles"].items():
        yield from ((title, name) for title in words_in(some))


def names(text: str, lang: str = "en") -> list[str]:
    return [section.name for section in STAGES[lang](text).sections]


def heading_of(name: str) -> str:
    """Give a heading that starts a section of a name."""
    longest = max((title for title, own in titles("en") if own == name), key=len)
    return f"{longest.upper()}:"


@both
def test_the_table_is_complete(lang: str) -> None:
    rules, table = load_rules("sections", lang), read_table(lang, "sections")
    for name, some in table["titles"].items():
        assert set(words_in(some)) == set(rules["titles"][name]), name
    assert set(table["titles"]) == set(rules["titles"])
    for name in LISTS if lang == "en" else ():
        assert set(words_in(table[name])) == set(rules[name]), name
    for group, own in zip(rules.get("parts", ()), table.get("parts", ()), strict=True):
        assert group["opens"] == own["opens"]
        assert set(group["within"]) == set(words_in(own["within"]))
        assert set(group["titles"]) == set(words_in(own["titles"]))


@both
def test_every_title_in_capitals_with_a_colon_starts_its_section(lang: str) -> None:
    wrong = []
    for title, name in titles(lang):
        heading = f"{title.upper()}:" if lang == "en" else f"{title}："
        if (found := names(f"Seen.\n\n{heading} The body.\n", lang)) != ["", name]:
            wrong.append((title, found))
    assert wrong == [], wrong


def test_a_title_that_other_lines_begin_with_too_needs_capitals() -> None:
    keys = {title_key(word) for word in words("capitals_only")}
    parts = {title_key(title) for group in read_table("en", "sections")["parts"] for title in words_in(group["titles"])}
    wrong = []
    for title, name in titles("en"):
        key = title_key(title)
        found = names(f"Seen.\n\n{title.capitalize()}: The body.\n")
        if len(key) > 1 and key not in parts and found != ([""] if key in keys else ["", name]):
            wrong.append((title, found))
    assert wrong == [], wrong
    for word in words("capitals_only"):
        if title_key(word) not in parts:
            small = word.capitalize() if len(word) > 1 else word
            assert names(f"Seen.\n\n{small}: The body.\n") == [""], word
            assert names(f"HPI: Seen. {word.upper()}: The body.") == ["history_of_present_illness"], word


def groups() -> list[dict[str, Any]]:
    return [{"opens": group["opens"], "within": words_in(group["within"]), "titles": words_in(group["titles"])}
            for group in read_table("en", "sections")["parts"]]  # fmt: skip


def test_titles_of_parts_start_no_section_inside_some_and_one_elsewhere() -> None:
    known = {title_key(title): name for title, name in titles("en")}
    every, wrong = set(known.values()), []
    for group in groups():
        headings = [heading_of(name) for name in group["within"]]
        for title in group["titles"]:
            inside = f"{headings[0]} Done.\n{title.upper()}: Normal.\n"
            outside = f"ALLERGIES: None.\n{title.upper()}: Normal.\n"
            opens = known.get(title_key(title), next(g["opens"] for g in groups() if title in g["titles"]))
            if names(inside) != [group["within"][0]] or names(outside) != ["allergies", opens]:
                wrong.append((title, names(inside), names(outside)))
        for heading, name in zip(headings, group["within"], strict=True):
            found = names(f"{heading} Done.\n{group['titles'][0].upper()}: Normal.\n")
            if found != [name]:
                wrong.append((heading, found, group["opens"]))
        for name in every - {name for g in groups() if group["titles"][0] in g["titles"] for name in g["within"]}:
            found = names(f"{heading_of(name)} Done.\n{group['titles'][0].upper()}: Normal.\n")
            if len(found) != 2:
                wrong.append((name, found, group["titles"][0]))
    assert wrong == [], wrong


def test_words_before_a_known_title_in_capitals_make_no_other_of_it() -> None:
    for word in words("qualifiers"):
        assert names(f"Seen.\n\n{word.upper()} ALLERGIES: The body.\n") == ["", "allergies"], word
    assert names("Seen.\n\nZORBLE ALLERGIES: The body.\n") == ["", "zorble_allergies"]


def test_an_unknown_title_is_an_item_in_some_sections_and_a_section_in_others() -> None:
    wrong = []
    for name in read_table("en", "sections")["titles"]:
        found = names(f"{heading_of(name)} Done.\nZORBLE FROB: Well.\n")
        if found != ([name] if name in words("lists") else [name, "zorble_frob"]):
            wrong.append((name, found))
    assert wrong == [], wrong


def test_what_is_measured_and_filled_in_starts_no_section() -> None:
    for word in words("never"):
        assert names(f"HPI: Seen.\n{word.upper()}: Well.\n\n{word.upper()}\nOnce.\n") == [
            "history_of_present_illness"
        ], word
