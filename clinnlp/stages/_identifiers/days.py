"""Dates moved by a number of days, and written as they were written."""

from __future__ import annotations

import datetime
import re

__all__ = ["shifted"]

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = "(?P<m>" + "|".join(f"{name}|{'sept|' if name[0] == 's' else ''}{name[:3]}" for name in _MONTHS) + r")"
_TH = r"(?P<th>st|nd|rd|th)?"
_YEAR = r"(?P<y>\d{4}|'?\d{2})"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?P<y>\d{4})(?P<mm>\d{2})(?P<d>\d{2})",
        r"(?P<y>\d{4})\D{1,5}?(?P<mm>\d{1,2})\D{1,5}?(?P<d>\d{1,2})(?P<rest>\D[\d:.TZ+\- ]*|[日号])?",
        r"(?P<y>\d{4})\s*年\s*(?P<mm>\d{1,2})\s*月",
        r"(?P<mm>\d{1,2})\s*月\s*(?P<d>\d{1,2})\s*[日号]",
        r"(?P<a>\d{1,2})\D{1,5}?(?P<b>\d{1,2})\D{1,5}?(?P<y>\d{4}|\d{2})(?P<rest>[T ][\d:.Z+\-]*)?",
        r"(?P<mm>\d{1,2})\s*[/-]\s*(?P<y>\d{4})",
        r"(?P<a>\d{1,2})\s*[/-]\s*(?P<b>\d{1,2})",
        rf"{_MONTH}\.?[\s,]*(?P<d>\d{{1,2}}){_TH}(?:[\s,]+{_YEAR})?",
        rf"(?P<d>\d{{1,2}}){_TH}[\s\-/.,]*(?:of\s+)?{_MONTH}\.?(?:[\s\-/.,]*{_YEAR})?",
        rf"{_MONTH}\.?[\s\-/.,]*(?:of\s+)?{_YEAR}",
        _MONTH,
    )
)


def shifted(text: str, days: int, year: int, *, day_first: bool = False) -> str | None:
    """Move a date by a number of days.

    Parameters
    ----------
    text : str
        The date alone.
    days : int
    year : int
        Of a date that names none.
    day_first : bool
        Whether 3/5/2024 is the third of May; one that can only be read the other way is read so.

    Returns
    -------
    str or None
        The new date in the form of the old one; None where it is no date that exists, or a form that is not known.
    """
    for form in _FORMS:
        match = form.fullmatch(text.strip())
        if match is not None:
            return _moved(match, text, days, year, day_first)
    return None


def _moved(match: re.Match[str], text: str, days: int, year: int, day_first: bool) -> str | None:
    parts = {name: value for name, value in match.groupdict().items() if value is not None}
    swap = False
    if "a" in parts:
        first, second = int(parts["a"]), int(parts["b"])
        swap = (day_first and second <= 12) or first > 12
        parts["d" if swap else "mm"], parts["mm" if swap else "d"] = parts.pop("a"), parts.pop("b")
    named = parts.get("m", "").lower()
    month = int(parts["mm"]) if "mm" in parts else [name[:3] for name in _MONTHS].index(named[:3]) + 1
    try:
        day = datetime.date(_full_year(parts["y"]) if "y" in parts else year, month, int(parts.get("d", 15)))
        new = day + datetime.timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return _written(match, text, new, swap)


def _full_year(text: str) -> int:
    digits = text.lstrip("'")
    number = int(digits)
    return number if len(digits) == 4 else number + (2000 if number < 60 else 1900)


def _written(match: re.Match[str], text: str, new: datetime.date, first_is_day: bool) -> str:
    """Put the new numbers where the old ones stood."""
    groups = match.groupdict()
    padded = any((groups.get(name) or "").startswith("0") for name in ("a", "b", "mm", "d"))
    if "y" in groups and match.start("y") == 0:  # as ISO 8601 has it, 2024-10-05
        padded = all(len(groups.get(name) or "01") == 2 for name in ("mm", "d"))
    low, high = (new.day, new.month) if first_is_day else (new.month, new.day)
    numbers = {"mm": new.month, "d": new.day, "a": low, "b": high}

    def write(name: str, old: str) -> str:
        if name == "y":
            return f"{new.year}" if len(old) == 4 else f"{old[:-2]}{new.year % 100:02}"
        if name == "m":
            return _like(old, _MONTHS[new.month - 1])
        if name == "th":
            return _like(old, "th" if 10 < new.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(new.day % 10, "th"))
        return f"{numbers[name]:02}" if padded else f"{numbers[name]}"

    lead = len(text) - len(text.lstrip())
    made, at = [text[:lead]], 0
    spans = sorted((match.span(name), name) for name, old in groups.items() if old is not None and name != "rest")
    for (start, end), name in spans:
        made += [match.string[at:start], write(name, match.string[start:end])]
        at = end
    return "".join(made) + match.string[at:] + text[len(text.rstrip()) :]


def _like(old: str, new: str) -> str:
    """Write a month as long as the old one was, and in its case."""
    if len(old) <= 3 and len(new) > 3:
        new = new[:3]
    elif old.lower() == "sept":
        new = new[:4] if new.startswith("sept") else new[:3]
    return new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new
