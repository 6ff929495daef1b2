"""What is left where it is: diseases and drugs called by a name, years, and ages under 90."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.words import word_set

__all__ = ["has_form", "is_spared", "may_stay"]

_NAMES = ("PERSON", "DOCTOR")
# Least number of digits.
_DIGITS = {"PHONE": 4, "SSN": 4, "MRN": 3, "ID": 3}
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_YEAR = re.compile(r"\W*(?:1[89]|20)\d{2}\W*")
_NEXT = re.compile(r"(?:['’]s)?[ \t\r\n\-]{1,3}([^\W\d_]+)")


def may_stay(text: str, label: str) -> bool:
    """Tell whether it is a year alone or an age under 90, which the HIPAA Safe Harbor does not ask to remove."""
    if label == "DATE":
        return _YEAR.fullmatch(text) is not None
    if label == "AGE":
        numbers = [int(number) for number in re.findall(r"\d+", text)]
        return bool(numbers) and max(numbers) < 90
    return False


def has_form(text: str, label: str) -> bool:
    """Tell whether what a head found may be of its kind, where that has a form: a blood pressure is no date."""
    digits = sum(map(str.isdigit, text))
    if label == "DATE":
        return _is_day(text)
    if label in _DIGITS:
        return digits >= _DIGITS[label]
    if label == "EMAIL":
        return "@" in text or " at " in text.lower()
    if label == "URL":
        return "." in text
    if label == "IP":
        return text.count(".") + text.count(":") > 1
    return True


def _is_day(text: str) -> bool:
    """Tell whether a text names a day or month, or has numbers that may be one."""
    words = {word.lower() for word in re.findall(r"[^\W\d_]+", text)}
    if any(len(word) > 2 and month.startswith(word) for word in words for month in _MONTHS):
        return True
    if words & word_set("days"):
        return True
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if len(numbers) == 1 and len(str(numbers[0])) == 8:  # 20240305
        return 1 <= numbers[0] // 100 % 100 <= 12
    parted = re.search(r"\d\s?[-/.]\s?\d", text) is not None
    *_, first, second = [0, *(number for number in numbers if number < 1000)][:3] if len(numbers) > 1 else (0, 0, 0)
    return parted and 1 <= min(first, second) <= 12 and max(first, second) <= 31


def is_spared(one: Found, text: str, entities: Sequence[tuple[int, int]]) -> bool:
    """Tell whether what looks like a name is that of a disease, drug or tool.

    Parameters
    ----------
    one : Found
    text : str
    entities : sequence of (int, int)
        Where the record has entities that are no identifiers, in order.
    """
    at = bisect_left(entities, (one.end, 0))
    if any(start < one.end and one.start < end for start, end in entities[max(at - 3, 0) : at]):
        return True
    if one.label not in _NAMES:
        return False
    name = unicodedata.normalize("NFC", text[one.start : one.end])
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", name)
    following = _NEXT.match(text, one.end)
    if following is not None and following.group(1).lower() in word_set("eponym_heads"):
        return True
    return bool(words) and all(
        word.lower() in word_set("eponyms") or word.lower() in word_set("eponym_heads") for word in words
    )
