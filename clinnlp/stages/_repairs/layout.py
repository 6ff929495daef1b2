"""What lines look like: headings, list items, labels, rows of tables."""

from __future__ import annotations

import re
from functools import cache

from clinnlp.rules import load_rules

__all__ = ["is_heading", "is_label", "is_list_item", "is_row", "is_shouted"]

_ITEM = re.compile(
    r"[-*+>#~\u2010-\u2015\u2022\u2023\u25a0-\u25ff\u2610-\u2612\u2713\u2714\u2192\u27a2\u00b7\u00bb]"
    r"|\(?\d{1,3}(?:[.)](?!\d)|-\s)|\(?[A-Za-z][.)](?:\s|$)|\(?[ivxIVX]{1,5}[.)](?:\s|$)|\[[ xX]?\]"
)
_LABEL = re.compile(r"((?:[^\s:]{1,30}[ \t]{1,3}){0,4}[^\s:]{1,30})[ \t]{0,2}(?::(?=\s|$)|=|\s-\s)")
_COLUMNS = re.compile(r"\S(?:\t| {3,}|\.{4,})\s*\S")
_GAP = re.compile(r"[^\s.:;!?] {2,}(?=\S)")


def is_list_item(line: str) -> bool:
    """Tell whether a line, its indentation taken off, begins with a bullet, a number or a letter of a list."""
    return bool(_ITEM.match(line))


def is_label(line: str) -> bool:
    """Tell whether a line, its indentation taken off, begins with `label:`, `label =` or `label -`."""
    match = _LABEL.match(line)
    if not match:
        return False
    words = match.group(1).split()
    if any(word[-1] in ".!?" and len(word) > 4 for word in words[:-1]):
        return False  # a sentence ends before the label
    return not line[0].islower() or (len(words) < 3 and words[0] not in _small_words())


def is_row(line: str) -> bool:
    """Tell whether a line has columns: tabs, wide gaps or bars inside it."""
    return bool(_COLUMNS.search(line)) or line.count("|") > 1 or len(_GAP.findall(line)) > 1


def is_shouted(line: str) -> bool:
    """Tell whether a line is in capitals."""
    capitals = sum(sign.isupper() for sign in line)
    return capitals > 2 and capitals > 4 * sum(sign.islower() for sign in line)


def is_heading(line: str) -> bool:
    """Tell whether a line can be a heading: it ends in a colon, or is short and has all its words in capitals."""
    if line.endswith(":"):
        return True
    if len(line) > 60 or line[-1] in ".,;!?" or not line[0].isupper():
        return False
    titled = all(not word[0].islower() or word in _small_words() for word in line.split())
    return is_shouted(line) or (len(line) < 40 and titled)


@cache
def _small_words() -> frozenset[str]:
    return frozenset(load_rules("layout", "en")["small_words"])
