"""Scores: what an evaluation found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Scores"]


@dataclass(frozen=True)
class Scores(Mapping[str, float]):
    """Figures by name, and by label.

    Parameters
    ----------
    values_by_name : dict
        Figures between 0 and 1.
    per_label : dict of dict
        Label -> its figures, with "support", its number in the gold.
    primary : str
        The figure by which the best model is chosen.
    counts : list of (int, int, int)
        For each record right, found and gold spans, where spans were scored.
    judged : list of (tuple of str, tuple of str)
        For each item its gold labels and those found, where items were classified.
    """

    values_by_name: dict[str, float]
    per_label: dict[str, dict[str, float]] = field(default_factory=dict)
    primary: str = "f1"
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    judged: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    @property
    def best(self) -> float:
        """The primary figure."""
        return self.values_by_name[self.primary]
