"""Page numbers, and the headers and footers that stand with them on every page."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from clinnlp.alignment import Edit
from clinnlp.stages._repairs.shrinking import shrink

__all__ = ["pages"]

_WORD = re.compile(r"[Pp]age|PAGE|[Pp]g\b|PG\b")
_NUMBERED = re.compile(
    r"(?:^|(?<=\f))[^\n\f]{0,100}?\b(?:[Pp]age|PAGE|[Pp]g\.?|PG\.?)[ \t:#]{0,4}(\d{1,4})\b[^\n\f]{0,100}(?=[\n\f]|\Z)",
    re.MULTILINE,
)
_BARE = re.compile(
    r"(?:^|(?<=\f))[ \t]{0,80}(?:-[ \t]?(\d{1,4})[ \t]?-|(\d{1,4})[ \t]?of[ \t]?\d{1,4})[ \t]{0,80}(?=[\n\f]|\Z)",
    re.MULTILINE,
)
_FEED = re.compile("\f+")
_LINE_END = re.compile(r"[\n\f]")
_DIGITS = re.compile(r"\d+")
_MOST_LINES = 6  # of a header or a footer
_MOST_BLANK = 200  # characters of blank lines inside one
_APART = 200  # characters between two page numbers, at least, and between form feeds on average
_SHARE = 0.6  # of the pages that a line has to stand on


@dataclass(slots=True)
class _Meeting:
    """Where two pages meet: the line of the page number, or the form feed, and later header and footer too."""

    start: int
    end: int
    number: int = 0


def pages(text: str) -> list[Edit]:
    """Take out page numbers that count up, with the lines around them that are the same on most pages.

    A form feed marks the end of a page too, and becomes a line break. What stands at the very top of the text stays,
    so that a letterhead or a patient's name is kept once. A sentence that a page cut goes on in the next line.
    """
    groups = _numbered(text)
    feeds = [match.span() for match in _FEED.finditer(text)]
    if not groups and 1 < len(feeds) <= len(text) / _APART:
        groups = [[_Meeting(*feed) for feed in feeds]]
    for group in groups:
        above = _grow(text, group, upwards=True)
        _grow(text, group, upwards=False)
        group += _last(text, above, group[-1])
    edits: list[Edit] = []
    done = 0
    for meeting in sorted((m for group in groups for m in group), key=lambda m: m.start):
        edit = _cut(text, meeting) if meeting.start >= done else None
        if edit:
            edits.append(edit)
            done = edit.end
    return _with_feeds(text, edits, feeds)


def _numbered(text: str) -> list[list[_Meeting]]:
    """Give the lines with a page number, grouped by what else they say, that count up by one."""
    found = [(m, 1) for m in _NUMBERED.finditer(text)] if _WORD.search(text) else []
    found += [(m, 1 if m.group(1) else 2) for m in _BARE.finditer(text)]
    alike: dict[str, list[_Meeting]] = defaultdict(list)
    for match, group in found:
        line = text[match.start() : match.start(group)] + "#" + text[match.end(group) : match.end()]
        meeting = _Meeting(match.start(), match.end(), int(match.group(group)))
        alike[" ".join(line.split())].append(meeting)
    groups: list[list[_Meeting]] = []
    for counted in alike.values():
        for meeting in counted:
            last = groups[-1][-1] if groups and meeting is not counted[0] else None
            if last and meeting.number == last.number + 1 and meeting.start - last.end >= _APART:
                groups[-1].append(meeting)
            else:
                groups.append([meeting])
    return [group for group in groups if len(group) > 1]


def _grow(text: str, group: Sequence[_Meeting], upwards: bool) -> list[str]:
    """Widen the meetings of pages by the lines above or below that most of them have; give these lines."""
    least = max(2, ceil(_SHARE * len(group)))
    active = list(group)
    common: list[str] = []
    while len(common) < _MOST_LINES:
        lines = [_next_line(text, m.start if upwards else m.end, upwards) for m in active]
        keys = [_key(text, line, m.number) for line, m in zip(lines, active, strict=True)]
        best, count = Counter(key for key in [*keys, ""] if key).most_common(1)[0] if any(keys) else ("", 0)
        if count < least:
            break
        common.append(best)
        for meeting, line, key in zip(active, lines, keys, strict=True):
            if line and key == best:
                meeting.start, meeting.end = min(meeting.start, line[0]), max(meeting.end, line[1])
        active = [meeting for meeting, key in zip(active, keys, strict=True) if key == best]
    return common


def _last(text: str, above: Sequence[str], page: _Meeting) -> list[_Meeting]:
    """Find the footer of the last page, which no other page follows, among the lines that stand above the others."""
    start = len(text)
    for key in above:
        line = _next_line(text, start, upwards=True)
        if line and line[0] >= page.end and _key(text, line, page.number) == key:
            start = line[0]
        elif start < len(text):
            break
    return [_Meeting(start, len(text))] if start < len(text) else []


def _next_line(text: str, at: int, upwards: bool) -> tuple[int, int] | None:
    """Find the next line with something on it, over blank ones; one that is long is no header."""
    limit = max(0, at - _MOST_BLANK) if upwards else min(len(text), at + _MOST_BLANK)
    while at != limit and text[at - 1 if upwards else at].isspace():
        at += -1 if upwards else 1
    if at == limit:
        return None
    low, high = max(0, at - _MOST_BLANK), min(len(text), at + _MOST_BLANK)
    before = [m.end() for m in _LINE_END.finditer(text, low, at)] or ([0] if not low else [])
    after = _LINE_END.search(text, at, high)
    if not before or not (after or high == len(text)):
        return None
    return before[-1], after.start() if after else high


def _key(text: str, line: tuple[int, int] | None, number: int) -> str:
    """Give what a line says, with the numbers of this page and those next to it alike."""
    if not line:
        return ""
    near = {str(number + step) for step in (-1, 0, 1)} if number else set()
    said = " ".join(text[line[0] : line[1]].split())
    return _DIGITS.sub(lambda m: "#" if m.group() in near else m.group(), said)


def _cut(text: str, meeting: _Meeting) -> Edit | None:
    """Take out what stands where two pages meet, and leave a line break, or two where the paragraph ended."""
    low, high = meeting.start, meeting.end
    while low and text[low - 1].isspace():
        low -= 1
    if not low:
        return None
    while high < len(text) and text[high].isspace():
        high += 1
    goes_on = high < len(text) and text[low - 1] not in ".!?:" and text[high].islower()
    after = high
    while after > meeting.end and text[after - 1] not in "\n\f":
        after -= 1
    gap = text[low : meeting.start] + text[meeting.end : after]
    blank = "\n\n" in text[low : meeting.start].replace(" ", "") or "\n\n" in text[meeting.end : after].replace(" ", "")
    if high == len(text):
        return shrink(text, low, high, "\n" if "\n" in gap else "")
    return shrink(text, low, after, "\n\n" if blank and not goes_on else "\n")


def _with_feeds(text: str, edits: list[Edit], feeds: Sequence[tuple[int, int]]) -> list[Edit]:
    """Add line breaks in the place of the form feeds that no edit takes out, where they have none next to them."""
    mended = list(edits)
    i = 0
    for start, end in feeds:
        while i < len(edits) and edits[i].end <= start:
            i += 1
        if i == len(edits) or start < edits[i].start:
            alone = start > 0 and end < len(text) and text[start - 1] != "\n" and text[end] != "\n"
            mended.append(Edit(start, end, "\n" if alone else ""))
    return sorted(mended)
