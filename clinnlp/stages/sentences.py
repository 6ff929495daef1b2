"""SentenceClassifier: labels of the sentences of a note, each read among those around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import rank
from clinnlp.record import Record, Sentence
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages._span_stage import SpanStage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.training.config import FitConfig
    from clinnlp.training.task import HeadTask

__all__ = ["SentenceClassifier"]


class SentenceClassifier(SpanStage):
    """Classify the sentences of a note.

    The note is read in windows, and a sentence is judged by what the encoder gives for its words there: the sentences
    around it in its paragraph are its context. The labels go to `sentence.labels[name]`, as those of a note do to
    `record.labels[name]`: all of them, best first, with their probabilities; of a multi-label head those that reach
    their threshold; none for a sentence without a word, or where the stage abstains. `record.labels[name]` gets the
    mean probabilities over the sentences, each weighing the same.

    It is fitted on the sentences of records that have gold under its name in `sentence.labels`; a record without
    sentences, but with gold in `record.labels`, is one sentence.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        What `save` wrote: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Labels of a new head on the encoder of `checkpoint`.
    head : str or Path, optional
        Folder of a head that was saved without its encoder, for the encoder of `checkpoint`.
    name : str, optional
        Name of the label set, and of the stage in a pipeline; by default "sentences".
    multi_label : bool, optional
        Whether a sentence may have any number of labels; by default what the checkpoint says, or not.
    threshold, abstain
        As for `ReportClassifier`.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.
    """

    kind: ClassVar[str] = "sentences"
    requires = ("sentences",)
    uses = ("cleaned",)
    assigns = ("labels", "sentences")

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        labels: Sequence[str] | None = None,
        head: str | Path | None = None,
        name: str | None = None,
        multi_label: bool | None = None,
        threshold: float | Mapping[str, float] | None = None,
        abstain: float | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
    ) -> None:
        super().__init__(
            checkpoint,
            labels=labels,
            head=head,
            multi_label=multi_label,
            threshold=threshold,
            abstain=abstain,
            window=window,
            overlap=overlap,
            batch_tokens=batch_tokens,
            device=device,
            name=name,
        )

    def process(self, records: Sequence[Record]) -> None:
        """Classify the sentences of a batch of records, in place."""
        spans = [[(one.start, one.end) for one in record.sentences] for record in records]
        for record, rows in zip(records, self.predict(records, spans), strict=True):
            for sentence, labels in zip(record.sentences, self.choose(rows), strict=True):
                sentence.labels[self.name] = labels
            kept = rows[rows.any(axis=1)]
            record.labels[self.name] = rank(kept.mean(axis=0), self.labels) if len(kept) else []

    def place_gold(self, record: Record) -> Record:
        """Give a record whose gold is its own one sentence, where it has none: a tokenizer would cut others."""
        if self.name not in record.labels or record.has("sentences"):
            return record
        made = record.copy()
        made.sentences = [Sentence(0, len(record.text), labels={self.name: list(record.labels[self.name])})]
        return made

    def gold(self, records: Sequence[Record]) -> list[tuple[Record, list[tuple[int, int]], list[list[str]]]]:
        """Give the records with gold, the raw offsets of their sentences that have some, and its names."""
        found: list[tuple[Record, list[tuple[int, int]], list[list[str]]]] = []
        for record in records:
            named = [(s.start, s.end, s.labels[self.name]) for s in record.sentences if self.name in s.labels]
            if not named and not record.sentences and self.name in record.labels:
                named = [(0, len(record.text), record.labels[self.name])]
            kept = [(start, end, [one.name for one in labels]) for start, end, labels in named]
            kept = [one for one in kept if one[2] or self.multi_label]
            if kept:
                found.append((record, [(start, end) for start, end, _ in kept], [names for *_, names in kept]))
        return found

    def has_gold(self, record: Record) -> bool:
        """Tell whether a record has gold labels for this stage."""
        return bool(self.gold([record]))

    def judge(self, records: Sequence[Record]) -> tuple[list[list[str]], NDArray[np.float64]]:
        """Give the gold of the sentences that have some, and the probabilities that the stage finds for them."""
        from clinnlp.training.spans import gold_spans

        items = gold_spans(self, records)
        rows = self.predict([record for record, _, _ in items], [spans for _, spans, _ in items])
        return [names for _, _, gold in items for names in gold], np.concatenate(rows)

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what this stage learns, for `fit` and `Pipeline.fit`."""
        from clinnlp.training.spans import span_task

        refuse_ensemble(self, "fitted")
        return span_task(self, train, dev, config)

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        return FitConfig(epochs=4, learning_rate=1e-4, head_learning_rate=1e-3)
