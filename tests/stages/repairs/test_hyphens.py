"""Words divided at a line's end."""

from __future__ import annotations

import pytest

from clinnlp.stages.cleaning import TextCleaner
from repairs.asserting import repaired, unchanged


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("hyper-\ntension", "hypertension"),
        ("hyper-  \n   tension", "hypertension"),
        ("anti\u00ad\nbody", "antibody"),
        ("follow-\nup, non-\ntender", "follow-up, non-tender"),
        ("drug-\ninduced", "drug-induced"),
        ("T-\ncell and CT-\nguided, 3-\nday", "T-cell and CT-guided, 3-day"),
        ("high-\nly", "highly"),
        ("a beta-carotene diet, beta-\ncarotene", "a beta-carotene diet, beta-carotene"),
        ("nonunion healed, non-\nunion", "nonunion healed, nonunion"),
    ],
)
def test_words_divided_at_a_lines_end_are_joined_as_they_are_written_on_one_line(text: str, clean: str) -> None:
    assert repaired("hyphens", text) == clean


def test_a_soft_hyphen_at_a_lines_end_is_left_to_this_repair() -> None:
    assert TextCleaner(["control", "hyphens"]).clean("anti\u00ad\nbo\u00addy").text == "antibody"


@pytest.mark.parametrize(
    "text", ["pre-\nand postoperative", "pain -\nnone", "10-\n20 mg", "x-\n\ny", "- one\n- two", "Smith-\nJones"]
)
def test_other_hyphens_stay(text: str) -> None:
    assert unchanged("hyphens", text)
