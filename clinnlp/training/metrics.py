"""Figures of classifiers, with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.training.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["score_labels"]


def score_labels(
    gold: Sequence[Sequence[str]],
    probabilities: NDArray[np.floating[Any]],
    labels: Sequence[str],
    *,
    multi_label: bool = False,
    threshold: float = 0.5,
) -> Scores:
    """Compare the probabilities of labels with gold.

    Parameters
    ----------
    gold : sequence of sequence of str
        Labels of each item; of one that is not multi-label, one. A label that is not in `labels` can only be missed.
    probabilities : ndarray of float, shape (items, labels)
        A row of zeros is an item for which nothing was found.
    labels : sequence of str
        Names of the columns.
    multi_label : bool
        Whether an item may have any number of labels: those with at least `threshold`; else the most probable one.
    threshold : float

    Returns
    -------
    Scores
        "accuracy" (of multi-label items: all labels right), "macro_f1" over the labels that occur in the gold or
        were found, "micro_f1", and "auroc": the mean over labels of the area under each one's curve against the
        rest, where the gold has items with and without it, or 0.5 (chance) where it has none such. `per_label`
        has "precision", "recall", "f1", "support" and, where it is defined, "auroc".
    """
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    names = [*labels, *sorted({name for item in gold for name in item} - set(labels))]
    truth = np.array([[name in item for name in names] for item in gold], dtype=bool).reshape(len(gold), len(names))
    scores = np.zeros((len(gold), len(names)))
    scores[:, : len(labels)] = probabilities
    found = _chosen(scores, multi_label, threshold)
    areas = _areas(truth[:, : len(labels)], scores[:, : len(labels)])
    seen = np.flatnonzero(truth.any(axis=0) | found.any(axis=0))
    figures = {
        "accuracy": float((truth == found).all(axis=1).mean()) if len(gold) else 0.0,
        "macro_f1": float(f1_score(truth[:, seen], found[:, seen], average="macro", zero_division=0))
        if len(seen)
        else 0.0,
        "micro_f1": float(f1_score(truth[:, seen], found[:, seen], average="micro", zero_division=0))
        if len(seen)
        else 0.0,
        "auroc": float(np.mean(list(areas.values()))) if areas else 0.5,
    }
    per_label: dict[str, dict[str, float]] = {}
    rows = precision_recall_fscore_support(truth, found, average=None, zero_division=0)
    for i, (name, *values) in enumerate(zip(names, *rows, strict=True)):
        per_label[name] = dict(zip(("precision", "recall", "f1", "support"), map(float, values), strict=True))
        if i in areas:
            per_label[name]["auroc"] = areas[i]
    return Scores(figures, per_label, "macro_f1")


def _chosen(scores: NDArray[np.floating[Any]], multi_label: bool, threshold: float) -> NDArray[np.bool_]:
    if multi_label:
        return np.asarray((scores >= threshold) & (scores > 0))
    chosen = np.zeros(scores.shape, dtype=bool)
    best = scores.argmax(axis=1)
    rows = np.flatnonzero(scores.any(axis=1))
    chosen[rows, best[rows]] = True
    return chosen


def _areas(truth: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> dict[int, float]:
    """Give the area under the ROC curve of each label that has items on both sides."""
    from sklearn.metrics import roc_auc_score

    both = [i for i in range(truth.shape[1]) if 0 < truth[:, i].sum() < len(truth)]
    return {i: float(roc_auc_score(truth[:, i], scores[:, i])) for i in both}
