"""Words that a hyphen divides at a line's end."""

from __future__ import annotations

import re
from collections.abc import Set
from functools import cache

from clinnlp.alignment import Edit
from clinnlp.rules import load_rules

__all__ = ["hyphens"]

_DIVIDED = re.compile(r"(?<=[^\W_])[-\u2010\xad][ \t]{0,8}\n[ \t]{0,40}(?=[^\W\d_])")
_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LONGEST = 40


def hyphens(text: str) -> list[Edit]:
    """Join words divided at a line's end: `hyper-`, `tension` becomes `hypertension`, and `follow-`, `up` `follow-up`.

    A word that the text writes elsewhere is written as there; otherwise the hyphen stays after or before the word
    parts that `rules/en/hyphens.yaml` lists, next to capitals and digits, and goes elsewhere. A hyphen that stands
    for a later word (`pre- and postoperative`) is no division.
    """
    if not _DIVIDED.search(text):
        return []
    rules = _rules()
    written = set(_WORD.findall(text.lower()))
    edits: list[Edit] = []
    for match in _DIVIDED.finditer(text):
        start, end = match.span()
        before = _last_letters(text[max(0, start - _LONGEST) : start])
        after = _LETTERS.match(text, end, end + _LONGEST)
        if after is None or not after.group()[0].islower() or after.group() in rules["conjunctions"]:
            continue
        soft = text[start] == "\xad"
        keep = not soft and _keeps_hyphen(before, after.group(), written, rules)
        edits.append(Edit(start + 1 if keep else start, end))
    return edits


def _last_letters(text: str) -> str:
    """Give the letters that a text ends in."""
    at = len(text)
    while at and text[at - 1].isalpha():
        at -= 1
    return text[at:]


def _keeps_hyphen(before: str, after: str, written: Set[str], rules: dict[str, frozenset[str]]) -> bool:
    """Tell whether a divided word is a compound that has its hyphen on one line too."""
    low = before.lower()
    if len(before) < 2 or before.isupper():
        return True
    if f"{low}-{after}" in written:
        return True
    if low + after in written or after in rules["endings"]:
        return False
    return low in rules["first_parts"] or (len(low) > 3 and after in rules["second_parts"])


@cache
def _rules() -> dict[str, frozenset[str]]:
    return {name: frozenset(words) for name, words in load_rules("hyphens", "en").items()}
