from __future__ import annotations

import enum
import json
from typing import Any

import numpy as np
import pytest

from clinnlp import Answer, Assertion, Entity, Image, Label, Section, Token, Value
from clinnlp._plain import clone, from_plain, plain_value, to_plain
from clinnlp.alignment import EditedText, insert
from clinnlp.errors import AlignmentError, RecordError

OBJECTS = [
    Token(0, 0),
    Section(2, 5, "plan", "Plan:", 3),
    Entity(0, 1),
    Entity(0, 1, "Disease", "x", 0.0, Assertion(historical=True), {"a": [{"b": None}]}, "rules"),
    Value(0, 1, number=0.0, high=-1.5, unit="mg"),
    Answer(""),
    Answer("x", 0, 1, "r", 0.5, "e"),
    Label("x", 0.0),
    EditedText.of("abc", [insert(0, "🫀")]),
    Image(b"x", labels={"a": ["b"]}),
]


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_an_object_goes_through_json_without_loss(value: Any) -> None:
    plain = json.loads(json.dumps(to_plain(value)))
    assert from_plain(type(value), plain) == value
    assert from_plain(type(value), value) is value


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_a_clone_is_equal(value: Any) -> None:
    assert clone([value, {"a": value}]) == [value, {"a": value}]
    assert clone(value) is not value or isinstance(value, EditedText)


def test_fields_at_their_default_are_left_out_but_for_offsets_label_and_score() -> None:
    assert to_plain([Token(0, 3), Entity(0, 3)]) == [
        {"start": 0, "end": 3},
        {"start": 0, "end": 3, "label": "", "score": 1.0},
    ]


def test_fields_of_none_take_their_default() -> None:
    plain = {"start": 0, "end": 1, "assertion": None, "attributes": None, "source": None}
    assert from_plain(Entity, plain) == Entity(0, 1)


def test_overlapping_edits_are_an_alignment_error() -> None:
    with pytest.raises(AlignmentError, match="overlap"):
        from_plain(EditedText, {"text": "", "length": 4, "edits": [[0, 3, ""], [2, 4, ""]]})


def test_a_clone_shares_nothing_that_can_change() -> None:
    entity = Entity(0, 1, assertion=Assertion(), attributes={"a": [1]})
    copy = clone([entity])[0]
    copy.assertion.negated = True
    copy.attributes["a"].append(2)
    assert entity == Entity(0, 1, assertion=Assertion(), attributes={"a": [1]})
    tokens = [Token(0, 1), Token(1, 2)]
    copies = clone(tokens)
    copies[0].start = 9
    assert tokens[0].start == 0


def test_kinds_of_text_and_number_become_plain_ones() -> None:
    class Colour(str, enum.Enum):
        RED = "red"

    plain = plain_value([Colour.RED, np.str_("a"), np.float64(0.5), np.int8(1), np.array(2)], "here")
    assert json.dumps(plain) == '["red", "a", 0.5, 1, 2]'
    assert [type(item) for item in plain] == [str, str, float, int, int]


def test_a_value_of_another_kind_is_an_error_that_says_where() -> None:
    with pytest.raises(RecordError, match="here: a value of type bytes"):
        plain_value({"a": [b"x"]}, "here")
