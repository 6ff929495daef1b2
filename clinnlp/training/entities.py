"""Fine-tuning and judging an entity extractor."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from clinnlp.encoders.windows import window_ranges
from clinnlp.encoders.words import Words
from clinnlp.errors import TrainingError
from clinnlp.record import Entity, Record
from clinnlp.stages.entities import find_words
from clinnlp.training.batches import hide_words
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, FitTask, Gold, fit_task, read_gold, seed_everything
from clinnlp.training.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.stages.entities import EntityExtractor

__all__ = ["evaluate_entities", "fit_entities", "longest_spans", "score_spans"]

_IGNORED = -100


def longest_spans(entities: Iterable[Entity]) -> list[Entity]:
    """Keep the longest of entities that overlap, the first of equal ones, in order of their place."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda e: (e.start - e.end, e.start)):
        at = bisect_left(kept, entity.end, key=lambda e: e.start)
        # What is kept is disjoint and in order, so only the one before the place can reach into it.
        if not at or kept[at - 1].end <= entity.start:
            kept.insert(at, entity)
    return kept


def fit_entities(stage: EntityExtractor, train: Gold, dev: Gold | None, config: FitConfig | None) -> FitReport:
    """Fine-tune an entity stage in place; see `EntityExtractor.fit`."""
    config = config or FitConfig()
    records = read_gold(train)
    development = None if dev is None else read_gold(dev)
    _check_gold(stage, records)
    seed_everything(config.seed)
    model: Any = stage.model
    examples, lost = _examples(stage, records)
    special = len(stage.windows.prefix) + len(stage.windows.suffix)
    task = FitTask(
        model=model,
        examples=examples,
        lengths=[example.end - example.start + special for example in examples],
        collate=lambda items: _collate(stage, items, config.mask_words),
        evaluate=None if development is None else lambda: evaluate_entities(stage, development),
    )
    stage.weights_changed = True
    report = fit_task(task, config)
    if lost:
        report.notes.append(f"{lost} gold entities lie on others or on no word, and were not learned")
    if config.output is not None:
        report.folder = stage.save(Path(config.output))
    return report


def _check_gold(stage: EntityExtractor, records: Sequence[Record]) -> None:
    counts = Counter(entity.label for record in records for entity in record.entities)
    if not counts:
        raise TrainingError(f"stage {stage.name!r}: none of the {len(records)} training records has gold entities")
    if unknown := sorted(set(counts) - set(stage.labels)):
        raise TrainingError(
            f"stage {stage.name!r}: the gold has entities of type {unknown[0]!r}, which the head does not know:"
            f" its labels are {', '.join(stage.labels)}"
        )


@dataclass(slots=True)
class _Example:
    """A window of a paragraph, and the whole paragraph, in which it may be moved."""

    ids: NDArray[np.int32]
    labels: NDArray[np.int64]
    start: int
    end: int

    def moved(self) -> tuple[int, int]:
        """Move the window by chance, by up to half its length: a word then stands elsewhere in each epoch."""
        length = self.end - self.start
        shift = int(torch.randint(-(length // 2), length // 2 + 1, ()))
        start = min(max(self.start + shift, 0), len(self.ids) - length)
        return start, start + length


def _examples(stage: EntityExtractor, records: Sequence[Record]) -> tuple[list[_Example], int]:
    """Give windows that cover all paragraphs once, and how many gold entities they do not hold."""
    windows = stage.windows
    scheme = stage.scheme
    numbers = {(tag, name): i for i, (tag, name) in enumerate(zip(scheme.tags, scheme.types, strict=True))}
    by_record = windows.paragraphs(record.view.text for record in records)
    examples: list[_Example] = []
    lost = 0
    for record, paragraphs in zip(records, by_record, strict=True):
        gold = longest_spans(record.entities)
        held = 0
        for paragraph, words in zip(paragraphs, find_words(record, paragraphs), strict=True):
            labels = np.full(len(paragraph.ids), _IGNORED, dtype=np.int64)
            labels[words.first], count = _tag(words, gold, numbers)
            held += count
            for start, end in window_ranges(len(paragraph.ids), windows.content, 0):
                examples.append(_Example(paragraph.ids, labels, start, end))
        lost += len(record.entities) - held
    return examples, lost


def _tag(words: Words, gold: Sequence[Entity], numbers: dict[tuple[str, str], int]) -> tuple[np.ndarray[Any, Any], int]:
    """Give the label of each word, and how many gold entities have a word here.

    An entity whose edge lies inside a word takes the whole word; a word that two entities share goes to the
    first.
    """
    labels = np.full(len(words.first), numbers["O", ""], dtype=np.int64)
    count = 0
    taken = 0
    for entity in gold:
        low = max(int(np.searchsorted(words.ends, entity.start, side="right")), taken)
        high = int(np.searchsorted(words.starts, entity.end, side="left"))
        if low >= high:
            continue
        count += 1
        taken = high
        for k in range(low, high):
            labels[k] = numbers[_position_tag(numbers, entity.label, k == low, k == high - 1), entity.label]
    return labels, count


def _position_tag(numbers: dict[tuple[str, str], int], name: str, first: bool, last: bool) -> str:
    """Give the tag of a word by its place in an entity, in the scheme that the head has."""
    if first and last and ("S", name) in numbers:
        return "S"
    if last and not first and ("E", name) in numbers:
        return "E"
    return "B" if first and ("B", name) in numbers else "I"


def _collate(stage: EntityExtractor, items: Sequence[_Example], mask_words: float) -> dict[str, torch.Tensor]:
    prefix, suffix = stage.windows.prefix, stage.windows.suffix
    ranges = [item.moved() for item in items]
    pairs = list(zip(items, ranges, strict=True))
    batch = stage.windows.pad([[*prefix, *item.ids[low:high].tolist(), *suffix] for item, (low, high) in pairs])
    labels = torch.full(batch["input_ids"].shape, _IGNORED, dtype=torch.long)
    for i, (item, (low, high)) in enumerate(pairs):
        labels[i, len(prefix) : len(prefix) + high - low] = torch.from_numpy(item.labels[low:high])
    hide_words(batch, stage.windows, mask_words)
    return {**batch, "labels": labels}


def evaluate_entities(stage: EntityExtractor, records: Gold, labels: Sequence[str] | None = None) -> Scores:
    """Compare what an entity stage finds with gold; see `EntityExtractor.evaluate`."""
    gold = read_gold(records)
    found = [copy.copy(record) for record in gold]
    for record in found:
        record.entities = []
    stage.process(found)
    counted = set(labels) if labels is not None else {e.label for record in gold for e in record.entities}
    gold_spans = [[e for e in record.entities if e.label in counted] for record in gold]
    found_spans = [[e for e in record.entities if e.label in counted] for record in found]
    scores = score_spans(gold_spans, found_spans)
    scores.values_by_name.update(_seqeval(stage, found, gold_spans, found_spans))
    return scores


def score_spans(gold: Sequence[Sequence[Entity]], found: Sequence[Sequence[Entity]]) -> Scores:
    """Score strict spans: start, end and type must all be right.

    Parameters
    ----------
    gold, found : sequence of sequence of Entity
        Entities of each record.

    Returns
    -------
    Scores
        Micro-averaged "precision", "recall" and "f1", and the same for each type in `per_label`.
    """
    hits: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    given: Counter[str] = Counter()
    counts: list[tuple[int, int, int]] = []
    for of_gold, of_found in zip(gold, found, strict=True):
        gold_keys = {(e.start, e.end, e.label) for e in of_gold}
        found_keys = {(e.start, e.end, e.label) for e in of_found}
        wanted.update(key[2] for key in gold_keys)
        given.update(key[2] for key in found_keys)
        hits.update(key[2] for key in gold_keys & found_keys)
        counts.append((len(gold_keys & found_keys), len(found_keys), len(gold_keys)))
    per_label = {
        label: {**_prf(hits[label], given[label], wanted[label]), "support": float(wanted[label])}
        for label in sorted({*wanted, *given})
    }
    return Scores(_prf(hits.total(), given.total(), wanted.total()), per_label, "f1", counts)


def _prf(hits: int, given: int, wanted: int) -> dict[str, float]:
    precision = hits / given if given else 0.0
    recall = hits / wanted if wanted else 0.0
    f1 = 2 * hits / (given + wanted) if given + wanted else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def _seqeval(
    stage: EntityExtractor, records: Sequence[Record], gold: list[list[Entity]], found: list[list[Entity]]
) -> dict[str, float]:
    """Score tag sequences over words with seqeval, strictly by IOB2: what cannot be tagged is snapped to words."""
    truth: list[list[str]] = []
    guess: list[list[str]] = []
    by_record = stage.windows.paragraphs(record.view.text for record in records)
    for record, paragraphs, of_gold, of_found in zip(records, by_record, gold, found, strict=True):
        for words in find_words(record, paragraphs):
            truth.append(_iob2(words, longest_spans(of_gold)))
            guess.append(_iob2(words, longest_spans(of_found)))
    options = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    return {
        "seqeval_precision": float(precision_score(truth, guess, **options)),
        "seqeval_recall": float(recall_score(truth, guess, **options)),
        "seqeval_f1": float(f1_score(truth, guess, **options)),
    }


def _iob2(words: Words, entities: Sequence[Entity]) -> list[str]:
    names = sorted({entity.label for entity in entities})
    tags = ["O", *(f"{tag}-{name}" for name in names for tag in "BI")]
    numbers = {("O", ""): 0} | {(tags[i][0], tags[i][2:]): i for i in range(1, len(tags))}
    labels, _ = _tag(words, entities, numbers)
    return [tags[i] for i in labels]
