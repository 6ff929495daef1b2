"""What a classifier reads of a note, and from which probability on it gives a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinnlp.alignment import Edit, EditedText, delete, replace
from clinnlp.errors import CheckpointError, ConfigError

__all__ = ["ABSTAIN", "THRESHOLDS", "check_sections", "check_share", "check_threshold", "only", "saved_decision"]

THRESHOLDS = "thresholds"
ABSTAIN = "abstain"
"""Where a checkpoint's config.json keeps what `tune` found."""


def check_share(value: Any, what: str, stage: str) -> float:
    """Give a number between 0 and 1.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"stage {stage!r}: {what} is a probability between 0 and 1")
    return float(value)


def check_threshold(value: Any, stage: str) -> float | dict[str, float] | None:
    """Give a threshold of all labels, or those of some by name.

    Raises
    ------
    ConfigError
        If one is not between 0 and 1.
    """
    if isinstance(value, Mapping):
        return {str(name): check_share(one, "threshold", stage) for name, one in value.items()}
    return None if value is None else check_share(value, "threshold", stage)


def check_sections(value: Any, stage: str) -> list[str]:
    """Give names of sections as a list.

    Raises
    ------
    ConfigError
        If there are none.
    """
    named = isinstance(value, Sequence) and not isinstance(value, str) and value
    if not named or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"stage {stage!r}: sections are a list of names, such as ['impression']")
    return list(value)


def saved_decision(config: Any, stage: str) -> tuple[dict[str, float], float]:
    """Read thresholds by label, and the least probability of the best one, from the configuration of a checkpoint.

    Raises
    ------
    CheckpointError
        If they are no probabilities.
    """
    try:
        thresholds = check_threshold(getattr(config, THRESHOLDS, None) or {}, stage)
        return dict(thresholds), check_share(getattr(config, ABSTAIN, None) or 0.0, ABSTAIN, stage)  # type: ignore[arg-type]
    except (ConfigError, TypeError):
        raise CheckpointError(
            f"stage {stage!r}: {THRESHOLDS} and {ABSTAIN} in the config.json of its checkpoint are no probabilities"
        ) from None


def only(view: EditedText, spans: Sequence[tuple[int, int]]) -> EditedText:
    """Leave some stretches of a text, each a paragraph of its own.

    Parameters
    ----------
    view : EditedText
    spans : sequence of (int, int)
        In offsets of the edited text, in order; they do not overlap.

    Returns
    -------
    EditedText
        With the way back to the source of `view`.
    """
    edits: list[Edit] = []
    at = 0
    for start, end in spans:
        if at < start:
            edits.append(replace(at, start, "\n\n") if at else delete(at, start))
        at = max(at, end)
    if at < len(view.text):
        edits.append(delete(at, len(view.text)))
    return view.then(edits)
