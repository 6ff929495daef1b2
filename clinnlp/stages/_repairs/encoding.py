"""Encoding damage: UTF-8 that was read as something else, stray control bytes, letters of symbol fonts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

import ftfy
from ftfy.badness import is_bad

from clinnlp.alignment import Edit
from clinnlp.stages._repairs.shrinking import shrink

__all__ = ["encoding"]

_STRETCH = re.compile(r"[^\x00-\x7f]+")
_STRAY = re.compile(r"(?<=[0-9.,;:%)\]])\xc2(?= )")
_CONTEXT = 2  # ftfy's tests of damage look at up to two plain characters around it

# Word's Symbol and Wingdings fonts keep their signs in the private use area, where nothing else can read them.
_SYMBOLS = {
    "\uf020": " ",
    "\uf044": "\u0394",
    "\uf061": "\u03b1",
    "\uf062": "\u03b2",
    "\uf064": "\u03b4",
    "\uf067": "\u03b3",
    "\uf06c": "\u03bb",
    "\uf06d": "\u00b5",
    "\uf0a3": "\u2264",
    "\uf0a7": "\u25aa",
    "\uf0a8": "\u2610",
    "\uf0ad": "\u2191",
    "\uf0ae": "\u2192",
    "\uf0af": "\u2193",
    "\uf0b0": "\u00b0",
    "\uf0b1": "\u00b1",
    "\uf0b3": "\u2265",
    "\uf0b4": "\u00d7",
    "\uf0b7": "\u2022",
    "\uf0b8": "\u00f7",
    "\uf0b9": "\u2260",
    "\uf0bb": "\u2248",
    "\uf0d8": "\u2022",
    "\uf0e0": "\u2192",
    "\uf0fc": "\u2713",
    "\uf0fe": "\u2611",
}
_SYMBOL = re.compile(f"[{''.join(_SYMBOLS)}]")


def encoding(text: str) -> list[Edit]:
    """Undo mojibake, such as `â€™` for an apostrophe, one edit for each character that was meant.

    ftfy judges each stretch outside ASCII with a little of what surrounds it, so that the rest of the line keeps its
    alignment. Windows-1252 punctuation in the C1 control range is restored too, a stray `Â` before a space goes, and
    signs that Word's Symbol font keeps in the private use area become the Unicode characters they stand for.
    """
    if text.isascii() or not (is_bad(text) or _SYMBOL.search(text) or _STRAY.search(text)):
        return []
    edits: list[Edit] = []
    known: dict[str, list[Edit]] = {}
    done = 0
    for match in _STRETCH.finditer(text):
        low, high = _around(text, match.start(), match.end(), done)
        around = text[low:high]
        if around not in known:
            known[around] = _fix(around)
        for edit in known[around]:
            if low + edit.start >= done:
                edits.append(Edit(low + edit.start, low + edit.end, edit.text))
                done = low + edit.end
    return edits


def _around(text: str, start: int, end: int, done: int) -> tuple[int, int]:
    """Widen a stretch by the plain characters of its line that stand next to it."""
    low, high = start, end
    while low > max(done, start - _CONTEXT) and text[low - 1] != "\n" and text[low - 1] <= "\x7f":
        low -= 1
    while high < min(len(text), end + _CONTEXT) and text[high] != "\n" and text[high] <= "\x7f":
        high += 1
    return low, high


def _fix(damaged: str) -> list[Edit]:
    fixed, plan = ftfy.fix_encoding_and_explain(damaged)
    lost = "\ufffd" in fixed and "\ufffd" not in damaged
    if fixed == damaged or plan is None or lost:
        edits = [Edit(m.start(), m.end(), _SYMBOLS[m.group()]) for m in _SYMBOL.finditer(damaged)]
        edits += [Edit(m.start(), m.end()) for m in _STRAY.finditer(damaged)]
        return sorted(edits)
    traced = _trace(damaged, plan)
    if traced is not None:
        return traced
    edit = shrink(damaged, 0, len(damaged), fixed)
    return [edit] if edit else []


def _trace(damaged: str, plan: Sequence[tuple[str, str]]) -> list[Edit] | None:
    """Follow ftfy's plan byte by byte; None where a step is more than reading bytes in another encoding."""
    text, data = damaged, b""
    origins = list(range(len(damaged) + 1))
    for action, codec in plan:
        if action == "encode":
            data = text.encode(codec)
            if len(data) != len(text):
                return None
        elif action == "decode" and codec in ("utf-8", "windows-1252"):
            text = data.decode(codec)
            widths = [len(sign.encode()) for sign in text] if codec == "utf-8" else [1] * len(text)
            origins = [origins[at] for at in accumulate(widths, initial=0)]
        else:
            return None
    places = zip(origins, origins[1:], text, strict=False)
    return [Edit(start, end, sign) for start, end, sign in places if damaged[start:end] != sign]
