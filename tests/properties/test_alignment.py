"""Spans go from the raw text to the edited one and back without being lost or crossed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinnlp._plain import from_plain, to_plain
from clinnlp.alignment import Alignment, Edit, EditedText
from clinnlp.errors import RecordError
from clinnlp.record import Record
from properties.edited import any_text, edits_of, spans_of

Span = tuple[int, int]


def within(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[str, Alignment]:
    """A text and an alignment of it that was made in one step or composed of up to three."""
    source = draw(any_text)
    edited = EditedText.of(source, draw(edits_of(len(source))))
    for _ in range(draw(st.integers(0, 2))):
        edited = edited.then(draw(edits_of(len(edited.text))))
    return source, edited.alignment


@st.composite
def edited_texts_with_spans(draw: st.DrawFn, count: int) -> tuple[str, Alignment, list[Span], list[Span]]:
    source, alignment = draw(edited_texts())
    spans = draw(st.lists(spans_of(alignment.length), min_size=count, max_size=count))
    target_spans = draw(st.lists(spans_of(alignment.target_length), min_size=count, max_size=count))
    return source, alignment, spans, target_spans


def kept(alignment: Alignment) -> list[int]:
    """The offsets of the source that no edit covers."""
    covered = {i for edit in alignment.edits for i in range(edit.start, edit.end)}
    return [i for i in range(alignment.length) if i not in covered]


def inside(alignment: Alignment, offset: int) -> list[Edit]:
    """The edits that have this offset strictly inside."""
    return [edit for edit in alignment.edits if edit.start < offset < edit.end]


@given(any_text.flatmap(lambda text: st.tuples(st.just(text), edits_of(len(text)))))
def test_applying_edits_is_splicing_them_in_from_the_end(case: tuple[str, list[Edit]]) -> None:
    source, edits = case
    spliced = source
    for edit in sorted(edits, reverse=True, key=lambda edit: (edit.start, edit.end)):
        spliced = spliced[: edit.start] + edit.text + spliced[edit.end :]
    edited = EditedText.of(source, edits)
    assert edited.text == spliced
    assert edited.alignment.target_length == len(spliced)


@given(edited_texts())
def test_characters_that_no_edit_covers_map_to_exactly_themselves_and_back(case: tuple[str, Alignment]) -> None:
    source, alignment = case
    target = alignment.apply(source)
    for i in kept(alignment):
        start, end = alignment.to_target(i, i + 1)
        assert target[start:end] == source[i]
        assert end == start + 1
        assert alignment.to_source(start, end) == (i, i + 1)


@given(edited_texts_with_spans(1))
def test_every_span_maps_to_a_span_of_the_other_text(case: tuple[str, Alignment, list[Span], list[Span]]) -> None:
    _, alignment, spans, target_spans = case
    assert within(alignment.to_target(*spans[0]), (0, alignment.target_length))
    assert within(alignment.to_source(*target_spans[0]), (0, alignment.length))
    for start, end in (alignment.to_target(*spans[0]), alignment.to_source(*target_spans[0])):
        assert start <= end


@settings(max_examples=150)
@given(edited_texts_with_spans(2))
def test_mapping_is_monotone_both_ways_and_a_span_inside_another_stays_inside(
    case: tuple[str, Alignment, list[Span], list[Span]],
) -> None:
    _, alignment, spans, target_spans = case
    for (a, b), mapped in ((spans, alignment.to_target), (target_spans, alignment.to_source)):
        x, y = mapped(*a), mapped(*b)
        if a[0] <= b[0] and a[1] <= b[1]:
            assert x[0] <= y[0]
            assert x[1] <= y[1]
        if within(a, b) and a[0] < a[1]:
            assert within(x, y)


@given(edited_texts_with_spans(2))
def test_spans_that_do_not_overlap_only_overlap_afterwards_in_one_replaced_stretch(
    case: tuple[str, Alignment, list[Span], list[Span]],
) -> None:
    _, alignment, spans, _ = case
    a, b = sorted(spans)
    if a[1] <= b[0]:
        x, y = alignment.to_target(*a), alignment.to_target(*b)
        shared = (max(x[0], y[0]), min(x[1], y[1]))
        if shared[0] < shared[1]:
            stretches = [alignment.to_target(edit.start, edit.end) for edit in alignment.edits if edit.end > edit.start]
            assert any(within(shared, stretch) for stretch in stretches)


@settings(max_examples=150)
@given(edited_texts_with_spans(1))
def test_a_span_comes_back_whole_but_for_deleted_edges_and_never_wider_than_the_stretches_it_touches(
    case: tuple[str, Alignment, list[Span], list[Span]],
) -> None:
    _, alignment, [(start, end)], _ = case
    back = alignment.to_source(*alignment.to_target(start, end))
    gone = {i for edit in alignment.edits if not edit.text for i in range(edit.start, edit.end)}
    left = [i for i in range(start, end) if i not in gone]
    replaced = [edit for offset in (start, end) for edit in inside(alignment, offset) if edit.text]
    if left or replaced:
        low, high = (min([start, *(e.start for e in replaced)]), max([end, *(e.end for e in replaced)]))
        assert within(back, (low, high))
        assert not left or within((left[0], left[-1] + 1), back)
        if left and not replaced and not gone & {start, end - 1}:
            assert back == (start, end)
    else:
        assert back[0] == back[1] <= end
        assert gone.issuperset(range(back[0], start))


@given(edited_texts_with_spans(1))
def test_a_span_of_the_edited_text_is_in_what_its_source_maps_to(
    case: tuple[str, Alignment, list[Span], list[Span]],
) -> None:
    _, alignment, _, [(start, end)] = case
    back = alignment.to_target(*alignment.to_source(start, end))
    inserted = {
        i
        for edit, low, high in zip(alignment.edits, alignment._target_starts, alignment._target_ends, strict=True)
        if edit.start == edit.end
        for i in range(low, high)
    }
    left = [i for i in range(start, end) if i not in inserted]
    if left:
        assert within((left[0], left[-1] + 1), back)


@st.composite
def two_steps(draw: st.DrawFn) -> tuple[str, Alignment, Alignment]:
    source = draw(any_text)
    first = Alignment(len(source), draw(edits_of(len(source))))
    return source, first, Alignment(first.target_length, draw(edits_of(first.target_length)))


@settings(max_examples=200)
@given(two_steps(), st.data())
def test_composing_is_applying_one_after_the_other(case: tuple[str, Alignment, Alignment], data: st.DataObject) -> None:
    source, first, second = case
    both = first.then(second)
    assert both.apply(source) == second.apply(first.apply(source))
    assert both.target_length == second.target_length
    # An empty span where text was deleted may have stood before or after it, so it is not asked for.
    start, end = data.draw(spans_of(both.length))
    assert start == end or within(second.to_target(*first.to_target(start, end)), both.to_target(start, end))
    start, end = data.draw(spans_of(both.target_length))
    assert start == end or within(first.to_source(*second.to_source(start, end)), both.to_source(start, end))


def met(first: Alignment, second: Alignment) -> bool:
    """Whether an edit of each side share a character of the text between, or stand at one place in it."""
    for low, high in zip(first._target_starts, first._target_ends, strict=True):
        for edit in second.edits:
            if low < edit.end and edit.start < high:
                return True
            if low == high == edit.start == edit.end:
                return True
    return False


@settings(max_examples=200)
@given(two_steps(), st.data())
def test_composing_edits_that_did_not_meet_maps_exactly_as_the_two_steps_do(
    case: tuple[str, Alignment, Alignment], data: st.DataObject
) -> None:
    _, first, second = case
    if met(first, second):
        return
    both = first.then(second)
    start, end = data.draw(spans_of(both.length))
    assert second.to_target(*first.to_target(start, end)) == both.to_target(start, end)
    start, end = data.draw(spans_of(both.target_length))
    assert first.to_source(*second.to_source(start, end)) == both.to_source(start, end)


@given(two_steps(), st.data())
def test_three_steps_compose_in_either_order_to_the_same_text(
    case: tuple[str, Alignment, Alignment], data: st.DataObject
) -> None:
    source, first, second = case
    third = Alignment(second.target_length, data.draw(edits_of(second.target_length)))
    left, right = first.then(second).then(third), first.then(second.then(third))
    assert left.apply(source) == right.apply(source)


@given(edited_texts())
def test_nothing_before_or_after_an_alignment_leaves_it_as_it_is(case: tuple[str, Alignment]) -> None:
    _, alignment = case
    assert Alignment(alignment.length).then(alignment) == alignment
    assert alignment.then(Alignment(alignment.target_length)) == alignment


@given(edited_texts())
def test_plain_values_bring_back_the_same_alignment(case: tuple[str, Alignment]) -> None:
    source, alignment = case
    assert Alignment(alignment.length, [Edit(*edit) for edit in alignment.to_list()]) == alignment
    edited = EditedText(alignment.apply(source), alignment)
    assert from_plain(EditedText, to_plain(edited)) == edited


@given(any_text, any_text, st.integers(0xD800, 0xDFFF))
def test_a_record_refuses_a_lone_surrogate_and_says_where_without_quoting(before: str, after: str, code: int) -> None:
    with pytest.raises(RecordError, match=rf"offset {len(before)}:") as caught:
        Record(before + chr(code) + after, id="n1")
    assert "n1" in str(caught.value)
    assert not before.strip() or len(before) < 3 or before not in str(caught.value)
