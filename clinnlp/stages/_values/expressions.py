"""Numbers with their units, as they stand together: ranges, sizes, pairs such as 120/80, powers of ten."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from clinnlp.stages._values.numbers import DIGITS, read_digits, tidy
from clinnlp.stages._values.text import LETTER
from clinnlp.stages._values.units import Unit, Units

__all__ = ["Expression", "read_expression"]

_MOST = 4
_NUMBER = re.compile(DIGITS)
_COMMA = re.compile(r"(\d{1,3}),(\d{1,2})(?![\d,]|, ?\d)")
_LEADING_ZERO = re.compile(r"0,(\d{1,4})(?![\d,])")
_POWER = re.compile(
    r" ?[x*·] ?10(?: ?(?:\^|\*\*|\*|e) ?\(?(?P<sign>[-+]?)(?P<digits>\d{1,2})\)?|\((?P<bracket>\d{1,2})\)"
    r"|(?P<raised>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})|(?P<lost>[3-9]|1[0-2])(?= ?(?:/|per )))"
)
_E = re.compile(r"e(?P<digits>[-+]?\d{1,3})(?!\d)")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_GAP = re.compile(rf"-(?={LETTER})| {{0,2}}")
_SEPARATOR = re.compile(
    r" ?(?:(?P<times>x|by|\*)(?= ?[\d.])|(?P<error>±|\+/?-)|(?P<range>-|~|至|到)|(?P<pair>/)|(?P<ratio>:)) ?(?=\.?\d)"
    r"| (?P<word>to|or|and|over|out of) (?=\.?\d)"
)
_NAMES = {"to": "range", "or": "range", "and": "range", "over": "pair", "out of": "pair"}


@dataclass(slots=True)
class Expression:
    """Numbers, how they are joined, their unit, and where all this ends.

    Parameters
    ----------
    numbers : list of float
    joined : str
        `""` for one number, "range", "times", "pair" or "ratio".
    unit : Unit or None
    end : int
    spoken : bool
        Whether a range is written with a word.
    glued : bool
        Whether the unit follows without a space.
    """

    numbers: list[float]
    joined: str
    unit: Unit | None
    end: int
    spoken: bool = False
    glued: bool = False


@dataclass(slots=True)
class _One:
    number: float
    end: int
    unit: Unit | None = None
    glued: bool = field(default=False)


def read_expression(units: Units, low: str, text: str, at: int) -> Expression | None:
    """Read what stands at the first digit of a number; None where that is no number."""
    first = _one(units, low, text, at)
    if first is None:
        return None
    alone = Expression([first.number], "", first.unit, first.end, glued=first.glued)
    parts, joined, spoken = [first], "", False
    while len(parts) < _MOST and (match := _SEPARATOR.match(low, parts[-1].end)):
        kind = _NAMES[match["word"]] if match["word"] else str(match.lastgroup)
        if joined and kind != joined:
            break
        following = _one(units, low, text, match.end())
        if following is None:
            break
        joined, spoken = kind, bool(match["word"])
        parts.append(following)
    return _joined(units, parts, joined, spoken) or alone


def _one(units: Units, low: str, text: str, at: int) -> _One | None:
    """Read one number and the unit behind it."""
    match = _LEADING_ZERO.match(low, at) or _NUMBER.match(low, at) or _COMMA.match(low, at)
    comma = _COMMA.match(low, at)
    if comma and comma.end() > (match.end() if match else at) and units.match(low, text, _over_gap(low, comma.end())):
        match = comma
    if match is None:
        return None
    number = float(match.group().replace(",", ".")) if match.re is not _NUMBER else read_digits(match.group())
    one = _One(number, match.end())
    power = _power(low, one.end)
    start = power[1] if power else one.end
    found = units.match(low, text, _over_gap(low, start))
    if power:
        counted = units.tens(power[0], found[1]) if found else None
        if counted is not None and found:
            return _One(number, found[0], counted)
        one = _One(tidy(number * 10.0 ** power[0]), power[1])
        if not math.isfinite(one.number):
            return None
    if found:
        one.end, one.unit, one.glued = found[0], found[1], _over_gap(low, start) == start
    elif low[one.end : one.end + 1].isalpha() and re.match(LETTER, low[one.end]) and not _SEPARATOR.match(low, one.end):
        # A letter that is no unit: 5HT, 3rd, 2D. Tens of years and rates, as in 60s, are left to who knows a name.
        return one if low[one.end] == "s" else None
    return one


def _over_gap(low: str, at: int) -> int:
    match = _GAP.match(low, at)
    assert match is not None
    return match.end()


def _power(low: str, at: int) -> tuple[int, int] | None:
    """Give the power of ten that a number is multiplied with, and where that ends."""
    match = _POWER.match(low, at)
    if match is None:
        match = _E.match(low, at)
        return (int(match["digits"]), match.end()) if match and abs(int(match["digits"])) <= 30 else None
    raised = match["raised"]
    if raised:
        return int(raised.translate(_RAISED)), match.end()
    digits = match["digits"] or match["bracket"] or match["lost"]
    return int((match["sign"] or "") + digits), match.end()


def _joined(units: Units, parts: list[_One], joined: str, spoken: bool) -> Expression | None:
    """Put numbers together that belong together; None where they do not."""
    numbers, end = [part.number for part in parts], parts[-1].end
    known = [part.unit for part in parts if part.unit is not None]
    unit = parts[-1].unit
    same = all(one.dimensions == known[0].dimensions for one in known) if known else True
    first = parts[0].unit
    found = Expression(numbers, joined, unit or first, end, spoken, parts[-1].glued)
    if joined == "times":
        return _size(found, known)
    if joined == "error" and len(parts) == 2 and (first is None or unit is None or same):
        return Expression(numbers[:1], "", unit or first, end)
    if joined == "range" and len(parts) == 2 and same and (unit is not None or first is None):
        if first is not None and unit is not None and first.symbol != unit.symbol:
            return None
        return found if numbers[0] < numbers[1] else _pair_of_doses(found)
    if joined == "pair" and len(parts) <= 3:
        return _pair(units, found, parts)
    return found if joined == "ratio" and len(parts) == 2 and not known and 1 in numbers else None


def _size(found: Expression, known: list[Unit]) -> Expression | None:
    lengths = all(unit.dimensions == ("length",) for unit in known)
    found.unit = known[-1] if known else None
    return found if lengths and (known or len(found.numbers) == 3) else None


def _pair_of_doses(found: Expression) -> Expression | None:
    """Give 800-160 mg, the strengths of a drug of two parts."""
    if found.unit is None or found.spoken:
        return None
    found.joined = "pair"
    return found


def _pair(units: Units, found: Expression, parts: list[_One]) -> Expression | None:
    first, unit = parts[0].unit, parts[-1].unit
    if first is not None and unit is not None and first.symbol != unit.symbol:
        if len(parts) != 2 or not first.dose or unit.dimensions != ("volume",) or not parts[1].number:
            return None
        return Expression([tidy(parts[0].number / parts[1].number)], "", units.over(first, unit), found.end)
    return None if first is not None and unit is None else found
