"""The text that identifiers are looked for in: what hides them from a pattern is taken out, by code point."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from clinnlp.alignment import EditedText, delete

__all__ = ["JoinedText", "joined", "searched"]

# Zero-width signs, marks of direction, soft hyphens and control characters, but for tab and line breaks.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\x00-\x08\x0e-\x1f\x7f]+"
)
_PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "-"),
    **dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4`", "'"),
    **dict.fromkeys("\u2028\u2029\x85\x0b\x0c", "\n"),
}
_AS_THEY_ARE = bytes({*range(ord(" "), ord("~") + 1), *b"\t\r\n"} - {ord("`")})
_FEW = 20


def searched(text: str) -> EditedText:
    """Give the text without invisible signs, and with plain blanks, dashes, digits and letters of usual width."""
    signs = set(text.encode("utf-8", "surrogatepass").translate(None, _AS_THEY_ARE).decode("utf-8", "surrogatepass"))
    hidden = any(map(_INVISIBLE.match, signs))
    edited = EditedText.of(text, [delete(*match.span()) for match in _INVISIBLE.finditer(text)] if hidden else ())
    if not signs:
        return edited
    return EditedText(_replaced(edited.text, {sign: _plain(sign) for sign in signs}), edited.alignment)


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
    return usual if len(usual) == 1 and usual.isascii() else char


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
