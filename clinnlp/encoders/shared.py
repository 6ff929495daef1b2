"""One encoder pass for all heads: what an encoder gave for a text is kept while a batch of records is annotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinnlp.encoders.encoder import Encoded, TextEncoder

__all__ = ["SharedPass", "current_pass", "share_encoders", "shared_passes"]


@dataclass(eq=False)
class SharedPass:
    """What the heads on one encoder gave for the texts of one batch.

    Parameters
    ----------
    stages : list of Stage
        Whose heads run together, in the order of the pipeline.
    found : dict of str to Encoded
        Text -> what the heads gave for it.
    """

    stages: list[Any]
    found: dict[str, Encoded] = field(default_factory=dict)


_PASSES: ContextVar[dict[int, SharedPass]] = ContextVar("clinnlp_shared_passes")


@contextmanager
def shared_passes(stages: Sequence[Any]) -> Iterator[None]:
    """Let stages on one encoder share its forward passes, until the block ends.

    Nothing outlives the block: it holds the batch of records that is being annotated, and no other thread sees it.

    Parameters
    ----------
    stages : sequence of Stage
        Those of a pipeline; the ones without an encoder are passed over.
    """
    passes: dict[int, SharedPass] = {}
    for stage in stages:
        if getattr(encoder := getattr(stage, "encoder", None), "runs_heads", False):
            passes.setdefault(id(encoder), SharedPass([])).stages.append(stage)
    token = _PASSES.set(passes)
    try:
        yield
    finally:
        _PASSES.reset(token)


def current_pass(encoder: TextEncoder) -> SharedPass | None:
    """Give the pass that is open for an encoder, or None outside of a pipeline."""
    return _PASSES.get({}).get(id(encoder))


def share_encoders(stages: Sequence[Any]) -> None:
    """Let stages whose encoders are the same hold one object, that of the first, so that it is loaded and run once."""
    kept: list[TextEncoder] = []
    for stage in stages:
        encoder: Any = getattr(stage, "encoder", None)
        if not getattr(encoder, "runs_heads", False):
            continue
        same = next((one for one in kept if one.same_as(encoder)), None)
        if same is None:
            kept.append(encoder)
        else:
            for user in list(encoder.users):  # all, or those in other pipelines would be parted from it
                user.encoder = same
