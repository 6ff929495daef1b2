"""Courses: what happened before, in order of time."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import torch

from clinnlp import Record
from clinnlp.encoders.courses import CourseEncoder, Event, events_of
from clinnlp.errors import RecordError


def record(events: Any, time: Any = None) -> Record:
    return Record("", "r1", metadata={"past": events, **({"time": time} if time else {})})


def test_events_are_in_order_of_time_and_dated_back_from_the_record() -> None:
    given = [
        {"text": "stroke", "time": "2020-01-11"},
        {"name": "gout", "start": "2020-01-01T08:00:00Z"},
        "asthma",
        {"description": "fall", "date": datetime.date(2020, 1, 10)},
        {"text": "later", "time": "2020-02-01"},
        {"text": "", "time": "2020-01-01"},
    ]
    assert events_of(record(given, "2020-01-11"), "past") == [
        Event("asthma", None),
        Event("gout", 10),
        Event("fall", 1),
        Event("stroke", 0),
    ]


def test_without_a_time_of_the_record_the_last_event_is_the_day() -> None:
    given = [{"text": "a", "time": "2020-01-01"}, {"text": "b", "time": "2020-01-31"}, {"text": "c", "time": "no date"}]
    assert events_of(record(given), "past") == [Event("c", None), Event("a", 30), Event("b", 0)]
    assert events_of(record(["a", "b"]), "past") == [Event("a", None), Event("b", None)]
    assert events_of(record(None), "past") == events_of(record([]), "past") == events_of(Record(""), "past") == []


@pytest.mark.parametrize(
    ("given", "told"),
    [("gout", "not str"), ({"text": "gout"}, "not dict"), ([7], "no text"), ([{"x": "gout"}], "no text")],
)
def test_what_is_no_list_of_events_is_refused_without_a_word_of_it(given: Any, told: str) -> None:
    with pytest.raises(RecordError, match=rf"record 'r1'.*{told}") as caught:
        events_of(record(given), "past")
    assert "gout" not in str(caught.value)


def test_padding_and_the_neighbours_in_a_batch_make_no_difference() -> None:
    torch.manual_seed(0)
    encoder = CourseEncoder(6, 8).eval()
    events, days = torch.randn(2, 5, 6), torch.tensor([[400.0, 30, 1, -1, -1], [9, 8, 7, 6, 5]])
    there = torch.tensor([[True, True, True, False, False], [True] * 5])
    both = encoder(events, days, there)
    alone = encoder(events[:1, :3], days[:1, :3], there[:1, :3])
    assert both.shape == (2, 16)
    assert torch.allclose(both[:1], alone, atol=1e-5)
    assert not torch.allclose(
        encoder(events[:1, :3], days[:1, :3] + 300, there[:1, :3]), alone, atol=1e-3
    )  # time counts


def test_a_course_without_an_event_is_finite() -> None:
    made = CourseEncoder(6, 8).eval()(
        torch.zeros(1, 1, 6), torch.full((1, 1), -1.0), torch.zeros((1, 1), dtype=torch.bool)
    )
    assert torch.isfinite(made).all()
