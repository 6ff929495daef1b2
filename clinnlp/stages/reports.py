"""ReportClassifier: labels of whole notes, of any length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import (
    probabilities,
)
from clinnlp.errors import ConfigError, RecordError
from clinnlp.record import Record
from clinnlp.stages._decision import (
    check_sections,
    only,
)
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages._labelling import LabellingStage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from clinnlp.alignment import EditedText
    from clinnlp.encoders.bag_of_words import BagOfWords
    from clinnlp.explanation import Explanation
    from clinnlp.training.config import FitConfig
    from clinnlp.training.task import HeadTask

__all__ = ["ReportClassifier"]

# Where a checkpoint's config.json says that a bag of words lies beside the head, or will, once there is one.
_BAG, _UNFITTED = "bag_of_words", "unfitted"


class ReportClassifier(LabellingStage):
    """Classify whole notes with a sequence classifier.

    A note is read whole: its windows are classified, and their logits averaged, each window weighing as many
    word pieces as it holds most centrally, so that every piece counts once. The labels go to
    `record.labels[name]`, in the place of what stood there: all of them, best first, with their probabilities;
    of a multi-label head those whose probability is at least their threshold (0 gives all). A note without a word
    gets an empty list, and so does one whose best label is less probable than `abstain`.

    It is fitted on the labels under its name in `record.labels`, and judged by macro F1; without a configuration for 8
    epochs at a learning rate of 1e-4, and 2e-3 for the head, with classes weighed by the root of their rarity.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        Sequence classifier: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Labels of a new head on the encoder of `checkpoint`.
    head : str or Path, optional
        Folder of a head that was saved without its encoder, for the encoder of `checkpoint`.
    name : str, optional
        Name of the label set, and of the stage in a pipeline; by default "reports".
    multi_label : bool, optional
        Whether a note may have any number of labels; by default what the checkpoint says, or not.
    threshold : float or mapping of str to float, optional
        Least probability of a label that is given, for a multi-label head: of all, or by label, 0.5 where it names
        none; by default what `tune` found and the checkpoint says, or 0.5.
    abstain : float, optional
        Least probability of the best label of a head that gives one: below it the note gets none. By default what
        `tune` found and the checkpoint says, or 0.
    sections : sequence of str, optional
        Names of the sections that are read, such as "impression"; by default the whole note. The stage then requires
        sections, and a note that has none of these gets an empty list.
    bag_of_words : bool, optional
        Whether a bag of words votes with the head: logits are the mean of both. It is fitted with the head, on the same
        notes, in seconds, and saved beside it, where plain transformers does not see it; see
        `clinnlp.encoders.bag_of_words`. By default what the checkpoint says, or not.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.
    """

    kind: ClassVar[str] = "reports"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    new_bag: ClassVar[bool] = False
    """Whether a bag of words votes with a new head, where nobody says."""
    uses = ("cleaned",)
    assigns = ("labels",)

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
        sections: Sequence[str] | None = None,
        bag_of_words: bool | None = None,
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
        self.sections = None if sections is None else check_sections(sections, self.name)
        if self.sections is not None:
            self.requires = ("sections",)
        if not (bag_of_words is None or isinstance(bag_of_words, bool)):
            raise ConfigError(f"stage {self.name!r}: bag_of_words is True or False")
        self.bag_of_words = bag_of_words
        self._bag: BagOfWords | None = None
        self._bag_is_read = self.saved_in is None

    def _own_settings(self) -> tuple[str, ...]:
        return (*super()._own_settings(), "sections", "bag_of_words")

    @property
    def has_bag(self) -> bool:
        """Whether a bag of words votes with the head, once it is fitted."""
        if self.bag_of_words is not None:
            return self.bag_of_words
        return self.new_bag if self.saved_in is None else self._saved_bag

    @cached_property
    def _saved_bag(self) -> bool:
        return getattr(self.head_config, _BAG, False) in (True, _UNFITTED)

    @property
    def bag(self) -> BagOfWords | None:
        """The bag of words that votes with the head; None where there is none, and before a fit."""
        if not self.has_bag:
            return None
        if not self._bag_is_read:
            self._bag, self._bag_is_read = self._load_bag(), True
        return self._bag

    @bag.setter
    def bag(self, bag: BagOfWords | None) -> None:
        self._bag, self._bag_is_read = bag, True
        self.head_changed = True  # what lies beside the head that was read is another

    def _load_bag(self) -> BagOfWords | None:
        from clinnlp.encoders.bag_of_words import BagOfWords

        if self.saved_in is None or getattr(self.head_config, _BAG, False) is not True:
            return None
        return BagOfWords.load(Path(self.saved_in), len(self.labels))

    def reads(self, record: Record) -> EditedText:
        """Give what the stage reads of a record, with the way back to raw offsets.

        Raises
        ------
        RecordError
            If it reads sections, and nobody looked for some.
        """
        view = record.view
        if self.sections is None:
            return view
        if not record.has("sections"):
            raise RecordError(f"record {record.id!r} has no 'sections': run a stage that assigns them before")
        wanted = [(s.start, s.end) for s in record.sections if s.name in self.sections]
        return only(view, sorted(view.to_target(start, end) for start, end in wanted))

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {**super().alike(), "sections": self.sections}

    def process(self, records: Sequence[Record]) -> None:
        """Classify a batch of records, in place."""
        scores, _ = self.predict([self.reads(record).text for record in records])
        for record, labels in zip(records, self.choose(scores), strict=True):
            record.labels[self.name] = labels

    def predict(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the probabilities of all labels.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        probabilities : ndarray of float, shape (texts, labels)
            Zeros for a text without a word.
        empty : ndarray of bool, shape (texts,)
            Which texts have no word.
        """
        pooled, empty = self.pooled_logits(texts)
        scores = probabilities(pooled, self.multi_label)
        for member in self.members:
            scores += probabilities(member.pooled_logits(texts)[0], self.multi_label)
        scores /= 1 + len(self.members)
        scores[empty] = 0
        return scores, empty

    def pooled_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the logits of each text, as `predict` gives probabilities: those of the head, or the mean with a bag's.

        Probabilities of the mean are the geometric mean of both (Hinton, 2002).
        """
        logits, empty = self._head_logits(texts)
        if (bag := self.bag) is not None:
            logits = (logits + bag.log_odds(texts)) / 2
        return logits, empty

    def _head_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the averaged logits of the windows of each text."""
        return self._pooled(texts, len(self.labels))

    def head_logits_of(self, pooled: torch.Tensor) -> torch.Tensor:
        """Give the logits of reports from what `head` gave for their windows, averaged; shape (reports, labels)."""
        return pooled

    def window_logits(self, text: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Give what makes logits, shape (windows, labels), of states and mask: their mean is the logit of the text."""
        from clinnlp.encoders.model_heads import head_logits

        return lambda states, mask: head_logits(self.head, states, mask)

    def explain(
        self,
        records: Record | str | Sequence[Record | str],
        label: str | None = None,
        *,
        steps: int = 8,
    ) -> list[Explanation]:
        """Tell which words and sentences carried a label.

        The weights of a report's words are parts of the label's logit, before it becomes a probability: those of
        integrated gradients sum up to what the logit of the report is above that of the same report with every piece
        masked. Where a bag of words votes with the head, a word's weight is half of that and half of what its terms
        weigh in the bag. A word is a token of the record where it has tokens, else what the tokenizer cuts at white
        space and marks; pieces of white space belong to none. Of an ensemble the weights are the mean over its members.

        A long report is explained window by window, so that memory does not grow with it.

        Parameters
        ----------
        records : Record, str, or a sequence of them
            Nothing is written into them.
        label : str, optional
            By default the one that is most probable, of each record.
        steps : int
            Of integrated gradients (Sundararajan et al., 2017). Eight found words as well as 32 did on MTS-Dialog,
            four and one less well; with more the sum is more exact.

        Returns
        -------
        list of Explanation
            One a record; without words for a report without a word.

        Raises
        ------
        ConfigError
            If the head has no such label, or `steps` is no number of them.
        RecordError
            If a record is not valid, or something is no record.
        MissingPackageError
            If captum is not installed.
        """
        from clinnlp.stages._explanations import explain_reports

        return explain_reports(self, records, label, steps)

    def warm_up(self) -> None:
        """Load tokenizer and weights."""
        super().warm_up()
        _ = self.bag

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Give the weights of encoder, head and bag of words by name."""
        state = super().state_dict()
        if (bag := self.bag) is not None:
            state.update({f"bag_of_words.{name}": tensor for name, tensor in bag.state_dict().items()})
        return state

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return state if self.head_changed else {**state, "_bag": None, "_bag_is_read": False}

    def _saved_head(self) -> Any:
        head = super()._saved_head()
        setattr(head.config, _BAG, self.bag is not None or (_UNFITTED if self.has_bag else False))
        return head

    def _save_beside(self, folder: Path, dtype: str) -> None:
        from clinnlp.encoders.saving import check_range

        if (bag := self.bag) is not None:
            check_range({"the bag of words": bag.state_dict()["weights"]}, dtype)
            bag.save(folder, dtype)

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what this stage learns, for `fit` and `Pipeline.fit`."""
        from clinnlp.training.reports import report_task

        refuse_ensemble(self, "fitted")
        return report_task(self, train, dev, config)

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        return FitConfig(epochs=8, learning_rate=1e-4, head_learning_rate=2e-3, class_weights="sqrt")

    def judge(self, records: Sequence[Record]) -> tuple[list[list[str]], NDArray[np.float64]]:
        """Give the gold of the records that have some, and the probabilities that the stage finds for them."""
        from clinnlp.training.reports import with_gold

        items, gold = with_gold(self, records)
        return gold, self.predict([self.reads(record).text for record in items])[0]
