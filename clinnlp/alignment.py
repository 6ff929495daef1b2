"""Edits to a text, and the way back to raw offsets.

An `Alignment` is a sorted list of edits that do not overlap. It maps spans both ways. Offsets are Unicode
code points, half-open. Edges of a span map by three rules:

1. An edge inside a replaced stretch moves outwards to the edge of that stretch, because which of its
   characters came from which cannot be known.
2. A deletion or an insertion that only touches the edge of a span stays outside it.
3. An empty span, or one whose text was deleted, maps to an empty span at the place where it stood.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinnlp.errors import AlignmentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Alignment", "Edit", "EditedText", "delete", "insert", "replace"]


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace `source[start:end]` with `text`; a deletion has no text, an insertion no length."""

    start: int
    end: int
    text: str = ""


def replace(start: int, end: int, text: str) -> Edit:
    """Give the edit that puts `text` in the place of `[start, end)`."""
    return Edit(start, end, text)


def delete(start: int, end: int) -> Edit:
    """Give the edit that takes `[start, end)` out."""
    return Edit(start, end, "")


def insert(at: int, text: str) -> Edit:
    """Give the edit that puts `text` before offset `at`."""
    return Edit(at, at, text)


class Alignment:
    """How a target text was made from a source text of `length` code points.

    Parameters
    ----------
    length : int
        Length of the source text in code points.
    edits : iterable of Edit
        Edits in source offsets, in any order, not overlapping. Edits that change nothing but the identity
        of a stretch are kept; edits of no length and no text are dropped.

    Raises
    ------
    AlignmentError
        If an edit leaves the text, two edits overlap, or two insertions stand at one place.
    """

    __slots__ = ("_source_ends", "_source_starts", "_target_ends", "_target_starts", "edits", "length")

    def __init__(self, length: int, edits: Iterable[Edit] = ()) -> None:
        self.length = length
        self.edits: tuple[Edit, ...] = tuple(sorted(e for e in edits if e.end != e.start or e.text))
        self._source_starts = [e.start for e in self.edits]
        self._source_ends = [e.end for e in self.edits]
        self._target_starts: list[int] = []
        self._target_ends: list[int] = []
        at = shift = 0
        previous: Edit | None = None
        for edit in self.edits:
            if not 0 <= edit.start <= edit.end <= length:
                raise AlignmentError(f"edit [{edit.start}, {edit.end}) leaves the text of length {length}")
            if edit.start < at:
                raise AlignmentError(f"edits overlap at offset {edit.start}: give edits of disjoint stretches")
            if previous is not None and previous.start == previous.end == edit.start == edit.end:
                raise AlignmentError(f"two insertions at offset {edit.start}: join them into one")
            self._target_starts.append(edit.start + shift)
            shift += len(edit.text) - (edit.end - edit.start)
            self._target_ends.append(edit.end + shift)
            at, previous = edit.end, edit

    @property
    def target_length(self) -> int:
        """Length of the target text in code points."""
        return self.length + (self._target_ends[-1] - self._source_ends[-1] if self.edits else 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Alignment):
            return NotImplemented
        return self.length == other.length and self.edits == other.edits

    def __hash__(self) -> int:
        return hash((self.length, self.edits))

    def __repr__(self) -> str:
        return f"Alignment(length={self.length}, edits={len(self.edits)})"

    def apply(self, source: str) -> str:
        """Make the target text.

        Raises
        ------
        AlignmentError
            If `source` has another length than the alignment was made for.
        """
        if len(source) != self.length:
            raise AlignmentError(f"the text has length {len(source)}, the alignment is of length {self.length}")
        parts: list[str] = []
        at = 0
        for edit in self.edits:
            parts += (source[at : edit.start], edit.text)
            at = edit.end
        parts.append(source[at:])
        return "".join(parts)

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Map the span `[start, end)` of the target text to the source text."""
        self._check(start, end, self.target_length)
        return _map(start, end, self._target_starts, self._target_ends, self._source_starts, self._source_ends)

    def to_target(self, start: int, end: int) -> tuple[int, int]:
        """Map the span `[start, end)` of the source text to the target text."""
        self._check(start, end, self.length)
        return _map(start, end, self._source_starts, self._source_ends, self._target_starts, self._target_ends)

    def then(self, other: Alignment) -> Alignment:
        """Compose: first these edits, then `other`, whose source is this target.

        Raises
        ------
        AlignmentError
            If `other` was made for a text of another length.
        """
        if other.length != self.target_length:
            raise AlignmentError(
                f"cannot compose: the first gives length {self.target_length}, the second takes {other.length}"
            )
        if not self.edits or not other.edits:
            return Alignment(self.length, self.edits or other.edits)
        edits: list[Edit] = []
        for group in _groups(self, other):
            start = min(item.start for item in group)
            end = max(item.end for item in group)
            source = self.to_source(start, end)
            if len(group) == 1 and group[0].source is not None:
                source = group[0].source
            edit = Edit(*source, _text(group, start))
            if edits and edits[-1].start == edits[-1].end == edit.start == edit.end:
                edit = Edit(edit.start, edit.end, edits.pop().text + edit.text)
            edits.append(edit)
        return Alignment(self.length, edits)

    def to_list(self) -> list[list[Any]]:
        """Give the edits as `[start, end, text]` lists, for JSON."""
        return [[e.start, e.end, e.text] for e in self.edits]

    @staticmethod
    def _check(start: int, end: int, length: int) -> None:
        if not 0 <= start <= end <= length:
            raise AlignmentError(f"span [{start}, {end}) leaves the text of length {length}")


def _map(
    start: int,
    end: int,
    from_starts: Sequence[int],
    from_ends: Sequence[int],
    to_starts: Sequence[int],
    to_ends: Sequence[int],
) -> tuple[int, int]:
    """Map a span between the two sides of an alignment; the rules are those of the module."""
    i = bisect_right(from_starts, start) - 1
    if i < 0:
        low = start
    elif start < from_ends[i]:
        low = to_starts[i]
    else:
        low = to_ends[i] + start - from_ends[i]
    j = bisect_left(from_ends, end)
    if j == len(from_ends):
        high = end if not from_ends else to_ends[-1] + end - from_ends[-1]
    elif end > from_starts[j]:
        high = to_ends[j]
    else:
        high = to_starts[j] - (from_starts[j] - end)
    return min(low, high), high


@dataclass(frozen=True, slots=True)
class _Item:
    """An edit of either side of a composition, placed in the text between them."""

    start: int
    end: int
    text: str
    source: tuple[int, int] | None  # set for an edit of the first alignment


def _groups(first: Alignment, second: Alignment) -> list[list[_Item]]:
    """Group the edits of both sides that share characters of the middle text."""
    items = [
        _Item(start, end, edit.text, (edit.start, edit.end))
        for edit, start, end in zip(first.edits, first._target_starts, first._target_ends, strict=True)
    ]
    items += [_Item(edit.start, edit.end, edit.text, None) for edit in second.edits]
    # Of two edits of no length at one place the second side's comes first: `_map` puts it there.
    items.sort(key=lambda item: (item.start, item.end, item.source is not None))
    groups: list[list[_Item]] = []
    end = -1
    for item in items:
        if groups and item.start < end and groups[-1][0].start < item.end:
            groups[-1].append(item)
            end = max(end, item.end)
        else:
            groups.append([item])
            end = item.end
    return groups


def _text(group: Sequence[_Item], start: int) -> str:
    """Give the target text of a group: the second side's, and what it left of the first side's."""
    if len(group) == 1:
        return group[0].text
    parts: list[str] = []
    firsts = [item for item in group if item.source is not None]
    seconds = [item for item in group if item.source is None]
    at = start
    stop = max(item.end for item in group)
    for item in [*seconds, _Item(stop, stop, "", None)]:
        for first in firsts:
            low, high = max(at, first.start), min(item.start, first.end)
            if low < high:
                parts.append(first.text[low - first.start : high - first.start])
        parts.append(item.text)
        at = item.end
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class EditedText:
    """A text made from a source by edits, with the way back.

    Parameters
    ----------
    text : str
        The edited text.
    alignment : Alignment
        The edits that made it, in offsets of the source.
    """

    text: str
    alignment: Alignment

    @classmethod
    def of(cls, source: str, edits: Iterable[Edit] = ()) -> EditedText:
        """Edit `source`."""
        alignment = Alignment(len(source), edits)
        return cls(alignment.apply(source) if alignment.edits else source, alignment)

    def then(self, edits: Iterable[Edit]) -> EditedText:
        """Edit the edited text further; offsets still map to the first source."""
        step = Alignment(len(self.text), edits)
        if not step.edits:
            return self
        return EditedText(step.apply(self.text), self.alignment.then(step))

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the edited text to the source."""
        return self.alignment.to_source(start, end)

    def to_target(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the source to the edited text."""
        return self.alignment.to_target(start, end)
