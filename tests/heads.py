"""Stages with small heads, to try encoders that are shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from clinnlp import Assertion, Record
from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import head_settings
from clinnlp.encoders.own_heads import SpanHead, VectorHead, mean_vectors, span_logits, torch_span_logits
from clinnlp.stage import register
from clinnlp.stages._encoder_stage import EncoderStage
from clinnlp.training.config import FitConfig
from clinnlp.training.scores import Scores
from clinnlp.training.task import Batch, HeadTask


class _Small(EncoderStage):
    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        head: str | Path | None = None,
        new: bool = False,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        name: str | None = None,
    ) -> None:
        super().__init__(
            checkpoint,
            head=head,
            new=new,
            window=window,
            overlap=overlap,
            batch_tokens=batch_tokens,
            device=None,
            name=name,
        )


class Negation(_Small):
    """Tells which entities are negated, by a span head on the encoder that found them."""

    kind: ClassVar[str] = "test_negation"
    requires = ("entities",)
    assigns = ("entities",)
    labels = ("negated",)

    def _new_settings(self) -> dict[str, Any]:
        return head_settings(self.labels, multi_label=True)

    def _make_head(self, config: Any) -> SpanHead:
        return SpanHead(config)

    def process(self, records: Sequence[Record]) -> None:
        for record, item in zip(records, self.encoder.read([r.text for r in records], self), strict=True):
            rows = item.central(self)
            for entity in record.entities:
                number, first, last = self._place(item.paragraphs, entity)
                entity.assertion = Assertion(negated=bool(span_logits(rows[number], first, last)[0] > 0))

    @staticmethod
    def _place(paragraphs: Sequence[Any], entity: Any) -> tuple[int, int, int]:
        for number, paragraph in enumerate(paragraphs):
            inside = [
                i
                for i, (a, b) in enumerate(zip(paragraph.starts, paragraph.ends, strict=True))
                if a < entity.end and entity.start < b
            ]
            if inside:
                return number, inside[0], inside[-1] + 1
        raise AssertionError("an entity without pieces")

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        examples = []
        for record, paragraphs in zip(train, self.windows.paragraphs(r.text for r in train), strict=True):
            (paragraph,) = paragraphs
            row = [*self.windows.prefix, *paragraph.ids.tolist(), *self.windows.suffix]
            spans = [self._place(paragraphs, entity)[1:] for entity in record.entities]
            aims = [float(entity.assertion.negated) for entity in record.entities if entity.assertion]
            examples.append((row, spans, aims))

        def collate(items: list[Any], _: torch.Generator) -> Batch:
            skip = len(self.windows.prefix)
            spans = [[i, first + skip, last + skip] for i, (_, places, _) in enumerate(items) for first, last in places]
            return {
                "parts": [self.windows.pad([row for row, _, _ in items])],
                "spans": torch.tensor(spans),
                "labels": torch.tensor([[aim] for _, _, aims in items for aim in aims]),
            }

        def loss(outputs: list[torch.Tensor], batch: Batch, _: Any) -> torch.Tensor:
            logits = torch_span_logits(outputs[0].float(), batch["spans"])
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["labels"])

        return HeadTask(
            self,
            self.head,
            examples,
            [len(row) for row, _, _ in examples],
            collate,
            loss,
            evaluate=None if dev is None else lambda: self.evaluate(dev),
            records=len(train),
        )

    def evaluate(self, records: Sequence[Record]) -> Scores:
        found = [record.copy() for record in records]
        self.process(found)
        pairs = [
            (a, b) for r, f in zip(records, found, strict=True) for a, b in zip(r.entities, f.entities, strict=True)
        ]
        right = sum(a.assertion == b.assertion for a, b in pairs)
        return Scores({"accuracy": right / len(pairs)}, {}, "accuracy")

    def has_gold(self, record: Record) -> bool:
        return any(entity.assertion is not None for entity in record.entities)


class Vectors(_Small):
    """Gives the vector of the whole note."""

    kind: ClassVar[str] = "test_vectors"
    assigns = ("metadata",)
    labels = ()

    def _new_settings(self) -> dict[str, Any]:
        return {}

    def _make_head(self, config: Any) -> VectorHead:
        return VectorHead(config)

    @property
    def head(self) -> Any:
        if self._head is None:
            self._head = self._load_head()
        return self._head

    def process(self, records: Sequence[Record]) -> None:
        for record, item in zip(records, self.encoder.read([r.text for r in records], self), strict=True):
            record.metadata["vector"] = mean_vectors(item, self, [(0, len(record.text))])[0].tolist()


register("test_negation", Negation)
register("test_vectors", Vectors)
