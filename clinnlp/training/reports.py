"""Fine-tuning and judging a report classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from clinnlp._binding import record_name
from clinnlp.encoders.bag_of_words import BagOfWords, has_terms
from clinnlp.engines.release import OTHER, section_name
from clinnlp.errors import RecordError, TrainingError
from clinnlp.record import Record
from clinnlp.training.batches import hide_words
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.gold import gold_names, refuse_single_class, refuse_wordless, targets
from clinnlp.training.labelling import check_split, evaluate_labels, gold_notes, tune_labels
from clinnlp.training.losses import ClassificationLoss, class_weights
from clinnlp.training.sampling import rarest, resampled
from clinnlp.training.splits import contradictions
from clinnlp.training.task import Batch, HeadTask

if TYPE_CHECKING:
    from clinnlp.stages.reports import ReportClassifier

__all__ = ["Report", "TextClassifier", "collate", "pooled", "read_reports", "report_task", "with_gold"]

# What a report counts of FitConfig.batch_tokens. Every batch has the same number of reports, long and short: with
# batches of like length, a short report's gradient would be shared with many others and a long one's with few.
_TOKENS = 128
# A new head on the outputs of one position learns too slowly at the encoder's rate: after three epochs on MTS-Dialog
# accuracy was 0.53 at the same rate, and 0.65 at twenty times that. Its pooler too: with that at the encoder's rate a
# linear head on the mean of all pieces was 8 points better, with both at the head's rate it is level.
_HEAD_RATE = 10
# Of the bag of words that votes with a head. Chosen by cross-validation inside of the training records instead, as a
# baseline's are, accuracy on MTS-Dialog was the same (0.762 with `method="linear"`, two seeds), at five times the cost.
BAG_FEATURES, BAG_STRENGTH = ("words", "characters"), 10.0
# How much longer than batch_tokens a batch may be before windows are left out.
_LONGEST = 4


@dataclass(slots=True)
class Report:
    """The windows of a report, how much each weighs, the report's target, and its place among those with gold."""

    rows: list[list[int]]
    shares: list[int]
    target: torch.Tensor
    place: int

    def __len__(self) -> int:
        return sum(len(row) for row in self.rows)


def report_task(
    stage: ReportClassifier, records: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig
) -> HeadTask:
    """Give what a report classifier learns from gold labels: the loss of each report's averaged logits.

    The head learns at ten times the encoder's rate, where the configuration does not say otherwise.

    Where the reports of a batch are too long together, windows of the longest are left out by chance, others each
    time.

    Raises
    ------
    TrainingError
        If there is no gold, it has labels that the head does not know, all of it is the same, or no record has one of
        the sections that the stage reads.
    """
    items, gold = with_gold(stage, records)
    aims = targets(gold, items, stage.labels, stage.multi_label, stage.name)
    refuse_single_class(gold, stage)
    judged = None if dev is None else with_gold(stage, dev)
    notes = check_split(stage, items, None if judged is None else judged[0], config)
    clashes = contradictions(items, stage.name, multi_label=stage.multi_label)
    notes += gold_notes(stage, gold, None if judged is None else judged[1], clashes)
    reports = read_reports(stage, items, aims)
    kept = [i for i, report in enumerate(reports) if report.rows]
    read, examples = [items[i] for i in kept], [reports[i] for i in kept]
    unread = _without_sections(stage, items)
    if unread:
        notes.append(f"{unread} of {len(items)} training records have none of the sections, and were left out")
    if wordless := len(items) - len(examples):
        if wordless > unread:
            notes.append(f"{wordless - unread} training records have no word, and were left out")
        refuse_single_class([names for names, report in zip(gold, reports, strict=True) if report.rows], stage)
    counts = Counter(name for names in gold for name in set(names))
    weights = class_weights(config.class_weights, [counts[name] for name in stage.labels], stage.labels)
    loss = ClassificationLoss(config, stage.multi_label, weights)
    if config.resample is not None:
        names = [[stage.labels[i] for i in _classes(item.target)] for item in examples]
        examples = [examples[i] for i in resampled(rarest(names), config.resample, config.seed)]

    votes: dict[int, torch.Tensor] = {}

    def with_bag(number: int, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        bag = task.teachers[number].bag
        if bag is None:
            return logits
        if number not in votes:
            votes[number] = torch.from_numpy(bag.log_odds([stage.reads(record).text for record in items]))
        return (logits + votes[number][batch["places"].cpu()].to(logits)) / 2

    def give_loss(outputs: list[torch.Tensor], batch: Batch, taught: list[list[torch.Tensor]]) -> torch.Tensor:
        probabilities = [
            _to_probabilities(with_bag(i, teacher.head_logits_of(pooled(parts, batch)), batch), stage.multi_label)
            for i, (teacher, parts) in enumerate(zip(task.teachers, taught, strict=True))
        ]
        soft = torch.stack(probabilities).mean(0) if probabilities else None
        return loss(stage.head_logits_of(pooled(outputs, batch)), batch["labels"], soft)

    task = HeadTask(
        stage=stage,
        head=stage.head,
        examples=examples,
        lengths=[_TOKENS] * len(examples),
        collate=lambda items, chance: collate(stage, items, config, chance),
        loss=give_loss,
        evaluate=None if dev is None else lambda: evaluate_labels(stage, dev),
        logits=None if dev is None else lambda: _report_logits(stage, dev),
        tune=None if dev is None or not stage.multi_label else lambda: tune_labels(stage, dev),
        head_rate=config.head_learning_rate or _HEAD_RATE * config.learning_rate,
        prepare=(lambda: _fit_bag(stage, read, aims[kept])) if stage.has_bag else None,
        records=len(items),
        notes=notes,
    )
    return task


def _without_sections(stage: ReportClassifier, records: Sequence[Record]) -> int:
    """Count the records that have none of the sections that the stage reads.

    Raises
    ------
    TrainingError
        If none has one, with the names of those that there are, but for those that are words of a note.
    """
    if stage.sections is None:
        return 0
    without = [not any(section.name in stage.sections for section in record.sections) for record in records]
    if not all(without):
        return sum(without)
    names = {section_name(section) for record in records for section in record.sections if section.name}
    named = ", ".join(sorted(names - {OTHER})) + (", and some named after their own headings" if OTHER in names else "")
    raise TrainingError(
        f"stage {stage.name!r}: no training record has a section {' or '.join(map(repr, stage.sections))}: the sections"
        f" that there are: {named.removeprefix(', and ') or 'none'}"
    )


def _fit_bag(stage: ReportClassifier, items: Sequence[Record], aims: torch.Tensor) -> Callable[[], None]:
    """Fit the bag of words that votes with the head; give what puts the one before back."""
    before = stage.bag
    truth = aims.numpy() > 0 if stage.multi_label else aims.numpy()[:, None] == np.arange(len(stage.labels))
    texts = [stage.reads(record).text for record in items]
    # A text of marks alone has word pieces, and no term.
    stage.bag = BagOfWords.fit(texts, truth, BAG_FEATURES, BAG_STRENGTH) if any(map(has_terms, texts)) else None

    def put_back() -> None:
        stage.bag = before

    return put_back


def _classes(target: torch.Tensor) -> list[int]:
    return target.nonzero().flatten().tolist() if target.ndim else [int(target)]


def _to_probabilities(logits: torch.Tensor, multi_label: bool) -> torch.Tensor:
    return logits.float().sigmoid() if multi_label else logits.float().softmax(dim=-1)


def _report_logits(stage: ReportClassifier, records: Sequence[Record]) -> tuple[Any, Any, bool]:
    """Give the logits of records and their gold."""
    items, gold = with_gold(stage, records)
    logits, empty = stage.pooled_logits([stage.reads(record).text for record in items])
    known = [i for i, names in enumerate(gold) if not empty[i] and set(names) <= set(stage.labels)]
    refuse_wordless(known, stage)
    aims = targets([gold[i] for i in known], [items[i] for i in known], stage.labels, stage.multi_label, stage.name)
    return logits[known], aims.numpy(), stage.multi_label


class TextClassifier(Protocol):
    """What gives texts labels: a `ReportClassifier`, or what it is compared with."""

    name: str

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""


def with_gold(stage: TextClassifier, records: Gold) -> tuple[list[Record], list[list[str]]]:
    """Give the records that have gold, and its names.

    Parameters
    ----------
    stage : TextClassifier
    records : sequence of Record or datasets.Dataset

    Returns
    -------
    records : list of Record
        Those with labels under the classifier's name; of one that gives any number of them an empty list is gold too.
    gold : list of list of str

    Raises
    ------
    TrainingError
        If there are none.
    RecordError
        If the classifier reads sections, and nobody looked for some.
    """
    kept: list[Record] = []
    gold: list[list[str]] = []
    for place, record in enumerate(read_gold(records)):
        names = gold_names(record.labels, stage.name)
        if names or (names is not None and stage.multi_label):
            if getattr(stage, "sections", None) is not None and not record.has("sections"):
                name = record_name(record.id, place)
                raise RecordError(f"{name} has no 'sections': run a stage that assigns them before")
            kept.append(record)
            gold.append(names)
    if not kept:
        raise TrainingError(f"stage {stage.name!r}: no record has gold under labels[{stage.name!r}]")
    return kept, gold


def read_reports(stage: ReportClassifier, records: Sequence[Record], aims: torch.Tensor) -> list[Report]:
    """Cut records into windows; one without a word has none."""
    reports = [Report([], [], aim, place) for place, aim in enumerate(aims)]
    windows = stage.windows
    for report, paragraphs in zip(
        reports, windows.paragraphs(stage.reads(record).text for record in records), strict=True
    ):
        for window in windows.windows(paragraphs):
            report.rows.append(windows.input_ids(paragraphs[window.paragraph], window))
            report.shares.append(window.keep_end - window.keep_start)
    return reports


def collate(stage: ReportClassifier, items: Sequence[Report], config: FitConfig, chance: torch.Generator) -> Batch:
    """Make a batch of reports: their windows in parts of like length, and which of them are whose."""
    level = _level([len(report) for report in items], _LONGEST * config.batch_tokens)
    windows = [
        (report.rows[i], float(report.shares[i]), number)
        for number, report in enumerate(items)
        for i in _chosen_windows(report, level, chance)
    ]
    windows.sort(key=lambda window: -len(window[0]))
    parts: list[list[list[int]]] = []
    for row, _, _ in windows:
        if parts and 2 * len(row) >= len(parts[-1][0]):
            parts[-1].append(row)
        else:
            parts.append([row])
    padded = [stage.windows.pad(part) for part in parts]
    for part in padded if config.freeze is None else ():
        hide_words(part, stage.windows, config.mask_words, chance)
    return {
        "parts": padded,
        "owners": torch.tensor([owner for _, _, owner in windows]),
        "shares": torch.tensor([share for _, share, _ in windows]),
        "labels": torch.stack([report.target for report in items]),
        "places": torch.tensor([report.place for report in items]),
    }


def _level(sizes: Sequence[int], budget: int) -> int:
    """Give the largest size to which all may be cut so that they fit the budget together."""
    left = budget
    for i, size in enumerate(sorted(sizes)):
        if size * (len(sizes) - i) > left:
            return left // (len(sizes) - i)
        left -= size
    return max(sizes)


def _chosen_windows(report: Report, budget: int, chance: torch.Generator) -> list[int]:
    if len(report) <= budget:
        return list(range(len(report.rows)))
    chosen: list[int] = []
    total = 0
    for i in torch.randperm(len(report.rows), generator=chance).tolist():
        total += len(report.rows[i])
        if chosen and total > budget:
            break
        chosen.append(i)
    return sorted(chosen)


def pooled(outputs: Sequence[torch.Tensor], batch: Batch) -> torch.Tensor:
    """Average the logits of each report's windows, weighted by their shares; shape (reports, labels)."""
    logits = torch.cat(list(outputs))
    shares, owners = batch["shares"].to(logits.dtype), batch["owners"]
    size = len(batch["labels"])
    sums = logits.new_zeros((size, logits.shape[1])).index_add(0, owners, logits * shares[:, None])
    return sums / logits.new_zeros(size).index_add(0, owners, shares)[:, None]
