"""Explaining the labels of reports."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.encoders.attribution import PieceAttribution
from clinnlp.errors import ConfigError
from clinnlp.execution import read_input
from clinnlp.explanation import Explanation, WeightedSpan
from clinnlp.record import Record
from clinnlp.stages.entities import find_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.encoders.text import Paragraph
    from clinnlp.encoders.words import Words
    from clinnlp.stages.reports import ReportClassifier

__all__ = ["explain_reports"]

_METHOD = "integrated_gradients"
_WITH_BAG = "integrated_gradients and the weights of the bag of words"


def explain_reports(
    stage: ReportClassifier,
    given: Record | str | Sequence[Record | str],
    label: str | None,
    steps: int,
) -> list[Explanation]:
    """Explain a label of each report; see `ReportClassifier.explain`."""
    items = [given] if isinstance(given, (Record, str)) else given
    records = [read_input(item, position, "raise") for position, item in enumerate(items)]
    labels = stage.labels
    if label is not None and label not in labels:
        raise ConfigError(f"stage {stage.name!r} has no label {label!r}: its labels are {', '.join(labels)}")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ConfigError("steps of integrated gradients are a whole number from 1")
    models = [PieceAttribution(member, steps) for member in (stage, *stage.members)]
    method = _METHOD if all(model.stage.bag is None for model in models) else _WITH_BAG
    scores, empty = stage.predict([stage.reads(record).text for record in records])
    found: list[Explanation] = []
    for record, row, nothing in zip(records, scores, empty, strict=True):
        if nothing:
            found.append(Explanation(record.id, label or "", 0.0, method=method, record_text=record.text))
            continue
        output = int(row.argmax()) if label is None else labels.index(label)
        words, paragraphs = _weigh(stage, record, models, output)
        sentences = [(sentence.start, sentence.end) for sentence in record.sentences] or paragraphs
        found.append(
            Explanation(
                record.id,
                labels[output],
                float(row[output]),
                words,
                _sums(record, words, sentences),
                method,
                record.text,
            )
        )
    return found


def _weigh(
    stage: ReportClassifier, record: Record, models: Sequence[PieceAttribution], output: int
) -> tuple[list[WeightedSpan], list[tuple[int, int]]]:
    """Give the weights of a report's words, the mean over models, and the raw spans of its paragraphs."""
    view = stage.reads(record)
    (paragraphs,) = stage.windows.paragraphs([view.text])
    every = [_with_bag(model, view.text, paragraphs, output) for model in models]
    words: list[WeightedSpan] = []
    spans: list[tuple[int, int]] = []
    for number, of_paragraph in enumerate(find_words(record, paragraphs, view)):
        pieces = np.mean([weights[number] for weights in every], axis=0)
        before = len(words)
        words += _spans(record, of_paragraph, pieces)
        if len(words) > before:
            spans.append((words[before].start, words[-1].end))
    return _apart(record, words), spans


def _with_bag(
    model: PieceAttribution, text: str, paragraphs: Sequence[Paragraph], output: int
) -> list[NDArray[np.float64]]:
    """Give the weights of the pieces of each paragraph, the mean of the head's and the bag's where there is one."""
    found = model.weights(text, paragraphs, output)
    if model.stage.bag is None:
        return found
    found = [weights / 2 for weights in found]
    starts = [paragraph.starts for paragraph in paragraphs]
    edges = np.append(0, np.cumsum([len(some) for some in starts]))
    begins = np.concatenate(starts)
    ends = np.concatenate([paragraph.ends for paragraph in paragraphs])
    flat = np.concatenate(found)
    for (start, end), weight in model.stage.bag.carried(text, output).items():
        low, high = np.searchsorted(ends, start, side="right"), np.searchsorted(begins, end, side="left")
        if low < high:
            flat[low:high] += weight / 2 / (high - low)
    return [flat[start:stop] for start, stop in itertools.pairwise(edges)]


def _spans(record: Record, words: Words, pieces: NDArray[np.float64]) -> list[WeightedSpan]:
    """Sum the weights of the pieces of each word; what cleaning has put in has no place in the raw text."""
    sums = np.append(0.0, np.cumsum(pieces))
    weights = sums[words.stop] - sums[words.first]
    edges = zip(words.starts.tolist(), words.ends.tolist(), weights.tolist(), strict=True)
    return [WeightedSpan(start, end, record.text[start:end], weight) for start, end, weight in edges if start < end]


def _apart(record: Record, words: Sequence[WeightedSpan]) -> list[WeightedSpan]:
    """Make one of words that overlap in the raw text, as where an edit repeats what stood there."""
    made: list[WeightedSpan] = []
    for word in words:
        if made and word.start < made[-1].end:
            last = made.pop()
            start, end = min(last.start, word.start), max(last.end, word.end)
            word = WeightedSpan(start, end, record.text[start:end], last.weight + word.weight)
        made.append(word)
    return made


def _sums(record: Record, words: Sequence[WeightedSpan], spans: Sequence[tuple[int, int]]) -> list[WeightedSpan]:
    """Sum the weights of the words that start in each span; spans that overlap in the raw text are one."""
    apart: list[tuple[int, int]] = []
    for start, end in spans:
        if apart and start < apart[-1][1]:
            start, end = min(apart[-1][0], start), max(apart.pop()[1], end)
        apart.append((start, end))
    spans = apart
    starts = [word.start for word in words]
    sums = np.append(0.0, np.cumsum([word.weight for word in words]))
    edges = np.searchsorted(starts, np.array(spans, dtype=np.int64).reshape(-1, 2))
    weights = (sums[edges[:, 1]] - sums[edges[:, 0]]).tolist()
    return [
        WeightedSpan(start, end, record.text[start:end], weight)
        for (start, end), weight in zip(spans, weights, strict=True)
    ]
