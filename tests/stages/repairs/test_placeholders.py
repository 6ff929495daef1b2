"""What others left in the place of identifiers."""

from __future__ import annotations

import pytest

from clinnlp.alignment import delete
from clinnlp.stages.cleaning import REPAIRS, TextCleaner
from repairs.asserting import repaired, unchanged


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Mr. [**Known lastname 123**] came", "Mr. Name came"),
        ("[**First Name8 (NamePattern2) **] [**Last Name (un) 4**]", "Name Name"),
        ("to [**Hospital1 18**] from [**Hospital Ward Name 3**]", "to Hospital from Hospital"),
        ("MRN [**Medical Record Number 55**], call [**Telephone/Fax (1) 33**]", "MRN Number, call Number"),
        ("lives in [**Location (un) 12**]", "lives in Location"),
        (
            "on [**2101-5-3**] and [**5-3**], [**March 2101**], [**Month (only) 5**]",
            "on 2101-5-3 and 5-3, March 2101, Date",
        ),
        ("a [**Age over 90 **]-year-old", "a 90-year-old"),
        ("**NAME[AAA BBB] seen **DATE[Jan 05 2007] at **INSTITUTION.", "Name seen Jan 05 2007 at Hospital."),
        ("<PERSON> and [PATIENT NAME_2] on {DATE}, <<PHI>>", "Name and Name on Date, _"),
        ("Dr. ___ and Mr. XXX", "Dr. Name and Mr. Name"),
        ("given ________ and XXXX, no xxxx", "given _ and _, no _"),
        ("___F with ___yo son", "_ F with _ yo son"),
        ("on XX/XX/XXXX, SSN XXX-XX-XXXX", "on Date, SSN Number"),
        ("[**Name**][**Name**]", "Name Name"),
    ],
)
def test_placeholders_become_a_neutral_word_of_their_kind(text: str, clean: str) -> None:
    assert repaired("placeholders", text) == clean


def test_a_date_keeps_its_characters_and_their_places() -> None:
    assert REPAIRS["placeholders"]("on [**2101-5-3**].") == [delete(3, 6), delete(14, 17)]


@pytest.mark.parametrize(
    "text",
    [
        "Factor XX and page XXX",
        "46,XX and 48,XXXX",
        "[DILATION TEST] [MD]",
        "**PATIENT NAME:** x",
        "**WARNING** now",
        "a_b __init__",
        "line\n__________\nline",
        "____   ____",
        "<USA> [see below]",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert unchanged("placeholders", text)


def test_words_of_the_users_own_take_the_place_of_ours() -> None:
    cleaner = TextCleaner(["placeholders"], placeholders={"hospital": "the clinic"})
    assert cleaner.clean("to [**Hospital1 18**] on [**Date**]").text == "to the clinic on Date"
