"""Judging stages that give labels, and choosing from which probability on they give one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import ConfigError, TrainingError
from clinnlp.record import Record
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.gold import gold_name
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores
from clinnlp.training.splits import Contradiction, shared_texts
from clinnlp.training.thresholds import best_threshold, least_probability

if TYPE_CHECKING:
    from clinnlp.stages._labelling import LabellingStage

__all__ = ["check_split", "evaluate_labels", "gold_notes", "refuse_shared", "tune_labels"]

_NAMED = 5
# Share of the development records that may have what a training record has before a fit is refused.
_TOO_MANY = 0.2


def check_split(stage: Any, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> list[str]:
    """Refuse notes that stand on both sides of a split, unless they are allowed to: figures on them flatter.

    The same record, by text and id, is always refused. Texts that different records share may be chance, as short ones
    are: they are refused where they are a fifth of the development records or more, and told of where they are fewer.

    Returns
    -------
    list of str
        What the report should say of those that are allowed.

    Raises
    ------
    TrainingError
        With the number of such records, and two that share a text.
    """
    shared = [] if dev is None else shared_texts(train, dev)
    if not shared:
        return []
    assert dev is not None
    pairs = [(i, j) for one in shared for i in one.train for j in one.dev]
    told = f"{sum(len(one.dev) for one in shared)} of {len(dev)} development records have the text of a training record"
    return refuse_shared(
        stage, train, dev, pairs, told, "take them out of one (see clinnlp.training.splits.split)", config
    )


def refuse_shared(
    stage: Any,
    train: Sequence[Record],
    dev: Sequence[Record],
    pairs: Sequence[tuple[int, int]],
    told: str,
    advice: str,
    config: FitConfig,
) -> list[str]:
    """Refuse records that stand on both sides of a split, unless they are few or allowed to; see `check_split`.

    Parameters
    ----------
    stage : Stage
    train, dev : sequence of Record
    pairs : sequence of (int, int)
        Places of records of the two that are the same in what counts; at least one.
    told, advice : str
        How many they are, and what to do, for the message.
    config : FitConfig

    Returns
    -------
    list of str
        What the report should say of those that are allowed.

    Raises
    ------
    TrainingError
    """
    same = next(((i, j) for i, j in pairs if train[i].id == dev[j].id and train[i].id), None)
    count = len({j for _, j in pairs})
    if config.allow_shared or (same is None and count < _TOO_MANY * len(dev)):
        return [f"{told}: figures on them flatter"]
    ours, theirs = same or pairs[0]
    raise TrainingError(
        f"stage {stage.name!r}: {told}, such as {gold_name(train[ours], train)} and {gold_name(dev[theirs], dev)}:"
        f" {advice}, or fit with allow_shared=True"
    )


def gold_notes(
    stage: Any,
    train: Sequence[Sequence[str]],
    dev: Sequence[Sequence[str]] | None,
    clashes: Sequence[Contradiction] = (),
) -> list[str]:
    """Say which labels cannot be learned or judged for want of an example, and that texts have different gold.

    Parameters
    ----------
    stage : Stage
    train, dev : sequence of sequence of str
        The gold of each item.
    clashes : sequence of Contradiction
        Among the training records.
    """
    notes = []
    if clashes:
        places = sum(len(clash.places) for clash in clashes)
        notes.append(f"{len(clashes)} texts have different gold in {places} training records")
    for gold, told in (
        (train, "training example: they will not be found"),
        (dev, "development example to be judged by"),
    ):
        seen = {name for names in gold or () for name in names}
        missing = [label for label in stage.labels if label not in seen] if gold is not None else []
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            notes.append(f"{', '.join(missing[:_NAMED])}{more} have no {told}")
    return notes


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
        stage.tuned = True
        return dict(stage.threshold)
    best, there = probabilities.max(axis=1), probabilities.any(axis=1)
    right = np.array([[stage.labels[i]] == names for i, names in zip(probabilities.argmax(axis=1), gold, strict=True)])
    stage.abstain = least_probability(right & there, best, accuracy, stage.name)
    stage.tuned = True
    return {"abstain": stage.abstain, "coverage": float((there & (best >= stage.abstain)).mean())}
