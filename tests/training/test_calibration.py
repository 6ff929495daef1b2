from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clinnlp.errors import TrainingError
from clinnlp.training.calibration import (
    ReliabilityRow,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def drawn(items: int, temperature: float, scale: float = 2.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and targets drawn from the softmax of logits / temperature."""
    chance = np.random.default_rng(0)
    logits = scale * temperature * chance.normal(size=(items, 4))
    below = softmax(logits / temperature).cumsum(axis=1) < chance.random((items, 1))
    return logits, np.minimum(below.sum(axis=1), 3)


def likelihood(logits: NDArray[np.float64], targets: NDArray[np.int64], temperature: float) -> float:
    own = softmax(logits / temperature)[np.arange(len(targets)), targets]
    return float(np.log(np.maximum(own, 1e-300)).mean())


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0, 12.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    logits, targets = drawn(20_000, temperature)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found_of_labels_of_their_own(temperature: float) -> None:
    chance = np.random.default_rng(1)
    logits = 2 * temperature * chance.normal(size=(10_000, 3))
    targets = chance.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))
    assert fit_temperature(logits, targets, multi_label=True) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_has_the_highest_likelihood() -> None:
    logits, targets = drawn(500, 2.5)
    found = fit_temperature(logits, targets)
    assert likelihood(logits, targets, found) > likelihood(logits, targets, found * 1.001)
    assert likelihood(logits, targets, found) > likelihood(logits, targets, found / 1.001)


def test_the_calibration_error_falls() -> None:
    logits, targets = drawn(5000, 4.0)

    def error(temperature: float) -> float:
        found = softmax(logits / temperature)
        return expected_calibration_error(found.max(axis=1), found.argmax(axis=1) == targets)

    assert error(1.0) > 0.15
    assert error(fit_temperature(logits, targets)) < 0.03


def test_rows_and_labels_without_a_target_are_left_out() -> None:
    logits, targets = drawn(600, 3.0)
    found = fit_temperature(logits, targets)
    more = np.concatenate([logits, np.full((300, 4), [9.0, np.nan, 0.0, -9.0])])
    ignored = np.concatenate([targets, np.full(300, -100)])
    assert fit_temperature(more, ignored) == pytest.approx(found, abs=1e-9)
    assert fit_temperature(more.reshape(90, 10, 4), ignored.reshape(90, 10)) == pytest.approx(found, abs=1e-9)
    two = np.array([[1.0, 3.0], [-2.0, 1.0], [2.0, -5.0], [-1.0, 9.0]])
    gold = np.array([[1, -100], [0, -100], [0, -100], [1, -100]])
    assert fit_temperature(two, gold, multi_label=True) == fit_temperature(two[:, :1], gold[:, :1], multi_label=True)


def test_tensors_of_32_bits_are_reckoned_with_in_64() -> None:
    logits, targets = drawn(600, 3.0)
    small = torch.tensor(logits, dtype=torch.float32)
    assert fit_temperature(small, torch.tensor(targets)) == fit_temperature(small.double(), targets)
    assert fit_temperature(small, targets) == pytest.approx(fit_temperature(logits, targets), rel=1e-5)


def test_gold_without_an_error_leaves_the_probabilities_as_they_are() -> None:
    logits, _ = drawn(50, 1.0)
    assert fit_temperature(logits, logits.argmax(axis=1)) == 1.0
    assert fit_temperature(logits[:1], logits[:1].argmax(axis=1)) == 1.0
    assert fit_temperature(logits, logits > 0, multi_label=True) == 1.0
    assert fit_temperature(np.zeros((3, 4)), [0, 1, 2]) == 1.0


def test_no_targets_leave_the_probabilities_as_they_are() -> None:
    assert fit_temperature([], []) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0
    assert fit_temperature(np.ones((2, 3)), [-100, -100]) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros((0, 3)), multi_label=True) == 1.0


def test_the_temperature_stays_in_its_bounds() -> None:
    logits, _ = drawn(50, 1.0)
    assert fit_temperature(logits, logits.argmin(axis=1)) == 20.0
    assert fit_temperature([[1e100, -1e100]], [1]) == 20.0
    assert fit_temperature([[2e-4, 1e-4]] * 9 + [[1e-4, 2e-4]], [0] * 10) == 0.05


@given(
    st.lists(
        st.tuples(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.sampled_from([0, 1, 2, -100])),
        max_size=8,
    )
)
def test_no_temperature_is_ever_outside_its_bounds(items: list[tuple[list[float], int]]) -> None:
    logits = np.array([row for row, _ in items]).reshape(len(items), 3)
    targets = np.array([target for _, target in items], dtype=int)
    assert 0.05 <= fit_temperature(logits, targets) <= 20
    assert 0.05 <= fit_temperature(logits, np.eye(3)[targets.clip(0)], multi_label=True) <= 20


def test_logits_and_targets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"\(2, 3\) do not fit targets of the shape \(3,\)"):
        fit_temperature(np.zeros((2, 3)), [0, 1, 2])
    with pytest.raises(TrainingError, match="do not fit"):
        fit_temperature(np.zeros((2, 3)), [0, 1], multi_label=True)
    with pytest.raises(TrainingError, match="none of the 3 labels 0 to 2"):
        fit_temperature(np.zeros((2, 3)), [0, 3])
    with pytest.raises(TrainingError, match="none of the 2 labels"):
        fit_temperature(np.zeros((1, 3)), [[0, 1, 0.5]], multi_label=True)
    with pytest.raises(TrainingError, match="not a finite number"):
        fit_temperature([[0.0, math.nan]], [0])


def test_confidence_that_is_right_as_often_as_it_says_has_no_error() -> None:
    confidences = np.repeat([0.25, 0.5, 0.75, 1.0], 4)
    correct = [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1]
    assert expected_calibration_error(confidences, correct) == pytest.approx(0, abs=1e-12)
    chance = np.random.default_rng(0)
    sure = chance.random(50_000)
    assert expected_calibration_error(sure, chance.random(50_000) < sure) < 0.01


def test_the_error_is_the_distance_weighted_by_items() -> None:
    confidences, correct = [0.9, 0.9, 0.9, 0.3], [True, False, False, True]
    assert expected_calibration_error(confidences, correct, bins=2) == pytest.approx(
        (3 * (0.9 - 1 / 3) + (1 - 0.3)) / 4
    )
    assert expected_calibration_error([0.5], [False]) == 0.5
    assert expected_calibration_error([0.8] * 5, [True] * 5) == pytest.approx(0.2)
    assert expected_calibration_error([], []) == 0.0


def test_rows_are_of_bins_of_equal_width_that_hold_their_upper_edge() -> None:
    rows = reliability([0.0, 0.2, 0.21, 0.6, 1.0, 0.9], [0, 1, 1, 0, 1, 1], bins=5)
    assert [row.count for row in rows] == [2, 1, 1, 2]
    assert rows[0] == ReliabilityRow(pytest.approx(0.1), 0.5, 2)
    assert rows[3] == ReliabilityRow(pytest.approx(0.95), 1.0, 2)
    assert reliability([], []) == []


def test_what_is_no_confidence_is_refused() -> None:
    for wrong in (1.2, -0.1, math.nan):
        with pytest.raises(TrainingError, match="not between 0 and 1"):
            reliability([wrong], [True])
    with pytest.raises(TrainingError, match="two lists"):
        expected_calibration_error([0.5, 0.5], [True])
    with pytest.raises(TrainingError, match="bins is 0"):
        reliability([0.5], [True], bins=0)
