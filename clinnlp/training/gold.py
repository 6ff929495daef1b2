"""Gold as training targets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from clinnlp._binding import record_name
from clinnlp.errors import TrainingError
from clinnlp.labels import Label, shown_label
from clinnlp.record import Entity, Record

__all__ = ["gold_name", "gold_names", "longest_spans", "refuse_single_class", "refuse_wordless", "targets"]


def longest_spans(entities: Iterable[Entity]) -> list[Entity]:
    """Keep the longest of entities that overlap, the first of equal ones, in order of their place."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda e: (e.start - e.end, e.start)):
        at = bisect_left(kept, entity.end, key=lambda e: e.start)
        # What is kept is disjoint and in order, so only the one before the place can reach into it.
        if not at or kept[at - 1].end <= entity.start:
            kept.insert(at, entity)
    return kept


def gold_names(labels: dict[str, list[Label]], name: str) -> list[str] | None:
    """Give the names of the labels under `name`, or None where there are none: an empty list is no label at all."""
    given = labels.get(name)
    return None if given is None else [label.name for label in given]


def gold_name(record: Record, records: Iterable[Record]) -> str:
    """Give how a message names one of the records with gold, of which some may stand there several times."""
    if record.id:
        return record_name(record.id)
    return record_name("", list(dict.fromkeys(map(id, records))).index(id(record)), " of those with gold")


def targets(
    gold: Sequence[Sequence[str]], records: Sequence[Record], labels: Sequence[str], multi_label: bool, stage: str
) -> torch.Tensor:
    """Give the targets of a loss.

    Parameters
    ----------
    gold : sequence of sequence of str
        Names of the labels of each item.
    records : sequence of Record
        The record of each item, for error messages.
    labels : sequence of str
        Labels of the head.

    Returns
    -------
    Tensor of int64, shape (items,), or of float32, shape (items, labels), if `multi_label`

    Raises
    ------
    TrainingError
        If there is no gold, a label is not the head's, or an item does not have the one label that it should.
    """
    if not gold:
        raise TrainingError(f"stage {stage!r}: no record has gold under labels[{stage!r}]")
    numbers = {label: i for i, label in enumerate(labels)}
    made = torch.zeros((len(gold), len(labels)))
    for i, (names, record) in enumerate(zip(gold, records, strict=True)):
        if unknown := [name for name in names if name not in numbers]:
            raise TrainingError(
                f"stage {stage!r}: {gold_name(record, records)} has the gold label {shown_label(unknown[0])}, which the"
                f" head does not know: its labels are {', '.join(labels)}"
            )
        if not multi_label and len(set(names)) != 1:
            raise TrainingError(
                f"stage {stage!r}: {gold_name(record, records)} has {len(set(names))} gold labels, and the head gives"
                " one: make it with multi_label=True, or give one label"
            )
        made[i, [numbers[name] for name in names]] = 1
    return made if multi_label else made.argmax(dim=1)


def refuse_single_class(gold: Sequence[Sequence[str]], stage: Any) -> None:
    """Refuse gold that is the same everywhere: a classifier would learn to say one thing.

    Raises
    ------
    TrainingError
        With the class.
    """
    found = {tuple(sorted(set(names))) for names in gold}
    if not found:
        raise TrainingError(f"stage {stage.name!r}: no training example with gold has a word")
    if len(found) == 1:
        told = ", ".join(map(shown_label, found.pop()))
        raise TrainingError(
            f"stage {stage.name!r}: all {len(gold)} training examples have the gold [{told}]: there is"
            " nothing to tell apart; give examples of other classes too"
        )


def refuse_wordless(known: Sequence[int], stage: Any) -> None:
    """Refuse development records of which none has a word and gold that the head knows.

    Raises
    ------
    TrainingError
        In that case.
    """
    if not known:
        raise TrainingError(
            f"stage {stage.name!r}: no development example has both a word and gold that the head knows: there is"
            " nothing to fit a temperature on"
        )
