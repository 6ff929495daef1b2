"""What a pattern cannot tell: check digits, days that exist, and words that are no name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["CHECKS", "Candidate", "Check", "digits_of"]

_TEMPERATURE = re.compile(r"°|\b(?:t|tm|tc|tmax|temp\w*|\w*fever\w*|\w*febrile|vitals?|vs|degrees?)\b", re.IGNORECASE)
_VITALS = re.compile(r"[ \t-]?f[ \t.,;)]*(?:\d|(?:bp|hr|pulse|p|rr|r|spo2|sat)\b)", re.IGNORECASE)
_RESIDENT = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_VALUES = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a pattern found, and where in which text."""

    text: str
    start: int
    end: int

    @property
    def found(self) -> str:
        """What was found."""
        return self.text[self.start : self.end]


Check = Callable[[Candidate], bool]
"""Tells whether it may be what it looks like."""


def digits_of(text: str) -> str:
    """Give the digits of a text alone."""
    return "".join(char for char in text if char in "0123456789")


def _luhn(one: Candidate) -> bool:
    """Check a card's number (ISO/IEC 7812-1)."""
    digits = [int(char) for char in reversed(digits_of(one.found))]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return total % 10 == 0 and len(set(digits)) > 1


def _nhs(one: Candidate) -> bool:
    """Check a number of the British National Health Service (modulus 11)."""
    digits = [int(char) for char in digits_of(one.found)]
    rest = 11 - sum(digit * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return rest % 11 == digits[9] and len(set(digits)) > 1


def _iban(one: Candidate) -> bool:
    """Check a bank account's number (ISO 13616)."""
    plain = "".join(one.found.split()).upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _resident(one: Candidate) -> bool:
    """Check a Chinese resident's number (GB 11643)."""
    number = one.found.replace(" ", "")
    total = sum(int(digit) * weight for digit, weight in zip(number, _RESIDENT, strict=False))
    return "10X98765432"[total % 11] == number[17].upper()


def _vin(one: Candidate) -> bool:
    """Check a vehicle's number (ISO 3779 as North America uses it)."""
    plain = one.found.upper()
    if plain.isdigit() or plain.isalpha():
        return False
    total = sum((int(c) if c.isdigit() else _VIN_VALUES[c]) * w for c, w in zip(plain, _VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == plain[8]


def _misread(one: Candidate) -> bool:
    """Refuse what is made of letters for the most part, but for those that hide digits."""
    return len(digits_of(one.found)) >= sum(char.isalpha() and char not in "xX" for char in one.found)


def _date(one: Candidate) -> bool:
    """Refuse versions and outlines such as 1.2.3, and what goes on before or after as no date does."""
    if not _misread(one):
        return False
    numbers = re.findall(r"\d+", one.found)[:3]
    if "." in one.found and len(numbers[2]) == 2 and not (len(numbers[0]) == 2 and len(numbers[1]) == 2):
        return False
    return not re.search(r"\d[./-]$", one.text[max(one.start - 2, 0) : one.start])


def _spaced(one: Candidate) -> bool:
    """Refuse a date with blanks in a row of numbers, but for a time of day behind it."""
    if one.found.isdigit():
        return True
    before, after = one.text[max(one.start - 3, 0) : one.start], one.text[one.end : one.end + 8]
    return not re.search(r"\d[.,]?[ \t]*$", before) and not re.match(r"[ \t]+\d(?!\d?:\d\d|\d{3}\b)", after)


def _age_sex(one: Candidate) -> bool:
    """Refuse a temperature, such as 99F, and the decimals of a number."""
    line = re.split(r"[\r\n]", one.text[max(one.start - 60, 0) : one.start])[-1]
    if re.search(r"\d[.,]$", line):
        return False
    if not re.match(r"[ \t-]?f\b", one.text[one.end : one.end + 3], re.IGNORECASE):
        return True
    return _VITALS.match(one.text[one.end : one.end + 12]) is None and _TEMPERATURE.search(line) is None


def _month(one: Candidate) -> bool:
    """Refuse "may 5" and "march 3" in small letters without a year: they are verbs."""
    if re.search(r"\b(?:may|march|mar|dec|sep)\b", one.found) and not re.search(
        r"\d{4}|'\d\d|\d(?:st|nd|rd|th)", one.found
    ):
        around = one.text[max(one.start - 200, 0) : one.start + 200]
        return around == around.lower() and re.search(r"\bmay\b", one.found) is None
    return True


def _month_day(one: Candidate) -> bool:
    month, day = (int(number) for number in re.findall(r"\d+", one.found)[:2])
    return (1 <= month <= 12 and 1 <= day <= 31) or (1 <= day <= 12 and 1 <= month <= 31)


def _number(one: Candidate) -> bool:
    """Refuse digits behind a decimal point, and round numbers, which are counts."""
    return not one.found.endswith("0000") and not re.search(r"\d[.,]$", one.text[max(one.start - 2, 0) : one.start])


def _ip4(one: Candidate) -> bool:
    return all(int(part) < 256 for part in re.findall(r"\d+", one.found))


def _at_least(count: int) -> Check:
    return lambda one: len(digits_of(one.found)) >= count


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "luhn": _luhn,
        "nhs": _nhs,
        "iban": _iban,
        "resident": _resident,
        "vin": _vin,
        "date": _date,
        "misread": _misread,
        "spaced": _spaced,
        "age_sex": _age_sex,
        "month": _month,
        "month_day": _month_day,
        "number": _number,
        "ip4": _ip4,
        "digits_3": _at_least(3),
        "digits_4": _at_least(4),
        "digits_7": _at_least(7),
    }
)
"""Checks by name: each takes what was found, the one.text and where it starts."""
