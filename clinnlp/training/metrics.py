"""Figures of classifiers, with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.training.calibration import expected_calibration_error
from clinnlp.training.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["confidences", "score_labels"]


def score_labels(
    gold: Sequence[Sequence[str]],
    probabilities: NDArray[np.floating[Any]],
    labels: Sequence[str],
    *,
    multi_label: bool = False,
    threshold: float | Mapping[str, float] = 0.5,
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
    threshold : float or mapping of str to float
        Of all labels, or of each.

    Returns
    -------
    Scores
        "accuracy" (of multi-label items: all labels right), "macro_f1" over the labels that occur in the gold or
        were found, "micro_f1", and "auroc": the mean over labels of the area under each one's curve against the
        rest, where the gold has items with and without it, or 0.5 (chance) where it has none such; and "ece", the
        expected calibration error of the probabilities. `per_label`
        has "precision", "recall", "f1", "support" and, where it is defined, "auroc"; `confusion` and `reliability`
        tell more.
    """
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    probabilities = np.asarray(probabilities, dtype=np.float64).reshape(len(gold), len(labels))
    if not len(gold):
        nothing = {"accuracy": 0.0, "macro_f1": 0.0, "micro_f1": 0.0, "auroc": 0.5, "ece": 0.0}
        return Scores(
            nothing, {}, "macro_f1", labels=tuple(labels), multi_label=multi_label, probabilities=probabilities
        )
    names = [*labels, *sorted({name for item in gold for name in item} - set(labels))]
    truth = np.array([[name in item for name in names] for item in gold], dtype=bool).reshape(len(gold), len(names))
    scores = np.zeros((len(gold), len(names)))
    scores[:, : len(labels)] = probabilities
    given = [threshold.get(name, 0.5) if isinstance(threshold, Mapping) else threshold for name in names]
    found = _chosen(scores, multi_label, np.array(given))
    per_label: dict[str, dict[str, float]] = {}
    for i, name in enumerate(names):
        row = precision_recall_fscore_support(truth[:, i], found[:, i], average="binary", zero_division=0)
        per_label[name] = {
            "precision": float(row[0]),
            "recall": float(row[1]),
            "f1": float(row[2]),
            "support": float(truth[:, i].sum()),
        }
        # The curve of a label needs items with it and items without it, and a label that can be found.
        if i < len(labels) and 0 < truth[:, i].sum() < len(truth):
            per_label[name]["auroc"] = _area(truth[:, i], scores[:, i])
    seen = [name for i, name in enumerate(names) if truth[:, i].any() or found[:, i].any()]
    areas = [figures["auroc"] for figures in per_label.values() if "auroc" in figures]
    figures = {
        "accuracy": float((truth == found).all(axis=1).mean()),
        "macro_f1": float(np.mean([per_label[name]["f1"] for name in seen])) if seen else 0.0,
        "micro_f1": float(f1_score(truth.ravel(), found.ravel(), zero_division=0)) if seen else 0.0,
        "auroc": float(np.mean(areas)) if areas else 0.5,
        "ece": expected_calibration_error(*confidences(truth, scores, multi_label)),
    }
    judged = [
        (tuple(item), tuple(names[i] for i in np.flatnonzero(row))) for item, row in zip(gold, found, strict=True)
    ]
    return Scores(
        figures,
        per_label,
        "macro_f1",
        judged=judged,
        labels=tuple(names),
        multi_label=multi_label,
        probabilities=probabilities,
    )


def _chosen(scores: NDArray[np.floating[Any]], multi_label: bool, threshold: NDArray[np.float64]) -> NDArray[np.bool_]:
    if multi_label:
        return np.asarray((scores >= threshold) & (scores > 0))
    chosen = np.zeros(scores.shape, dtype=bool)
    rows = np.flatnonzero(scores.any(axis=1))
    chosen[rows, scores.argmax(axis=1)[rows]] = True
    return chosen


def confidences(
    truth: NDArray[np.bool_], probabilities: NDArray[np.floating[Any]], multi_label: bool
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Give what calibration compares: probabilities, and whether what they are given to is right.

    Parameters
    ----------
    truth : ndarray of bool, shape (items, labels)
    probabilities : ndarray of float, shape (items, labels)
        A row of zeros, for which nothing was found, is not right.
    multi_label : bool

    Returns
    -------
    confidences : ndarray of float, shape (n,)
        The best label's of each item, or, if `multi_label`, all of them.
    right : ndarray of bool, shape (n,)
    """
    if multi_label:
        return probabilities.ravel(), truth.ravel()
    best = probabilities.argmax(axis=1)
    rows = np.arange(len(probabilities))
    return probabilities[rows, best], truth[rows, best] & probabilities.any(axis=1)


def _area(truth: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))
