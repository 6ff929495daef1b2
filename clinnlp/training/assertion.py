"""Judging assertions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.record import Assertion, Entity, Record
from clinnlp.stages._cues import FLAGS
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.metrics import score_labels

if TYPE_CHECKING:
    from clinnlp.training.scores import Scores

__all__ = ["evaluate_rules", "flags_of"]


def flags_of(assertion: Assertion) -> list[str]:
    """Give the names of the flags that are true."""
    return [flag for flag in FLAGS if getattr(assertion, flag)]


def evaluate_rules(stage: Any, records: Gold) -> Scores:
    """Compare the cues that a stage finds with gold; see `AssertionDetector.evaluate`."""
    gold: list[list[str]] = []
    rows: list[list[float]] = []
    for record in read_gold(records):
        entities, names = gold_of(record)
        gold += names
        rows += [[float(flag in found) for flag in FLAGS] for found in stage.cues(record, entities)]
    return score_labels(gold, np.array(rows), FLAGS, multi_label=True)


def gold_of(record: Record) -> tuple[Sequence[Entity], list[list[str]]]:
    """Give the entities of a record that have an assertion, and the flags of each."""
    entities = [entity for entity in record.entities if entity.assertion is not None]
    return entities, [flags_of(entity.assertion) for entity in entities if entity.assertion is not None]
