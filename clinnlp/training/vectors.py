"""Fine-tuning of a classifier by vectors: a regression on them, the nearest class, and contrastive pairs."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import set_seed

from clinnlp.errors import ConfigError, TrainingError
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, Gold, fit_heads, read_gold
from clinnlp.training.reports import Report, collate, pooled, report_task, with_gold
from clinnlp.training.resume import gold_checksums
from clinnlp.training.stages import check_teachers, finish, save_fitted
from clinnlp.training.task import Batch, HeadTask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.stages.vectors import VectorClassifier

__all__ = ["fit_vectors"]

# The probability of a label without an example, as a logit.
_NEVER = -20.0
# Of the regression: inverse strengths of the penalty that are tried, where each class has examples enough, and that
# which is taken otherwise. Vectors have length 1, so weights must be large.
_STRENGTHS = (1.0, 10.0, 100.0)
_STRENGTH, _FOLDS = 10.0, 3
# By which cosines are multiplied to logits, for the nearest class.
_SHARPNESS = 20.0


@dataclass(slots=True)
class _Pair:
    """Two reports, and how alike their labels are, from 0 to 1."""

    first: Report
    second: Report
    alike: float

    def __len__(self) -> int:
        return len(self.first) + len(self.second)


def fit_vectors(
    stage: VectorClassifier, train: Gold, dev: Gold | None, config: FitConfig, teacher: Any = None
) -> FitReport:
    """Fit a classifier by vectors, as the method of the configuration says.

    Raises
    ------
    ConfigError
        If a teacher is given: only trained heads learn from one.
    TrainingError
        If the gold does not fit the stage, or as `clinnlp.training.fit.fit_heads` raises.
    """
    if config.method is None:
        config = replace(config, method="linear")
    if teacher is not None and config.method != "tuned":
        raise ConfigError(f"stage {stage.name!r}: a teacher is for method='tuned', which trains the head")
    trains = config.method in ("contrastive", "tuned")
    if trains and config.freeze is not None:
        raise ConfigError(f"FitConfig: method={config.method!r} trains the encoder: leave freeze out")
    started = time.monotonic()
    set_seed(config.seed)
    records, development = read_gold(train), None if dev is None else read_gold(dev)
    task = report_task(stage, records, development, config)
    task.teachers = check_teachers(stage, teacher)
    notes: list[str] = []
    report = FitReport(config)
    pairs = _pair_task(stage, task, config) if config.method == "contrastive" else None
    if trains and len(stage.encoder.users) > 1:
        stage.encoder = stage.encoder.copy()
        notes.append("the encoder was shared: this stage has a copy of its own now")
    task.gold = gold_checksums(records, development)
    if pairs is not None:
        pairs.gold = task.gold
        report = fit_heads([pairs], stage.encoder, replace(config, select="last", patience=None))
    items, gold = with_gold(stage, records)
    vectors, empty = stage.vectors([stage.reads(record).text for record in items])
    truth = np.array([[label in names for label in stage.labels] for names in gold])[~empty]
    if config.method == "nearest":
        weights, bias = _nearest(vectors[~empty], truth, stage.multi_label)
    else:
        weights, bias = _regression(vectors[~empty], truth, stage.multi_label, config)
    if task.prepare is not None:  # now, since the head is another from here on, even where tuning comes to nothing
        task.prepare()
        task.prepare = None
    stage.fitted = None  # what was said of the head before holds no longer, even where the rest comes to nothing
    stage.set_classifier(weights, bias)
    if config.method == "tuned":
        report = fit_heads([task], stage.encoder, config)
    report.config, report.notes = config, notes + task.notes
    report.records = {task.name: len(items)}
    finish([task], report, config)
    if report.scores and report.best_score is None:
        report.best_score = report.scores[task.name].best
    report.seconds = time.monotonic() - started
    save_fitted(report, config, stage.save)
    return report


def _nearest(
    vectors: NDArray[np.float64], truth: NDArray[np.bool_], multi_label: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give a linear layer whose logits are the cosines to the mean vector of each class (Snell et al., 2017)."""
    means = truth.T.astype(float) @ vectors
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    bias = np.zeros(len(means))
    if multi_label:  # each is told from the rest: half way between its own examples and the others
        bias = np.array([-_SHARPNESS * _middle(vectors, own, mean) for own, mean in zip(truth.T, means, strict=True)])
    return _SHARPNESS * means, np.where(truth.any(axis=0), bias, _NEVER)


def _middle(vectors: NDArray[np.float64], own: NDArray[np.bool_], mean: NDArray[np.float64]) -> float:
    near = vectors @ mean
    return float((near[own].mean() + near[~own].mean()) / 2) if own.any() and not own.all() else 0.0


def _regression(
    vectors: NDArray[np.float64], truth: NDArray[np.bool_], multi_label: bool, config: FitConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the weights and bias of a logistic regression, with the penalty that cross-validation finds best."""
    from sklearn.linear_model import LogisticRegression

    balance = {"class_weight": "balanced"} if config.class_weights == "balanced" else {}
    weights, bias = np.zeros((truth.shape[1], vectors.shape[1])), np.full(truth.shape[1], _NEVER)
    if multi_label:
        for i, own in enumerate(truth.T):
            if own.all():
                bias[i] = -_NEVER
            elif own.any():
                model = LogisticRegression(C=_strength(vectors, own, balance, config), max_iter=2000, **balance)
                model.fit(vectors, own)
                weights[i], bias[i] = model.coef_[0], model.intercept_[0]
        return weights, bias
    classes = truth.argmax(axis=1)
    model = LogisticRegression(C=_strength(vectors, classes, balance, config), max_iter=2000, **balance)
    model.fit(vectors, classes)
    if len(model.classes_) == 2:  # scikit-learn gives the log odds of the second
        weights[model.classes_] = np.stack([-model.coef_[0], model.coef_[0]]) / 2
        bias[model.classes_] = np.array([-model.intercept_[0], model.intercept_[0]]) / 2
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weights, bias


def _strength(vectors: NDArray[np.float64], classes: NDArray[Any], balance: dict[str, str], config: FitConfig) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    if np.unique(classes, return_counts=True)[1].min() < _FOLDS:
        return _STRENGTH
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=config.seed)

    def judged(strength: float) -> float:
        model = LogisticRegression(C=strength, max_iter=2000, **balance)
        return float(cross_val_score(model, vectors, classes, cv=folds, scoring="neg_log_loss").mean())

    return max(_STRENGTHS, key=judged)


def _pair_task(stage: VectorClassifier, task: HeadTask, config: FitConfig) -> HeadTask:
    """Give pairs of reports to be learned, whose cosine shall be how alike their labels are."""
    reports: list[Report] = list(task.examples)
    pairs = _pairs(reports, config.pairs, config.seed)

    def give_loss(outputs: list[torch.Tensor], batch: Batch, _: Any) -> torch.Tensor:
        vectors = torch.nn.functional.normalize(pooled(outputs, batch), dim=-1)
        cosines = (vectors[0::2] * vectors[1::2]).sum(dim=-1)
        return torch.nn.functional.mse_loss(cosines, batch["alike"])

    def collate_pairs(items: Sequence[_Pair], chance: torch.Generator) -> Batch:
        batch = collate(stage, [one for pair in items for one in (pair.first, pair.second)], config, chance)
        return {**batch, "alike": torch.tensor([pair.alike for pair in items])}

    return HeadTask(
        stage=stage,
        head=stage.head,
        examples=pairs,
        lengths=[2 * length for length in task.lengths[:1]] * len(pairs),
        collate=collate_pairs,
        loss=give_loss,
        records=task.records,
    )


def _pairs(reports: Sequence[Report], count: int, seed: int) -> list[_Pair]:
    """Draw for each report as many others of like labels as of other ones.

    Raises
    ------
    TrainingError
        If no two reports have the same labels, or all have.
    """
    chance = random.Random(seed)  # noqa: S311 - a choice of examples, not a secret
    keys = [tuple(report.target.flatten().tolist()) for report in reports]
    places: dict[Any, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        places[key].append(i)
    made: list[_Pair] = []
    for i, report in enumerate(reports):
        same = [j for j in places[keys[i]] if j != i]
        made += [_Pair(report, reports[chance.choice(same)], 1.0) for _ in range(count // 2) if same]
        for _ in range(count - count // 2):
            j = chance.randrange(len(reports))
            alike = _overlap(report.target, reports[j].target)
            if alike < 1:
                made.append(_Pair(report, reports[j], alike))
    if len({pair.alike for pair in made}) < 2:
        raise TrainingError(
            "there are no pairs to learn from: method='contrastive' needs two or more examples of at least two classes"
        )
    return made


def _overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Give the share of common labels (Jaccard, 1901), or of single labels whether they are the same."""
    if not first.ndim:
        return float(first == second)
    union = float(torch.maximum(first, second).sum())
    return float(torch.minimum(first, second).sum()) / union if union else 1.0
