"""What is left where it is: diseases and drugs called by a name, years, and ages under 90."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.words import word_set

__all__ = ["is_spared", "may_stay"]

_NAMES = ("PERSON", "DOCTOR")
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
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text[one.start : one.end])
    following = _NEXT.match(text, one.end)
    if following is not None and following.group(1).lower() in word_set("eponym_heads"):
        return True
    return bool(words) and all(
        word.lower() in word_set("eponyms") or word.lower() in word_set("eponym_heads") for word in words
    )
