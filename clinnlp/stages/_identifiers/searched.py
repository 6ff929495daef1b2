"""The text that identifiers are looked for in: what hides them from a pattern is taken out, by code point."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from clinnlp.alignment import Edit, EditedText, delete, replace
from clinnlp.stages._identifiers.words import look_alikes

__all__ = ["JoinedText", "joined", "searched"]

# Combining marks: accents, and what strikes through, underlines or encloses.
_MARKS = "\u0300-\u034e\u0350-\u036f\u20d0-\u20f0"
# What Unicode calls default-ignorable, such as zero-width signs, marks of direction, soft hyphens and fillers; anchors
# of annotations; and control characters, but for tab and line breaks and what Windows-1252 has in their place.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffc\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x90\x93-\x95\x98-\x9f"
)
_HIDDEN = re.compile(f"[{_MARKS}{_UNSEEN}]+")
_NO_MARKS = re.compile(f"[{_UNSEEN}]+")
_PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u02d7\u30fc\ufe58\ufe63\uff70\x96\x97", "-"),
    **dict.fromkeys("\u2018\u2019\u201b\u2032\u02b9\u02bc\u00b4`\x91\x92", "'"),
    **dict.fromkeys("\u2044\u2215\u29f8", "/"),
    **dict.fromkeys("\u00b7\u2219\u22c5", "."),
    **dict.fromkeys("\u2028\u2029\x85\x0b\x0c", "\n"),
    "\u2800": " ",
}
_AS_THEY_ARE = bytes({*range(ord(" "), ord("~") + 1), *b"\t\r\n"} - {ord("`")})
_FEW = 20


def searched(text: str) -> EditedText:
    """Give the text as it looks: without invisible signs, with accents on their letters, and with plain signs.

    Blanks, dashes, digits and letters of any width, and letters of other scripts that look like Latin ones, become
    those of ASCII.
    """
    signs = set(text.encode("utf-8", "surrogatepass").translate(None, _AS_THEY_ARE).decode("utf-8", "surrogatepass"))
    hidden = any(map(_HIDDEN.match, signs))
    edited = EditedText.of(text, [_shown(text, *match.span()) for match in _HIDDEN.finditer(text)] if hidden else ())
    if not signs:
        return edited
    return EditedText(_replaced(edited.text, {sign: _plain(sign) for sign in signs}), edited.alignment)


def _shown(text: str, start: int, end: int) -> Edit:
    """Take out signs that are not seen; marks become one sign with the letter before them, if there is such a sign."""
    marks = _NO_MARKS.sub("", text[start:end])
    base = text[start - 1 : start]
    if not marks or not base.isalnum():
        return delete(start, end)
    whole = unicodedata.normalize("NFC", base + marks)
    return replace(start - 1, end, whole if len(whole) == 1 else base)


def _replaced(text: str, plain: dict[str, str]) -> str:
    """Put plain signs in the place of others."""
    # The grave accent first: it is the only one that is also put in the place of another.
    others = sorted((sign for sign, put in plain.items() if put != sign), key=lambda sign: sign != "`")
    if len(others) > _FEW:
        return text.translate({ord(sign): put for sign, put in plain.items()})
    # A text with a sign beyond ASCII is translated sign by sign, which takes far longer than to replace a few.
    for sign in others:
        text = text.replace(sign, plain[sign])
    return text


def _plain(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.digit(char))
    if unicodedata.category(char) == "Zs":
        return " "
    usual = unicodedata.normalize("NFKC", char)
    usual = look_alikes().get(usual, usual)
    # A radical of its own block is written as the character that it looks like.
    return usual if len(usual) == 1 and (usual.isascii() or "\u4e00" <= usual <= "\u9fff") else char


class JoinedText:
    """A text with all its lines joined, and the way back.

    Parameters
    ----------
    view : EditedText
    breaks : sequence of (int, int)
        What parts its lines, none of which touches another; not empty.
    """

    def __init__(self, view: EditedText, breaks: Sequence[tuple[int, int]]) -> None:
        self._view = view
        starts, ends = zip(*breaks, strict=True)
        self.text = "".join(view.text[low:high] for low, high in zip((0, *ends), (*starts, None), strict=True))
        self._left_out = [0, *accumulate(end - start for start, end in breaks)]
        self._places = [start - out for start, out in zip(starts, self._left_out, strict=False)]

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Map a span that is not empty to the source of the view; a break at its edge stays outside."""
        start += self._left_out[bisect_right(self._places, start)]
        end += self._left_out[bisect_left(self._places, end)]
        return self._view.to_source(start, end)


def joined(view: EditedText) -> EditedText | JoinedText:
    """Give the text with all its lines joined, for what the end of a line cuts through; itself if it is one line."""
    breaks = list(_breaks(view.text))
    return JoinedText(view, breaks) if breaks else view


def _breaks(text: str) -> Iterator[tuple[int, int]]:
    """Find the ends of lines between two that are not blank, with the blanks around them."""
    at = 0
    for line, following in pairwise(text.splitlines(keepends=True)):
        at += len(line)
        last, first = len(line.rstrip()), len(following.lstrip())
        if last and first:
            yield at - len(line) + last, at + len(following) - first
