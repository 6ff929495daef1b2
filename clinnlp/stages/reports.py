"""ReportClassifier: labels of whole notes, of any length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import (
    LABEL_SET,
    check_labels,
    head_settings,
    label_set_name,
    probabilities,
    rank,
    read_head,
)
from clinnlp.record import Record
from clinnlp.stages._encoder_stage import EncoderStage
from clinnlp.stages._ensemble import refuse_ensemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.explanation import Explanation
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import Gold
    from clinnlp.training.scores import Scores
    from clinnlp.training.task import HeadTask

__all__ = ["ReportClassifier"]


class ReportClassifier(EncoderStage):
    """Classify whole notes with a sequence classifier.

    A note is read whole: its windows are classified, and their logits averaged, each window weighing as many
    word pieces as it holds most centrally, so that every piece counts once. The labels go to
    `record.labels[name]`, in the place of what stood there: all of them, best first, with their probabilities;
    of a multi-label head those whose probability is at least `threshold` (0 gives all). A note without a word
    gets an empty list.

    It is fitted on the labels under its name in `record.labels`, and judged by macro F1; without a configuration for 8
    epochs at a learning rate of 1e-4, and 2e-3 for the head.

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
    threshold : float
        Least probability of a label that is given, for a multi-label head.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.
    """

    kind: ClassVar[str] = "reports"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
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
        threshold: float = 0.5,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
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
        self.threshold = threshold
        self._labels: tuple[list[str], bool] | None = None
        if labels is not None:
            self._labels = check_labels(labels, 1 if multi_label else 2, self.name), bool(multi_label)
        self._multi_label = multi_label

    @classmethod
    def from_pretrained(cls, checkpoint: str | Path, name: str | None = None, **options: Any) -> ReportClassifier:
        """Take a sequence classifier as it is: any checkpoint of `AutoModelForSequenceClassification`.

        Parameters
        ----------
        checkpoint : str or Path
            Folder, installed package or Hub id.
        name : str, optional
            Name of the label set; by default the one that it was saved under.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such checkpoint; at first use, if it cannot be read or gives no classes.
        """
        found, settings = cls._pretrained(checkpoint, options, name)
        return cls(found, name=name or label_set_name(settings["head"] or found), **settings)

    @classmethod
    def from_base(
        cls,
        base: str | Path | TextEncoder,
        labels: Sequence[str],
        name: str | None = None,
        multi_label: bool = False,
        **options: Any,
    ) -> ReportClassifier:
        """Put a new head for `labels` on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str, Path or TextEncoder
            Shipped pipeline's name, folder, installed package or Hub id; or the `encoder` of another stage, with
            which it is shared then.
        labels : sequence of str
            What a note can be.
        name : str, optional
            Name of the label set.
        multi_label : bool
            Whether a note may have any number of labels.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such base.
        """
        return cls(cls._base(base), labels=labels, name=name, multi_label=multi_label, **options)

    def _own_settings(self) -> tuple[str, ...]:
        return ("threshold",)

    @property
    def labels(self) -> list[str]:
        """What a note can be, in the order of the head's outputs."""
        return list(self._read_labels()[0])

    @property
    def multi_label(self) -> bool:
        """Whether a note may have any number of labels."""
        return self._read_labels()[1]

    def _read_labels(self) -> tuple[list[str], bool]:
        if self._labels is None:
            labels, multi_label = read_head(self.head_config, self.head_checkpoint or self.checkpoint)
            self._labels = labels, multi_label if self._multi_label is None else self._multi_label
        return self._labels

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {**super().alike(), "way to read labels, one or several": self.multi_label}

    def _new_settings(self) -> dict[str, Any]:
        return head_settings(*self._read_labels())

    def _load_head(self) -> Any:
        labels = self._read_labels()
        head = super()._load_head()
        head.config.problem_type = head_settings(*labels)["problem_type"]
        return head

    def _saved_head(self) -> Any:
        setattr(self.head.config, LABEL_SET, self.name)
        return self.head

    def process(self, records: Sequence[Record]) -> None:
        """Classify a batch of records, in place."""
        scores, empty = self.predict([record.view.text for record in records])
        labels, least = self.labels, self.threshold if self.multi_label else 0.0
        for record, row, nothing in zip(records, scores, empty, strict=True):
            record.labels[self.name] = [] if nothing else rank(row, labels, least)

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
        """Give the averaged logits of the windows of each text, as `predict` gives probabilities."""
        pooled = np.zeros((len(texts), len(self.labels)))
        weights = np.zeros(len(texts))
        for number, item in enumerate(self.encoder.read(texts, self)):
            for window, logits in zip(item.windows, item.outputs[self], strict=True):
                share = window.keep_end - window.keep_start
                pooled[number] += share * logits
                weights[number] += share
        empty = weights == 0
        pooled[~empty] /= weights[~empty, None]
        return pooled, empty

    def explain(
        self,
        records: Record | str | Sequence[Record | str],
        label: str | None = None,
        *,
        method: str = "integrated_gradients",
        steps: int = 8,
    ) -> list[Explanation]:
        """Tell which words and sentences carried a label.

        The weights of a report's words are parts of the label's logit, before it becomes a probability: those of
        integrated gradients sum up to what the logit of the report is above that of the same report with every piece
        masked. A word is a token of the record where it has tokens, else what the tokenizer cuts at white space and
        marks; pieces of white space belong to none. Of an ensemble the weights are the mean over its members.

        A long report is explained window by window, so that memory does not grow with it.

        Parameters
        ----------
        records : Record, str, or a sequence of them
            Nothing is written into them.
        label : str, optional
            By default the one that is most probable, of each record.
        method : {"integrated_gradients", "gradient"}
            Integrated gradients (Sundararajan et al., 2017), or the gradient times the word embedding (Shrikumar et
            al., 2016), which needs one pass instead of `steps`. Look twice at the latter: on MTS-Dialog, deleting the
            words that it put first cost the label no more than deleting random ones.
        steps : int
            Of integrated gradients. Eight found words as well as 32 did on MTS-Dialog, four and one less well; with
            more the sum is more exact.

        Returns
        -------
        list of Explanation
            One a record; without words for a report without a word.

        Raises
        ------
        ConfigError
            If the head has no such label, there is no such method, or `steps` is no number of them.
        RecordError
            If a record is not valid, or something is no record.
        MissingPackageError
            If captum is not installed.
        """
        from clinnlp.stages._explanations import explain_reports

        return explain_reports(self, records, label, method, steps)

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what this stage learns, for `fit` and `Pipeline.fit`."""
        from clinnlp.training.reports import report_task

        refuse_ensemble(self, "fitted")
        return report_task(self, train, dev, config)

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        return FitConfig(epochs=8, learning_rate=1e-4, head_learning_rate=2e-3)

    def has_gold(self, record: Record) -> bool:
        """Tell whether a record has gold labels for this stage."""
        return self.name in record.labels

    def evaluate(self, records: Gold) -> Scores:
        """Compare with gold labels.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Records with gold in `labels[name]`; others are left out. They are not changed.

        Returns
        -------
        Scores
            "accuracy", "macro_f1", "micro_f1", "auroc", "ece" and `per_label`; see `clinnlp.training.metrics`.
        """
        from clinnlp.training.reports import evaluate_reports

        return evaluate_reports(self, records)
