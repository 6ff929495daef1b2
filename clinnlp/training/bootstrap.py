"""How far a figure may be off: 95% intervals by resampling documents (Efron, 1979; percentile method)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.training.scores import Scores

__all__ = ["bootstrap_interval", "score_intervals"]

Interval = tuple[float, float]


def bootstrap_interval(counts: Sequence[tuple[int, int, int]], rounds: int = 2000, seed: int = 0) -> Interval:
    """Give the 95% interval of F1.

    Parameters
    ----------
    counts : sequence of (int, int, int)
        For each document: right, found and gold spans.
    rounds : int
    seed : int

    Returns
    -------
    (float, float)
    """
    return _middle(_of_spans(counts, rounds, seed)["f1"])


def score_intervals(scores: Scores, rounds: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """Give the 95% intervals of those figures that can be reckoned from counts: of spans or of labels.

    Parameters
    ----------
    scores : Scores
        With `counts`, or with `judged`.
    rounds : int
        Samples, each of as many documents as there are.
    seed : int

    Returns
    -------
    dict of str to (float, float)
        Of spans "precision", "recall" and "f1"; of labels "accuracy", "macro_f1" and "micro_f1".
    """
    if scores.judged:
        found = _of_labels(scores.judged, rounds, seed)
    else:
        found = _of_spans(scores.counts, rounds, seed) if scores.counts else {}
    return {name: _middle(values) for name, values in found.items()}


def _middle(values: NDArray[np.float64]) -> Interval:
    values, rounds = np.sort(values), len(values)
    return float(values[int(0.025 * rounds)]), float(values[int(0.975 * rounds) - 1])


def _of_spans(counts: Sequence[tuple[int, int, int]], rounds: int, seed: int) -> dict[str, NDArray[np.float64]]:
    table = np.array(counts, dtype=np.float64)
    owners, codes = np.repeat(np.arange(len(table)), 3), np.tile(np.arange(3), len(table))
    right, found, gold = _sums(len(table), owners, codes, table.ravel(), 3, rounds, seed).T
    return {
        "precision": _ratio(right, found),
        "recall": _ratio(right, gold),
        "f1": _ratio(2 * right, found + gold),
    }


def _of_labels(
    items: Sequence[tuple[tuple[str, ...], tuple[str, ...]]], rounds: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    names = sorted({name for item in items for side in item for name in side})
    numbers = {name: 3 * i for i, name in enumerate(names)}
    whole = 3 * len(names)
    pairs: list[tuple[int, int]] = []
    for i, (gold, found) in enumerate(items):
        pairs += [(i, numbers[name]) for name in set(gold) & set(found)]
        pairs += [(i, numbers[name] + 1) for name in set(found)] + [(i, numbers[name] + 2) for name in set(gold)]
        pairs += [(i, whole)] if set(gold) == set(found) else []
    owners, codes = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    sums = _sums(len(items), owners, codes, np.ones(len(owners)), whole + 1, rounds, seed)
    right, found_, gold_ = (sums[:, i:whole:3] for i in range(3))
    seen = (found_ + gold_ > 0).sum(axis=1)
    return {
        "accuracy": sums[:, whole] / len(items),
        "macro_f1": _ratio(_ratio(2 * right, found_ + gold_).sum(axis=1), seen),
        "micro_f1": _ratio(2 * right.sum(axis=1), (found_ + gold_).sum(axis=1)),
    }


def _sums(
    size: int,
    owners: NDArray[np.int64],
    codes: NDArray[np.int64],
    values: NDArray[np.float64],
    width: int,
    rounds: int,
    seed: int,
) -> NDArray[np.float64]:
    """Draw documents with replacement, and sum up the values of each code over those drawn; (rounds, codes)."""
    chance = np.random.default_rng(seed)
    sums = np.empty((rounds, width))
    for row in sums:
        times = np.bincount(chance.integers(size, size=size), minlength=size)
        row[:] = np.bincount(codes, weights=values * times[owners], minlength=width)
    return sums


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
