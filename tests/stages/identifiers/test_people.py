"""What stands before a place is read from its end, and is what a search for it would find."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinnlp.stages._identifiers.people import _gap_before, _word_before, style_of

GAP = re.compile(r"[ \t]{0,3}(?:(?:\r\n|\r|\n)[ \t]{0,3})?$")
WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*\.?$")

texts = st.text(st.sampled_from("aBé½9_.'’-,  \t\r\n\n"), max_size=24)


@given(texts, st.integers(0, 8), st.integers(0, 8))
def test_it_is_the_longest_gap_or_word_that_ends_there(text: str, low: int, behind: int) -> None:
    at = max(len(text) - behind, low)
    gap, word = GAP.search(text, low, at), WORD.search(text, low, at)
    assert gap is not None
    if low <= len(text):
        assert _gap_before(text, low, at) == gap.start()
        assert _word_before(text, low, at) == (("", at) if word is None else (word.group(), word.start()))


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("The patient was seen.", "mixed"),
        ("THE PATIENT WAS SEEN by X.", "upper"),
        ("the patient was seen.", "lower"),
        ("Ünal Ärzte haben ÉMILE gesehen: 12/80", "mixed"),
        ("ÜNAL ÄRZTE HABEN", "upper"),
        ("患者入院", "lower"),
        ("", "lower"),
        (f"A{'a' * 100}", "lower"),
        (f"A{'a' * 98}", "mixed"),
        (f"{'a' * 20_000}{'A' * 50_000}", "lower"),
    ],
)
def test_what_capitals_mean_is_told_by_their_share(text: str, style: str) -> None:
    assert style_of(text) == style
