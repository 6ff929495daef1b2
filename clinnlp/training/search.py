"""Search over the settings of a fit, by the Trainer's own backend for Optuna."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from clinnlp.encoders.loading import quiet
from clinnlp.errors import ClinNLPError, ConfigError, MissingPackageError, TrainingError
from clinnlp.record import Record
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, Gold, read_gold

if TYPE_CHECKING:
    from clinnlp.stage import Stage

__all__ = ["SearchReport", "SearchTrial", "search_settings"]

_KINDS = {f.name: str(f.type) for f in fields(FitConfig)}


@dataclass
class SearchTrial:
    """A fit with some settings.

    Parameters
    ----------
    settings : dict
        What the search chose.
    score : float or None
        The primary figure on the development records; None of a fit that failed.
    error : str
        Why it failed.
    seconds : float
        Wall time; 0 where the same settings had been tried before.
    """

    settings: dict[str, Any]
    score: float | None = None
    error: str = ""
    seconds: float = 0.0


@dataclass
class SearchReport:
    """What a search found.

    Parameters
    ----------
    best : FitConfig
        The configuration that scored best; the first of equal ones.
    best_score : float
    metric : str
        The figure that was compared.
    trials : list of SearchTrial
        In the order in which they were made.
    fitted : FitReport or None
        Of the fit with the best configuration, if it was asked for.
    seconds : float
        Wall time.
    """

    best: FitConfig
    best_score: float
    metric: str
    trials: list[SearchTrial] = field(default_factory=list)
    fitted: FitReport | None = None
    seconds: float = 0.0


def search_settings(
    stage: Any,
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
    """Look for the settings with which a stage scores best; see `LearningStage.search`.

    `Trainer.hyperparameter_search` makes the trials, by Optuna's tree-structured Parzen estimator (Bergstra et al.,
    2011). Each is a whole `fit` of a copy of the stage, with a Trainer of its own, since most fields of `FitConfig` are
    none of `TrainingArguments`. All begin with the same weights. A space of no more combinations of choices than there
    are trials is gone through whole; settings that come twice are fitted once.
    """
    _need_optuna()
    refuse_ensemble(stage, "fitted")
    started = time.monotonic()
    config = config or stage.default_fit_config()
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise ConfigError(f"search: trials must be a whole number of at least 1, not {trials!r}")
    _check_space(space)
    search = _Search(stage, read_gold(train), read_gold(dev), dict(space), config, teacher)
    with TemporaryDirectory(prefix="clinnlp-search-") as folder, _logging(config.progress):
        try:
            _SearchTrainer(search, folder).hyperparameter_search(
                hp_space=search.propose,
                compute_objective=lambda metrics: metrics["score"],
                n_trials=trials,
                direction="maximize",
                backend="optuna",
                sampler=_sampler(space, trials, seed),
                catch=(ClinNLPError,),
            )
        except ValueError:  # where no trial has a score, Optuna has no best one
            if any(trial.score is not None for trial in search.trials):
                raise
    scored = [(trial.score, -i) for i, trial in enumerate(search.trials) if trial.score is not None]
    if not scored:
        raise TrainingError(f"search: all {len(search.trials)} trials failed, the last with: {search.trials[-1].error}")
    best = search.trials[-max(scored)[1]]
    report = SearchReport(replace(config, **best.settings), max(scored)[0], search.metric, search.trials)
    if refit:
        set_seed(config.seed)
        stage.warm_up()
        report.fitted = stage.fit(search.train, search.dev, report.best, teacher)
    report.seconds = time.monotonic() - started
    return report


class _Search:
    """What the trials of a search have in common, and what came of them."""

    def __init__(
        self, stage: Any, train: list[Record], dev: list[Record], space: dict[str, Any], config: FitConfig, teacher: Any
    ) -> None:
        self.train, self.dev, self.space, self.teacher = train, dev, space, teacher
        # Trials leave nothing behind, unless it is looked for.
        self.config = replace(config, output=None, resume=False, report_to="none")
        self.trials: list[SearchTrial] = []
        self.metric = ""
        self.stage = copy.deepcopy(stage)
        set_seed(config.seed)
        self.stage.warm_up()
        self._known: dict[str, SearchTrial] = {}

    def propose(self, trial: Any) -> dict[str, Any]:
        """Let Optuna choose settings; asked again in one trial it says the same."""
        return {name: _suggest(trial, name, given) for name, given in self.space.items()}

    def run(self, trial: Any) -> float:
        """Fit a copy of the stage with the settings of a trial, and give its score."""
        made = SearchTrial(self.propose(trial))
        self.trials.append(made)
        known = self._known.setdefault(repr(made.settings), made)
        if known is not made:
            made.score, made.error = known.score, known.error
            if made.score is None:
                raise TrainingError(made.error)
            return made.score
        started = time.monotonic()
        try:
            config = replace(self.config, **made.settings)
            report = copy.deepcopy(self.stage).fit(self.train, self.dev, config, self.teacher)
            self.metric = report.metric
            made.score = next(iter(report.scores.values())).best
            if not math.isfinite(made.score):
                raise TrainingError(f"{report.metric} is no number")
        except ClinNLPError as error:
            made.score, made.error = None, str(error)
            raise
        finally:
            made.seconds = time.monotonic() - started
        return made.score


class _SearchTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose training is a whole fit, with a Trainer of its own: `hyperparameter_search` calls it."""

    def __init__(self, search: _Search, folder: str) -> None:
        self.search, self.score = search, 0.0
        on_cpu = next(iter(search.stage.state_dict().values())).device.type == "cpu"
        arguments = TrainingArguments(output_dir=folder, report_to="none", disable_tqdm=True, use_cpu=on_cpu)
        super().__init__(args=arguments, model_init=lambda: torch.nn.Linear(1, 1))
        self.remove_callback(PrinterCallback)

    def train(self, resume_from_checkpoint: Any = None, trial: Any = None, **_: Any) -> None:
        """Make a trial."""
        self.score = self.search.run(trial)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Give the score of the trial that was made."""
        return {"score": self.score}


def _suggest(trial: Any, name: str, given: Any) -> Any:
    if isinstance(given, list):
        # By number: Optuna knows no dictionaries.
        return given[trial.suggest_categorical(name, list(range(len(given))))]
    low, high, log = given[0], given[1], len(given) > 2
    if _KINDS[name].startswith("int"):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, low, high, log=log)


def _check_space(space: Mapping[str, Any]) -> None:
    if not isinstance(space, Mapping) or not space:
        raise ConfigError("search: the space is empty: give fields of FitConfig with a list of choices or a range")
    for name, given in space.items():
        if name in ("output", "resume"):
            raise ConfigError(f"search: {name} says where a fit is kept, and is no setting to look for")
        if name not in _KINDS:
            raise ConfigError(f"search: FitConfig has no setting {name!r}: it has {', '.join(_KINDS)}")
        if isinstance(given, tuple):
            _check_range(name, given)
        elif not isinstance(given, list) or not given:
            raise ConfigError(
                f"search: {name} needs a list of choices, or a range as (low, high) or (low, high, 'log')"
            )
        for value in given[:2] if isinstance(given, tuple) else given:
            FitConfig.from_dict({"output": "search", name: value})


def _check_range(name: str, given: tuple[Any, ...]) -> None:
    kind = _KINDS[name].partition(" ")[0]
    if kind not in ("int", "float"):
        raise ConfigError(f"search: {name} is no number, so it has no range: give a list of choices")
    if len(given) not in (2, 3) or given[2:] not in ((), ("log",)):
        raise ConfigError(f"search: the range of {name} is (low, high) or (low, high, 'log')")
    numbers = (int,) if kind == "int" else (int, float)
    if any(isinstance(one, bool) or not isinstance(one, numbers) or not math.isfinite(one) for one in given[:2]):
        raise ConfigError(f"search: the ends of the range of {name} are {'whole ' if kind == 'int' else ''}numbers")
    if given[0] > given[1] or (len(given) == 3 and given[0] <= 0):
        raise ConfigError(f"search: the range of {name} goes from low to high, and of 'log' from above 0")


def _sampler(space: Mapping[str, Any], trials: int, seed: int) -> Any:
    import optuna

    if all(isinstance(given, list) for given in space.values()):
        grid = {name: list(range(len(given))) for name, given in space.items()}
        if math.prod(len(numbers) for numbers in grid.values()) <= trials:
            return optuna.samplers.GridSampler(grid, seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise MissingPackageError("optuna", "train") from None


@contextmanager
def _logging(shown: bool) -> Iterator[None]:
    """Keep Optuna silent, unless progress is shown."""
    import optuna

    before = optuna.logging.get_verbosity()
    if shown:
        yield
        return
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with quiet():
            yield
    finally:
        optuna.logging.set_verbosity(before)
