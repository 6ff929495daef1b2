"""Characters that nobody can see: controls, zero-width characters, marks of direction."""

from __future__ import annotations

import re

from clinnlp.alignment import Edit

__all__ = ["control"]

_UNSEEN = re.compile(
    r"\x1b\[[0-9;]{0,16}[A-Za-z]"  # colours of a terminal
    r"|[\x1c-\x1f]+"
    r"|\xad(?![ \t]{0,20}\r?\n)"  # one at a line's end is the repair of hyphens
    r"|[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]+"
    r"|[\u200b-\u200f\u202a-\u202e\u2060-\u206f\u180e\ufeff\ufff9-\ufffc]+"
)
_OTHER = re.compile(r"[^\u200c\u200d]+")
_LATIN = "\u024f"


def control(text: str) -> list[Edit]:
    """Delete control and zero-width characters; the separators of files and fields (1C to 1F) become a space.

    Tabs and all that ends a line or a page stay. The joiners U+200C and U+200D stay where a letter or emoji next to
    them is outside Latin script, because there they have a meaning.
    """
    edits: list[Edit] = []
    for match in _UNSEEN.finditer(text):
        run, start, end = match.group(), match.start(), match.end()
        if "\x1c" <= run[0] <= "\x1f":
            edits.append(Edit(start, end, " "))
        elif ("\u200c" in run or "\u200d" in run) and not (_latin(text, start - 1) and _latin(text, end)):
            edits += [Edit(start + other.start(), start + other.end()) for other in _OTHER.finditer(run)]
        else:
            edits.append(Edit(start, end))
    return edits


def _latin(text: str, at: int) -> bool:
    return not 0 <= at < len(text) or text[at] <= _LATIN
