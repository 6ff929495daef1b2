from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinnlp.errors import RecordError
from clinnlp.labels import Label, read_labels


@pytest.mark.parametrize(
    "given",
    [
        "HPI",
        ["HPI"],
        ("HPI",),
        {"HPI"},
        Label("HPI"),
        [Label("HPI")],
        {"name": "HPI"},
        [{"name": "HPI", "score": None}],
    ],
    ids=str,
)
def test_labels_are_given_as_one_or_many_names_labels_or_dictionaries(given: Any) -> None:
    assert read_labels({"section": given}) == {"section": [Label("HPI", 1.0)]}


def test_a_set_of_names_has_one_order() -> None:
    assert [label.name for label in read_labels({"a": {"c", "a", "b"}})["a"]] == ["a", "b", "c"]


def test_a_label_set_of_nothing_is_empty() -> None:
    assert read_labels({"a": None, "b": [], "c": ()}) == {"a": [], "b": [], "c": []}
    assert read_labels(None) == {}


def test_the_order_given_is_kept() -> None:
    assert [label.name for label in read_labels({"a": [Label("x", 0.1), Label("y", 0.9)]})["a"]] == ["x", "y"]


def test_scores_become_plain_numbers() -> None:
    [label] = read_labels({"a": [{"name": "x", "score": np.float32(0.5)}]})["a"]
    assert type(label.score) is float


@pytest.mark.parametrize("given", [1, [1], b"HPI", [None], [["HPI"]], {"label": "HPI"}, Label("x", float("nan"))])
def test_anything_else_is_refused_and_the_set_named(given: Any) -> None:
    with pytest.raises(RecordError, match="label set 'section'"):
        read_labels({"section": given})


def test_labels_that_are_no_dictionary_are_refused() -> None:
    with pytest.raises(RecordError, match="dictionary"):
        read_labels(["HPI"])  # type: ignore[arg-type]
