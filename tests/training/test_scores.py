from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from clinnlp import FitConfig
from clinnlp.training.calibration import ReliabilityRow
from clinnlp.training.fit import FitReport
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores

NAMES = ["肺炎", "a, b | c\nd", "", "c"]


def single(seed: int, count: int = 60) -> tuple[list[int], np.ndarray, Scores]:
    chance = np.random.default_rng(seed)
    truth, rows = chance.integers(0, 4, count), chance.dirichlet([1] * 4, count)
    return truth.tolist(), rows, score_labels([[NAMES[i]] for i in truth], rows, NAMES)


def test_confusion_counts_are_those_of_scikit_learn_whatever_the_names() -> None:
    truth, rows, scores = single(0)
    assert scores.labels == tuple(NAMES)
    assert np.array_equal(scores.confusion, confusion_matrix(truth, rows.argmax(axis=1), labels=range(4)))
    assert [scores.per_label[name]["support"] for name in NAMES] == scores.confusion.sum(axis=1).tolist()


def test_an_item_for_which_nothing_was_found_is_in_no_column() -> None:
    rows = np.array([[0.0, 0.0], [0.9, 0.1], [0.2, 0.8]])
    scores = score_labels([["a"], ["a"], ["a"]], rows, ["a", "b"])
    assert scores.confusion.tolist() == [[1, 1], [0, 0]]
    # Nor is it right because the first label happens to be its gold.
    assert scores.reliability(2)[0] == ReliabilityRow(0.0, 0.0, 1)


def test_a_label_that_only_the_gold_has_gets_a_row() -> None:
    scores = score_labels([["new"], ["a"]], np.array([[0.7, 0.3], [0.6, 0.4]]), ["a", "b"])
    assert scores.labels == ("a", "b", "new")
    assert scores.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert sum(row.count for row in scores.reliability()) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 3)), st.lists(st.floats(0, 1), min_size=4, max_size=4)), min_size=1))
def test_counts_of_several_labels_are_those_of_scikit_learn(items: list[tuple[set[int], list[float]]]) -> None:
    rows = np.array([row for _, row in items])
    scores = score_labels([[NAMES[i] for i in gold] for gold, _ in items], rows, NAMES, multi_label=True)
    truth = np.array([[i in gold for i in range(4)] for gold, _ in items])
    assert np.array_equal(scores.truth, truth)
    assert np.array_equal(scores.confusion, multilabel_confusion_matrix(truth, rows >= 0.5))


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_rows_of_a_reliability_diagram_give_the_calibration_error(multi_label: bool) -> None:
    truth, rows, _ = single(1)
    scores = score_labels([[NAMES[i]] for i in truth], rows, NAMES, multi_label=multi_label)
    found = scores.reliability()
    total = sum(row.count for row in found)
    assert total == (4 if multi_label else 1) * len(truth)
    assert sum(row.count * abs(row.accuracy - row.confidence) for row in found) / total == pytest.approx(scores["ece"])
    best = rows.argmax(axis=1) == truth
    if not multi_label:
        assert sum(row.count * row.accuracy for row in found) == pytest.approx(best.sum())


def test_scores_of_the_same_items_are_equal_and_those_of_none_are_empty() -> None:
    assert single(2)[2] == single(2)[2] != single(3)[2]
    nothing = score_labels([], np.zeros((0, 4)), NAMES)
    assert nothing.reliability() == []
    assert nothing.confusion.tolist() == [[0] * 4] * 4


def test_scores_are_shown_in_a_line() -> None:
    judged = [(("a",), ("b",))] * 500
    shown = repr(Scores({"accuracy": 0.5}, {"a": {"f1": 0.2}}, judged=judged, labels=("a", "b")))
    assert shown == "Scores(accuracy=0.500; 1 labels)"


def test_a_report_is_shown_in_a_line_and_its_notes_below() -> None:
    report = FitReport(FitConfig(), history=[{"epoch": 1.0}] * 99, metric="f1", best_score=0.71, best_epoch=3.0)
    report.records, report.notes, report.seconds = {"ner": 12}, ["one thing"], 4.2
    assert repr(report) == "FitReport(f1 0.710 in epoch 3, 12 records for ner, 4 s)\n- one thing"
    assert repr(FitReport(FitConfig(), records={"ner": 1})) == "FitReport(1 records for ner, 0 s)"
