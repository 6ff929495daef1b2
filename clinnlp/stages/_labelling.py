"""What stages that give labels have in common: their labels, one or several, and from which probability on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import LABEL_SET, check_labels, head_settings, label_set_name, rank, read_head
from clinnlp.errors import ConfigError, StageError
from clinnlp.labels import Label
from clinnlp.record import Record
from clinnlp.stages._decision import ABSTAIN, THRESHOLDS, check_share, check_threshold, saved_decision
from clinnlp.stages._encoder_stage import EncoderStage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from clinnlp.training.fit import Gold
    from clinnlp.training.scores import Scores

__all__ = ["LabellingStage"]


# Least probability of a label that is given, where nobody says.
_THRESHOLD = 0.5


class LabellingStage(EncoderStage):
    """A stage on a text encoder that gives labels of one set, under its name.

    Subclasses say in `judge` what is labelled.

    Parameters
    ----------
    checkpoint, head, window, overlap, batch_tokens, device, name
        As for `EncoderStage`.
    labels : sequence of str, optional
        Labels of a new head.
    multi_label : bool, optional
        Whether an item may have any number of labels; by default what the checkpoint says, or not.
    threshold : float or mapping of str to float, optional
        Least probability of a label that is given, where an item may have several; by default what the checkpoint
        says, or 0.5.
    abstain : float, optional
        Least probability of the best label, where an item has one; by default what the checkpoint says, or 0.

    Raises
    ------
    ConfigError
        If the head has no use for one of these; of a head that is read from a checkpoint, at first use.
    """

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        labels: Sequence[str] | None,
        head: str | Path | None,
        multi_label: bool | None,
        threshold: float | Mapping[str, float] | None,
        abstain: float | None,
        window: int,
        overlap: int,
        batch_tokens: int,
        device: str | None,
        name: str | None,
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
        self.threshold: float | dict[str, float] | None = check_threshold(threshold, self.name)
        self.abstain = None if abstain is None else check_share(abstain, ABSTAIN, self.name)
        self.tuned = False
        """Whether `tune` has chosen thresholds or abstention."""
        self._labels: tuple[list[str], bool] | None = None
        if labels is not None:
            self._labels = check_labels(labels, 1 if multi_label else 2, self.name), bool(multi_label)
            self._check_decision(self._labels[1])
        self._multi_label = multi_label

    @classmethod
    def from_pretrained(cls, checkpoint: str | Path, name: str | None = None, **options: Any) -> Self:
        """Take a classifier as it is.

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
        return cls(found, name=name or label_set_name(settings["head"] or str(found)), **settings)

    @classmethod
    def from_base(
        cls,
        base: str | Path | TextEncoder,
        labels: Sequence[str],
        name: str | None = None,
        multi_label: bool = False,
        **options: Any,
    ) -> Self:
        """Put a new head for `labels` on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str, Path or TextEncoder
            Shipped pipeline's name, folder, installed package or Hub id; or the `encoder` of another stage, with
            which it is shared then.
        labels : sequence of str
            What an item can be.
        name : str, optional
            Name of the label set.
        multi_label : bool
            Whether an item may have any number of labels.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such base.
        """
        return cls._on_base(base, labels=labels, name=name, multi_label=multi_label, **options)

    def _own_settings(self) -> tuple[str, ...]:
        return ("threshold", "abstain")

    @property
    def labels(self) -> list[str]:
        """What an item can be, in the order of the head's outputs."""
        return list(self._read_labels()[0])

    @property
    def multi_label(self) -> bool:
        """Whether an item may have any number of labels."""
        return self._read_labels()[1]

    def _read_labels(self) -> tuple[list[str], bool]:
        if self._labels is None:
            labels, multi_label = read_head(self.head_config, self.head_checkpoint or self.checkpoint)
            self._labels = labels, multi_label if self._multi_label is None else self._multi_label
        self._check_decision(self._labels[1])
        return self._labels

    def _check_decision(self, multi_label: bool) -> None:
        """Refuse a setting that a head of this kind does not use."""
        if self.threshold is not None and not multi_label:
            raise ConfigError(
                f"stage {self.name!r} has a threshold, and its head gives one label: give it abstain, the least"
                " probability of that, or make it with multi_label=True"
            )
        if self.abstain and multi_label:
            raise ConfigError(
                f"stage {self.name!r} has abstain, and its head gives several labels: give it threshold, the least"
                " probability of each, or make it with multi_label=False"
            )

    @property
    def thresholds(self) -> dict[str, float]:
        """Least probability of each label that is given, where an item may have several."""
        given = self._saved_decision[0] if self.threshold is None else self.threshold
        if isinstance(given, dict) and (unknown := sorted(set(given) - set(self.labels))):
            raise ConfigError(f"stage {self.name!r} has no label {unknown[0]!r} to give a threshold")
        return {
            label: given.get(label, _THRESHOLD) if isinstance(given, dict) else float(given) for label in self.labels
        }

    @property
    def least(self) -> float:
        """Least probability of the best label, where an item has one: below it the stage abstains."""
        if self.multi_label:
            return 0.0
        return self._saved_decision[1] if self.abstain is None else self.abstain

    @cached_property
    def _saved_decision(self) -> tuple[dict[str, float], float]:
        return ({}, 0.0) if self.saved_in is None else saved_decision(self.head_config, self.name)

    @property
    def decided(self) -> bool:
        """Whether thresholds or abstention are those that `tune` found or the checkpoint holds."""
        if self.tuned:
            return True
        thresholds, least = self._saved_decision
        if not self.multi_label:
            return least > 0 and self.least == least
        saved = {label: thresholds.get(label, _THRESHOLD) for label in self.labels}
        return self.thresholds == saved and set(saved.values()) != {_THRESHOLD}

    def tune(self, dev: Gold, accuracy: float | None = None) -> dict[str, float]:
        """Choose thresholds on development records, in place.

        Of a head that gives several labels: for each the threshold with the best F1, a label without an example in
        them keeps its own. Of one that gives one label: the least probability of the best label, `abstain`, from which
        on `accuracy` of the answers are right.

        Parameters
        ----------
        dev : sequence of Record or datasets.Dataset
            Records with gold. Figures on them flatter from now on: judge on others.
        accuracy : float, optional
            Share of the answers that shall be right, of a head that gives one label.

        Returns
        -------
        dict of str to float
            Label -> threshold; or "abstain", and the "coverage", the share of the items that are answered.

        Raises
        ------
        ConfigError
            If `accuracy` is given for several labels, or not for one.
        TrainingError
            If no record has gold, or no answers are right so often.
        """
        from clinnlp.training.labelling import tune_labels

        return tune_labels(self, dev, accuracy)

    def choose(self, probabilities: NDArray[np.floating[Any]]) -> list[list[Label]]:
        """Give the labels of items, best first.

        Parameters
        ----------
        probabilities : ndarray of float, shape (items, labels)
            A row of zeros is an item without a word, which gets none.
        """
        if not np.isfinite(probabilities).all():
            raise StageError(
                f"stage {self.name!r} gives what are no numbers: its weights are broken, fit or load them again"
            )
        labels, several, abstain = self.labels, self.multi_label, self.least
        least = list(self.thresholds.values()) if several else None
        return [
            rank(row, labels, least) if row.any() and (several or row.max() >= abstain) else [] for row in probabilities
        ]

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
        config = self.head.config
        setattr(config, LABEL_SET, self.name)
        setattr(config, THRESHOLDS, self.thresholds if self.multi_label else None)
        setattr(config, ABSTAIN, self.least)
        return self.head

    def has_gold(self, record: Record) -> bool:
        """Tell whether a record has gold labels for this stage."""
        return self.name in record.labels

    def judge(self, records: Sequence[Record]) -> tuple[list[list[str]], NDArray[np.float64]]:
        """Give the gold of the items that have some, and the probabilities that the stage finds for them.

        Returns
        -------
        gold : list of list of str
        probabilities : ndarray of float, shape (items, labels)
            A row of zeros is an item without a word.
        """
        raise NotImplementedError

    def evaluate(self, records: Gold) -> Scores:
        """Compare with gold labels.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Records with gold; others are left out. They are not changed.

        Returns
        -------
        Scores
            "accuracy", "macro_f1", "micro_f1", "auroc", "ece" and `per_label`; see `clinnlp.training.metrics`. Of a
            stage that abstains also "coverage", the share of the items that it answers, and "answered_accuracy".
        """
        from clinnlp.training.labelling import evaluate_labels

        return evaluate_labels(self, records)
