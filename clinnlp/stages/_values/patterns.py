"""Patterns of frequencies, durations, ages, dates and times: how they are written, in the rules, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clinnlp.record import Value
from clinnlp.stages._values.dates import Calendar, iso_date
from clinnlp.stages._values.numbers import Numbers, tidy
from clinnlp.stages._values.text import CJK, LETTER, even, word_pattern

__all__ = ["DAYS", "Pattern", "Patterns"]

DAYS = {"min": 1 / 1440, "h": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}
"""Days of each period."""
_NIGHT = 5
"""Hour up to which the night of Chinese lasts after midnight."""
_ARTICLES = ("a", "an")
_ISO_PERIODS = {"min": "PT{}M", "h": "PT{}H", "day": "P{}D", "week": "P{}W", "month": "P{}M", "year": "P{}Y"}
_END = {
    "date": rf"(?:(?<=[{CJK}])|(?!{LETTER}|\d|[./:-]\d))",
    "time": rf"(?:(?<=[{CJK}])|(?!{LETTER}|\d|[./:-]\d))",
}
_WORD_END = rf"(?:(?<=[{CJK}])|(?!{LETTER}|\d))"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as the rules write it, its expression, the kind of value that it finds, and what its parts mean."""

    kind: str
    written: str
    find: re.Pattern[str]
    read: Callable[[re.Match[str], Calendar], Value | None]


class Patterns:
    """The patterns of one language, by the words that they begin with; `n` stands for a number.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/values.yaml` holds.
    numbers : Numbers
    """

    def __init__(self, rules: Mapping[str, Any], numbers: Numbers) -> None:
        self._numbers = numbers
        self._words = {
            "period": _by_word(rules["periods"]),
            "adverb": _by_word(rules["adverbs"]),
            "month": _by_word(rules["months"]),
            "span": _by_word(rules["spans"]),
            "span_unit": _by_word(rules["span_units"]),
            "times": rules["times_words"],
            "weekday": rules["weekdays"],
        }
        self._afternoon = set(map(even, rules["pm"])) | {"下午", "晚上"}
        self._slots = self._written(rules)
        self._cue = re.compile(rf"(?<!{LETTER})(?:{word_pattern(rules['date_cues'])})[ :]{{0,2}}$")
        self.by_word: dict[str, list[Pattern]] = {}
        for rule in rules["patterns"]:
            self._add(rule)

    def _add(self, rule: Mapping[str, Any]) -> None:
        written = re.sub(r"\{([A-Za-z_-]+)\}", lambda slot: self._slots[slot.group(1)], rule["pattern"])
        expression = f"(?:{written}){_END.get(rule['kind'], _WORD_END)}"
        pattern = Pattern(rule["kind"], rule["pattern"], re.compile(expression), getattr(self, f"_{rule['means']}"))
        for first in rule["first"]:
            for word in self._words.get(first, [str(first)]):
                self.by_word.setdefault(even(word), []).append(pattern)

    def _written(self, rules: Mapping[str, Any]) -> dict[str, str]:
        number = self._numbers.pattern
        half = word_pattern([*rules["am"], *rules["pm"]])
        slots = {
            "_": " {0,2}",
            "-": r"(?: {0,2}-? {0,2}(?:\r?\n {0,12})?)",
            "n": f"(?P<n>{number})",
            "range": f"(?P<n>{number})(?:(?: ?[-~至到] ?| to | or )(?P<m>{number}))?",
            "every": f"(?P<every>{number})",
            "Y": r"(?P<Y>(?:19|20)\d{2})(?!\d)",
            "y": r"(?P<y>\d{2})(?!\d)",
            "M": r"(?P<M>1[0-2]|0?[1-9])(?!\d)",
            "D": r"(?P<D>3[01]|[12]\d|0?[1-9])(?!\d)",
            "A": r"(?P<A>3[01]|[12]\d|0?[1-9])(?!\d)",
            "B": r"(?P<B>3[01]|[12]\d|0?[1-9])(?!\d)",
            "clock": r"(?:(?P<h>2[0-3]|[01]?\d):(?P<mi>[0-5]\d)(?::(?P<sec>[0-5]\d)(?:\.\d{1,6})?)?"
            rf"(?: ?(?P<half>{half}))?|(?P<h12>1[0-2]|0?[1-9]) ?(?P<half12>{half}))",
            "zh_clock": r"(?P<part>上午|下午|晚上|凌晨|中午)?"
            r"(?P<h>2[0-3]|[01]?\d)(?:[时点](?:(?P<mi>[0-5]\d)分?|(?P<thirty>半))?|:(?P<mi2>[0-5]\d))",
        }
        return {**slots, **{name: f"(?P<{name}>{word_pattern(words)})" for name, words in self._words.items()}}

    # What the parts of a match mean: a method for each `means` of the rules.

    def _pair(self, match: re.Match[str]) -> tuple[float, float | None]:
        low, high = self._number(match, "n"), self._number(match, "m")
        assert low is not None
        if _group(match, "plus"):  # two and a half
            low += 0.5
        return low, high if high is not None and high > low else None

    def _number(self, match: re.Match[str], name: str) -> float | None:
        text = _group(match, name)
        return self._numbers.read(text) if text else None

    def _period(self, match: re.Match[str]) -> str:
        period = _group(match, "period")
        return str(self._words["period"][period] if period else self._words["adverb"][_group(match, "adverb")])

    def _every(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        low, high = self._pair(match)
        return _frequency(match, 1, None, low, self._period(match), high)

    def _times(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        word, every = _group(match, "times"), self._number(match, "every")
        times = float(self._words["times"][word]) if word else self._number(match, "n")
        return _frequency(
            match, 1 if times is None else times, self._number(match, "m"), every or 1, self._period(match)
        )

    def _duration(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        low, high = self._pair(match)
        if match["n"] in _ARTICLES and match.start("n") == match.start():
            return None
        period = self._period(match)
        value = _of(match, "duration", number=low, high=high, unit=period)
        value.time = _ISO_PERIODS[period].format(f"{low:g}")
        return _in_days(value)

    def _age(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        low, high = self._pair(match)
        return _in_days(_of(match, "age", number=low, high=high, unit=self._period(match)))

    def _years(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        low, high = self._pair(match)
        unit = self._period(match) if _group(match, "period") else "year"
        return _in_days(_of(match, "age", number=low, high=high, unit=unit)) if low <= 130 else None

    def _one(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        return _in_days(_of(match, "age", number=1.0, unit="day"))

    def _date(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        year, short = _group(match, "Y"), _group(match, "y")
        month, day = _group(match, "M") or _group(match, "month"), _group(match, "D")
        full = int(year) if year else calendar.full_year(int(short)) if short else None
        number = None if not month else int(month) if month.isdigit() else int(self._words["month"][month])
        if first := _group(match, "A"):
            number, at = calendar.ordered(int(first), int(match["B"]))
        else:
            at = int(day) if day else 0
        if number is None:
            return _of(match, "date", time=str(full))
        if number > 12:
            return None
        if full is None:
            time = calendar.without_year(number, at or None)
        else:
            time = iso_date(full, number, at) if at else f"{full:04d}-{number:02d}"
        clock = self._clock(match)
        return _of(match, "date", time=f"{time}T{clock}" if time and clock else time)

    def _cued(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        before = match.string[max(0, match.start() - 16) : match.start()]
        alone = not before.strip() or before.endswith("\n")
        if not alone and not self._cue.search(before):
            return None
        if alone and not match.string.startswith((":", " -", ")"), match.end()):
            return None
        return self._date(match, calendar)

    def _clock(self, match: re.Match[str]) -> str:
        hour = _group(match, "h") or _group(match, "h12")
        if not hour:
            return ""
        half = _group(match, "half") or _group(match, "half12") or _group(match, "part")
        minute = _group(match, "mi") or _group(match, "mi2") or ("30" if _group(match, "thirty") else "00")
        number = int(hour)
        if half in self._afternoon and not (half == "晚上" and number < _NIGHT):
            number = number + 12 if number < 12 else number
        elif half and half != "中午" and number == 12:
            number = 0
        second = _group(match, "sec")
        return f"{number:02d}:{minute}" + (f":{second}" if second else "")

    def _time(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        return _of(match, "time", time=self._clock(match))

    def _ago(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        return self._moved(match, calendar, -1)

    def _ahead(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        return self._moved(match, calendar, 1)

    def _moved(self, match: re.Match[str], calendar: Calendar, sign: int) -> Value | None:
        low, high = self._pair(match)
        period = self._period(match)
        # What is relative to something else, such as `prior to admission`, or a range, is no date that is known.
        known = high is None and ("to" not in match.groupdict() or match["to"] is None)
        value = _of(match, "date", number=sign * low, unit=period)
        value.high = None if high is None else sign * high
        value.time = calendar.moved(sign * low, period) if known else ""
        return value

    def _weekday(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        day = self._words["weekday"][match["weekday"]]
        return _of(match, "date", time=calendar.weekday(int(self._words["span"][match["span"]]), int(day)))

    def _of_week(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        step, day = int(self._words["span"][match["span"]]), int(self._words["weekday"][match["weekday"]])
        return _of(match, "date", time=calendar.day_of_week(step, day))

    def _span(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        unit = str(self._words["span_unit"][match["span_unit"]])
        return _of(match, "date", time=calendar.whole(int(self._words["span"][match["span"]]), unit))

    def _surgery(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        return self._counted(match, calendar, "surgery")

    def _admission(self, match: re.Match[str], calendar: Calendar) -> Value | None:
        return self._counted(match, calendar, "admission")

    def _counted(self, match: re.Match[str], calendar: Calendar, kind: str) -> Value | None:
        number = self._number(match, "n")
        assert number is not None
        return _of(match, "date", number=number, unit="day", time=calendar.counted(kind, int(number)))


def _by_word(words: Mapping[Any, Any]) -> dict[str, Any]:
    return {even(word): name for name, forms in words.items() for word in forms}


def _group(match: re.Match[str], name: str) -> str:
    return match.groupdict().get(name) or ""


def _of(match: re.Match[str], kind: str, **fields: Any) -> Value:
    name: str | int = "v" if "v" in match.re.groupindex else 0
    return Value(*match.span(name), kind=kind, **fields)


def _in_days(value: Value) -> Value:
    days = DAYS[value.unit]
    value.normal = None if value.number is None else tidy(value.number * days)
    value.normal_high = None if value.high is None else tidy(value.high * days)
    value.normal_unit = "day"
    return value


def _frequency(
    match: re.Match[str], times: float, most: float | None, every: float, period: str, longest: float | None = None
) -> Value | None:
    """Make a frequency of `times` to `most` in each `every` to `longest` periods."""
    if not every or not times:
        return None
    number = tidy(times / (every * DAYS[period]))
    if longest:
        low, high = tidy(times / (longest * DAYS[period])), number
    else:
        low, high = number, tidy(most / (every * DAYS[period])) if most and most > times else 0.0
    if period in ("h", "min") and low >= 1:
        name = f"{low:g}-{high:g}/day" if high else f"{low:g}/day"
    else:
        if period == "h" and every % 24 == 0:
            every, period = every / 24, "day"
        count = f"{times:g}-{most:g}" if most and most > times else f"{times:g}"
        reach = f"{every:g}-{longest:g}" if longest else f"{every:g}"
        name = f"{count}/{period}" if reach == "1" else f"{count}/{reach} {period}s"
    return _of(match, "frequency", number=low, high=high or None, name=name)
