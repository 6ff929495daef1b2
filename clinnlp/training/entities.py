"""Fine-tuning and judging an entity extractor."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from transformers import set_seed

from clinnlp.encoders.words import Words
from clinnlp.errors import TrainingError
from clinnlp.record import Entity, Record
from clinnlp.stages.entities import find_words
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, FitTask, Gold, fit_task, read_gold
from clinnlp.training.gold import longest_spans
from clinnlp.training.scores import Scores
from clinnlp.training.token_examples import TokenExamples, tag_words

if TYPE_CHECKING:
    from clinnlp.stages.entities import EntityExtractor

__all__ = ["evaluate_entities", "fit_entities", "score_spans"]


def fit_entities(stage: EntityExtractor, train: Gold, dev: Gold | None, config: FitConfig | None) -> FitReport:
    """Fine-tune an entity stage in place; see `EntityExtractor.fit`."""
    config = config or FitConfig()
    records = read_gold(train)
    development = None if dev is None else read_gold(dev)
    _check_gold(stage, records)
    set_seed(config.seed)
    model: Any = stage.model
    examples = TokenExamples(stage, records, config)
    task = FitTask(
        model=model,
        examples=examples.items,
        lengths=examples.lengths,
        collate=examples.collate,
        evaluate=None if development is None else lambda: evaluate_entities(stage, development),
    )
    stage.weights_changed = True
    report = fit_task(task, config)
    if examples.lost:
        report.notes.append(f"{examples.lost} gold entities lie on others or on no word, and were not learned")
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
    if not truth:
        return dict.fromkeys(("seqeval_precision", "seqeval_recall", "seqeval_f1"), 0.0)
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
    labels, _ = tag_words(words, entities, numbers)
    return [tags[i] for i in labels]
