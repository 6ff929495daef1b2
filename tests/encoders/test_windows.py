from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinnlp.encoders.windows import batch_by_length, chunk_spans, owned_ranges, paragraph_spans, window_ranges


@given(st.text(alphabet="aB:.\n \t\r\u2028é", max_size=200))
def test_paragraphs_are_ordered_disjoint_and_leave_out_only_white_space(text: str) -> None:
    spans = paragraph_spans(text)
    at = 0
    for start, end in spans:
        assert at <= start < end
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


def test_a_paragraph_is_cut_the_same_whatever_stands_around_it() -> None:
    copied = "The patient was seen today.\nShe felt well."
    alone = [copied[a:b].strip() for a, b in paragraph_spans(copied)]
    inside = "Other.\n\n" + copied + "\n\nMore text here."
    assert alone == [copied]
    assert copied in [inside[a:b].strip() for a, b in paragraph_spans(inside)]


def test_blank_lines_and_headings_in_capitals_begin_paragraphs() -> None:
    text = "HPI: pain.\nStill pain.\nPLAN: rest.\n \nSigned."
    assert [text[a:b].strip() for a, b in paragraph_spans(text)] == [
        "HPI: pain.\nStill pain.",
        "PLAN: rest.",
        "Signed.",
    ]


def test_a_heading_alone_stays_with_what_follows_it() -> None:
    text = "Plan:\n\nAspirin.\n\nReturn in a week."
    assert [text[a:b].strip() for a, b in paragraph_spans(text)] == ["Plan:\n\nAspirin.", "Return in a week."]


@given(st.integers(0, 400), st.integers(2, 50), st.data())
def test_windows_cover_every_piece_and_overlap(count: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    ranges = window_ranges(count, size, overlap)
    assert {i for start, end in ranges for i in range(start, end)} == set(range(count))
    assert all(end - start <= size for start, end in ranges)
    for before, after in itertools.pairwise(ranges):
        assert before[1] - after[0] >= overlap
    kept = [i for start, end in owned_ranges(ranges) for i in range(start, end)]
    assert kept == list(range(count))


@given(st.integers(51, 300))
def test_the_copy_that_is_kept_is_the_most_central(count: int) -> None:
    ranges = window_ranges(count, 50, 20)
    for (low, high), (start, end) in zip(owned_ranges(ranges), ranges, strict=True):
        for piece in range(low, high):
            kept = min(piece - start if start else count, end - 1 - piece if end < count else count)
            for other_start, other_end in ranges:
                if other_start <= piece < other_end:
                    left = piece - other_start if other_start else count
                    right = other_end - 1 - piece if other_end < count else count
                    assert kept >= min(left, right) - 1


@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 200))
def test_batches_hold_every_item_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = batch_by_length(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget for batch in batches)


@pytest.mark.parametrize("text", ["word " * 30_000, "x" * 100_000, "x" * 15_000 + " " + "y" * 50_000])
def test_chunks_join_to_the_whole_and_end_at_white_space_where_there_is_some(text: str) -> None:
    spans = list(chunk_spans(text, 3, len(text)))
    assert "".join(text[a:b] for a, b in spans) == text[3:]
    assert all(b - a <= 20_000 for a, b in spans)
    if text.startswith("word"):
        assert all(text[b - 1].isspace() for _, b in spans)


@pytest.mark.parametrize("unit", ["a", " ", "\n", "\n ", "A:\n", "A:\n\n", "AAAA:\n", "\t\n"])
def test_cutting_takes_linear_time(unit: str) -> None:
    text = unit * (10_000_000 // len(unit))
    started = time.process_time()
    paragraph_spans(text)
    assert time.process_time() - started < 15
