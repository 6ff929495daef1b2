"""Fine-tuning of stages that label spans, each read in a window of the note around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clinnlp.encoders.own_heads import torch_span_logits
from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.stages._span_stage import pieces_of
from clinnlp.training.batches import hide_words
from clinnlp.training.config import FitConfig
from clinnlp.training.gold import refuse_single_class, refuse_wordless, targets
from clinnlp.training.labelling import check_split, evaluate_labels, gold_notes, tune_labels
from clinnlp.training.losses import ClassificationLoss, class_weights
from clinnlp.training.sampling import rarest, resampled
from clinnlp.training.task import Batch, HeadTask

if TYPE_CHECKING:
    from clinnlp.encoders.text import TextWindows

__all__ = ["gold_spans", "span_task"]

# A new head learns too slowly at the encoder's rate, as that of whole reports does.
_HEAD_RATE = 10


@dataclass(slots=True)
class _Window:
    """A window, and the spans that are read in it: first piece, the one after the last, special ones counted."""

    row: list[int]
    spans: list[tuple[int, int]]
    targets: list[torch.Tensor]


def gold_spans(stage: Any, records: Sequence[Record]) -> list[tuple[Record, list[tuple[int, int]], list[list[str]]]]:
    """Give the records with gold, their spans and the names of the labels of each.

    Raises
    ------
    TrainingError
        If there are none.
    """
    found: list[tuple[Record, list[tuple[int, int]], list[list[str]]]] = stage.gold(records)
    if not found:
        raise TrainingError(f"stage {stage.name!r}: no record has gold under the name {stage.name!r}")
    return found


def span_task(stage: Any, records: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
    """Give what a stage learns from the gold labels of spans.

    A span is learned in the window that holds most around it; of one that is longer than a window, the part that the
    window holds. The head learns at ten times the encoder's rate, where the configuration does not say otherwise.

    Raises
    ------
    TrainingError
        If there is no gold, it has labels that the head does not know, or all of it is the same.
    """
    items = gold_spans(stage, records)
    gold = [names for _, _, some in items for names in some]
    owners = [record for record, _, some in items for _ in some]
    aims = targets(gold, owners, stage.labels, stage.multi_label, stage.name)
    refuse_single_class(gold, stage)
    judged = None if dev is None else gold_spans(stage, dev)
    others = None if judged is None else [record for record, _, _ in judged]
    notes = check_split(stage, [record for record, _, _ in items], others, config)
    notes += gold_notes(stage, gold, None if judged is None else [names for _, _, some in judged for names in some])
    examples, lost = _windows(stage.windows, items, aims)
    counts = Counter(name for names in gold for name in set(names))
    weights = class_weights(config.class_weights, [counts[name] for name in stage.labels], stage.labels)
    loss = ClassificationLoss(config, stage.multi_label, weights)
    if config.resample is not None:
        kinds = [sorted({stage.labels[i] for aim in one.targets for i in _classes(aim)}) for one in examples]
        examples = [examples[i] for i in resampled(rarest(kinds), config.resample, config.seed)]

    def collate(windows: Sequence[_Window], chance: torch.Generator) -> Batch:
        part = stage.windows.pad([window.row for window in windows])
        if config.freeze is None:
            hide_words(part, stage.windows, config.mask_words, chance)
        spans = [(i, *span) for i, window in enumerate(windows) for span in window.spans]
        return {
            "parts": [part],
            "spans": torch.tensor(spans),
            "labels": torch.stack([aim for window in windows for aim in window.targets]),
        }

    def give_loss(outputs: list[torch.Tensor], batch: Batch, taught: list[list[torch.Tensor]]) -> torch.Tensor:
        logits = torch_span_logits(outputs[0].float(), batch["spans"])
        teachers = [torch_span_logits(own[0].float(), batch["spans"]) for own in taught]
        soft = [one.sigmoid() if stage.multi_label else one.softmax(dim=-1) for one in teachers]
        return loss(logits, batch["labels"], torch.stack(soft).mean(0) if soft else None)

    return HeadTask(
        stage=stage,
        head=stage.head,
        examples=examples,
        lengths=[len(window.row) for window in examples],
        collate=collate,
        loss=give_loss,
        evaluate=None if dev is None else lambda: evaluate_labels(stage, dev),
        logits=None if dev is None else lambda: _span_logits(stage, dev),
        tune=None if dev is None or not stage.multi_label else lambda: tune_labels(stage, dev),
        head_rate=config.head_learning_rate or _HEAD_RATE * config.learning_rate,
        records=len(items),
        notes=notes + ([f"{lost} gold spans have no word, and were left out"] if lost else []),
    )


def _span_logits(stage: Any, records: Sequence[Record]) -> tuple[Any, Any, bool]:
    """Give the logits of the spans of records that have a word, and their gold."""
    items = gold_spans(stage, records)
    found = list(stage.logits_of_spans([record for record, _, _ in items], [spans for _, spans, _ in items]))
    logits, there = (np.concatenate(parts) for parts in zip(*found, strict=True))
    gold = [names for _, _, some in items for names in some]
    owners = [record for record, _, some in items for _ in some]
    known = [i for i, names in enumerate(gold) if there[i] and set(names) <= set(stage.labels)]
    refuse_wordless(known, stage)
    aims = targets([gold[i] for i in known], [owners[i] for i in known], stage.labels, stage.multi_label, stage.name)
    return logits[known], aims.numpy(), stage.multi_label


def _classes(target: torch.Tensor) -> list[int]:
    return target.nonzero().flatten().tolist() if target.ndim else [int(target)]


def _windows(
    windows: TextWindows, items: Sequence[tuple[Record, list[tuple[int, int]], Any]], aims: torch.Tensor
) -> tuple[list[_Window], int]:
    """Give the windows that have spans to learn, and how many spans have no word."""
    views = [record.view for record, _, _ in items]
    every = windows.paragraphs(view.text for view in views)
    made: list[_Window] = []
    number = lost = 0
    for view, paragraphs, (_, spans, _) in zip(views, every, items, strict=True):
        cut = windows.windows(paragraphs)
        shifts = np.cumsum([0, *(len(paragraph.ids) for paragraph in paragraphs)])
        found: dict[int, _Window] = {}
        for first, last in pieces_of(paragraphs, [view.to_target(*span) for span in spans]):
            aim = aims[number]
            number += 1
            if first == last:
                lost += 1
                continue
            i = _best(cut, shifts, first, last)
            if i not in found:
                found[i] = _Window(windows.input_ids(paragraphs[cut[i].paragraph], cut[i]), [], [])
            start = int(shifts[cut[i].paragraph]) + cut[i].start - len(windows.prefix)
            end = int(shifts[cut[i].paragraph]) + cut[i].end
            found[i].spans.append((max(first - start, len(windows.prefix)), min(last, end) - start))
            found[i].targets.append(aim)
        made += found.values()
    return made, lost


def _best(cut: Sequence[Any], shifts: Any, first: int, last: int) -> int:
    """Choose the window that holds most of a span, and of those the one with most on its narrower side."""

    def room(i: int) -> tuple[int, int]:
        start, end = int(shifts[cut[i].paragraph]) + cut[i].start, int(shifts[cut[i].paragraph]) + cut[i].end
        return min(last, end) - max(first, start), min(first - start, end - last)

    return max(range(len(cut)), key=room)
