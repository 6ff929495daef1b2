"""Page numbers, headers and footers."""

from __future__ import annotations

import pytest

from repairs.asserting import repaired, unchanged


def paged(separator: str, pages: int = 3) -> str:
    """A note of several pages, with a header, a footer and what `separator` puts between two pages."""
    said = [
        "Cough improved.",
        "Renal function is stable.",
        "The wound is dry and the drain was",
        "taken out. Diet as tolerated.",
    ]
    return "".join(
        f"North Clinic   Stone, Ada\n{separator.format(page=page + 1)}\n"
        + "".join(
            f"{said[(page + i) % 4]} Seen with team {'abcdefgh'[(3 * page + i) % 8]} on round {page}.{i}.\n"
            for i in range(7)
        )
        + "\nConfidential\n"
        for page in range(pages)
    )


def test_page_numbers_headers_and_footers_go_but_for_the_top_of_the_note() -> None:
    text = paged("Page {page} of 3")
    clean = repaired("pages", text)
    assert clean.startswith("North Clinic   Stone, Ada\nPage 1 of 3\nCough improved.")
    assert clean.count("North Clinic") == clean.count("Page") == 1
    assert "Confidential" not in clean
    assert all(f"round {page}.{i}." in clean for page in range(3) for i in range(7))


def test_form_feeds_end_pages_too_and_become_line_breaks() -> None:
    text = paged("ward round").replace("\nConfidential\n", "\nConfidential\n\f")
    clean = repaired("pages", text)
    assert clean.count("North Clinic") == 1
    assert "\f" not in clean
    assert "Confidential" not in clean
    assert repaired("pages", "a\fb\n\fc") == "a\nb\nc"


def test_a_sentence_that_a_page_cut_goes_on_in_the_next_line() -> None:
    filler = "She walked with help and had no fever at all. " * 5
    text = f"{filler}\nHe was\n\n- 1 -\n\ngiven fluids. {filler}\nThen he\n- 2 -\nslept."
    assert repaired("pages", text) == f"{filler}\nHe was\ngiven fluids. {filler}\nThen he\nslept."


@pytest.mark.parametrize(
    "text",
    [
        "See page 2 of the old chart.\nSee page 3 of the old chart.\n",
        "Page 1 of 1\n" + "Stable. " * 60,
        "Normal.\n\nNormal.\n\nNormal.\n" * 20,
        "Page 7\n" + "Stable. " * 60 + "\nPage 7\n",
        "Page 7\n" + "Stable. " * 60 + "\nPage 9\n",
        "Grade - 1 -\n" + "Stable. " * 60 + "\nPage 7\n",
    ],
)
def test_notes_without_pages_that_count_up_stay(text: str) -> None:
    assert unchanged("pages", text)
