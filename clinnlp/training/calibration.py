"""Calibration: do probabilities say how often a classifier is right, and the temperature that makes them do so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ReliabilityRow", "expected_calibration_error", "fit_temperature", "reliability"]

_IGNORED = -100
_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class ReliabilityRow:
    """A bin of a reliability diagram: its items' mean confidence, the share of them that is right, their number."""

    confidence: float
    accuracy: float
    count: int


def reliability(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> list[ReliabilityRow]:
    """Compare confidence with accuracy, in bins of equal width.

    Parameters
    ----------
    confidences : array of float, shape (items,)
        Probability, 0 to 1, of what was predicted. A bin holds its upper edge, the first one 0 too.
    correct : array of bool, shape (items,)
        Whether the prediction is right.
    bins : int
        Number of bins, at least 1.

    Returns
    -------
    list of ReliabilityRow
        From the least confident to the most; bins without items, which have no mean, are left out.

    Raises
    ------
    TrainingError
        If the shapes differ, a confidence is no probability, or there are no bins.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, ICML.
    """
    given, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if given.shape != right.shape or given.ndim != 1:
        raise TrainingError(f"confidences have the shape {given.shape}, correct has {right.shape}: give two lists")
    if not bool(np.all((given >= 0) & (given <= 1))):
        raise TrainingError("a confidence is not between 0 and 1: give probabilities, not logits")
    if bins < 1:
        raise TrainingError(f"bins is {bins}: give 1 or more")
    numbers = np.searchsorted(np.arange(1, bins) / bins, given, side="left")
    return [
        ReliabilityRow(float(given[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (numbers == number for number in range(bins))
        if inside.any()
    ]


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Give the mean distance of confidence and accuracy over bins of equal width, weighted by their items.

    Parameters
    ----------
    confidences, correct, bins
        As for `reliability`.

    Returns
    -------
    float
        0, of no items too, to 1.

    Raises
    ------
    TrainingError
        As `reliability`.

    References
    ----------
    Naeini, Cooper & Hauskrecht (2015), Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI;
    Guo et al. (2017).
    """
    rows = reliability(confidences, correct, bins)
    total = sum(row.count for row in rows)
    return sum(row.count * abs(row.accuracy - row.confidence) for row in rows) / total if total else 0.0


def fit_temperature(logits: ArrayLike, targets: ArrayLike, *, multi_label: bool = False) -> float:
    """Find the temperature T with which logits / T give held-out targets the highest likelihood.

    Parameters
    ----------
    logits : array of float, shape (..., labels)
        Of items that were not trained on; reckoned with in float64.
    targets : array
        Numbers of the right labels, int, shape (...); of `multi_label` logits 0 or 1 each, shape (..., labels).
        What is -100 is left out.
    multi_label : bool
        Whether each logit is a label's own (sigmoid), or all of an item share one probability (softmax).

    Returns
    -------
    float
        0.05 to 20. It is 1, which changes nothing, where there are no targets, or all have their highest likelihood
        at T = 0: gold without an error does not say how often there will be one.

    Raises
    ------
    TrainingError
        If the shapes do not fit, a logit is not a finite number or a target no label.

    References
    ----------
    Temperature scaling in Guo et al. (2017).
    """
    scores, own = _items(np.asarray(logits, dtype=np.float64), np.asarray(targets), multi_label)
    if not (own < 0).any():
        return 1.0
    return 1 / _best_sharpness(scores, own)


def _items(
    logits: NDArray[np.float64], targets: NDArray[np.generic], multi_label: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give logits of shape (items, labels) less each item's largest, and those of the right labels alone."""
    if not targets.size:
        return np.zeros((0, 1)), np.zeros(0)
    if logits.shape != targets.shape if multi_label else logits.shape[:-1] != targets.shape or not logits.size:
        raise TrainingError(f"logits of the shape {logits.shape} do not fit targets of the shape {targets.shape}")
    if multi_label:
        # A sigmoid is the softmax of two labels, one of which has the logit 0.
        logits = np.stack([np.zeros_like(logits), logits], axis=-1)
    labels = logits.shape[-1]
    scores, targets = logits.reshape(-1, labels), targets.reshape(-1)
    scores, targets = scores[targets != _IGNORED], targets[targets != _IGNORED]
    if not np.isin(targets, np.arange(labels)).all():
        raise TrainingError(f"a target is none of the {labels} labels 0 to {labels - 1}, nor {_IGNORED}")
    if not np.isfinite(scores).all():
        raise TrainingError("a logit is not a finite number: look for it in the model's output")
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores, scores[np.arange(len(scores)), targets.astype(np.int64)]


def _best_sharpness(scores: NDArray[np.float64], own: NDArray[np.float64]) -> float:
    """Give the 1 / T of the least negative log-likelihood.

    In 1 / T it is convex, so that its slope has one root: Newton's steps go there, and halving where they leave the
    stretch that must hold it.
    """
    low, high = 1 / _HOTTEST, 1 / _COLDEST
    if _slope(scores, own, low)[0] >= 0:
        return low
    if _slope(scores, own, high)[0] <= 0:
        return high
    at = 1.0
    for _ in range(100):
        slope, curve = _slope(scores, own, at)
        low, high = (at, high) if slope < 0 else (low, at)
        step = at - slope / curve if curve > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - at) < 1e-10:
            break
        at = step
    return at


def _slope(scores: NDArray[np.float64], own: NDArray[np.float64], sharpness: float) -> tuple[float, float]:
    """Give the first and the second derivative of the mean negative log-likelihood by the sharpness."""
    weights = np.exp(scores * sharpness)
    weights /= weights.sum(axis=1, keepdims=True)
    means = (weights * scores).sum(axis=1)
    spread = (weights * (scores - means[:, None]) ** 2).sum(axis=1)
    return float((means - own).mean()), float(spread.mean())
