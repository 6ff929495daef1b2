"""Line endings, and runs of spaces."""

from __future__ import annotations

import re

from clinnlp.alignment import Edit

__all__ = ["line_endings", "spaces"]

_ENDING = re.compile("\r+|[\x0b\x85\u2028\u2029]")

_ODD = "\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_RUN = re.compile(f"[ \t{_ODD}]{{2,}}|[{_ODD}]|[ \t](?=[\r\n]|\\Z)")
_ODD_SPACE = re.compile(f"[{_ODD}]")


def line_endings(text: str) -> list[Edit]:
    r"""End every line with `\n`: the `\r` of Windows goes, old and Unicode line breaks are replaced."""
    if text.isascii() and "\r" not in text and "\x0b" not in text:
        return []
    edits: list[Edit] = []
    for match in _ENDING.finditer(text):
        start, end = match.span()
        ends_line = text[start] == "\r" and text[end : end + 1] == "\n"
        edits.append(Edit(start, end, "" if ends_line else "\n" * (end - start)))
    return edits


def spaces(text: str) -> list[Edit]:
    """Leave one space of each run, none at a line's end, and make no-break and other Unicode spaces plain.

    A run with a tab keeps the tab, for it divides columns. Indentation stays, for it shows what belongs together.
    """
    edits: list[Edit] = []
    for match in _RUN.finditer(text):
        start, end = match.span()
        run = match.group()
        if text[end : end + 1] in ("", "\n", "\r"):
            edits.append(Edit(start, end))
        elif len(run) == 1:
            edits.append(Edit(start, end, " "))
        elif start == 0 or text[start - 1] in "\r\n":
            edits += [Edit(start + odd.start(), start + odd.end(), " ") for odd in _ODD_SPACE.finditer(run)]
        else:
            edits += _shorten(run, start, end)
    return edits


def _shorten(run: str, start: int, end: int) -> list[Edit]:
    """Delete all of a run but one tab or plain space."""
    at = run.find("\t")
    if at < 0:
        at = run.find(" ")
    if at < 0:
        return [Edit(start, end, " ")]
    return [Edit(low, high) for low, high in ((start, start + at), (start + at + 1, end)) if low < high]
