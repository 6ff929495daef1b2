"""From which probability on a classifier gives a label, chosen on development records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["best_threshold", "least_probability"]


def best_threshold(truth: NDArray[np.bool_], scores: NDArray[np.floating[Any]], default: float = 0.5) -> float:
    """Give the threshold of one label with the best F1; of equally good ones the nearest to the default.

    Parameters
    ----------
    truth : ndarray of bool, shape (items,)
        Which items have the label.
    scores : ndarray of float, shape (items,)
        Its probabilities; 0 is an item without a word.
    default : float
        Given back where no item has the label, or no threshold is better.

    Returns
    -------
    float
        In the middle between two probabilities, so that others near them fall on the same side.
    """
    there = scores > 0  # an item without a word never gets a label
    if not truth[there].any():
        return default
    values, where = np.unique(scores[there], return_inverse=True)
    # Of the items whose score is at least values[i]: how many there are, and how many of them have the label.
    found = np.bincount(where, minlength=len(values))[::-1].cumsum()[::-1]
    right = np.bincount(where, weights=truth[there], minlength=len(values))[::-1].cumsum()[::-1]
    f1 = 2 * right / (found + truth.sum())
    edges = (np.concatenate([[0.0], values[:-1]]) + values) / 2
    own = int(np.searchsorted(values, default))
    if own < len(values) and f1[own] == f1.max():
        return default
    good = edges[f1 == f1.max()]
    return float(good[np.abs(good - default).argmin()])


def least_probability(right: NDArray[np.bool_], best: NDArray[np.floating[Any]], accuracy: float, stage: str) -> float:
    """Give the least probability from which on so many answers are right: that which leaves out the fewest.

    Parameters
    ----------
    right : ndarray of bool, shape (items,)
        Whether the best label of each item is right.
    best : ndarray of float, shape (items,)
        Its probability.
    accuracy : float
        Share of the answers that shall be right.
    stage : str
        For the error.

    Raises
    ------
    TrainingError
        If no answers are right so often.
    """
    values, where = np.unique(best, return_inverse=True)
    found = np.bincount(where, minlength=len(values))[::-1].cumsum()[::-1]
    shares = np.bincount(where, weights=right, minlength=len(values))[::-1].cumsum()[::-1] / found
    good = np.flatnonzero(shares >= accuracy)
    if not len(good):
        raise TrainingError(
            f"stage {stage!r}: however few it answers, less than {accuracy:g} of the answers are right:"
            f" ask for an accuracy of at most {shares.max():.3f}"
        )
    first = int(good[0])
    return 0.0 if first == 0 else float((values[first - 1] + values[first]) / 2)
