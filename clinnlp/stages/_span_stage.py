"""What stages with a head for spans have in common: the logits of spans, read from the one pass over a note."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from clinnlp.encoders.heads import probabilities
from clinnlp.record import Record
from clinnlp.stages._labelling import LabellingStage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PretrainedConfig

    from clinnlp.encoders.own_heads import SpanHead
    from clinnlp.encoders.text import Paragraph

__all__ = ["SpanStage", "pieces_of"]

Spans = Sequence[tuple[int, int]]
"""Raw offsets."""


class SpanStage(LabellingStage):
    """A stage that labels spans of a note, each read where it stands, with all that its window holds around it.

    The head is a `SpanHead`, for which transformers has no model: it is saved beside the encoder.
    """

    auto_class: ClassVar[str] = ""
    head_form: ClassVar[str] = "SpanHead"

    def _make_head(self, config: PretrainedConfig) -> SpanHead:
        from clinnlp.encoders.own_heads import SpanHead

        return SpanHead(config)

    def predict(self, records: Sequence[Record], spans: Sequence[Spans]) -> list[NDArray[np.float64]]:
        """Give the probabilities of all labels of spans.

        Parameters
        ----------
        records : sequence of Record
        spans : sequence of sequence of (int, int)
            Raw offsets of the spans of each record.

        Returns
        -------
        list of ndarray of float, shape (spans, labels)
            For each record; zeros for a span without a word.
        """
        models = [self, *self.members]
        found = [model.own_probabilities(records, spans) for model in models]
        return [sum(rows[1:], rows[0]) / len(models) for rows in zip(*found, strict=True)]

    def own_probabilities(self, records: Sequence[Record], spans: Sequence[Spans]) -> list[NDArray[np.float64]]:
        """Give what `predict` gives, by this model alone."""
        made: list[NDArray[np.float64]] = []
        for logits, there in self.logits_of_spans(records, spans):
            scores = probabilities(logits, self.multi_label)
            scores[~there] = 0
            made.append(scores)
        return made

    def logits_of_spans(
        self, records: Sequence[Record], spans: Sequence[Spans]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """Give for each record the logits of its spans, shape (spans, labels), and which of them have a word."""
        from clinnlp.encoders.own_heads import span_logits

        views = [record.view for record in records]
        encoded = self.encoder.read([view.text for view in views], self)
        for view, item, some in zip(views, encoded, spans, strict=True):
            logits = np.zeros((len(some), len(self.labels)))
            there = np.zeros(len(some), dtype=bool)
            central = item.central(self) if some else []
            rows = np.concatenate(central) if central else np.empty((0, 0), dtype=np.float32)
            places = pieces_of(item.paragraphs, [view.to_target(*span) for span in some])
            for i, (first, last) in enumerate(places):
                if first < last:
                    logits[i], there[i] = span_logits(rows, first, last), True
            yield logits, there


def pieces_of(paragraphs: Sequence[Paragraph], spans: Spans) -> list[tuple[int, int]]:
    """Give the word pieces of spans, counted over all paragraphs of a text.

    Parameters
    ----------
    paragraphs : sequence of Paragraph
    spans : sequence of (int, int)
        Offsets in the text that was cut.

    Returns
    -------
    list of (int, int)
        The first piece and the one after the last; of a span without a piece they are the same.
    """
    starts = np.concatenate([np.empty(0, dtype=np.int64), *(paragraph.starts for paragraph in paragraphs)])
    ends = np.concatenate([np.empty(0, dtype=np.int64), *(paragraph.ends for paragraph in paragraphs)])
    edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
    first = np.searchsorted(ends, edges[:, 0], side="right")
    last = np.maximum(np.searchsorted(starts, edges[:, 1], side="left"), first)
    empty = edges[:, 0] >= edges[:, 1]
    last[empty] = first[empty]
    return list(zip(first.tolist(), last.tolist(), strict=True))
