"""Fine-tuning and judging an entity extractor."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from clinnlp.encoders.crf import TRANSITIONS
from clinnlp.encoders.words import Words
from clinnlp.errors import TrainingError
from clinnlp.labels import shown_label
from clinnlp.record import Entity, Record
from clinnlp.stages.entities import find_words
from clinnlp.training.augmentation import add_noise, swap_entities
from clinnlp.training.calibration import expected_calibration_error
from clinnlp.training.config import FitConfig
from clinnlp.training.crf import chain_marginals, crf_loss, words_of
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.gold import longest_spans
from clinnlp.training.losses import IGNORED, ClassificationLoss, class_weights
from clinnlp.training.scores import Scores
from clinnlp.training.task import Batch, HeadTask
from clinnlp.training.token_examples import TokenExamples, tag_numbers, tag_words

if TYPE_CHECKING:
    from clinnlp.stages.entities import EntityExtractor

# A score of two labels is met once a word, and starts at zero: at the encoder's rate it hardly moves.
_TRANSITIONS_RATE = 100

__all__ = ["entity_task", "evaluate_entities", "score_spans"]


def entity_task(
    stage: EntityExtractor, records: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig
) -> HeadTask:
    """Give what an entity stage learns from gold entities.

    Raises
    ------
    TrainingError
        If there is no gold, or it has types that the head does not know.
    """
    _check_gold(stage, records)
    examples = TokenExamples(stage, [*records, *_augmented(records, config)], config)
    weights = class_weights(config.class_weights, examples.counts.tolist(), _label_names(stage))
    loss = ClassificationLoss(config, weights=weights)
    chained = config.crf and weights is None and not config.focal and not config.label_smoothing
    head: Any = stage.head

    def give_loss(outputs: list[torch.Tensor], batch: Batch, taught: list[list[torch.Tensor]]) -> torch.Tensor:
        logits, targets = outputs[0], batch["labels"]
        if not taught or not bool((targets != IGNORED).any()):
            return _gold_loss(logits, targets)
        heat = config.distill_temperature
        with torch.no_grad():
            probabilities = [
                _word_probabilities(own[0], targets, getattr(teacher.head, TRANSITIONS, None), heat)
                for own, teacher in zip(taught, task.teachers, strict=True)
            ]
            teachers = torch.stack(probabilities).mean(0)
        found = _word_probabilities(logits, targets, getattr(head, TRANSITIONS, None), heat)
        gap = (teachers * (teachers.clamp(min=1e-8).log() - found.clamp(min=1e-8).log())).sum(-1).mean()
        return (1 - config.distill) * _gold_loss(logits, targets) + config.distill * heat**2 * gap

    def _gold_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if chained:
            return crf_loss(logits, targets, head.transitions)
        return loss(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    task = HeadTask(
        stage=stage,
        head=stage.head,
        examples=examples.items,
        lengths=examples.lengths,
        collate=examples.collate,
        loss=give_loss,
        evaluate=None if dev is None else lambda: evaluate_entities(stage, dev),
        logits=None if dev is None else lambda: _word_logits(stage, dev),
        head_rate=config.head_learning_rate,
        prepare=lambda: stage.learn_transitions(chained),
        rates={TRANSITIONS: _TRANSITIONS_RATE * config.learning_rate} if chained else {},
        records=len(records),
    )
    if config.crf and not chained:
        task.notes.append("no transitions were learned: class_weights, focal and label_smoothing weigh single words")
    if examples.lost:
        task.notes.append(f"{examples.lost} gold entities lie on others or on no word, and were not learned")
    return task


def _word_probabilities(
    logits: torch.Tensor, targets: torch.Tensor, transitions: torch.Tensor | None, heat: float
) -> torch.Tensor:
    """Give the softened probabilities of the labels of words, one after another; shape (words, labels)."""
    scores, mask = words_of(logits.float() / heat, targets)
    if transitions is None:
        return scores.softmax(dim=-1)[mask]
    return chain_marginals(scores, mask, transitions / heat)[mask]


def _augmented(records: Sequence[Record], config: FitConfig) -> list[Record]:
    """Give changed copies of the records, as the configuration asks."""
    chance = random.Random(config.seed)  # noqa: S311 - a choice of examples, not a secret
    made: list[Record] = []
    if config.swap_entities:
        made += swap_entities(records, config.swap_entities, chance)
    if config.typos or config.abbreviations:
        made += add_noise(records, config.typos, config.abbreviations, chance)
    return made


def _label_names(stage: EntityExtractor) -> list[str]:
    """Give the entity type of each output of the head, and "O"."""
    return [name or "O" for name in stage.scheme.types]


def _word_logits(stage: EntityExtractor, records: Sequence[Record]) -> tuple[Any, Any, bool]:
    """Give the log probabilities of the words of records, and the gold ones."""
    numbers = tag_numbers(stage.scheme)
    rows: list[Any] = []
    targets: list[Any] = []
    for number, words, log_probs in stage.read_words(records):
        rows.append(log_probs)
        targets.append(tag_words(words, longest_spans(records[number].entities), numbers)[0])
    return np.concatenate(rows), np.concatenate(targets), False


def _check_gold(stage: EntityExtractor, records: Sequence[Record]) -> None:
    counts = Counter(entity.label for record in records for entity in record.entities)
    if not counts:
        raise TrainingError(f"stage {stage.name!r}: none of the {len(records)} training records has gold entities")
    if unknown := sorted(set(counts) - set(stage.labels)):
        raise TrainingError(
            f"stage {stage.name!r}: the gold has entities of type {shown_label(unknown[0])}, which the head does not"
            f" know: its labels are {', '.join(stage.labels)}"
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
    scores.values_by_name["ece"] = _calibration_error(gold_spans, found_spans)
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


def _calibration_error(gold: Sequence[Sequence[Entity]], found: Sequence[Sequence[Entity]]) -> float:
    """Compare the scores of the entities that were found with how often they are right, start, end and type."""
    right = [{(e.start, e.end, e.label) for e in entities} for entities in gold]
    pairs = [
        (e.score, (e.start, e.end, e.label) in keys)
        for keys, entities in zip(right, found, strict=True)
        for e in entities
    ]
    return expected_calibration_error([score for score, _ in pairs], [hit for _, hit in pairs])


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
