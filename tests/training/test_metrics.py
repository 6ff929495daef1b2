from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from clinnlp.training.metrics import score_labels

NAMES = ["a", "b", "c"]


def test_figures_of_single_labels_are_those_of_scikit_learn() -> None:
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 3, 200)
    scores = chance.dirichlet([1, 1, 1], 200) + 0.4 * np.eye(3)[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    found = scores.argmax(axis=1)
    figures = score_labels([[NAMES[i]] for i in truth], scores, NAMES)
    assert figures["accuracy"] == pytest.approx(accuracy_score(truth, found))
    assert figures["macro_f1"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert figures["micro_f1"] == pytest.approx(f1_score(truth, found, average="micro"))
    assert figures["auroc"] == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr"))
    assert figures.per_label["b"]["support"] == (truth == 1).sum()
    assert figures.primary == "macro_f1"


def test_figures_of_multiple_labels_are_those_of_scikit_learn() -> None:
    chance = np.random.default_rng(1)
    truth = chance.random((100, 3)) < 0.4
    scores = np.clip(chance.random((100, 3)) * 0.7 + 0.3 * truth, 0, 1)
    gold = [[name for name, there in zip(NAMES, row, strict=True) if there] for row in truth]
    figures = score_labels(gold, scores, NAMES, multi_label=True, threshold=0.6)
    found = scores >= 0.6
    assert figures["accuracy"] == pytest.approx(accuracy_score(truth, found))
    assert figures["macro_f1"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert figures["micro_f1"] == pytest.approx(f1_score(truth, found, average="micro"))
    assert figures["auroc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))


def test_the_area_of_two_classes_is_the_usual_one() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.2, 0.8]])
    figures = score_labels([["a"], ["b"], ["a"], ["b"]], scores, ["a", "b"])
    assert figures["auroc"] == pytest.approx(roc_auc_score([0, 1, 0, 1], scores[:, 1]))


def test_a_class_that_does_not_occur_leaves_the_figures_defined() -> None:
    figures = score_labels([["a"], ["a"]], np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1]]), NAMES)
    assert dict(figures) == {
        "accuracy": 1.0,
        "macro_f1": 1.0,
        "micro_f1": 1.0,
        "auroc": 0.5,
        "ece": pytest.approx(0.15),
    }
    assert "auroc" not in figures.per_label["a"]
    partly = score_labels([["a"], ["b"]], np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]), NAMES)
    assert partly["auroc"] == 1.0
    assert partly["macro_f1"] == 1.0


def test_a_label_that_the_head_does_not_know_is_missed() -> None:
    figures = score_labels([["a"], ["new"]], np.array([[0.9, 0.1], [0.8, 0.2]]), ["a", "b"])
    assert figures["accuracy"] == 0.5
    assert figures.per_label["new"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1.0}


def test_an_item_with_nothing_found_is_wrong_and_an_empty_one_of_many_labels_right() -> None:
    zeros = np.zeros((1, 2))
    assert score_labels([["a"]], zeros, ["a", "b"])["accuracy"] == 0.0
    assert score_labels([[]], zeros, ["a", "b"], multi_label=True, threshold=0.0)["accuracy"] == 1.0


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.floats(0, 1), min_size=3, max_size=3)), max_size=12))
def test_no_figure_is_ever_outside_0_and_1(items: list[tuple[int, list[float]]]) -> None:
    scores = np.array([row for _, row in items]).reshape(len(items), 3)
    for multi_label in (False, True):
        figures = score_labels([[NAMES[i]] for i, _ in items], scores, NAMES, multi_label=multi_label)
        values = [
            *figures.values(),
            *(v for row in figures.per_label.values() for k, v in row.items() if k != "support"),
        ]
        assert all(math.isfinite(value) and 0 <= value <= 1 for value in values)
