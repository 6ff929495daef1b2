"""Numbers with their units, as they stand together: ranges, sizes, pairs such as 120/80, powers of ten."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from clinnlp.stages._values.numbers import DIGITS, read_digits, tidy
from clinnlp.stages._values.text import LETTER
from clinnlp.stages._values.units import Unit, Units

__all__ = ["Expression", "read_expression"]

_MOST = 4
_HUNDRED = 100
_MANY = 30
"""Times that the second strength of a drug of two parts is the first; no range of one dose is so wide."""
_NUMBER = re.compile(DIGITS)
_COMMA = re.compile(r"(\d{1,3}),(\d{1,2})(?![\d,]|, ?\d)")
_TIMES = re.compile(r" ?x ?\d")
_LEADING_ZERO = re.compile(r"0,(\d{1,4})(?![\d,])")
_POINTS = re.compile(r"\d{1,3}(?:(?:\.\d{3}){1,3},\d{1,2}|(?:\.\d{3}){2,3})(?![\d.,])")
_SPACED = r"\d{1,3}(?: \d{3}){1,4}(?:[.,]\d{1,2})?(?![\d/:]|[.,]\d)"
_GROUPS = re.compile(_SPACED)
_RANGE_OF_GROUPS = re.compile(rf"{_SPACED}(?: ?[-~至到] ?| to ){_SPACED}")
_THIN = frozenset("\u2005\u2006\u2007\u2008\u2009\u202f")
# What is given, or counted, by the thousand; of two columns of a table the second has mostly another unit.
_BY_THOUSANDS = frozenset(("mass", "volume", "amount", "energy", "medical units", "international units", "count"))
_POWER = re.compile(
    r" ?[x*·] ?10(?: ?(?:\^|\*\*|\*|e) ?\(?(?P<sign>[-+]?)(?P<digits>\d{1,2})\)?|\((?P<bracket>\d{1,2})\)"
    r"|(?P<raised>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})|(?P<lost>[3-9]|1[0-2])(?= ?(?:/|per )))"
)
_E = re.compile(r"e(?P<digits>[-+]?\d{1,3})(?!\d)")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_GAP = re.compile(rf"-(?={LETTER})| {{0,2}}")
_LINE_END = re.compile(r" {0,2}\r?\n {0,12}(?=[a-zµ%]{1,2})")
# Words of these begin a line as often by themselves: in, second, feet.
_NOT_WRAPPED = frozenset(("in", "ft", "mi", "m", "s", "mol", "Gy", "Fr", "V", "W"))
_REST = r"(?P<rest>\d{1,2}(?:\.\d{1,2}|[ -]1/[24])?)"
# Larger unit -> how many of the smaller one it has, that one, and how it goes on: 5 ft 4 in, 6 lb 2 oz.
_PARTS = {
    "ft": (12, "in", re.compile(rf",?(?: and)? {{0,2}}{_REST}(?: |-)?(?:inch(?:es)?|in)(?!{LETTER})")),
    "lb": (16, "oz", re.compile(rf",?(?: and)? {{0,2}}{_REST}(?: |-)?(?:ounces?|oz)(?!{LETTER})")),
}
_FEET = re.compile(rf"(?P<feet>[1-8])' ?{_REST}(?!\d|[.,/]\d)(?: ?\"|'')?")
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
    bare_end : int
        Where the last number ends.
    """

    numbers: list[float]
    joined: str
    unit: Unit | None
    end: int
    spoken: bool = False
    glued: bool = False
    bare_end: int = 0


@dataclass(slots=True)
class _One:
    number: float
    end: int
    unit: Unit | None = None
    glued: bool = False
    bare_end: int = 0


def read_expression(
    units: Units, low: str, text: str, at: int, counts: Callable[[int, int], bool] | None = None
) -> Expression | None:
    """Read what stands at the first digit of a number; None where that is no number.

    Parameters
    ----------
    units : Units
    low, text : str
        The text in one form, and as it is.
    at : int
    counts : callable, optional
        Tells of a number that ends at one place, and a unit that ends at another, whether the number counts what has
        the measure behind it: `1 500 mg tablet` is one of 500 mg, `1 500 mg` is 1,500 mg. Without it no number goes
        on behind a space.
    """
    first = _one(units, low, text, at, counts)
    if first is None:
        return None
    alone = Expression([first.number], "", first.unit, first.end, glued=first.glued, bare_end=first.bare_end)
    parts, joined, word = [first], "", ""
    while len(parts) < _MOST and (match := _SEPARATOR.match(low, parts[-1].end)):
        kind = _NAMES[match["word"]] if match["word"] else str(match.lastgroup)
        if joined and (kind != joined or (kind == "range" and match["word"])):
            break  # 9 to 10 mg/dL and 38 to 44 pg/mL
        # In `1-2 500 mg tablets` the count is a range.
        following = _one(units, low, text, match.end(), counts if parts[-1].number >= _HUNDRED else None)
        if following is None:
            break
        joined, word = kind, match["word"] or ("-" if text[match.start() : match.end()] == "-" else "")
        parts.append(following)
    return _joined(units, parts, joined, word) or alone


def _one(units: Units, low: str, text: str, at: int, counts: Callable[[int, int], bool] | None) -> _One | None:
    """Read one number and the unit behind it."""
    if (match := _FEET.match(low, at)) and (height := _with_rest(units, float(match["feet"]), "ft", match)):
        return height
    one = _number(units, low, text, at, counts)
    if one is None:
        return None
    number = one.number
    power = _power(low, one.end)
    start = power[1] if power else one.end
    found = _unit(units, low, text, start)
    if power:
        counted = units.tens(power[0], found[1]) if found else None
        if counted is not None and found:
            return _One(number, found[0], counted, bare_end=found[0])
        one = _One(tidy(number * 10.0 ** power[0]), power[1])
        if not math.isfinite(one.number):
            return None
    if found:
        one.end, one.unit, one.glued, one.bare_end = found[0], found[1], _over_gap(low, start) == start, start
        goes_on = _PARTS[one.unit.symbol][2].match(low, one.end) if one.unit.symbol in _PARTS else None
        return (goes_on and _with_rest(units, one.number, one.unit.symbol, goes_on)) or one
    if low[one.end : one.end + 1].isalpha() and re.match(LETTER, low[one.end]) and not _SEPARATOR.match(low, one.end):
        # A letter that is no unit: 5HT, 3rd, 2D. Tens of years and rates, as in 60s, are left to who knows a name.
        return one if low[one.end] == "s" else None
    return one


def _with_rest(units: Units, number: float, symbol: str, rest: re.Match[str]) -> _One | None:
    """Give feet and inches in inches, pounds and ounces in ounces; None where those would be a larger unit more."""
    times, smaller, _ = _PARTS[symbol]
    unit, more = units.known(smaller), read_digits(rest["rest"])
    if unit is None or more >= times or number != int(number):
        return None
    return _One(times * number + more, rest.end(), unit, bare_end=rest.end())


def _number(units: Units, low: str, text: str, at: int, counts: Callable[[int, int], bool] | None) -> _One | None:
    """Read a number in digits, with points or commas as its unit shows them to be meant."""
    if counts is not None and (end := _end_of_groups(units, low, text, at, counts)):
        return _One(float(low[at:end].replace(" ", "").replace(",", ".")), end)
    match = _POINTS.match(low, at)
    if match and units.match(low, text, _over_gap(low, match.end())):
        return _One(float(match.group().replace(".", "").replace(",", ".")), match.end())
    match = _LEADING_ZERO.match(low, at) or _NUMBER.match(low, at)
    comma = _COMMA.match(low, at)
    if comma and comma.end() > (match.end() if match else at):
        # In `2,5 x 3,1 cm` the unit is at the end.
        in_size = _TIMES.match(low, comma.end())
        match = comma if in_size or units.match(low, text, _over_gap(low, comma.end())) else match
    if match is None:
        return None
    number = float(match.group().replace(",", ".")) if match.re is not _NUMBER else read_digits(match.group())
    return _One(number, match.end())


def _end_of_groups(units: Units, low: str, text: str, at: int, counts: Callable[[int, int], bool]) -> int:
    """Give the end of a number whose thousands are set apart by spaces, or 0 where the spaces part several numbers."""
    match = _GROUPS.match(low, at)
    if match is None or (low[at - 1 : at] == " " and low[at - 2 : at - 1].isdigit()):
        return 0
    groups = match.group().split(" ")
    # No number of its own begins with a zero, or stands behind a thin space.
    if any(group[0] == "0" for group in groups[1:]) or not _THIN.isdisjoint(text[at : match.end()]):
        return match.end()
    found = _unit(units, low, text, match.end())
    if found is None:
        return match.end() if _RANGE_OF_GROUPS.match(low, at) and not counts(at, match.end()) else 0
    above = found[1].dimensions[0]
    plain = above in _BY_THOUSANDS and (len(groups[0]) < 3 or above == "count")
    return match.end() if plain and not counts(at, found[0]) else 0


def _unit(units: Units, low: str, text: str, at: int) -> tuple[int, Unit] | None:
    """Find the unit behind a number, also on the next line where it can be nothing else there."""
    if found := units.match(low, text, _over_gap(low, at)):
        return found
    match = _LINE_END.match(low, at)
    if match is None or text[match.end()].isupper():
        return None
    found = units.match(low, text, match.end())
    if found is None or found[1].symbol.split("/")[0] in _NOT_WRAPPED or found[1].dimensions[0] == "time":
        return None
    return found if found[0] - match.end() > 1 or low[match.end()] == "%" else None


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


def _joined(units: Units, parts: list[_One], joined: str, word: str) -> Expression | None:
    """Put numbers together that belong together; None where they do not."""
    numbers, end = [part.number for part in parts], parts[-1].end
    known = [part.unit for part in parts if part.unit is not None]
    unit = parts[-1].unit
    same = all(one.dimensions == known[0].dimensions for one in known)
    first = parts[0].unit
    found = Expression(numbers, joined, unit or first, end, word not in ("", "-"), parts[-1].glued, parts[-1].bare_end)
    if joined == "times":
        return _size(units, found, parts)
    if joined == "error" and len(parts) == 2 and (first is None or unit is None or same):
        return Expression(numbers[:1], "", first or unit, end)
    if joined == "range" and len(parts) == 2 and same and (unit is not None or first is None):
        if first is not None and unit is not None and first.symbol != unit.symbol:
            found.numbers = _in_one_unit(units, parts, unit)
            # `229 pounds or 104 kg`, and `100 mcg and 5 mg` or `20 mcg-0.1 mg` of two drugs, are no ranges.
            return found if word in ("", "to") and found.numbers[0] < found.numbers[1] else None
        two_drugs = (
            word == "-" and unit is not None and unit.dimensions == ("mass",) and _MANY * numbers[0] <= numbers[1]
        )
        return found if numbers[0] < numbers[1] and not two_drugs else _pair_of_doses(found)
    if joined == "pair" and len(parts) <= 3:
        return _pair(units, found, parts)
    return found if joined == "ratio" and len(parts) == 2 and not known and 1 in numbers else None


def _size(units: Units, found: Expression, parts: list[_One]) -> Expression | None:
    known = [part.unit for part in parts if part.unit is not None]
    found.unit = known[-1] if known else None
    if not all(unit.dimensions == ("length",) for unit in known):
        return None
    if found.unit is not None:
        found.numbers = _in_one_unit(units, parts, found.unit)
    return found if known or len(found.numbers) == 3 else None


def _in_one_unit(units: Units, parts: list[_One], unit: Unit) -> list[float]:
    """Give numbers in the unit of the last of them: `3 cm x 4 mm` is 30 by 4 mm; one without a unit has the next's."""
    numbers, own = [], unit
    for part in reversed(parts):
        own = part.unit or own
        numbers.append(part.number if own.symbol == unit.symbol else units.converted(part.number, own, unit))
    return numbers[::-1]


def _pair_of_doses(found: Expression) -> Expression | None:
    """Give 800-160 mg, or 5-325 mg, the strengths of a drug of two parts."""
    if found.unit is None or found.spoken:
        return None
    found.joined = "pair"
    return found


def _pair(units: Units, found: Expression, parts: list[_One]) -> Expression | None:
    first, unit = parts[0].unit, parts[-1].unit
    if unit is not None and (unit.dose or unit.dimensions == ("volume",)) and not parts[-1].number:
        return None  # 1/0 mL
    if first is not None and unit is not None and first.symbol != unit.symbol:
        if len(parts) != 2 or not first.dose or unit.dimensions != ("volume",):
            return None
        return Expression([tidy(parts[0].number / parts[1].number)], "", units.over(first, unit), found.end)
    return None if first is not None and unit is None else found
