"""Dates and times, and what is said relative to a record's date, as ISO 8601 writes them."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta
from typing import Any

__all__ = ["Calendar", "iso_date", "read_time"]

_AHEAD = 183
"""Days that a date without a year may lie in the future of the record's date, before it is one of the year before."""
_CENTURY_AHEAD = 10
_PIVOT = 69
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2}))?")


def read_time(given: Any) -> datetime | None:
    """Read the date, and the time of day where there is one, of an ISO text; None of what is none."""
    match = _ISO.match(given) if isinstance(given, str) else None
    try:
        return None if match is None else datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None


def iso_date(year: int, month: int, day: int) -> str:
    """Give a date as ISO text, or `""` where no calendar has it."""
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return ""
    return f"{year:04d}-{month:02d}-{day:02d}"


@dataclass(slots=True)
class Calendar:
    """What dates of a record are resolved against.

    Parameters
    ----------
    now : datetime or None
        Date of the record.
    clock : bool
        Whether a time of day was given with it.
    surgery, admission : date or None
    day_first : bool
        Whether 03/05 is the third of May.
    """

    now: datetime | None = None
    clock: bool = False
    surgery: date | None = None
    admission: date | None = None
    day_first: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, Any], day_first: bool) -> Calendar:
        """Read the dates of a record's metadata."""
        given = metadata.get("time")
        now = read_time(given)
        clock = now is not None and len(str(given)) > len("2024-03-05")
        surgery, admission = (read_time(metadata.get(name)) for name in ("surgery_date", "admission_date"))
        return cls(now, clock, surgery and surgery.date(), admission and admission.date(), day_first)

    def ordered(self, first: int, second: int) -> tuple[int, int]:
        """Give month and day of two numbers, in the order that is possible, else in the order set."""
        day_first = self.day_first if max(first, second) <= 12 else first > 12
        return (second, first) if day_first else (first, second)

    def full_year(self, short: int) -> int:
        """Give the year that two digits stand for: at most ten years after the record's date, else 1969 to 2068."""
        if self.now is None:
            return short + (1900 if short >= _PIVOT else 2000)
        latest = min(self.now.year + _CENTURY_AHEAD, MAXYEAR)
        year = latest - (latest - short) % 100
        return year if year >= MINYEAR else year + 100

    def without_year(self, month: int, day: int | None) -> str:
        """Resolve a month, or a month and day: in the record's year, or the year before where that lies far ahead."""
        # 29 February exists in some year.
        if day is not None and not iso_date(2000, month, day):
            return ""
        if self.now is None:
            return f"--{month:02d}" + (f"-{day:02d}" if day else "")
        year = self.now.year
        first = date(year, month, min(day or 1, calendar.monthrange(year, month)[1]))
        if (first - self.now.date()).days > _AHEAD and year > MINYEAR:
            year -= 1
        return f"{year:04d}-{month:02d}" if day is None else iso_date(year, month, day)

    def moved(self, number: float, period: str) -> str:
        """Resolve a number of periods from now: to the day for days and weeks, else to the month, year or minute."""
        if self.now is None or abs(number) > 10_000:
            return ""
        try:
            if period in ("day", "week"):
                return self.shifted(round(number * (7 if period == "week" else 1)))
            if period in ("month", "year"):
                return self._month(round(number * (12 if period == "year" else 1)), period, number)
            if not self.clock:
                return ""
            moved = self.now + timedelta(minutes=number * (60 if period == "h" else 1))
            return moved.isoformat(timespec="minutes")
        except (OverflowError, ValueError):
            return ""

    def shifted(self, days: int) -> str:
        """Give the date some days from now, or `""` where no calendar has it."""
        day = self._day(days)
        return "" if day is None else day.isoformat()

    def _day(self, days: int) -> date | None:
        try:
            return None if self.now is None else self.now.date() + timedelta(days=days)
        except OverflowError:
            return None

    def _month(self, months: int, period: str, number: float) -> str:
        assert self.now is not None
        year, month = divmod(self.now.year * 12 + self.now.month - 1 + months, 12)
        if not 1 <= year <= 9999:
            return ""
        return f"{year:04d}" if period == "year" and number == int(number) else f"{year:04d}-{month + 1:02d}"

    def weekday(self, step: int, weekday: int) -> str:
        """Resolve last (-1), this (0) or next (1) Monday (0) to Sunday (6); last and next are never today."""
        if self.now is None:
            return ""
        today = self.now.weekday()
        if step < 0:
            return self.shifted(-((today - weekday - 1) % 7 + 1))
        return self.shifted((weekday - today - 1) % 7 + 1 if step else weekday - today)

    def day_of_week(self, step: int, weekday: int) -> str:
        """Give a day of the week before (-1), of this (0) or of the next week (1), which start on Monday."""
        return "" if self.now is None else self.shifted(7 * step + weekday - self.now.weekday())

    def whole(self, step: int, unit: str) -> str:
        """Resolve last, this or next week, month or year."""
        if unit != "week":
            return self.moved(step, unit)
        day = self._day(7 * step)
        if day is None:
            return ""
        year, week, _ = day.isocalendar()
        return f"{year:04d}-W{week:02d}"

    def counted(self, kind: str, number: int) -> str:
        """Resolve a day after surgery, or of the stay, whose first day is that of admission."""
        start = self.surgery if kind == "surgery" else self.admission
        if start is None or not 0 <= number <= 10_000:
            return ""
        try:
            return (start + timedelta(days=number - (kind == "admission"))).isoformat()
        except OverflowError:
            return ""
