"""Classification heads: what their outputs are called, and how the best come first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import CheckpointError, ConfigError
from clinnlp.labels import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PretrainedConfig

__all__ = [
    "LABEL_SET",
    "check_labels",
    "head_settings",
    "label_set_name",
    "name_labels",
    "probabilities",
    "rank",
    "read_head",
]

LABEL_SET = "label_set"
"""Where a checkpoint's config.json keeps the name of the label set that its head was made for."""

_MULTI = "multi_label_classification"
_SINGLE = "single_label_classification"


def check_labels(labels: Sequence[str], least: int, stage: str) -> list[str]:
    """Give the labels of a new head as a list.

    Raises
    ------
    ConfigError
        If they are no names, fewer than `least`, or one comes twice.
    """
    named = isinstance(labels, Sequence) and not isinstance(labels, str)
    if not named or not all(isinstance(label, str) and label for label in labels):
        raise ConfigError(f"stage {stage!r}: labels are a list of names")
    if len(set(labels)) != len(labels) or len(labels) < least:
        raise ConfigError(f"stage {stage!r}: give at least {least} {'label' if least == 1 else 'labels'}, each once")
    return list(labels)


def head_settings(labels: Sequence[str], multi_label: bool) -> dict[str, Any]:
    """Give what a configuration of transformers says of a new head."""
    return {**name_labels(labels), "problem_type": _MULTI if multi_label else _SINGLE}


def name_labels(labels: Sequence[str]) -> dict[str, Any]:
    """Give what a configuration of transformers says of the outputs of a head."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def read_head(config: PretrainedConfig, checkpoint: str) -> tuple[list[str], bool]:
    """Read the labels of a checkpoint's head, and whether an item may have several.

    Labels without names stay `LABEL_0`, `LABEL_1`, ...

    Raises
    ------
    CheckpointError
        If the head gives a number instead of classes.
    """
    multi_label = config.problem_type == _MULTI
    names = config.id2label or {}
    if config.problem_type == "regression" or len(names) < (1 if multi_label else 2):
        raise CheckpointError(f"{checkpoint} gives a number, not classes: take a checkpoint of a classifier")
    return [str(names[i]) for i in range(len(names))], multi_label


def label_set_name(checkpoint: str | Path) -> str | None:
    """Give the name of the label set that a local checkpoint was saved under, or None."""
    try:
        name = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8")).get(LABEL_SET)
    except (OSError, ValueError, AttributeError):
        return None  # what is wrong with it is told when the weights are loaded
    return name if isinstance(name, str) and name else None


def probabilities(logits: NDArray[np.floating[Any]], multi_label: bool) -> NDArray[np.float64]:
    """Turn logits, shape (items, labels), into probabilities: a sigmoid of each, or their softmax."""
    wide = logits.astype(np.float64)
    if multi_label:
        return np.asarray(0.5 * (1 + np.tanh(wide / 2)))
    exponents = np.exp(wide - wide.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def rank(
    scores: Sequence[float] | NDArray[np.floating[Any]], labels: Sequence[str], least: Sequence[float] | None = None
) -> list[Label]:
    """Give the labels whose score is at least its own `least`, best first, and of equal ones the first."""
    order = sorted(range(len(labels)), key=lambda i: -scores[i])
    return [Label(labels[i], float(scores[i])) for i in order if least is None or scores[i] >= least[i]]
