"""The places where edges of spans land, edit by edit."""

from __future__ import annotations

import time

import pytest

from clinnlp._plain import from_plain, to_plain
from clinnlp.alignment import Alignment, Edit, EditedText, delete, insert, replace
from clinnlp.errors import AlignmentError


class TestMaking:
    def test_edits_are_applied_in_the_order_of_their_places(self) -> None:
        edited = EditedText.of("BP 120/80 mmHg", [insert(14, "."), replace(0, 2, "Blood pressure"), delete(9, 14)])
        assert edited.text == "Blood pressure 120/80."
        assert edited.alignment.target_length == len(edited.text)

    def test_an_edit_of_nothing_is_dropped(self) -> None:
        assert Alignment(3, [Edit(1, 1, "")]).edits == ()

    def test_a_text_without_edits_is_the_same_object(self) -> None:
        text = "no change " * 3
        assert EditedText.of(text).text is text
        edited = EditedText.of(text)
        assert edited.then([]) is edited

    @pytest.mark.parametrize(
        ("edits", "told"),
        [
            ([delete(1, 3), delete(2, 4)], "overlap at offset 2"),
            ([replace(0, 4, "x"), insert(2, "y")], "overlap at offset 2"),
            ([insert(2, "a"), insert(2, "b")], "two insertions at offset 2"),
            ([delete(3, 6)], r"\[3, 6\) leaves the text of length 5"),
            ([delete(-1, 2)], r"\[-1, 2\) leaves"),
            ([replace(3, 2, "x")], r"\[3, 2\) leaves"),
        ],
    )
    def test_edits_that_cannot_be_are_refused_with_their_place(self, edits: list[Edit], told: str) -> None:
        with pytest.raises(AlignmentError, match=told):
            Alignment(5, edits)

    def test_an_alignment_is_applied_only_to_a_text_of_its_length(self) -> None:
        with pytest.raises(AlignmentError, match="length 2, the alignment is of length 3"):
            Alignment(3).apply("ab")

    def test_an_edited_text_whose_edits_give_another_length_is_refused(self) -> None:
        with pytest.raises(AlignmentError, match="length 3, its edits give length 2"):
            EditedText("abc", Alignment(3, [delete(0, 1)]))

    @pytest.mark.parametrize("span", [(-1, 0), (2, 1), (0, 4)])
    def test_spans_outside_the_text_are_refused(self, span: tuple[int, int]) -> None:
        alignment = Alignment(3)
        with pytest.raises(AlignmentError, match="length 3"):
            alignment.to_source(*span)
        with pytest.raises(AlignmentError, match="length 3"):
            alignment.to_target(*span)


#        0123456789
SOURCE = "abcdefghij"


@pytest.mark.parametrize(
    ("edit", "span", "target"),
    [
        # Rule 1: an edge strictly inside an edited stretch moves out.
        (replace(3, 6, "XY"), (4, 8), (3, 7)),
        (replace(3, 6, "XY"), (0, 5), (0, 5)),
        (replace(3, 6, "XY"), (4, 5), (3, 5)),
        (replace(3, 6, "XY"), (4, 4), (3, 5)),
        # Edges on those of the stretch stay.
        (replace(3, 6, "XY"), (3, 6), (3, 5)),
        (replace(3, 6, "XY"), (0, 3), (0, 3)),
        (replace(3, 6, "XY"), (6, 10), (5, 9)),
        (replace(3, 6, "XY"), (3, 3), (3, 3)),
        (replace(3, 6, "XY"), (6, 6), (5, 5)),
        # Rule 2: what only touches an edge stays outside.
        (insert(3, "XY"), (3, 6), (5, 8)),
        (insert(3, "XY"), (0, 3), (0, 3)),
        (insert(3, "XY"), (2, 4), (2, 6)),
        (delete(3, 6), (0, 3), (0, 3)),
        (delete(3, 6), (6, 9), (3, 6)),
        (delete(3, 6), (2, 7), (2, 4)),
        (delete(3, 6), (4, 7), (3, 4)),
        (delete(3, 6), (2, 5), (2, 3)),
        # Rule 3: nothing left, or nothing there.
        (delete(3, 6), (3, 6), (3, 3)),
        (delete(3, 6), (4, 5), (3, 3)),
        (insert(3, "XY"), (3, 3), (3, 3)),
        (delete(3, 6), (3, 3), (3, 3)),
    ],
)
def test_a_span_of_the_source_lands_in_the_defined_place(
    edit: Edit, span: tuple[int, int], target: tuple[int, int]
) -> None:
    assert Alignment(10, [edit]).to_target(*span) == target


@pytest.mark.parametrize(
    ("edit", "span", "source"),
    [
        (replace(3, 6, "XY"), (3, 4), (3, 6)),
        (replace(3, 6, "XY"), (4, 7), (3, 8)),
        (replace(3, 6, "XY"), (5, 9), (6, 10)),
        (insert(3, "XY"), (3, 5), (3, 3)),
        (insert(3, "XY"), (4, 5), (3, 3)),
        (insert(3, "XY"), (2, 6), (2, 4)),
        (insert(3, "XY"), (5, 8), (3, 6)),
        (delete(3, 6), (0, 3), (0, 3)),
        (delete(3, 6), (3, 5), (6, 8)),
        (delete(3, 6), (2, 4), (2, 7)),
        (delete(3, 6), (3, 3), (3, 3)),
    ],
)
def test_a_span_of_the_target_lands_in_the_defined_place(
    edit: Edit, span: tuple[int, int], source: tuple[int, int]
) -> None:
    assert Alignment(10, [edit]).to_source(*span) == source


class TestComposing:
    def test_edits_of_both_sides_that_share_no_characters_stay_apart(self) -> None:
        first = Alignment(10, [delete(1, 3)])  # adefghij
        second = Alignment(8, [replace(4, 6, "X")])  # adefXij
        assert first.then(second).edits == (delete(1, 3), replace(6, 8, "X"))

    def test_an_edit_over_an_edited_stretch_becomes_one_with_it(self) -> None:
        first = Alignment(10, [replace(2, 4, "XYZ")])  # abXYZefghij
        second = Alignment(11, [delete(3, 6)])  # abXfghij
        assert first.then(second).edits == (replace(2, 5, "X"),)

    def test_what_is_inserted_and_taken_out_again_leaves_no_edit(self) -> None:
        assert Alignment(10, [insert(4, "XY")]).then(Alignment(12, [delete(4, 6)])).edits == ()

    def test_insertions_at_one_place_are_joined_in_the_order_of_the_text(self) -> None:
        first = EditedText.of("ab", [insert(1, "2")])
        assert first.then([insert(1, "1"), insert(2, "3")]).text == "a123b"
        assert first.then([insert(1, "1"), insert(2, "3")]).alignment.edits == (insert(1, "123"),)

    def test_an_insertion_where_text_was_deleted_stands_for_it(self) -> None:
        assert Alignment(3, [delete(1, 2)]).then(Alignment(2, [insert(1, "X")])).edits == (replace(1, 2, "X"),)

    def test_alignments_of_other_lengths_are_refused(self) -> None:
        with pytest.raises(AlignmentError, match="gives length 9, the second takes 10"):
            Alignment(10, [delete(0, 1)]).then(Alignment(10))

    def test_one_long_chain_of_edits_that_overlap_takes_linear_time(self) -> None:
        def seconds(n: int) -> float:
            first = Alignment(2 * n, [replace(i, i + 2, "ab") for i in range(0, 2 * n, 2)])
            second = Alignment(2 * n, [replace(i, i + 2, "cd") for i in range(1, 2 * n - 1, 2)])
            began = time.process_time()
            composed = first.then(second)
            assert composed.edits == (Edit(0, 2 * n, "a" + "cd" * (n - 1) + "b"),)
            return time.process_time() - began

        seconds(1000)
        # Quadratic time would be 256 times as long.
        assert seconds(80_000) < 60 * max(seconds(5_000), 1e-3)


class TestPlain:
    def test_an_edited_text_comes_back_from_plain_values(self) -> None:
        edited = EditedText.of("caf\u0065\u0301 ok", [replace(3, 5, "\u00e9"), delete(5, 6)])
        plain = to_plain(edited)
        assert plain["edits"] == [[3, 5, "\u00e9"], [5, 6, ""]]
        assert from_plain(EditedText, plain) == edited

    def test_edits_list_as_start_end_and_text(self) -> None:
        assert Alignment(9, [insert(4, "x"), delete(0, 2)]).to_list() == [[0, 2, ""], [4, 4, "x"]]

    def test_alignments_are_equal_and_hash_by_value(self) -> None:
        assert Alignment(4, [delete(0, 1)]) == Alignment(4, [delete(0, 1)])
        assert Alignment(4, [delete(0, 1)]) != Alignment(5, [delete(0, 1)])
        assert len({Alignment(4, [delete(0, 1)]), Alignment(4, [delete(0, 1)]), Alignment(4)}) == 2
        assert Alignment(4) != "alignment"
