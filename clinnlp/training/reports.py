"""Fine-tuning and judging a report classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed

from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.batches import hide_words
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, FitTask, Gold, fit_task, read_gold
from clinnlp.training.gold import gold_names, targets
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores

if TYPE_CHECKING:
    from clinnlp.stages.reports import ReportClassifier

__all__ = ["evaluate_reports", "fit_reports"]

# What a report counts of FitConfig.batch_tokens. Every batch has the same number of reports, long and short: with
# batches of like length, a short report's gradient would be shared with many others and a long one's with few.
_TOKENS = 128
# A new head on the outputs of one position learns too slowly at the encoder's rate: after three epochs on MTS-Dialog
# accuracy was 0.53 at the same rate, and 0.65 at twenty times that.
_HEAD_RATE = 10
# How much longer than batch_tokens a batch may be before windows are left out.
_LONGEST = 4


@dataclass(slots=True)
class _Report:
    """The windows of a report, how much each weighs, and the report's target."""

    rows: list[list[int]]
    shares: list[int]
    target: torch.Tensor

    def __len__(self) -> int:
        return sum(len(row) for row in self.rows)


def fit_reports(stage: ReportClassifier, train: Gold, dev: Gold | None, config: FitConfig | None) -> FitReport:
    """Fine-tune a report classifier in place, by the loss of each report's averaged logits.

    The head learns at ten times the encoder's rate, where the configuration does not say otherwise.

    Where the reports of a batch are too long together, windows of the longest are left out by chance, others each
    time. See `ReportClassifier.fit`.
    """
    config = config or FitConfig(epochs=8, learning_rate=1e-4, head_learning_rate=2e-3)
    if config.head_learning_rate is None:
        config = replace(config, head_learning_rate=_HEAD_RATE * config.learning_rate)
    records, gold = _labelled(stage, train)
    aims = targets(gold, records, stage.labels, stage.multi_label, stage.name)
    development = None if dev is None else read_gold(dev)
    set_seed(config.seed)
    model: Any = stage.model
    examples = _examples(stage, records, aims)
    task = FitTask(
        model=model,
        examples=examples,
        lengths=[_TOKENS] * len(examples),
        collate=lambda items: _collate(stage, items, config, model.training),
        evaluate=None if development is None else lambda: evaluate_reports(stage, development),
        loss=_multi_label_loss if stage.multi_label else _single_label_loss,
    )
    if development is not None:
        _labelled(stage, development)
    stage.weights_changed = True
    report = fit_task(task, config)
    if wordless := len(records) - len(examples):
        report.notes.append(f"{wordless} training records have no word, and were left out")
    if config.output is not None:
        report.folder = stage.save(Path(config.output))
    return report


def evaluate_reports(stage: ReportClassifier, records: Gold) -> Scores:
    """Compare what a report classifier finds with gold; see `ReportClassifier.evaluate`."""
    items, gold = _labelled(stage, records)
    scores, _ = stage.predict([record.view.text for record in items])
    return score_labels(gold, scores, stage.labels, multi_label=stage.multi_label, threshold=stage.threshold)


def _labelled(stage: ReportClassifier, records: Gold) -> tuple[list[Record], list[list[str]]]:
    """Give the records that have gold, and its names."""
    kept: list[Record] = []
    gold: list[list[str]] = []
    for record in read_gold(records):
        names = gold_names(record.labels, stage.name)
        if names or (names is not None and stage.multi_label):
            kept.append(record)
            gold.append(names)
    if not kept:
        raise TrainingError(f"stage {stage.name!r}: no record has gold under labels[{stage.name!r}]")
    return kept, gold


def _examples(stage: ReportClassifier, records: Sequence[Record], aims: torch.Tensor) -> list[_Report]:
    reports = [_Report([], [], aim) for aim in aims]
    for owner, share, row in zip(*stage.cut([record.view.text for record in records]), strict=True):
        reports[owner].rows.append(row)
        reports[owner].shares.append(share)
    return [report for report in reports if report.rows]


def _collate(stage: ReportClassifier, items: Sequence[_Report], config: FitConfig, training: bool) -> dict[str, Any]:
    """Make a batch of reports: their windows in parts of like length, and which of them are whose."""
    level = _level([len(report) for report in items], _LONGEST * config.batch_tokens)
    windows = [
        (report.rows[i], float(report.shares[i]), number)
        for number, report in enumerate(items)
        for i in _chosen_windows(report, level)
    ]
    windows.sort(key=lambda window: -len(window[0]))
    parts: list[list[list[int]]] = []
    for row, _, _ in windows:
        if parts and 2 * len(row) >= len(parts[-1][0]):
            parts[-1].append(row)
        else:
            parts.append([row])
    padded = [stage.windows.pad(part) for part in parts]
    for part in padded if training else ():
        hide_words(part, stage.windows, config.mask_words)
    return {
        "parts": padded,
        "owners": torch.tensor([owner for _, _, owner in windows]),
        "shares": torch.tensor([share for _, share, _ in windows]),
        "labels": torch.stack([report.target for report in items]),
    }


def _level(sizes: Sequence[int], budget: int) -> int:
    """Give the largest size to which all may be cut so that they fit the budget together."""
    left = budget
    for i, size in enumerate(sorted(sizes)):
        if size * (len(sizes) - i) > left:
            return left // (len(sizes) - i)
        left -= size
    return max(sizes)


def _chosen_windows(report: _Report, budget: int) -> list[int]:
    if len(report) <= budget:
        return list(range(len(report.rows)))
    chosen: list[int] = []
    total = 0
    for i in torch.randperm(len(report.rows)).tolist():
        total += len(report.rows[i])
        if chosen and total > budget:
            break
        chosen.append(i)
    return sorted(chosen)


def _pooled_logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Average the logits of each report's windows, weighted by their shares; shape (reports, labels)."""
    logits = torch.cat([model(**part).logits for part in batch["parts"]])
    shares, owners = batch["shares"].to(logits.dtype), batch["owners"]
    size = len(batch["labels"])
    sums = logits.new_zeros((size, logits.shape[1])).index_add(0, owners, logits * shares[:, None])
    return sums / logits.new_zeros(size).index_add(0, owners, shares)[:, None]


def _single_label_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(_pooled_logits(model, batch), batch["labels"])


def _multi_label_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(_pooled_logits(model, batch), batch["labels"])
