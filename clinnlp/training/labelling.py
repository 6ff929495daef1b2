"""Judging stages that give labels, and choosing from which probability on they give one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.errors import ConfigError
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores
from clinnlp.training.thresholds import best_threshold, least_probability

if TYPE_CHECKING:
    from clinnlp.stages._labelling import LabellingStage

__all__ = ["evaluate_labels", "tune_labels"]


def evaluate_labels(stage: LabellingStage, records: Gold) -> Scores:
    """Compare what a classifier finds with gold; see `LabellingStage.evaluate`."""
    gold, probabilities = stage.judge(read_gold(records))
    scores = score_labels(gold, probabilities, stage.labels, multi_label=stage.multi_label, threshold=stage.thresholds)
    if not stage.least:
        return scores
    answered = probabilities.any(axis=1) & (probabilities.max(axis=1) >= stage.least)
    right = np.array([found == names for names, found in scores.judged])
    coverage = {
        "coverage": float(answered.mean()),
        "answered_accuracy": float(right[answered].mean()) if answered.any() else 0.0,
    }
    return replace(scores, values_by_name={**scores.values_by_name, **coverage})


def tune_labels(stage: LabellingStage, records: Gold, accuracy: float | None = None) -> dict[str, float]:
    """Choose thresholds on development records; see `LabellingStage.tune`."""
    if (accuracy is None) is not stage.multi_label:
        told = (
            "several labels: leave accuracy out" if stage.multi_label else "one label: give the accuracy it shall have"
        )
        raise ConfigError(f"stage {stage.name!r} gives {told}")
    gold, probabilities = stage.judge(read_gold(records))
    if accuracy is None:
        truth = np.array([[label in names for label in stage.labels] for names in gold])
        own = stage.thresholds
        stage.threshold = {
            label: best_threshold(truth[:, i], probabilities[:, i], own[label]) for i, label in enumerate(stage.labels)
        }
        return dict(stage.threshold)
    best, there = probabilities.max(axis=1), probabilities.any(axis=1)
    right = np.array([[stage.labels[i]] == names for i, names in zip(probabilities.argmax(axis=1), gold, strict=True)])
    stage.abstain = least_probability(right & there, best, accuracy, stage.name)
    return {"abstain": stage.abstain, "coverage": float((there & (best >= stage.abstain)).mean())}
