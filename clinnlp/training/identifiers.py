"""Fine-tuning and judging the head of a deidentification stage."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinnlp.errors import TrainingError
from clinnlp.record import Entity, Record
from clinnlp.stages._identifiers.sparing import may_stay
from clinnlp.training.config import FitConfig
from clinnlp.training.entities import entity_task, score_spans
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.gold import longest_spans
from clinnlp.training.scores import Scores
from clinnlp.training.task import HeadTask

if TYPE_CHECKING:
    from clinnlp.stages.deidentification import Deidentifier

__all__ = ["evaluate_identifiers", "identifier_task", "score_removal"]


def identifier_task(
    stage: Deidentifier, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig
) -> HeadTask:
    """Give what the head of a stage learns from gold identifiers; on `dev` the head alone is judged."""
    placed = [stage.place_gold(record) for record in train]
    judged = None if dev is None else [stage.place_gold(record) for record in dev]
    task = entity_task(stage, placed, judged, config)
    if judged is not None:
        task.evaluate = lambda: _evaluate_head(stage, judged)
    return task


def _evaluate_head(stage: Deidentifier, records: Sequence[Record]) -> Scores:
    found = [[Entity(one.start, one.end, one.label) for one in some] for some in stage._found_by_head(records)]
    return score_spans([longest_spans(record.entities) for record in records], found)


def evaluate_identifiers(stage: Deidentifier, records: Gold, labels: Sequence[str] | None = None) -> Scores:
    """Compare what a stage finds with gold; see `Deidentifier.evaluate`."""
    gold = read_gold(records)
    if not any(record.identifiers for record in gold):
        raise TrainingError(f"stage {stage.name!r}: no record has gold identifiers to be judged by")
    bare = [copy.copy(record) for record in gold]
    for record in bare:
        record.identifiers = []
    found = stage.find(bare)
    wanted = [
        [
            entity
            for entity in record.identifiers
            if (labels is None or entity.label in labels) and not may_stay(entity.text, entity.label)
        ]
        for record in gold
    ]
    return score_removal(wanted, found)


def score_removal(gold: Sequence[Sequence[Entity]], found: Sequence[Sequence[Entity]]) -> Scores:
    """Score strict spans, and beside them what is replaced and what need not have been.

    Parameters
    ----------
    gold, found : sequence of sequence of Entity
        Of each record.

    Returns
    -------
    Scores
        As `Deidentifier.evaluate` says.
    """
    scores = score_spans(gold, found)
    removed: dict[str, list[bool]] = {}
    needed: list[bool] = []
    for of_gold, of_found in zip(gold, found, strict=True):
        for one in of_gold:
            removed.setdefault(one.label, []).append(_is_covered(one, of_found))
        needed += [any(other.start < one.end and one.start < other.end for other in of_gold) for one in of_found]
    for label, some in removed.items():
        scores.per_label[label]["removed"] = sum(some) / len(some)
    every = [one for some in removed.values() for one in some]
    scores.values_by_name["removed"] = sum(every) / len(every) if every else 0.0
    scores.values_by_name["needed"] = sum(needed) / len(needed) if needed else 0.0
    return scores


def _is_covered(one: Entity, found: Sequence[Entity]) -> bool:
    """Tell whether every letter and digit of an identifier is replaced."""
    left = set(range(one.start, one.end))
    for other in found:
        left.difference_update(range(max(other.start, one.start), min(other.end, one.end)))
    return not any(one.text[at - one.start].isalnum() for at in left)
