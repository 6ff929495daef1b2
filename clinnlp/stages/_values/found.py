"""What was found in a text, before it is decided which of what overlaps is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clinnlp.record import Value

__all__ = ["Found", "longest"]


@dataclass(slots=True)
class Found:
    """A value, in offsets of the text that was read.

    Parameters
    ----------
    value : Value
    weak : bool
        Kept only beside another value of a drug, or behind a drug.
    dose : bool
        A quantity that can be the strength of a drug.
    sure : bool
        Kept rather than another of the same length.
    hidden : bool
        No value: nothing is found where it stands.
    """

    value: Value
    weak: bool = False
    dose: bool = False
    sure: bool = False
    hidden: bool = False

    @property
    def start(self) -> int:
        """First character."""
        return self.value.start

    @property
    def end(self) -> int:
        """End of the last character."""
        return self.value.end


_ORDER = ("date", "time", "age", "frequency", "duration", "dose", "strength", "size", "quantity", "route", "form")


def longest(found: Iterable[Found]) -> list[Found]:
    """Keep the longest of those that overlap; of two of one length, the kind that says more."""
    kept: list[Found] = []
    taken: set[int] = set()
    for item in sorted(found, key=_rank):
        places = range(item.start, item.end)
        if item.start < item.end and taken.isdisjoint((item.start, item.end - 1)) and taken.isdisjoint(places):
            taken.update(places)
            kept.append(item)
    return sorted((item for item in kept if not item.hidden), key=lambda item: item.start)


def _rank(item: Found) -> tuple[bool, int, bool, int, int]:
    return not item.hidden, item.start - item.end, not item.sure, _ORDER.index(item.value.kind), item.start
