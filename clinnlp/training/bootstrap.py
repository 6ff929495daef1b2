"""How far a figure may be off: 95% intervals by resampling documents (Efron, 1979; percentile method)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.training.scores import Scores

__all__ = ["Difference", "bootstrap_interval", "paired_difference", "score_intervals"]

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
        Of spans "precision", "recall" and "f1"; of labels "accuracy", "macro_f1", "micro_f1" and, where their
        probabilities are known, "auroc".
    """
    return {name: _middle(values) for name, values in _samples(scores, rounds, seed).items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one figure is higher than another on the same items, and the 95% interval of that."""

    value: float
    low: float
    high: float

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out 0, so that the difference is more than the chance of the sample."""
        return self.low > 0 or self.high < 0


def paired_difference(one: Scores, other: Scores, figure: str, rounds: int = 2000, seed: int = 0) -> Difference:
    """Compare two systems on the same items by the paired bootstrap: each sample is drawn once, for both.

    Parameters
    ----------
    one, other : Scores
        Of the same items in the same order.
    figure : str
        Such as "macro_f1".
    rounds : int
        Samples, each of as many items as there are.
    seed : int

    Returns
    -------
    Difference
        The figure of `one` less that of `other`.

    Raises
    ------
    TrainingError
        If the items are not the same, or the figure has no interval.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap; in this field Koehn (2004), Statistical Significance
    Tests for Machine Translation Evaluation, EMNLP.
    """
    gold, others = ([set(names) for names, _ in scores.judged] for scores in (one, other))
    wanted, others_wanted = ([row[2] for row in scores.counts] for scores in (one, other))
    if gold != others or wanted != others_wanted:
        raise TrainingError("the scores are of different items: evaluate both on the same records")
    ours, theirs = (_samples(scores, rounds, seed, figure) for scores in (one, other))
    if figure not in ours or figure not in theirs:
        known = ", ".join(name for name in ours if name in theirs) or "none"
        raise TrainingError(f"the scores have no samples of {figure!r}: those that both have are {known}")
    return Difference(one[figure] - other[figure], *_middle(ours[figure] - theirs[figure]))


def _samples(scores: Scores, rounds: int, seed: int, figure: str = "auroc") -> dict[str, NDArray[np.float64]]:
    """Give the figures of each sample; the area, which takes the longest, only where it is asked for."""
    if scores.judged:
        found = _of_labels(scores.judged, rounds, seed)
        if figure == "auroc" and scores.probabilities is not None:
            found["auroc"] = _areas(scores.truth, scores.probabilities, rounds, seed)
        return found
    return _of_spans(scores.counts, rounds, seed) if scores.counts else {}


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
    sums = np.empty((rounds, width))
    for row, times in zip(sums, _draws(size, rounds, seed), strict=True):
        row[:] = np.bincount(codes, weights=values * times[owners], minlength=width)
    return sums


def _draws(size: int, rounds: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Draw documents with replacement: how often each was drawn, in each sample."""
    chance = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(chance.integers(size, size=size), minlength=size)


def _areas(truth: NDArray[np.bool_], probabilities: NDArray[np.float64], rounds: int, seed: int) -> NDArray[np.float64]:
    """Give the mean area under the labels' curves in each sample, as `score_labels` does; shape (rounds,).

    A label's area is the share of its pairs of an item with it and one without it that are in the right order
    (Hanley & McNeil, 1982). The items are sorted once: in a sample each counts as often as it was drawn.
    """
    truth = truth[:, : probabilities.shape[1]]
    columns = [i for i in range(truth.shape[1]) if 0 < truth[:, i].sum() < len(truth)]
    orders = [np.argsort(probabilities[:, i], kind="stable") for i in columns]
    curves = []
    for i, order in zip(columns, orders, strict=True):
        ordered, own = probabilities[order, i], np.flatnonzero(truth[order, i])
        # Equal probabilities count half: the mean of what stands before them and what stands before the next higher.
        lower, upper = (np.searchsorted(ordered, ordered[own], side=side) for side in ("left", "right"))
        curves.append((order, ~truth[order, i], own, lower, upper))
    areas = np.full(rounds, 0.5)
    for number, times in enumerate(_draws(len(truth), rounds, seed)):
        found = []
        for order, without, own, lower, upper in curves:
            drawn = times[order]
            below = np.concatenate([[0], np.cumsum(drawn * without)])
            pairs = drawn[own].sum() * below[-1]
            if pairs:
                found.append((drawn[own] * (below[lower] + below[upper])).sum() / (2 * pairs))
        if found:
            areas[number] = np.mean(found)
    return areas


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
