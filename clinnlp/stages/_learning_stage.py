"""What all stages that learn have in common: how they were fitted, what their card says, search and ensembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinnlp.cards import read_card
from clinnlp.record import Record
from clinnlp.stage import Stage

if TYPE_CHECKING:
    from typing_extensions import Self

    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold
    from clinnlp.training.search import SearchReport

__all__ = ["LearningStage"]


class LearningStage(Stage):
    """A stage that is fitted.

    Subclasses have `fit_task`, `evaluate` and `save`, and say in `saved_in`, `alike` and `frozen_copy` what cards and
    ensembles are made of.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.fitted: FitReport | None = None
        """How the stage was last fitted."""
        self.fitted_as = ""
        """Its name in that report."""
        self.members: tuple[Any, ...] = ()
        """Of an ensemble: the others, with whose probabilities the stage's own are averaged."""
        self.frozen = False
        """Whether the stage is one of an ensemble, whose weights no fit may change."""
        self._card: dict[str, str] | None = None

    @property
    def card(self) -> dict[str, str]:
        """What the model card shall say, by heading: "data", "licence", "intended_use", "limits" and others."""
        if self._card is None:
            self._card = {} if self.saved_in is None else read_card(self.saved_in).texts
        return self._card

    @card.setter
    def card(self, texts: Mapping[str, str]) -> None:
        self._card = {str(name): str(text) for name, text in texts.items()}

    @property
    def saved_in(self) -> str | None:
        """Where what the stage learned was read from; None of a new one."""
        raise NotImplementedError

    def place_gold(self, record: Record) -> Record:
        """Give a record with its gold where this stage looks for it, also after earlier stages have read it."""
        return record

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        return FitConfig()

    def fit(
        self,
        train: Gold,
        dev: Gold | None = None,
        config: FitConfig | None = None,
        teacher: Stage | Sequence[Stage] | None = None,
    ) -> FitReport:
        """Fine-tune on gold, in place; what gold is, the class says.

        Where other stages share the encoder, this one gets a copy of its own, unless the configuration freezes it.

        Parameters
        ----------
        train, dev : sequence of Record or datasets.Dataset
            Records with gold. A record without labels for a classifier is left out; one without entities teaches an
            entity stage that there are none. On `dev` the best epoch is chosen, by the stage's primary figure.
        config : FitConfig, optional
            By default `default_fit_config()`.
        teacher : stage or sequence of stages, optional
            Of the same class and labels: what it finds probable is learned beside the gold (Hinton et al., 2015); of
            several, or of an ensemble, their mean.

        Returns
        -------
        FitReport

        Raises
        ------
        TrainingError
            If there is no gold, it has labels that the head does not know, the loss is not a number, or a checkpoint
            cannot be written.
        """
        from clinnlp.training.stages import fit_stage

        return fit_stage(self, train, dev, config, teacher)

    def told_of_fit(self, report: FitReport) -> str | None:
        """Give what the card says of a fit that was no fine-tuning over epochs; None of one that was."""
        return None

    def search(
        self,
        train: Gold,
        dev: Gold,
        space: Mapping[str, Any],
        config: FitConfig | None = None,
        trials: int = 20,
        seed: int = 0,
        *,
        refit: bool = False,
        teacher: Stage | Sequence[Stage] | None = None,
    ) -> SearchReport:
        """Look for the settings with which a fit scores best on development records, by Optuna.

        Each trial fits a copy of the stage; the stage itself stays as it is, unless `refit` is set.

        Parameters
        ----------
        train, dev : sequence of Record or datasets.Dataset
            As for `fit`.
        space : mapping of str to list or tuple
            Field of `FitConfig` -> a list of choices, or a range as `(low, high)` or `(low, high, "log")`.
        config : FitConfig, optional
            The other settings; by default those of a `fit` without any. Its `output` is where `refit` saves.
        trials : int
            Fits; fewer where the space has fewer combinations of choices.
        seed : int
            Of the search; the same one proposes the same settings.
        refit : bool
            Fit the stage itself with the best settings at the end.
        teacher : stage or sequence of stages, optional
            As for `fit`.

        Returns
        -------
        SearchReport

        Raises
        ------
        ConfigError
            If the space is empty, or names no field of `FitConfig` or a value that it cannot have.
        MissingPackageError
            If optuna is not installed.
        TrainingError
            If every trial fails.
        """
        from clinnlp.training.search import search_settings

        return search_settings(self, train, dev, space, config, trials, seed, refit=refit, teacher=teacher)

    @classmethod
    def ensemble(cls, stages: Sequence[Self]) -> Self:
        """Give a stage whose probabilities are the mean of those of several.

        It reads each item once for each of them, can be used in a pipeline and evaluated, and cannot be fitted or
        saved: one model learns what they know by `fit(..., teacher=ensemble)`. A later fit of one of them does not
        change it.

        Parameters
        ----------
        stages : sequence of stages
            Two or more of this class, with the same labels that read the same input; the first gives its name and
            settings.

        Raises
        ------
        ConfigError
            If they differ in what they must share.
        """
        from clinnlp.stages._ensemble import make_ensemble

        return make_ensemble(cls, stages)

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        raise NotImplementedError

    def frozen_copy(self) -> Self:
        """Give a stage with the weights of this one, which no later fit of this one changes."""
        raise NotImplementedError
