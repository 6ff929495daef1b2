"""Ensembles: stages whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from clinnlp.errors import ConfigError

__all__ = ["make_ensemble", "refuse_ensemble"]

_S = TypeVar("_S")


def make_ensemble(cls: type[_S], stages: Sequence[_S]) -> _S:
    """Make an ensemble; see `LearningStage.ensemble`.

    Parameters
    ----------
    cls : type
        Of the stages, which have `members`, `alike` and `frozen_copy`.
    stages : sequence of stages
        Ensembles among them count with each of their members.

    Raises
    ------
    ConfigError
        If there are fewer than two, or they differ in what they must share.
    """
    given: list[Any] = [one for stage in stages for one in (stage, *getattr(stage, "members", ()))]
    if len(given) < 2:
        raise ConfigError(f"an ensemble is made of two or more stages, not of {len(given)}")
    for number, one in enumerate(given, 1):
        if type(one) is not cls:
            raise ConfigError(
                f"an ensemble of {cls.__name__} has no place for {type(one).__name__}, its member {number}"
            )
    wanted = {"labels": given[0].labels, **given[0].alike()}
    for number, one in enumerate(given[1:], 2):
        own = {"labels": one.labels, **one.alike()}
        differs = next((name for name in wanted if own[name] != wanted[name]), None)
        if differs is not None:
            raise ConfigError(
                f"member {number} of the ensemble has not the same {differs} as the first: they must agree"
            )
    made, *others = (one.frozen_copy() for one in given)
    made.members = tuple(others)
    return made  # type: ignore[no-any-return]


def refuse_ensemble(stage: Any, done: str) -> None:
    """Refuse what can be done with one model alone.

    Raises
    ------
    ConfigError
        If the stage is an ensemble.
    """
    if stage.members:
        raise ConfigError(
            f"stage {stage.name!r} is an ensemble of {1 + len(stage.members)} models, which cannot be {done}: distil it"
            " into one by fit(..., teacher=ensemble)"
        )
