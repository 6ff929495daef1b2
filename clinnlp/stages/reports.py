"""ReportClassifier: labels of whole notes, of any length."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.checkpoints import (
    find_checkpoint,
    load_config,
    load_model,
    load_onto_base,
    load_tokenizer,
    pick_device,
)
from clinnlp.encoders.heads import (
    LABEL_SET,
    check_labels,
    head_settings,
    label_set_name,
    probabilities,
    rank,
    read_head,
)
from clinnlp.encoders.text import TextWindows, check_sizes, forward_windows
from clinnlp.errors import CheckpointError
from clinnlp.record import Record
from clinnlp.stage import Stage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold
    from clinnlp.training.scores import Scores

__all__ = ["ReportClassifier"]


class ReportClassifier(Stage):
    """Classify whole notes with a sequence classifier.

    A note is read whole: its windows are classified, and their logits averaged, each window weighing as many
    word pieces as it holds most centrally, so that every piece counts once. The labels go to
    `record.labels[name]`, in the place of what stood there: all of them, best first, with their probabilities;
    of a multi-label head those whose probability is at least `threshold` (0 gives all). A note without a word
    gets an empty list.

    Parameters
    ----------
    checkpoint : str or Path
        Sequence classifier: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Labels of a new head on the encoder of `checkpoint`.
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
    uses = ("cleaned",)
    assigns = ("labels",)

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        labels: Sequence[str] | None = None,
        name: str | None = None,
        multi_label: bool | None = None,
        threshold: float = 0.5,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
    ) -> None:
        super().__init__(name)
        self.checkpoint = str(checkpoint)
        self.threshold = threshold
        check_sizes(self.name, window=window, overlap=overlap, batch_tokens=batch_tokens)
        self.window, self.overlap, self.batch_tokens = window, overlap, batch_tokens
        self.device = device
        self.weights_changed = labels is not None
        self._head: tuple[list[str], bool] | None = None
        if labels is not None:
            self._head = check_labels(labels, bool(multi_label), self.name), bool(multi_label)
        self._new_head = self._head
        self._multi_label = multi_label
        self._model: PreTrainedModel | None = None
        self._windows: TextWindows | None = None

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
        found = find_checkpoint(checkpoint)
        return cls(found, name=name or label_set_name(found), **options)

    @classmethod
    def from_base(
        cls,
        base: str | Path,
        labels: Sequence[str],
        name: str | None = None,
        multi_label: bool = False,
        **options: Any,
    ) -> ReportClassifier:
        """Put a new head for `labels` on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str or Path
            Shipped pipeline's name, folder, installed package or Hub id.
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
        return cls(find_checkpoint(base), labels=labels, name=name, multi_label=multi_label, **options)

    @classmethod
    def load(cls, config: Mapping[str, Any], folder: Path | None = None) -> ReportClassifier:
        """Make the stage from a saved pipeline's settings and folder."""
        if folder is None:
            raise CheckpointError("a report stage needs the folder of its weights")
        return cls(folder, **config)

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults."""
        defaults = inspect.signature(type(self).__init__).parameters
        given = {name: getattr(self, name) for name in ("threshold", "window", "overlap", "batch_tokens")}
        return {name: value for name, value in given.items() if value != defaults[name].default}

    @property
    def labels(self) -> list[str]:
        """What a note can be, in the order of the head's outputs."""
        return list(self._read_head()[0])

    @property
    def multi_label(self) -> bool:
        """Whether a note may have any number of labels."""
        return self._read_head()[1]

    def _read_head(self) -> tuple[list[str], bool]:
        if self._head is None:
            labels, multi_label = read_head(load_config(self.checkpoint), self.checkpoint)
            self._head = labels, multi_label if self._multi_label is None else self._multi_label
        return self._head

    @property
    def windows(self) -> TextWindows:
        """The tokenizer and the windows of the encoder."""
        if self._windows is None:
            tokenizer, config = load_tokenizer(self.checkpoint), load_config(self.checkpoint)
            self._windows = TextWindows(tokenizer, self.window, self.overlap, config)
        return self._windows

    @property
    def model(self) -> PreTrainedModel:
        """The sequence classifier, loaded at first use, on its device."""
        if self._model is None:
            from transformers import AutoModelForSequenceClassification

            settings = head_settings(*self._read_head())
            if self._new_head is None:
                model = load_model(AutoModelForSequenceClassification, self.checkpoint)
            else:
                config = load_config(self.checkpoint, **settings)
                model = load_onto_base(AutoModelForSequenceClassification, self.checkpoint, config)
            model.config.problem_type = settings["problem_type"]
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
        model = self.model

        def forward(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return model(**inputs).logits  # type: ignore[no-any-return]

        pooled = np.zeros((len(texts), len(self.labels)))
        weights = np.zeros(len(texts))
        owners, shares, rows = self.cut(texts)
        outputs = forward_windows(self.windows, rows, forward, self.batch_tokens, model.device)
        for owner, share, logits in zip(owners, shares, outputs, strict=True):
            pooled[owner] += share * logits
            weights[owner] += share
        empty = weights == 0
        pooled[~empty] /= weights[~empty, None]
        scores = probabilities(pooled, self.multi_label)
        scores[empty] = 0
        return scores, empty

    def cut(self, texts: Sequence[str]) -> tuple[list[int], list[int], list[list[int]]]:
        """Cut texts into windows.

        Returns
        -------
        owners, shares : list of int
            For each window the position of its text, and the pieces that it holds most centrally.
        rows : list of list of int
            Its ids, special ones included.
        """
        owners: list[int] = []
        shares: list[int] = []
        rows: list[list[int]] = []
        for number, paragraphs in enumerate(self.windows.paragraphs(texts)):
            for window in self.windows.windows(paragraphs):
                owners.append(number)
                shares.append(window.keep_end - window.keep_start)
                rows.append(self.windows.input_ids(paragraphs[window.paragraph], window))
        return owners, shares, rows

    def fit(self, train: Gold, dev: Gold | None = None, config: FitConfig | None = None) -> FitReport:
        """Fine-tune on gold labels; see `clinnlp.training.reports`.

        Parameters
        ----------
        train, dev : sequence of Record or datasets.Dataset
            Records with gold in `labels[name]`; others are left out. On `dev` the best epoch is chosen, by
            macro F1.
        config : FitConfig, optional
            By default 8 epochs at a learning rate of 1e-4, and 2e-3 for the head.

        Returns
        -------
        FitReport

        Raises
        ------
        TrainingError
            If there is no gold, or it has labels that the head does not know.
        """
        from clinnlp.training.reports import fit_reports

        return fit_reports(self, train, dev, config)

    def evaluate(self, records: Gold) -> Scores:
        """Compare with gold labels.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Records with gold in `labels[name]`; others are left out. They are not changed.

        Returns
        -------
        Scores
            "accuracy", "macro_f1", "micro_f1", "auroc" and `per_label`; see `clinnlp.training.metrics`.
        """
        from clinnlp.training.reports import evaluate_reports

        return evaluate_reports(self, records)

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write a checkpoint that plain `AutoModelForSequenceClassification` opens.

        Parameters
        ----------
        folder : str or Path
            Appears whole or not at all.
        dtype : {"float32", "float16", "bfloat16"}
            How the weights are written.
        """
        from clinnlp.encoders.saving import save_checkpoint

        setattr(self.model.config, LABEL_SET, self.name)
        return save_checkpoint(self.model, self.windows.tokenizer, folder, dtype)
