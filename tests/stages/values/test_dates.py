"""Dates at the ends of the calendar: what lies beyond it has no time, and nothing fails."""

from __future__ import annotations

import pytest

from clinnlp import Record
from clinnlp.stages import ValueExtractor


@pytest.mark.parametrize(
    ("now", "text", "wanted"),
    [
        ("0001-01-01", "yesterday", ""),
        ("0001-01-01", "tomorrow", "0001-01-02"),
        ("0001-01-01", "last Monday", ""),
        ("0001-01-01", "last week", ""),
        ("0001-01-01", "Monday of last week", ""),
        ("0001-01-01", "3/5/50", "0050-03-05"),
        ("0001-01-01", "December 5", "0001-12-05"),
        ("0001-01-01T00:10", "in 3 hours", "0001-01-01T03:10"),
        ("9999-12-31", "tomorrow", ""),
        ("9999-12-31", "yesterday", "9999-12-30"),
        ("9999-12-31", "next Friday", ""),
        ("9999-12-31", "next week", ""),
        ("9999-12-31", "5/3/05", "9905-05-03"),
        ("9999-12-31", "明天", ""),
    ],
)
def test_what_lies_beyond_the_calendar_has_no_time(now: str, text: str, wanted: str) -> None:
    stage = ValueExtractor(lang="en" if text.isascii() else "zh")
    record = stage(Record(f"Seen {text}.", metadata={"time": now}))
    assert [value.time for value in record.values if value.kind == "date"] == [wanted]
