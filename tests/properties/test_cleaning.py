"""Whatever damage a note has: raw text stays, untouched words map to themselves, cleaning again changes nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinnlp.alignment import EditedText
from clinnlp.record import Record
from clinnlp.stages.cleaning import REPAIRS, TextCleaner
from properties.edited import any_text

WORDS = [
    "Patient",
    "denies",
    "chest",
    "pain",
    "dyspnea",
    "metformin",
    "500",
    "mg",
    "twice",
    "daily",
    "afebrile",
    "120/80",
    "\u05d1\u05d3\u05d9\u05e7\u05d4",
    "\u6025\u6027\u80ba\u708e",
    "na\u00efve",
    "37\u00b0C",
    "\u2265140",
    "\u03b2-blocker",
]
DAMAGE = [
    "don\u00e2\u20ac\u2122t",
    "5\u00c2\u00b5g",
    "caf\u00c3\u0192\u00c2\u00a9",
    "\u0093fine\u0094",
    "re\u0301sume\u0301",
    "a\u0323\u0302",
    "\u212b",
    "\uff37\uff22\uff23\uff1a\uff11\uff12",
    "\uff76\uff9e",
    "\ufb01brosis",
    "meta\u200bstatic",
    "car\x00diac",
    "\ufeff",
    "\u202aLTR\u202c",
    "soft\u00adly",
    "a\x1fb",
    "&nbsp;",
    "&lt;90",
    "R&amp;amp;D",
    "<br>",
    "<b>bold</b>",
    "<!-- note -->",
    "<PERSON>",
    "[**Known lastname 12**]",
    "[**2101-5-3**]",
    "Dr. ___",
    "XXXX",
    "____F",
    "**NAME[AAA]",
    "hyper-\ntension",
    "follow-\nup",
]
GAPS = [
    " ",
    " ",
    " ",
    "  ",
    "\t",
    " \t ",
    "\u00a0",
    "\u2003\u2003",
    "\n",
    "\n\n",
    " \n",
    "\r\n",
    "\r",
    "\u2028",
    "\n   ",
    "\f",
]

Note = tuple[str, list[tuple[int, int]]]


@st.composite
def damaged_notes(draw: st.DrawFn) -> Note:
    """A note with planted damage, and the places of the words that have none."""
    text = ""
    places: list[tuple[int, int]] = []
    for word in draw(st.lists(st.sampled_from(WORDS * 2 + DAMAGE), max_size=24)):
        if word in WORDS:
            places.append((len(text), len(text) + len(word)))
        text += word + draw(st.sampled_from(GAPS))
    return text, places


def check(raw: str, cleaner: TextCleaner, places: list[tuple[int, int]]) -> EditedText:
    record = Record(raw)
    cleaner.process([record])
    cleaned = record.cleaned
    assert cleaned is not None
    assert record.text == raw
    assert cleaned.alignment.length == len(raw)
    assert cleaned.text == cleaned.alignment.apply(raw)
    cleaned.text.encode("utf-8")
    for start, end in places:
        target = cleaned.to_target(start, end)
        assert cleaned.text[slice(*target)] == raw[start:end]
        assert cleaned.to_source(*target) == (start, end)
    return cleaned


@settings(max_examples=150)
@given(damaged_notes())
def test_all_repairs_together_leave_every_undamaged_word_in_its_place(note: Note) -> None:
    raw, places = note
    cleaned = check(raw, TextCleaner(), places)
    assert check(cleaned.text, TextCleaner(), []).alignment.edits == ()


@pytest.mark.parametrize("name", REPAIRS)
@settings(max_examples=40)
@given(damaged_notes())
def test_each_repair_alone_leaves_every_undamaged_word_in_its_place(name: str, note: Note) -> None:
    raw, places = note
    cleaned = check(raw, TextCleaner([name]), places)
    assert check(cleaned.text, TextCleaner([name]), []).alignment.edits == ()


@given(any_text)
def test_any_text_can_be_cleaned(raw: str) -> None:
    check(raw, TextCleaner(), [])


@given(any_text, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_unicode_repair_gives_the_normal_form_of_the_whole_text(raw: str, form: str) -> None:
    cleaned = check(raw, TextCleaner(["unicode"], unicode_form=form), [])
    assert cleaned.text == unicodedata.normalize(form, raw)


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join))
def test_a_clean_note_comes_out_without_edits(raw: str) -> None:
    assert check(raw, TextCleaner(), []).alignment.edits == ()


@given(damaged_notes())
def test_edits_never_take_in_an_undamaged_word(note: Note) -> None:
    raw, places = note
    edits = TextCleaner().clean(raw).alignment.edits
    assert not any(edit.start < end and start < edit.end for edit in edits for start, end in places)
