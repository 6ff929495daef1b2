"""Scores: what an evaluation found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.training.calibration import ReliabilityRow

__all__ = ["Scores"]


@dataclass(frozen=True, repr=False)
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
    labels : tuple of str
        Where items were classified: the labels that can be found, then those that only the gold has.
    multi_label : bool
        Whether a classified item may have any number of labels.
    probabilities : ndarray of float, shape (items, labels that can be found), or None
        Of classified items.
    """

    values_by_name: dict[str, float]
    per_label: dict[str, dict[str, float]] = field(default_factory=dict)
    primary: str = "f1"
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    judged: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    # Two arrays have no one truth value, and what was found of them is compared already.
    probabilities: NDArray[Any] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        figures = ", ".join(f"{name}={value:.3f}" for name, value in self.values_by_name.items())
        return f"Scores({figures}; {len(self.per_label)} labels)"

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

    @property
    def truth(self) -> NDArray[Any]:
        """Which labels each classified item has in the gold: bool, shape (items, labels)."""
        import numpy as np

        rows = [[name in gold for name in self.labels] for gold, _ in self.judged]
        return np.array(rows, dtype=bool).reshape(len(self.judged), len(self.labels))

    @property
    def confusion(self) -> NDArray[Any]:
        """How often each gold label was found as which one: int, in the order of `labels`.

        Returns
        -------
        ndarray of int, shape (labels, labels)
            Of items with one label: row the gold, column what was found. An item for which nothing was found, such as
            a note without a word, stands in no column: a row sums up to the label's support less those.
        ndarray of int, shape (labels, 2, 2)
            Of items with any number of labels: for each label a matrix as that of scikit-learn's
            `multilabel_confusion_matrix`, row whether the gold has it, column whether it was found.
        """
        import numpy as np

        size = len(self.labels)
        numbers = {name: i for i, name in enumerate(self.labels)}
        if not self.multi_label:
            counts = np.zeros((size, size), dtype=np.int64)
            for gold, found in self.judged:
                for own in set(gold):
                    for other in found:
                        counts[numbers[own], numbers[other]] += 1
            return counts
        counts = np.zeros((size, 2, 2), dtype=np.int64)
        for gold, found in self.judged:
            for name in {*gold, *found}:
                counts[numbers[name], int(name in gold), int(name in found)] += 1
        counts[:, 0, 0] = len(self.judged) - counts.sum(axis=(1, 2))
        return counts

    def reliability(self, bins: int = 15) -> list[ReliabilityRow]:
        """Give the rows of a reliability diagram: is what has a probability of 0.8 right 8 times in 10?

        Of items with one label the probability of the best one is compared with how often it is right; of items with
        any number of labels each probability of each label.

        Parameters
        ----------
        bins : int
            Number of bins, at least 1.

        Returns
        -------
        list of ReliabilityRow
            None where no items were classified. "ece" is the mean distance of these rows from the diagonal.
        """
        import numpy as np

        from clinnlp.training.calibration import reliability
        from clinnlp.training.metrics import confidences

        if self.probabilities is None or not len(self.probabilities):
            return []
        truth = self.truth
        given = np.zeros(truth.shape)
        given[:, : self.probabilities.shape[1]] = self.probabilities
        return reliability(*confidences(truth, given, self.multi_label), bins)
