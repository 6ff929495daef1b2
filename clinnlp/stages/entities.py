"""EntityExtractor: typed spans by a token classifier, over the whole of every note."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.bio import LabelScheme, bio_labels
from clinnlp.encoders.crf import TRANSITIONS, log_marginals, read_transitions, write_transitions
from clinnlp.encoders.encoder import Encoded, TextEncoder
from clinnlp.encoders.heads import check_labels, name_labels
from clinnlp.encoders.text import Paragraph
from clinnlp.encoders.words import Words, words_of_pieces, words_of_tokens
from clinnlp.errors import CheckpointError
from clinnlp.record import Entity, Record
from clinnlp.stages._encoder_stage import EncoderStage
from clinnlp.stages._ensemble import refuse_ensemble

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from clinnlp.alignment import EditedText
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import Gold
    from clinnlp.training.scores import Scores
    from clinnlp.training.task import HeadTask

__all__ = ["EntityExtractor", "find_words"]


class EntityExtractor(EncoderStage):
    """Find entities with a token classifier.

    A note is read whole, in overlapping windows; each word's label comes from its first word piece, in the
    window that holds it most centrally. Decoding cannot split a word or give an invalid sequence. A word is a
    token of the record where it has tokens, else what the tokenizer cuts at white space and marks.

    It is fitted on the entities of records, and judged by strict span F1.

    Entities that a record brings are kept, and no others are looked for in it. The score of an entity is the mean,
    over its words, of the probability of its type.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        Token classifier: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Entity types of a new head on the encoder of `checkpoint`, which then need not be a token classifier.
    head : str or Path, optional
        Folder of a head that was saved without its encoder, for the encoder of `checkpoint`.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.
    name : str, optional
        Name in a pipeline.
    """

    kind: ClassVar[str] = "entities"
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    in_config: ClassVar[tuple[str, ...]] = (TRANSITIONS,)
    uses: tuple[str, ...] = ("cleaned", "tokens")
    assigns: tuple[str, ...] = ("entities",)

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        labels: Sequence[str] | None = None,
        head: str | Path | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            checkpoint,
            head=head,
            new=labels is not None,
            window=window,
            overlap=overlap,
            batch_tokens=batch_tokens,
            device=device,
            name=name,
        )
        self._new_labels = None if labels is None else check_labels(labels, 1, self.name)
        self._scheme: LabelScheme | None = None

    @classmethod
    def from_pretrained(cls, checkpoint: str | Path, **options: Any) -> EntityExtractor:
        """Take a token classifier as it is: any checkpoint of `AutoModelForTokenClassification`.

        Parameters
        ----------
        checkpoint : str or Path
            Folder, shipped pipeline, installed package or Hub id.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such checkpoint; at first use, if it cannot be read or its labels are not BIO.
        """
        found, settings = cls._pretrained(checkpoint, options, options.get("name"))
        return cls(found, **settings)

    @classmethod
    def from_base(cls, base: str | Path | TextEncoder, labels: Sequence[str], **options: Any) -> EntityExtractor:
        """Put a new head for `labels` on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str, Path or TextEncoder
            Shipped pipeline's name, folder, installed package or Hub id; or the `encoder` of another stage, with
            which it is shared then.
        labels : sequence of str
            Entity types.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such base.
        """
        return cls._on_base(base, labels=labels, **options)

    @property
    def labels(self) -> list[str]:
        """Entity types that this stage can find."""
        return list(self._new_labels) if self._new_labels is not None else self.scheme.entity_types

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of the head."""
        if self._scheme is None:
            if self._new_labels is not None:
                self._scheme = LabelScheme.read(bio_labels(self._new_labels))
            else:
                names = self.head_config.id2label
                self._scheme = LabelScheme.read([names[i] for i in range(len(names))])
        return self._scheme

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {**super().alike(), "label scheme": self.scheme}

    def _new_settings(self) -> dict[str, Any]:
        assert self._new_labels is not None
        return name_labels(bio_labels(self._new_labels))

    def _load_head(self) -> Any:
        head = super()._load_head()
        if head.config.num_labels != len(self.scheme.tags):
            raise CheckpointError(f"{self.checkpoint} has {head.config.num_labels} labels but names others")
        lines = None if self._is_new else getattr(head.config, TRANSITIONS, None)
        try:
            _set_transitions(head, read_transitions(lines, len(self.scheme.tags)))
        except (ValueError, TypeError, AttributeError):
            raise CheckpointError(f"the {TRANSITIONS} in the config.json of {self.checkpoint} do not fit") from None
        return head

    def _saved_head(self) -> Any:
        own = self.transitions
        setattr(self.head.config, TRANSITIONS, None if own is None else write_transitions(own))
        return self.head

    @property
    def transitions(self) -> NDArray[np.float32] | None:
        """Scores of one label after another, shape (labels, labels), where the head has learned them."""
        own = getattr(self.head, TRANSITIONS, None)
        return None if own is None else own.detach().float().cpu().numpy()

    def learn_transitions(self, wanted: bool) -> Callable[[], None]:
        """Give the head scores of one label after another to be fitted, or take them away.

        Returns
        -------
        callable
            Puts the head back as it was, for a fit that comes to nothing.
        """
        own, changed, fitted = self.transitions, self.head_changed, self.fitted

        def put_back() -> None:
            self.head_changed, self.fitted = changed, fitted
            _set_transitions(self.head, own)

        if wanted != (own is not None):
            size = len(self.scheme.tags)
            self.head_changed, self.fitted = True, None  # its figures were those of the head as it was
            _set_transitions(self.head, np.zeros((size, size), dtype=np.float32) if wanted else None)
        return put_back

    def head_outputs(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the log probabilities of the labels of each piece, shape (windows, pieces, labels)."""
        return super().head_outputs(states, mask).log_softmax(dim=-1)

    def process(self, records: Sequence[Record]) -> None:
        """Find the entities of a batch of records, in place."""
        open_records = [record for record in records if all(entity.source for entity in record.entities)]
        found: list[list[Entity]] = [[] for _ in open_records]
        for number, words, log_probs in self.read_words(open_records):
            found[number] += self._decode(log_probs, words)
        for record, entities in zip(open_records, found, strict=True):
            record.entities = [e for e in record.entities if e.source != self.name] + entities
            record.entities.sort(key=lambda e: (e.start, e.end))

    def read_words(self, records: Sequence[Record]) -> Iterator[tuple[int, Words, NDArray[np.float32]]]:
        """Read records, and give the labels of the words of each paragraph.

        Yields
        ------
        number : int
            Position of the record.
        words : Words
            With raw offsets.
        log_probs : ndarray of float32, shape (words, labels)
            Of a head with transitions, over all sequences of labels; of an ensemble, of the mean probability.
        """
        texts = [record.view.text for record in records]
        encoded = self.encoder.read(texts, self)
        words = [find_words(record, item.paragraphs) for record, item in zip(records, encoded, strict=True)]
        every = [self.label_words(encoded, words)]
        every += [member.label_words(member.encoder.read(texts, member), words) for member in self.members]
        found = iter(every[0] if len(every) == 1 else _mean(every))
        for number, paragraphs in enumerate(words):
            for of_paragraph in paragraphs:
                yield number, of_paragraph, next(found)

    def label_words(self, encoded: Sequence[Encoded], words: Sequence[Sequence[Words]]) -> list[NDArray[np.float32]]:
        """Give the log probabilities of the words of each paragraph of texts, by this model alone."""
        rows = [
            central[of_paragraph.first].reshape(-1, len(self.scheme.tags))  # of no words too
            for item, paragraphs in zip(encoded, words, strict=True)
            for central, of_paragraph in zip(item.central(self), paragraphs, strict=True)
        ]
        transitions = self.transitions
        return rows if transitions is None else log_marginals(rows, transitions, self.scheme)

    def _decode(self, log_probs: NDArray[np.float32], words: Words) -> list[Entity]:
        """Give the entities of a paragraph; the score is the mean over words of the probability of the type."""
        scheme = self.scheme
        found: list[Entity] = []
        for first, last, label in scheme.spans(scheme.decode(log_probs)):
            # A word may be surely of a type and unsure whether it begins or goes on: that is no doubt of the type.
            of_type = [i for i, name in enumerate(scheme.types) if name == label]
            score = float(np.exp(log_probs[first:last, of_type]).sum(axis=1).mean())
            start, end = int(words.starts[first]), int(words.ends[last - 1])
            found.append(Entity(start, end, label, score=min(score, 1.0), source=self.name))
        return found

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what this stage learns, for `fit` and `Pipeline.fit`."""
        from clinnlp.training.entities import entity_task

        refuse_ensemble(self, "fitted")
        return entity_task(self, train, dev, config)

    def has_gold(self, record: Record) -> bool:
        """Tell whether a record has gold entities for this stage."""
        return record.has("entities") and not any(entity.source for entity in record.entities)

    def own_gold(self, record: Record) -> Record:
        """Give a record without the entities of types that are none of this stage's."""
        own = [entity for entity in record.entities if entity.label in self.labels]
        if len(own) == len(record.entities):
            return record
        made = record.copy()
        made.entities = own
        return made

    def evaluate(self, records: Gold, labels: Sequence[str] | None = None) -> Scores:
        """Compare with gold entities: strict spans, and seqeval's strict IOB2 over words.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Records with gold entities; they are not changed.
        labels : sequence of str, optional
            Types that count, in gold and among what is found; by default those that occur in the gold.

        Returns
        -------
        Scores
            "precision", "recall", "f1", the same with "seqeval_" before, "ece" (expected calibration error of the
            entities' scores), and `per_label`.
        """
        from clinnlp.training.entities import evaluate_entities

        return evaluate_entities(self, records, labels)


def _set_transitions(head: Any, scores: NDArray[np.float32] | None) -> None:
    """Put scores of one label after another on a head as weights of its own, or take them from it."""
    import torch

    if scores is None:
        head._parameters.pop(TRANSITIONS, None)
    else:
        weights = torch.nn.Parameter(torch.from_numpy(scores).to(head.device))
        head.register_parameter(TRANSITIONS, weights)


def _mean(log_probs: Sequence[list[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """Average the probabilities of several models, paragraph by paragraph."""
    return [
        np.logaddexp.reduce(np.stack(rows)) - np.float32(np.log(len(rows))) for rows in zip(*log_probs, strict=True)
    ]


def find_words(record: Record, paragraphs: Sequence[Paragraph], view: EditedText | None = None) -> list[Words]:
    """Give the words of each paragraph of a record, with raw offsets.

    Parameters
    ----------
    record : Record
        With tokens, or without: then the tokenizer's own words are taken.
    paragraphs : sequence of Paragraph
        Of the view's text, in order.
    view : EditedText, optional
        What is read of the record; by default `record.view`.
    """
    view = record.view if view is None else view
    edited = bool(view.alignment.edits)
    if not record.has("tokens"):
        found = [words_of_pieces(paragraph) for paragraph in paragraphs]
        return [_to_raw(words, view.to_source) for words in found] if edited else found
    raw = [(token.start, token.end) for token in record.tokens]
    read = [view.to_target(*span) for span in raw] if edited else raw
    kept = [i for i, (start, end) in enumerate(read) if start < end]
    edges = np.array([read[i] for i in kept], dtype=np.int64).reshape(-1, 2)
    raw_edges = np.array([raw[i] for i in kept], dtype=np.int64).reshape(-1, 2)
    result: list[Words] = []
    for paragraph in paragraphs:
        low = high = 0
        if len(paragraph.ids):
            low = int(np.searchsorted(edges[:, 1], paragraph.starts[0], side="right"))
            high = int(np.searchsorted(edges[:, 0], paragraph.ends[-1], side="left"))
        result.append(words_of_tokens(paragraph, edges[low:high], raw_edges[low:high]))
    return result


def _to_raw(words: Words, to_source: Callable[[int, int], tuple[int, int]]) -> Words:
    """Give words their raw offsets; words that came from one replaced stretch become one."""
    spans = [to_source(int(start), int(end)) for start, end in zip(words.starts, words.ends, strict=True)]
    edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
    reach = np.maximum.accumulate(edges[:, 1])
    new = np.ones(len(edges), dtype=bool)
    new[1:] = edges[1:, 0] >= reach[:-1]
    head = np.flatnonzero(new)
    tail = np.append(head[1:], len(edges))[: len(head)] - 1
    return Words(words.first[head], words.stop[tail], edges[head, 0], reach[tail])
