"""A text in one form of letters, digits and signs, of the same length, and expressions that find many words in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

__all__ = ["CJK", "LETTER", "WORD", "even", "is_cjk", "word_pattern"]

CJK = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
WORD = rf"[^\W{CJK}]"
"""A letter, digit or underscore, of a script that writes spaces between words."""
LETTER = rf"[^\W\d_{CJK}]"

_SIGNS = {
    "\t": " ",
    **dict.fromkeys("‐‑‒–−－﹣", "-"),
    "—": ";",
    **dict.fromkeys("×✕╳", "x"),
    **dict.fromkeys("～∼〜˜", "~"),
    **dict.fromkeys("º˚", "°"),
    **dict.fromkeys("’‘′＇", "'"),
    **dict.fromkeys("“”″＂", '"'),
    **dict.fromkeys("≦⩽", "≤"),
    **dict.fromkeys("≧⩾", "≥"),
    "μ": "µ",
    "：": ":",
    "／": "/",
    "％": "%",
    "（": "(",
    "）": ")",
    "．": ".",
    "＜": "<",
    "＞": ">",
    "＝": "=",
    "＋": "+",
    "⁄": "/",
    "∕": "/",
}


class _Signs(dict[int, str]):
    """Gives the usual form of each character, worked out when it is first seen."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        usual = _SIGNS.get(character)
        if usual is None:
            category = unicodedata.category(character)
            if category == "Nd":
                usual = str(unicodedata.decimal(character))
            elif category == "Zs":
                usual = " "
            else:
                low = chr(code - 0xFEE0) if 0xFF21 <= code <= 0xFF5A else character
                usual = low.lower() if len(low.lower()) == 1 else character
                usual = _SIGNS.get(usual, usual)
        self[code] = usual
        return usual


_TABLE = _Signs()
_DASH = re.compile(r"(?<=\d)—(?=\d)")


def even(text: str) -> str:
    """Give a text of the same length in lower case, with plain digits, spaces, hyphens and signs."""
    if text.isascii():
        return text.lower().replace("\t", " ")
    # A dash between words is a stop, one between digits a range.
    return (_DASH.sub("-", text) if "—" in text else text).translate(_TABLE)


def is_cjk(character: str) -> bool:
    """Tell whether a character is of a script without spaces between words."""
    return _CJK_CHARACTER.match(character) is not None


_CJK_CHARACTER = re.compile(f"[{CJK}]")


def word_pattern(words: Iterable[str]) -> str:
    """Give an expression that finds the longest of many words at a place, trying each of its characters once."""
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for character in even(word):
            node = node.setdefault(character, {})
        node[""] = {}
    return _written(tree) if tree else r"(?!)"


def _written(node: dict[str, Any]) -> str:
    parts = [
        (r" {1,2}" if character == " " else re.escape(character)) + _written(below)
        for character, below in sorted(node.items())
        if character
    ]
    if not parts:
        return ""
    both = parts[0] if len(parts) == 1 and "" not in node else f"(?:{'|'.join(parts)})"
    return f"{both}?" if "" in node else both
