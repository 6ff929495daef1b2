"""The text that identifiers are looked for in: what hides them from a pattern is taken out, by code point."""

from __future__ import annotations

import re
import unicodedata

from clinnlp.alignment import EditedText, delete

__all__ = ["joined", "searched"]

# Zero-width signs, marks of direction, soft hyphens and control characters, but for tab and line breaks.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\x00-\x08\x0e-\x1f\x7f]+"
)
_BREAK = re.compile(r"(?<=[^\s])[ \t]*(?:\r?\n|\r)[ \t]*(?=[^\s])")
_PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "-"),
    **dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4`", "'"),
    **dict.fromkeys("\u2028\u2029\x85\x0b\x0c", "\n"),
}


def searched(text: str) -> EditedText:
    """Give the text without invisible signs, and with plain blanks, dashes, digits and letters of usual width."""
    edits = [] if text.isascii() and text.isprintable() else [delete(*m.span()) for m in _INVISIBLE.finditer(text)]
    edited = EditedText.of(text, edits)
    strange = {char for char in set(edited.text) if not " " <= char <= "~"}
    table = str.maketrans({char: _plain(char) for char in strange} | {"`": "'"})
    return EditedText(edited.text.translate(table), edited.alignment)


def _plain(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    if char in "\t\r\n":
        return char
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.digit(char))
    if unicodedata.category(char) == "Zs":
        return " "
    usual = unicodedata.normalize("NFKC", char)
    return usual if len(usual) == 1 and usual.isascii() else char


def joined(view: EditedText) -> EditedText:
    """Give the text with all its lines joined, for what the end of a line cuts through."""
    return view.then([delete(*match.span()) for match in _BREAK.finditer(view.text)])
