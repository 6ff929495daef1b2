"""Judging assertions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import TrainingError
from clinnlp.record import Assertion, Entity, Record
from clinnlp.stages._cues import FLAGS
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.metrics import score_labels

if TYPE_CHECKING:
    from clinnlp.training.scores import Scores

__all__ = ["evaluate_rules", "flags_of", "gold_entities"]


def flags_of(assertion: Assertion) -> list[str]:
    """Give the names of the flags that are true."""
    return [flag for flag in FLAGS if getattr(assertion, flag)]


def evaluate_rules(stage: Any, records: Gold) -> Scores:
    """Compare the cues that a stage finds with gold; see `AssertionDetector.evaluate`."""
    items = gold_entities(stage, read_gold(records))
    gold = [names for _, _, some in items for names in some]
    cues = [found for record, entities, _ in items for found in stage.cues(record, entities)]
    rows = np.array([[float(flag in found) for flag in FLAGS] for found in cues])
    return score_labels(gold, rows, FLAGS, multi_label=True)


def gold_entities(stage: Any, records: Sequence[Record]) -> list[tuple[Record, Sequence[Entity], list[list[str]]]]:
    """Give the records with gold, their entities that have some, and the flags of each.

    Raises
    ------
    TrainingError
        If there are none.
    """
    items = [(record, *gold_of(record)) for record in records]
    items = [item for item in items if item[1]]
    if not items:
        raise TrainingError(f"stage {stage.name!r}: no entity has an assertion to learn from or to be judged by")
    return items


def gold_of(record: Record) -> tuple[Sequence[Entity], list[list[str]]]:
    """Give the entities of a record that have an assertion, and the flags of each."""
    entities = [entity for entity in record.entities if entity.assertion is not None]
    return entities, [flags_of(entity.assertion) for entity in entities if entity.assertion is not None]
