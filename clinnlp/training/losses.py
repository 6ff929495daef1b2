"""Losses of classifiers: cross-entropy with class weights, focusing and smoothing, and what a teacher says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from clinnlp.errors import ConfigError

if TYPE_CHECKING:
    from clinnlp.training.config import FitConfig

__all__ = ["IGNORED", "ClassificationLoss", "class_weights"]

IGNORED = -100
"""Target of what has no gold, such as a word's second piece."""


def class_weights(
    given: str | Mapping[str, float] | None, counts: Sequence[int], labels: Sequence[str]
) -> torch.Tensor | None:
    """Give the weight of each class in a loss.

    Parameters
    ----------
    given : {"balanced", "sqrt"}, mapping of label to weight, or None
        "balanced" is the number of examples over that of the class, divided by the number of classes (King and Zeng,
        2001); "sqrt" its square root, which leaves the frequent classes more of their say.
    counts : sequence of int
        Examples of each class; one without any weighs nothing, since nothing of it is learned.
    labels : sequence of str
        Names of the classes; of a mapping, those that it lacks weigh 1.

    Returns
    -------
    Tensor of float32, shape (classes,), or None

    Raises
    ------
    ConfigError
        If a mapping names a class that there is not.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        if unknown := sorted(set(given) - set(labels)):
            raise ConfigError(f"FitConfig: class_weights names {unknown[0]!r}, and the labels are {', '.join(labels)}")
        return torch.tensor([float(given.get(label, 1.0)) for label in labels])
    seen = torch.tensor(counts, dtype=torch.float32)
    weights = seen.sum() / (seen.clamp(min=1) * int((seen > 0).sum()))
    weights[seen == 0] = 0
    return weights.sqrt() if given == "sqrt" else weights


class ClassificationLoss:
    """The loss of one of many classes, or of each of several.

    Parameters
    ----------
    config : FitConfig
        `focal`, `label_smoothing`, `distill` and `distill_temperature` are used.
    multi_label : bool
        Whether an item may have several classes: binary cross-entropy of each.
    weights : Tensor of float32, shape (classes,), optional
        Of the classes; for several, of the positive side of each.
    """

    def __init__(self, config: FitConfig, multi_label: bool = False, weights: torch.Tensor | None = None) -> None:
        self.focal, self.smoothing = config.focal, config.label_smoothing
        self.distill, self.temperature = config.distill, config.distill_temperature
        self.multi_label, self.weights = multi_label, weights

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, teacher: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Give the mean loss.

        Parameters
        ----------
        logits : Tensor of float, shape (items, classes)
        targets : Tensor of int64, shape (items,), or of float, shape (items, classes)
            Those that are `IGNORED` do not count.
        teacher : Tensor of float, shape (items, classes), optional
            Probabilities that a teacher gives, to which the student's are drawn.
        """
        logits = logits.float()
        if not self.multi_label:
            kept = targets != IGNORED
            logits, targets = logits[kept], targets[kept]
            teacher = teacher[kept] if teacher is not None else None
            if not len(targets):
                return logits.sum() * 0.0  # a batch without gold, whose graph must be whole all the same
        loss = self._several(logits, targets) if self.multi_label else self._one(logits, targets)
        if teacher is None:
            return loss
        return (1 - self.distill) * loss + self.distill * self._divergence(logits, teacher.float())

    def _one(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights is None else self.weights.to(logits.device)
        each = functional.cross_entropy(
            logits, targets, weight=weights, reduction="none", label_smoothing=self.smoothing
        )
        if self.focal:
            right = logits.softmax(dim=-1).gather(1, targets[:, None]).squeeze(1)
            each = each * (1 - right) ** self.focal
        if weights is None:
            return each.mean()
        return each.sum() / weights[targets].sum().clamp(min=1e-8)

    def _several(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights is None else self.weights.to(logits.device)
        aims = targets.to(logits.dtype)
        smooth = aims * (1 - self.smoothing) + self.smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="none")
        if self.focal:
            right = torch.where(aims > 0, logits.sigmoid(), 1 - logits.sigmoid())
            each = each * (1 - right) ** self.focal
        return each.mean()

    def _divergence(self, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Give the Kullback-Leibler divergence from the teacher, both softened, at the scale of the loss."""
        heat = self.temperature
        if self.multi_label:
            soft = torch.sigmoid(torch.logit(teacher, eps=1e-6) / heat)
            return heat**2 * functional.binary_cross_entropy_with_logits(logits / heat, soft)
        soft = (teacher.clamp(min=1e-8).log() / heat).softmax(dim=-1)
        return heat**2 * functional.kl_div((logits / heat).log_softmax(dim=-1), soft, reduction="batchmean")
