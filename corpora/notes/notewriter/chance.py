"""Choices that a seed decides, the same in every version of Python."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import TypeVar

__all__ = ["Chance", "Pool"]

T = TypeVar("T")


class Chance:
    """Random choices made from `random.random` alone, whose values no version of Python changes."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def number(self, low: int, high: int) -> int:
        """Give a whole number between `low` and `high`, both included."""
        return low + int(self._random() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        """Tell whether something of this probability happens."""
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """Give one item."""
        return items[int(self._random() * len(items))]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        """Give one item of (item, weight) pairs."""
        at = self._random() * sum(weight for _, weight in items)
        for item, weight in items:
            at -= weight
            if at < 0:
                return item
        return items[-1][0]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Give the items in another order."""
        left = list(items)
        return [left.pop(int(self._random() * len(left))) for _ in range(len(left))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Give `count` different items, or all of them where there are fewer."""
        return self.shuffled(items)[:count]


class Pool:
    """Items that are drawn without repetition until all have been."""

    def __init__(self, items: Sequence[str], chance: Chance) -> None:
        self.items = list(items)
        self._chance = chance
        self._left: list[str] = []

    def draw(self, besides: Collection[str] = ()) -> str:
        """Give the next item that is not one of `besides`; `LookupError` where there is none."""
        if all(item in besides for item in self.items):
            raise LookupError("nothing is left in the pool")
        while True:
            if not self._left:
                self._left = self._chance.shuffled(self.items)
            item = self._left.pop()
            if item not in besides:
                return item
