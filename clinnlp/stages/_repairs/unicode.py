"""Unicode normal forms, full-width characters and ligatures."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from clinnlp.alignment import Edit
from clinnlp.stages._repairs.shrinking import shrink

__all__ = ["FORMS", "Form", "ligatures", "normal_form", "width"]

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD", "NFKC", "NFKD")

# Longer heaps of marks are no writing, and putting them in order would take quadratic time.
_MOST_MARKS = 60

_LIGATURES = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "st",
    "\ufb06": "st",
}
_LIGATURE = re.compile("[\ufb00-\ufb06]")

_WIDE = re.compile("\u3000|[\uff66-\uff9d][\uff9e\uff9f]?|[\uff01-\uff65\uff9e-\uffdc\uffe0-\uffe6]")
_WIDE_WORD = "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]"
_EAST_ASIAN = "[\u2e80-\u2fdf\u3001-\u9fff\uac00-\ud7af\uf900-\ufaff\uff61-\uffdc\U00020000-\U0003ffff]"
# In full width these are how Chinese and Japanese write; others only ever come of a keyboard left in that mode.
_PUNCTUATION = "[！＂＇（），．：；？［］｛｝～]"
_MEANT = re.compile(
    f"[（）［］｛｝]|(?<={_EAST_ASIAN}){_PUNCTUATION}|{_PUNCTUATION}(?={_EAST_ASIAN})"
    f"|(?<!{_WIDE_WORD}){_PUNCTUATION}(?!{_WIDE_WORD})"
)


def normal_form(text: str, form: Form = "NFC") -> list[Edit]:
    """Bring the text into a Unicode normal form (Unicode Standard Annex 15), one edit for each changed cluster.

    A cluster is a character with the combining marks, or the parts of a Hangul syllable, that follow it.
    """
    if text.isascii():
        return []
    signs = set(text)
    marks = [sign for sign in signs if _joins(sign)]
    changed = [sign for sign in signs if not _joins(sign) and unicodedata.normalize(form, sign) != sign]
    patterns = [f"[{re.escape(''.join(changed))}]"] if changed else []
    if marks:
        joined = re.escape("".join(marks))
        patterns.insert(0, f"[^{joined}]?[{joined}]+")
    if not patterns:
        return []
    edits: list[Edit] = []
    known: dict[str, Edit | None] = {}
    for match in re.finditer("|".join(patterns), text):
        at, cluster = match.start(), match.group()
        if len(cluster) > _MOST_MARKS:
            continue
        if cluster not in known:
            known[cluster] = shrink(cluster, 0, len(cluster), unicodedata.normalize(form, cluster))
        if edit := known[cluster]:
            edits.append(Edit(at + edit.start, at + edit.end, edit.text))
    return edits


def _joins(sign: str) -> bool:
    """Tell whether a character can combine with the one before it."""
    return unicodedata.category(sign)[0] == "M" or "\u1160" <= sign <= "\u11ff" or sign in "\uff9e\uff9f"


def width(text: str) -> list[Edit]:
    """Bring full-width letters, digits and signs, and half-width kana, to their usual width, one edit for each.

    In a text with Chinese, Japanese or Korean characters full-width punctuation stays, unless it is no bracket and
    stands next to a full-width letter or digit and to none of those characters.
    """
    if text.isascii():
        return []
    meant = {match.start() for match in _MEANT.finditer(text)} if re.search(_EAST_ASIAN, text) else ()
    edits: list[Edit] = []
    for match in _WIDE.finditer(text):
        sign = match.group()
        usual = " " if sign == "\u3000" else unicodedata.normalize("NFKC", sign)
        if usual != sign and match.start() not in meant:
            edits.append(Edit(match.start(), match.end(), usual))
    return edits


def ligatures(text: str) -> list[Edit]:
    """Take apart the Latin ligatures that PDF files leave, such as the `ﬁ` of `ﬁbrosis`."""
    if text.isascii():
        return []
    return [Edit(match.start(), match.end(), _LIGATURES[match.group()]) for match in _LIGATURE.finditer(text)]
