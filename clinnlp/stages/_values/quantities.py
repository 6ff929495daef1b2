"""Measurements: a number with a unit or the name of what is measured, ranges, sizes and scores."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from clinnlp.record import Value
from clinnlp.stages._values.context import Context
from clinnlp.stages._values.expressions import Expression, read_expression
from clinnlp.stages._values.found import Found
from clinnlp.stages._values.text import LETTER
from clinnlp.stages._values.units import Unit, Units

__all__ = ["HEART_RATE", "Marks", "Quantities"]

# What is given or smoked, before which there is a verb more often than a name.
_NAMELESS = {
    ("packs", "time"),
    ("packs",),
    ("pack time",),
    ("mass",),
    ("volume",),
    ("medical units",),
    ("international units",),
    ("amount",),
    ("equivalents",),
}
_FRACTIONS = {(1.0, 2.0), (1.0, 3.0), (2.0, 3.0), (1.0, 4.0), (3.0, 4.0), (1.0, 8.0)}
_TAIL = re.compile(rf"(?:{LETTER}|\d)")
_THREE_LETTERS = re.compile(rf"{LETTER}{{3}}")
HEART_RATE = re.compile(r" {1,2}(?:HR ?(?:[:=] ?)?[(\d]|H ?: ?\d)")
"""What looks like the unit of a number and is the name of the next: 144/82 HR 69, R: 14 H: 180 cm."""
_GAUZE = re.compile(r"\d ?x ?\Z")
_WORD_BEHIND = re.compile(rf"-{LETTER}")
_LARGEST_CODE = 12
_FAR = 1 << 60
_LEAST_FAHRENHEIT, _MOST_FAHRENHEIT = 85, 115
_SHORT_TIMES = ("s", "ms")


@dataclass(slots=True)
class Marks:
    """Entities that say what is measured, in offsets of the text that is read.

    Parameters
    ----------
    names : dict of int to int
        End -> start of each test; -1 for a drug, which is no name of a measurement.
    values : list of tuple of int
        Starts and ends of values of a laboratory, in order.
    """

    names: Mapping[int, int] = field(default_factory=dict)
    values: list[tuple[int, int]] = field(default_factory=list)

    def covering(self, start: int, end: int) -> tuple[int, int] | None:
        """Give the value of a laboratory that holds a stretch."""
        at = bisect_right(self.values, (start, _FAR)) - 1
        return self.values[at] if at >= 0 and end <= self.values[at][1] else None


class Quantities:
    """Finds the measurement that starts at a number.

    Parameters
    ----------
    units : Units
    context : Context
    """

    def __init__(self, units: Units, context: Context) -> None:
        self._units, self._context = units, context

    def find(self, low: str, text: str, at: int, marks: Marks, glued: bool) -> Found | None:
        """Find the measurement whose first digit stands at a place.

        Parameters
        ----------
        low, text : str
            The text in one form, and as it is.
        at : int
        marks : Marks
        glued : bool
            Whether a letter stands right before it, so that it needs a known name.
        """
        counts = None if glued else partial(self._context.counts, low)
        read = read_expression(self._units, low, text, at, counts)
        if read is None or (glued and read.unit is None and _TAIL.match(low, read.end)):
            return None
        if read.unit is None and not read.joined and self._context.is_name(low, at, read.end):
            return None
        comparator, start = ("", at) if glued else self._context.comparator(low, at)
        free = not glued and read.unit is not None and read.unit.dimensions not in _NAMELESS
        lengths = free and read.unit is not None and read.unit.dimensions == ("length",)
        name = self._context.name(low, text, start, marks.names, free, lengths)
        known = name is not None and name[2]
        negative = text[at - 1 : at] == "−" or self._is_negative(low, at, known, read)
        if ((glued or negative is None) and not known) or (glued and _is_code(low, at, read)):
            return None
        place = name[:2] if name else None
        if read.unit is not None and read.unit.symbol == "s" and read.glued:
            if not known and (not read.numbers[0] % 10 or _GAUZE.search(low, max(0, at - 4), at)):
                return None  # in the 90s, 4 x 4s
            if not read.numbers[0] % 10:
                read.unit, comparator = None, "~"
        if read.unit is not None and HEART_RATE.match(text, read.bare_end):
            read.unit, read.end = None, read.bare_end
        if negative and not comparator:
            comparator, start = self._context.comparator(low, at - 1)
            start += 1  # the minus is taken in below
        covering = marks.covering(at, read.end)
        if read.unit is None and not known:
            place = self._bare(low, start, read, comparator, covering is not None)
            if place is None:
                return None
        if self._refused(low, at, read, known) or (not known and _is_woman(text, read)):
            return None
        if place is None or place == _NOWHERE:
            place = covering or self._context.of_what(low, read.end) or _NOWHERE
        return self._made(low, text, (start - bool(negative), read.end), read, comparator, place, bool(negative), known)

    @staticmethod
    def _is_negative(low: str, at: int, known: bool, read: Expression) -> bool | None:
        """Tell whether a minus stands before a number; None for a hyphen that joins it to a word."""
        if not at or low[at - 1] != "-":
            return False
        before = low[at - 2 : at - 1]
        if before and before not in " (:=[<>≤≥~\n":
            return None
        return known or (read.unit is not None and read.unit.dimensions == ("temperature",))

    def _bare(self, low: str, start: int, read: Expression, comparator: str, covered: bool) -> tuple[int, int] | None:
        """Give the place of the name of a number without a unit, `_NOWHERE` for none; None for what is no value."""
        if _TAIL.match(low, read.end):
            return None
        if read.joined == "pair" and len(read.numbers) == 2:
            behind = self._context.name_behind(low, read.end)
            if behind is not None:
                return behind
            high, below = read.numbers
            # Blood pressure, and sharpness of sight.
            if high == 20 and 10 <= below <= 800:
                return _NOWHERE
            if 60 <= high <= 260 and 30 <= below < high and below <= 160:
                return _NOWHERE
        signed = bool(comparator) and low[start] in "<>≤≥="
        spoken = read.joined == "range" and read.spoken and low[start : read.end].count(" to ") == 1
        ratio = read.joined == "ratio" and max(read.numbers) >= 8
        return _NOWHERE if covered or signed or spoken or ratio else None

    def _refused(self, low: str, at: int, read: Expression, known: bool) -> bool:
        """Tell what is no measurement: times are durations, counts need more, codes belong to the word before."""
        unit = read.unit
        if unit is not None and (
            unit.dimensions == ("count",)
            or (unit.dimensions == ("time",) and not (known or unit.symbol in _SHORT_TIMES))
        ):
            return True
        return not known and (unit is None or len(unit.symbol) == 1) and self._context.is_code(low, at)

    def _made(
        self, low: str, text: str, span: tuple[int, int], read: Expression, comparator: str,
        place: tuple[int, int], negative: bool, known: bool,
    ) -> Found:  # fmt: skip
        unit = read.unit
        numbers = [-read.numbers[0], *read.numbers[1:]] if negative else read.numbers
        whole = unit is not None and (unit.dose or unit.dimensions == ("length",))
        if read.joined == "pair" and whole and tuple(numbers) in _FRACTIONS:
            numbers, read.joined = [numbers[0] / numbers[1]], ""
        behind, end = self._context.comparator_behind(low, span[1])
        value = Value(span[0], end, unit=unit.symbol if unit else "", comparator=behind or comparator)
        value.kind = "size" if read.joined == "times" else "quantity"
        if read.joined in ("", "range"):
            value.number, value.high = numbers[0], numbers[1] if len(numbers) > 1 else None
            self._normalize(value, unit)
        else:
            value.numbers = numbers
        if place != _NOWHERE:
            value.name = text[place[0] : place[1]]
            value.target_start, value.target_end = place
        return Found(value, dose=unit is not None and unit.dose and not known, sure=known and read.joined == "ratio")

    def _normalize(self, value: Value, unit: Unit | None) -> None:
        if unit is None or value.number is None:
            return
        normal = self._units.normal(value.number, unit.symbol)
        if normal is None:
            return
        value.normal, value.normal_unit = normal
        if value.high is not None and (high := self._units.normal(value.high, unit.symbol)):
            value.normal_high = high[0]


_NOWHERE = (-1, -1)


def _is_woman(text: str, read: Expression) -> bool:
    """Tell whether the F behind a number is no Fahrenheit, as in 50F, or 18F of a tracer."""
    unit = read.unit
    bare = unit is not None and unit.symbol == "°F" and text[read.end - 1] == "F" and text[read.end - 2] not in "° "
    return bare and not all(_LEAST_FAHRENHEIT <= number <= _MOST_FAHRENHEIT for number in read.numbers)


def _is_code(low: str, at: int, read: Expression) -> bool:
    """Tell whether a number that is glued to a letter or two names something, as in T2 or Mg2+."""
    short = not _THREE_LETTERS.match(low[max(0, at - 3) : at])
    # Also spines, T3-4, and stages, T1C.
    bare = read.unit is None or (read.glued and read.unit.dimensions in (("temperature",), ("time",)))
    small = bare and all(number <= _LARGEST_CODE and number == int(number) for number in read.numbers)
    return (short and small and read.joined in ("", "range")) or _WORD_BEHIND.match(low, read.end) is not None
