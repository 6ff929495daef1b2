"""EntityExtractor: typed spans by a token classifier, over the whole of every note."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.bio import LabelScheme, bio_labels
from clinnlp.encoders.checkpoints import (
    find_checkpoint,
    load_config,
    load_model,
    load_onto_base,
    load_tokenizer,
    pick_device,
)
from clinnlp.encoders.text import Paragraph, TextWindows, check_sizes, forward_windows
from clinnlp.encoders.words import Words, words_of_pieces, words_of_tokens
from clinnlp.errors import CheckpointError, ConfigError
from clinnlp.record import Entity, Record
from clinnlp.stage import Stage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold
    from clinnlp.training.scores import Scores

__all__ = ["EntityExtractor", "find_words"]


class EntityExtractor(Stage):
    """Find entities with a token classifier.

    A note is read whole, in overlapping windows; each word's label comes from its first word piece, in the
    window that holds it most centrally. Decoding cannot split a word or give an invalid sequence. A word is a
    token of the record where it has tokens, else what the tokenizer cuts at white space and marks.

    Entities that a record brings are kept, and no others are looked for in it. The score of an entity is the mean,
    over its words, of the probability of its type.

    Parameters
    ----------
    checkpoint : str or Path
        Token classifier: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Entity types of a new head on the encoder of `checkpoint`, which then need not be a token classifier.
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
    uses = ("cleaned", "tokens")
    assigns = ("entities",)

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        labels: Sequence[str] | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if labels is not None and (isinstance(labels, str) or not labels or len(set(labels)) != len(labels)):
            raise ConfigError(f"stage {self.name!r}: give a list of one or more entity types, each once")
        check_sizes(self.name, window=window, overlap=overlap, batch_tokens=batch_tokens)
        self.checkpoint = str(checkpoint)
        self.window, self.overlap, self.batch_tokens = window, overlap, batch_tokens
        self.device = device
        self.weights_changed = labels is not None
        self._new_labels = None if labels is None else list(labels)
        self._model: PreTrainedModel | None = None
        self._windows: TextWindows | None = None
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
        return cls(find_checkpoint(checkpoint), **options)

    @classmethod
    def from_base(cls, base: str | Path, labels: Sequence[str], **options: Any) -> EntityExtractor:
        """Put a new head for `labels` on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str or Path
            Shipped pipeline's name, folder, installed package or Hub id.
        labels : sequence of str
            Entity types.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such base.
        """
        return cls(find_checkpoint(base), labels=labels, **options)

    @classmethod
    def load(cls, config: Mapping[str, Any], folder: Path | None = None) -> EntityExtractor:
        """Make the stage from a saved pipeline's settings and folder."""
        if folder is None:
            raise CheckpointError("an entity stage needs the folder of its weights")
        return cls(folder, **config)

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults."""
        defaults = inspect.signature(type(self).__init__).parameters
        given = {name: getattr(self, name) for name in ("window", "overlap", "batch_tokens")}
        return {name: value for name, value in given.items() if value != defaults[name].default}

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
                names = load_config(self.checkpoint).id2label
                self._scheme = LabelScheme.read([names[i] for i in range(len(names))])
        return self._scheme

    @property
    def windows(self) -> TextWindows:
        """The tokenizer and the windows of the encoder."""
        if self._windows is None:
            tokenizer, config = load_tokenizer(self.checkpoint), load_config(self.checkpoint)
            self._windows = TextWindows(tokenizer, self.window, self.overlap, config)
        return self._windows

    @property
    def model(self) -> PreTrainedModel:
        """The token classifier, loaded at first use, on its device."""
        if self._model is None:
            from transformers import AutoModelForTokenClassification

            scheme = self.scheme
            if self._new_labels is None:
                model = load_model(AutoModelForTokenClassification, self.checkpoint)
            else:
                labels = bio_labels(self._new_labels)
                names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
                config = load_config(self.checkpoint, **names)
                model = load_onto_base(AutoModelForTokenClassification, self.checkpoint, config)
            if model.config.num_labels != len(scheme.tags):
                raise CheckpointError(f"{self.checkpoint} has {model.config.num_labels} labels but names others")
            self._model = model.to(pick_device(self.device))
        return self._model

    def warm_up(self) -> None:
        """Load tokenizer and weights."""
        _ = self.windows, self.model

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_windows"] = None
        if not self.weights_changed:  # whoever unpickles reads them from the checkpoint
            state["_model"] = None
        return state

    def process(self, records: Sequence[Record]) -> None:
        """Find the entities of a batch of records, in place."""
        open_records = [record for record in records if all(entity.source for entity in record.entities)]
        views = [record.view for record in open_records]
        by_record = self.windows.paragraphs(view.text for view in views)
        log_probs = iter(self._log_probs([paragraph for paragraphs in by_record for paragraph in paragraphs]))
        for record, paragraphs in zip(open_records, by_record, strict=True):
            found: list[Entity] = []
            for words in find_words(record, paragraphs):
                found += self._decode(next(log_probs)[words.first], words)
            record.entities = [e for e in record.entities if e.source != self.name] + found
            record.entities.sort(key=lambda e: (e.start, e.end))

    def _log_probs(self, paragraphs: Sequence[Paragraph]) -> list[NDArray[np.float32]]:
        """Give the log probabilities of the labels for each piece of each paragraph, (pieces, labels)."""
        model = self.model

        def forward(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return model(**inputs).logits.log_softmax(dim=-1)  # type: ignore[no-any-return]

        cut = self.windows.windows(paragraphs)
        rows = [self.windows.input_ids(paragraphs[window.paragraph], window) for window in cut]
        outputs = forward_windows(self.windows, rows, forward, self.batch_tokens, model.device)
        results = [np.empty((len(p.ids), len(self.scheme.tags)), dtype=np.float32) for p in paragraphs]
        skip = len(self.windows.prefix)
        for window, output in zip(cut, outputs, strict=True):
            low, high = window.keep_start - window.start + skip, window.keep_end - window.start + skip
            results[window.paragraph][window.keep_start : window.keep_end] = output[low:high]
        return results

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

    def fit(self, train: Gold, dev: Gold | None = None, config: FitConfig | None = None) -> FitReport:
        """Fine-tune on gold entities; see `clinnlp.training.entities`.

        Parameters
        ----------
        train, dev : sequence of Record or datasets.Dataset
            Records with gold entities. On `dev` the best epoch is chosen, by strict span F1.
        config : FitConfig, optional

        Returns
        -------
        FitReport

        Raises
        ------
        TrainingError
            If there is no gold, or it has types that the head does not know.
        """
        from clinnlp.training.entities import fit_entities

        return fit_entities(self, train, dev, config)

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
            "precision", "recall", "f1", the same with "seqeval_" before, and `per_label`.
        """
        from clinnlp.training.entities import evaluate_entities

        return evaluate_entities(self, records, labels)

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write a checkpoint that plain `AutoModelForTokenClassification` opens.

        Parameters
        ----------
        folder : str or Path
            Appears whole or not at all.
        dtype : {"float32", "float16", "bfloat16"}
            How the weights are written.
        """
        from clinnlp.encoders.saving import save_checkpoint

        return save_checkpoint(self.model, self.windows.tokenizer, folder, dtype)


def find_words(record: Record, paragraphs: Sequence[Paragraph]) -> list[Words]:
    """Give the words of each paragraph of a record, with raw offsets.

    Parameters
    ----------
    record : Record
        With tokens, or without: then the tokenizer's own words are taken.
    paragraphs : sequence of Paragraph
        Of `record.view.text`, in order.
    """
    view = record.view
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
    return Words(words.first[head], edges[head, 0], reach[tail])
