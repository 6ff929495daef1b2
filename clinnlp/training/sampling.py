"""Examples of rare and of frequent classes: repeated, or left out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from statistics import median

__all__ = ["rarest", "resampled"]

# A class of two examples that were repeated two hundred times would be learned by heart.
_MOST_REPEATS = 10


def resampled(classes: Sequence[Hashable], how: str | None, seed: int = 0) -> list[int]:
    """Choose examples so that their classes are closer in number.

    Parameters
    ----------
    classes : sequence
        The class of each example.
    how : {"over", "under"} or None
        "over" repeats the examples of each class until it has as many as the largest, each at most ten times; "under"
        leaves out examples of the classes that are larger than the median one, by chance, down to its size.
    seed : int

    Returns
    -------
    list of int
        Positions in `classes`, rising; all of them once, where `how` is None.
    """
    if how is None or not classes:
        return list(range(len(classes)))
    chance = random.Random(seed)  # noqa: S311 - a choice of examples, not a secret
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, name in enumerate(classes):
        members[name].append(i)
    sizes = [len(some) for some in members.values()]
    chosen: list[int] = []
    for some in members.values():
        if how == "under":
            chosen += chance.sample(some, min(len(some), max(1, round(median(sizes)))))
        else:
            wanted = min(max(sizes), _MOST_REPEATS * len(some))
            chosen += some * (wanted // len(some)) + chance.sample(some, wanted % len(some))
    return sorted(chosen)


def rarest(sets: Sequence[Sequence[str]]) -> list[str]:
    """Give the class of each example that may have several or none: its rarest, or `""`."""
    counts = Counter(name for names in sets for name in set(names))
    return [min(names, key=lambda name: (counts[name], name), default="") for names in sets]
