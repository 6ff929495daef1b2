"""Mojibake, and what is sound."""

from __future__ import annotations

import pytest

from clinnlp.alignment import replace
from clinnlp.stages.cleaning import REPAIRS, TextCleaner
from repairs.asserting import repaired, unchanged


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("don\u00e2\u20ac\u2122t", "don\u2019t"),
        ("20\u00c2\u00b5g", "20\u00b5g"),
        ("\u00e2\u2030\u00a538\u00c2\u00b0C", "\u226538\u00b0C"),
        ("caf\u00c3\u00a9", "caf\u00e9"),
        ("caf\u00c3\u0192\u00c2\u00a9", "caf\u00e9"),
        ("\u0093ok\u0094", "\u201cok\u201d"),
        ("5\u00c2 mg", "5 mg"),
        ("\u00e6\u201a\u00a3\u00e8\u20ac\u2026", "\u60a3\u8005"),
        ("\uf0b7 item \uf0b3 5", "\u2022 item \u2265 5"),
    ],
)
def test_what_was_read_in_a_wrong_encoding_is_read_again(text: str, clean: str) -> None:
    assert repaired("encoding", text) == clean


def test_each_character_that_was_meant_is_an_edit_of_its_own() -> None:
    text = "temp 38\u00c2\u00b0C, na\u00efve pt don\u00e2\u20ac\u2122t"
    assert REPAIRS["encoding"](text) == [replace(7, 9, "\u00b0"), replace(24, 27, "\u2019")]
    assert REPAIRS["encoding"]("\u00ce\u00b1\u00ce\u00b2") == [replace(0, 2, "\u03b1"), replace(2, 4, "\u03b2")]


def test_damage_next_to_sound_text_of_another_script_does_not_touch_it() -> None:
    text = "\u60a3\u8005 \u00e2\u2030\u00a5\u53d1\u70ed"
    assert TextCleaner(["encoding"]).clean(text).text == "\u60a3\u8005 \u2265\u53d1\u70ed"
    assert [edit for edit in REPAIRS["encoding"](text) if edit.start < 3 or edit.end > 6] == []


@pytest.mark.parametrize(
    "text",
    [
        "37\u00b0C \u00b1 0.5",
        "na\u00efve caf\u00e9 \u00c9tude",
        "\u60a3\u8005\u53d1\u70ed",
        "\u2265140 \u201cok\u201d",
        "\U0001f637 \u03b2",
        # A byte is lost, so that nothing better is known.
        "the patient\u00e2\u20ac?s",
    ],
)
def test_sound_text_outside_ascii_stays(text: str) -> None:
    assert unchanged("encoding", text)
