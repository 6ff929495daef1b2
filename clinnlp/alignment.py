"""Edits to a text, and the way back to raw offsets.

An `Alignment` is a sorted list of edits that do not overlap. It maps spans both ways. Offsets are Unicode
code points, half-open. Edges of a span map by three rules, the same in both directions:

1. An edge strictly inside an edited stretch moves outwards to the edge of that stretch, because which of its
   characters came from which cannot be known. This holds for empty spans too.
2. A deletion or an insertion that only touches the edge of a span stays outside it.
3. Any other empty span, and a span all of whose text was deleted or inserted, maps to an empty span at the
   place where it stood, before whatever was inserted or deleted at that very place.

Characters that no edit covers map to exactly themselves, and both mappings are monotone: of two spans, the one
that starts (ends) first does so on the other side too.

Composing two alignments gives one whose edits cover what either side's edits covered. Edits of the two sides
that share characters become one edit; so do a deletion of the first and an insertion of the second at the same
place, since nothing says on which side of the deleted text the new one belongs. A span that is not empty, mapped
by the composed alignment, therefore contains what mapping it in two steps gives; where no two edits met, every
span maps to the same place either way.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from clinnlp.errors import AlignmentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Alignment", "Edit", "EditedText", "delete", "insert", "replace"]


class Edit(NamedTuple):
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
            return self if self.edits else other
        return Alignment(self.length, _compose(self, other))

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


def _compose(first: Alignment, second: Alignment) -> list[Edit]:
    """Give the edits of `first.then(second)`, sweeping over the text between the two."""
    starts, ends = first._target_starts, first._target_ends
    ours, theirs = first.edits, second.edits
    edits: list[Edit] = []
    i = j = shift = 0  # `shift` leads from the text between, right before edit i, to the source
    while i < len(ours) or j < len(theirs):
        # Of two edits at one place the shorter comes first; of two of no length the second side's, because
        # `_map` puts an empty span before what was deleted there.
        if j == len(theirs) or (i < len(ours) and (starts[i], ends[i]) < (theirs[j].start, theirs[j].end)):
            start, end, i0, j0 = starts[i], ends[i], i, j
            i += 1
        else:
            start, end, i0, j0 = theirs[j].start, theirs[j].end, i, j
            j += 1
            while start == end and i < len(ours) and ends[i] == start:
                i += 1
        while True:
            if i < len(ours) and starts[i] < end:
                end = max(end, ends[i])
                i += 1
            elif j < len(theirs) and theirs[j].start < end:
                end = max(end, theirs[j].end)
                j += 1
            else:
                break
        if j == j0:
            edit = ours[i0]
        elif i == i0:
            edit = Edit(start - shift, end - shift, theirs[j0].text)
        else:
            last = i - 1
            edit = Edit(start - shift, end - ends[last] + ours[last].end, _weave(first, i0, i, theirs[j0:j], end))
        if i > i0:
            shift = ends[i - 1] - ours[i - 1].end
        if edits and edits[-1].start == edit.start == edit.end:
            edit = Edit(edit.start, edit.end, edits.pop().text + edit.text)
        edits.append(edit)
    return edits


def _weave(first: Alignment, i: int, stop: int, theirs: Sequence[Edit], end: int) -> str:
    """Give the target text of edits that met: the second side's, and what it left of the first side's."""
    parts: list[str] = []
    at = first._target_starts[i]
    for edit in (*theirs, Edit(end, end)):
        while i < stop and first._target_starts[i] < edit.start:
            low = first._target_starts[i]
            parts.append(first.edits[i].text[max(at - low, 0) : edit.start - low])
            if first._target_ends[i] > edit.start:
                break
            i += 1
        parts.append(edit.text)
        at = edit.end
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

    Raises
    ------
    AlignmentError
        If the edits give a text of another length.
    """

    text: str
    alignment: Alignment

    def __post_init__(self) -> None:
        if len(self.text) != self.alignment.target_length:
            raise AlignmentError(
                f"the edited text has length {len(self.text)}, its edits give length {self.alignment.target_length}"
            )

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
