"""What was found, and how what several ways found is made one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Found", "merged"]


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch of the text that identifies somebody.

    Parameters
    ----------
    start, end : int
        Offsets.
    label : str
    by : {"metadata", "pattern", "model", "record"}
        What found it.
    score : float
    sure : bool
        Whether it stays one where it names a disease or drug.
    """

    start: int
    end: int
    label: str
    by: str = "pattern"
    score: float = 1.0
    sure: bool = True


def merged(found: Iterable[Found], text: str) -> list[Found]:
    """Make one of all that overlap, and of neighbours of one label that at most a blank parts; in order.

    The longest gives the label; of equal ones the metadata, then a pattern, and last what any number is called.
    """
    order = {"metadata": 0, "record": 1, "pattern": 2, "model": 3}

    def rank(one: Found) -> tuple[int, int, bool]:
        return one.start - one.end, order[one.by], one.label == "ID"

    made: list[Found] = []
    longest: Found | None = None
    for one in sorted(found, key=lambda f: (f.start, rank(f), f.label)):
        if one.start >= one.end:
            continue
        if not made or longest is None or not _meet(made[-1], one, text):
            made.append(one)
            longest = one
            continue
        if rank(one) < rank(longest):
            longest = one
        last = made[-1]
        made[-1] = replace(longest, start=last.start, end=max(last.end, one.end), score=max(last.score, one.score))
    return made


def _meet(left: Found, right: Found, text: str) -> bool:
    if right.start < left.end:
        return True
    return left.label == right.label and right.start - left.end <= 1 and text[left.end : right.start] in ("", " ")
