"""AssertionClassifier: assertion learned on the shared encoder, with the rules of ConText as what is known before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.errors import CheckpointError, ConfigError
from clinnlp.record import Assertion, Entity, Record
from clinnlp.stages._cues import FLAGS
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages._span_stage import SpanStage
from clinnlp.stages.assertion import AssertionDetector, Found

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from clinnlp.training.config import FitConfig
    from clinnlp.training.task import HeadTask

__all__ = ["METHODS", "AssertionClassifier"]

METHODS = ("learned", "both")
_SAVED = "clinnlp_assertion"
# How probable the head must find a flag that the rules do not, so that it is true; chosen on a third of the training
# part of negex, where a veto of the head against the rules made figures worse, and shares of both did too.
_SURE = 0.8


class AssertionClassifier(SpanStage):
    """Say of each entity whether it is negated, hypothetical, historical or somebody else's, by a head on an encoder.

    The head reads the entity where it stands in the window of its note, in the pass that other stages on the encoder
    share. With the method "both", what the rules of `AssertionDetector` find is true, and the head adds what they do
    not see, where it is sure: from a probability of 0.8 on. The probability p of the head becomes (1 + p) / 2 where
    the rules found the flag, else 0.625 p.

    Entities of every source are judged; one that has an assertion keeps it. The probabilities go to
    `assertion.scores`; a flag is true from its threshold on, and has its cue where the rules found one too.

    It is fitted on entities that have an assertion.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        What `save` wrote: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Of a new head on the encoder of `checkpoint`: the four flags.
    head : str or Path, optional
        Folder of a head that was saved without its encoder, for the encoder of `checkpoint`.
    method : {"both", "learned"}, optional
        By default what the checkpoint says, or both.
    lang, rules
        As for `AssertionDetector`.
    overwrite : bool
        Judge also entities that have an assertion.
    threshold : float or mapping of str to float, optional
        Least probability of a flag that is true; by default what the checkpoint says, or 0.5.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.
    name : str, optional
        Name in a pipeline; by default "assertion".

    Raises
    ------
    ConfigError
        If the method is unknown, or as for `AssertionDetector`.
    CheckpointError
        If the checkpoint is of no assertion; at first use.
    """

    kind: ClassVar[str] = "assertion_model"
    requires = ("entities",)
    uses = ("cleaned", "tokens", "sentences", "sections")
    assigns = ("entities",)

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        labels: Sequence[str] | None = None,
        head: str | Path | None = None,
        method: str | None = None,
        lang: str | None = None,
        rules: str | Path | Mapping[str, Any] | None = None,
        overwrite: bool = False,
        threshold: float | Mapping[str, float] | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            checkpoint,
            labels=labels,
            head=head,
            multi_label=True,
            threshold=threshold,
            abstain=None,
            window=window,
            overlap=overlap,
            batch_tokens=batch_tokens,
            device=device,
            name=name or "assertion",
        )
        self._method: str | None = None
        if method is not None:
            self.method = method
        self.overwrite = overwrite
        # What is wrong with them is told here, also where they are used with what the checkpoint says.
        self._own_rules = None if lang is None and rules is None else AssertionDetector(lang or "en", rules)
        self._detector: AssertionDetector | None = None

    @classmethod
    def from_base(  # type: ignore[override]
        cls,
        base: str | Path | TextEncoder,
        labels: Sequence[str] = FLAGS,
        name: str | None = None,
        method: str = "both",
        **options: Any,
    ) -> Self:
        """Put a new head on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str, Path or TextEncoder
            Shipped pipeline's name, folder, installed package or Hub id; or the `encoder` of another stage, with
            which it is shared then.
        labels : sequence of str
            The flags that the head learns.
        name : str, optional
            Name in a pipeline.
        method : {"both", "learned"}
            Whether the rules have a say.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such base.
        ConfigError
            If a label is no flag.
        """
        if unknown := [label for label in labels if label not in FLAGS]:
            raise ConfigError(f"an assertion has no flag {unknown[0]!r}: labels are {', '.join(FLAGS)}")
        return cls._on_base(base, labels=labels, name=name, method=method, **options)

    def _own_settings(self) -> tuple[str, ...]:
        return ("threshold", "method", "lang", "rules", "overwrite")

    def _read_labels(self) -> tuple[list[str], bool]:
        found, several = super()._read_labels()
        if unknown := [label for label in found if label not in FLAGS]:
            raise CheckpointError(f"stage {self.name!r}: its head has the label {unknown[0]!r}, which is no assertion")
        return found, several

    @property
    def _saved_settings(self) -> dict[str, Any]:
        saved = None if self.saved_in is None else getattr(self.head_config, _SAVED, None)
        return dict(saved) if isinstance(saved, Mapping) else {}

    @property
    def method(self) -> str:
        """Whether the head decides alone, "learned", or with the rules, "both"."""
        return self._method or str(self._saved_settings.get("method", "both"))

    @method.setter
    def method(self, method: str) -> None:
        if method not in METHODS:
            raise ConfigError(f"stage {self.name!r}: method is one of {', '.join(METHODS)}, not {method!r}")
        self._method = method

    @property
    def lang(self) -> str:
        """Language of the rules."""
        return self.detector.lang

    @property
    def rules(self) -> dict[str, Any] | None:
        """The user's rules over those of the language."""
        return self.detector.rules

    @property
    def detector(self) -> AssertionDetector:
        """The rules."""
        if self._detector is None:
            saved = self._saved_settings
            own = self._own_rules
            self._detector = own or AssertionDetector(str(saved.get("lang", "en")), saved.get("rules"))
        return self._detector

    def _saved_head(self) -> Any:
        head = super()._saved_head()
        setattr(head.config, _SAVED, {"method": self.method, "lang": self.lang, "rules": self.rules})
        return head

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {**super().alike(), "method": self.method, "rules": (self.lang, self.rules)}

    def process(self, records: Sequence[Record]) -> None:
        """Fill in the assertion of the entities of each record."""
        entities = [[e for e in record.entities if self.overwrite or e.assertion is None] for record in records]
        labels, thresholds = self.labels, self.thresholds
        for some, (rows, cues) in zip(entities, self._judged(records, entities), strict=True):
            for entity, row, found in zip(some, rows, cues, strict=True):
                scores = {flag: float(row[labels.index(flag)]) if flag in labels else 0.0 for flag in FLAGS}
                chosen = {flag for flag in labels if row.any() and scores[flag] >= thresholds[flag]}
                entity.assertion = Assertion(
                    **{flag: flag in chosen for flag in FLAGS},
                    scores=scores,
                    cues={flag: found[flag] for flag in FLAGS if flag in chosen and found.get(flag)},
                )

    def _judged(
        self, records: Sequence[Record], entities: Sequence[Sequence[Entity]]
    ) -> list[tuple[NDArray[np.float64], list[Found]]]:
        """Give the probabilities of the flags of entities, and the cues of the rules."""
        heads = self.predict(records, [[(e.start, e.end) for e in some] for some in entities])
        made = []
        for record, some, head in zip(records, entities, heads, strict=True):
            cues = self.detector.cues(record, some)
            rows = head
            if self.method == "both" and some:
                verdicts = np.array([[float(flag in found) for flag in self.labels] for found in cues])
                # Of an entity without a word the head says nothing.
                mixed = np.where(verdicts > 0, (1 + head) / 2, head * 0.5 / _SURE)
                rows = np.where(head.any(axis=1, keepdims=True), mixed, verdicts)
            made.append((rows, cues))
        return made

    def gold(self, records: Sequence[Record]) -> list[tuple[Record, list[tuple[int, int]], list[list[str]]]]:
        """Give the records with gold, the raw offsets of the entities that have some, and its flags."""
        from clinnlp.training.assertion import gold_of

        items = [(record, *gold_of(record)) for record in records]
        return [(record, [(e.start, e.end) for e in some], names) for record, some, names in items if some]

    def has_gold(self, record: Record) -> bool:
        """Tell whether an entity of a record has an assertion."""
        return any(entity.assertion is not None for entity in record.entities)

    def judge(self, records: Sequence[Record]) -> tuple[list[list[str]], NDArray[np.float64]]:
        """Give the gold of the entities that have some, and the probabilities that the stage finds for them."""
        from clinnlp.training.assertion import gold_entities

        items = gold_entities(self, records)
        rows = [row for row, _ in self._judged([record for record, _, _ in items], [some for _, some, _ in items])]
        return [names for _, _, some in items for names in some], np.concatenate(rows)

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what this stage learns, for `fit` and `Pipeline.fit`."""
        from clinnlp.training.spans import span_task

        refuse_ensemble(self, "fitted")
        return span_task(self, train, dev, config)

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        return FitConfig(epochs=8, learning_rate=2e-4, head_learning_rate=2e-3, batch_tokens=512)
