"""Lines that a hard wrap cut, joined again where the evidence says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from clinnlp.alignment import Edit
from clinnlp.stages._repairs.layout import is_heading, is_label, is_list_item, is_row, is_shouted

__all__ = ["line_wraps"]

SHORTEST, LONGEST = 30, 160
"""Lengths of a line that a wrap can have cut."""

# How a line break reads: as the middle of a sentence, as perhaps the middle, as the end of one.
_INSIDE, _OPEN, _CLOSED = "inside", "open", "closed"
# How much shorter than the width a line may be whose break reads so.
_SLACK = {_INSIDE: 12, _OPEN: 3, _CLOSED: 0}
_OVERHANG = 3
# The same for a line whose length a placeholder changed after it was wrapped.
_VARIES = 24

_BREAK = re.compile(rf"^([^\n]{{{SHORTEST},{LONGEST}}})\n(?=[^\S\n]*\S)", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\[\*\*|___|XXXX")
_FIRST_WORD = re.compile(r"\S{1,60}")


@dataclass(slots=True)
class _Break:
    """The end of a line, and what follows it."""

    start: int  # of its line
    end: int  # after its line's last character that is no space
    follows: int  # the next line's first character that is no space
    stop: int  # the end of the next line
    word: int  # length of the next line's first word
    after: int  # length of the next line; 0 where a placeholder may have changed it
    reads: str | None  # None: never to be joined
    shouted: bool
    varies: bool  # whether a placeholder changed the length of the line or of the next word since

    @property
    def length(self) -> int:
        return self.end - self.start


def line_wraps(text: str) -> list[Edit]:
    """Join the lines of paragraphs that were wrapped at a fixed width.

    A wrap leaves a trace: each line but the last is as long as the width allows, so that the next line's first word
    would not have fit. A width is taken from the breaks that stand inside a sentence, those of the paragraph or, where
    it has few, those of the text; a break is joined where its line is full at this width. A break that reads like the
    end of a sentence needs an exactly full line, one before a lower-case word less so. Headings, list items, labels
    with values, rows of tables and whatever stands in columns are never joined to the line before.
    """
    chains = list(_chains(text))
    common = _width([b for chain in chains for b in chain], least=2, share=0.5)
    edits: list[Edit] = []
    for chain in chains:
        width = _width(chain, least=3, share=0.6) or common
        if width and all(b.length <= width[-1] + _OVERHANG or b.varies for b in chain):
            full = [b for b in chain if _is_full(b, width)]
            sure = any(b.reads != _CLOSED for b in full)
            edits += [_join(text, b) for b in full if sure]
        elif _stands_alone(text, chain):
            edits.append(_join(text, chain[0]))
    return edits


def _chains(text: str) -> Iterator[list[_Break]]:
    """Give the breaks after lines of a length that a wrap can have cut, by paragraph."""
    chain: list[_Break] = []
    stop = -1
    for match in _BREAK.finditer(text):
        if match.start() != stop and chain:
            yield chain
            chain = []
        stop = match.end()
        chain.append(_read(text, match.start(), stop))
    if chain:
        yield chain


def _read(text: str, start: int, next_start: int) -> _Break:
    line = text[start : next_start - 1].rstrip()
    stop = text.find("\n", next_start, next_start + 2 * LONGEST)
    if stop < 0:
        stop = min(len(text), next_start + 2 * LONGEST)
    following = text[next_start:stop]
    bare = following.strip()
    follows = next_start + len(following) - len(following.lstrip())
    word = _FIRST_WORD.match(bare)
    shouted = is_shouted(line) and is_shouted(bare)
    deeper = (follows - next_start) - (len(line) - len(line.lstrip()))
    return _Break(
        start=start,
        end=start + len(line),
        follows=follows,
        stop=stop,
        word=len(word.group()) if word else 0,
        after=0 if _PLACEHOLDER.search(bare) else stop - next_start,
        reads=_reading(line.lstrip(), bare, deeper, shouted),
        shouted=shouted,
        varies=bool(_PLACEHOLDER.search(line) or _PLACEHOLDER.match(bare)),
    )


def _reading(line: str, following: str, deeper: int, shouted: bool) -> str | None:
    """Tell how the break between two lines reads; None for one that is to stay whatever the lengths are."""
    if not line or not _may_go_on(following) or is_row(line) or line.endswith((":", "-", "\u2010", "\xad")):
        return None
    if not shouted and (is_heading(following) or is_heading(line)):
        return None
    ended = line[-1] in ".!?" or line[-2:] in ('."', ".)", '?"', "!)")
    if following[0].islower():
        return _OPEN if ended else _INSIDE
    if abs(deeper) > 1 and not (deeper > 0 and (is_list_item(line) or is_label(line))):
        return None
    return _CLOSED if ended else _OPEN


def _may_go_on(following: str) -> bool:
    """Tell whether a line can be the rest of the one before; scripts without case do not wrap at spaces."""
    first = following[:1]
    begins = first.islower() or first.isupper() or first.isdigit() or first in tuple("_([\"'\u2018\u201c$<\u2264\u2265")
    if not begins or not following.strip("_ \t"):
        return False
    return not (is_list_item(following) or is_label(following) or is_row(following))


def _width(breaks: Sequence[_Break], least: int, share: float) -> range | None:
    """Give the widths that explain most breaks inside sentences, if they are enough and agree enough."""
    inside = [b for b in breaks if b.reads == _INSIDE and not b.varies]
    if not inside:
        # Text in capitals never shows where a sentence goes on, so more of it has to agree.
        inside, least, share = [b for b in breaks if b.shouted and b.reads == _OPEN], 3, 0.8
    if len(inside) < least:
        return None
    counts = [0] * (LONGEST + 64)
    for b in inside:
        counts[b.length] += 1
        counts[b.length + b.word + 1] -= 1
    agreeing = list(accumulate(counts))
    most = max(agreeing)
    if most < max(least, share * len(inside)):
        return None
    low = high = agreeing.index(most)
    while agreeing[high] == most:
        high += 1
    return range(low, high)


def _is_full(b: _Break, width: range) -> bool:
    """Tell whether a line had no room for the next word."""
    if b.reads is None or b.after > width[-1] + _OVERHANG:
        return False
    slack = _VARIES if b.varies and b.reads == _INSIDE else _SLACK[b.reads]
    return b.length + 1 + b.word > width[0] - slack


def _stands_alone(text: str, chain: Sequence[_Break]) -> bool:
    """Tell whether a paragraph is of two lines, the first of a common width and cut inside a sentence."""
    b = chain[0]
    if len(chain) > 1 or b.reads != _INSIDE or not 55 <= b.length <= 100 or b.after > b.length + b.word:
        return False
    before = text[max(0, b.start - 1 - SHORTEST) : max(0, b.start - 1)]
    return (b.start <= SHORTEST or "\n" in before) and text[b.stop : b.stop + 2] in ("", "\n", "\n\n")


def _join(text: str, b: _Break) -> Edit:
    """Leave one space of what parts two lines, none after a slash."""
    if text[b.end - 1] == "/" and text[b.end - 2].isalnum():
        return Edit(b.end, b.follows)
    if text[b.end] == " ":
        return Edit(b.end + 1, b.follows)
    if text[b.follows - 1] == " ":
        return Edit(b.end, b.follows - 1)
    return Edit(b.end, b.follows, " ")
