"""One encoder pass for all heads, and one for windows that come again.

What an encoder gave for a text is kept while a batch of records is annotated, and what the heads gave for a window for
some batches more: notes of a patient repeat whole paragraphs of earlier ones, and windows are cut so that the same
paragraph gives the same window.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clinnlp.encoders.encoder import Encoded, TextEncoder

__all__ = ["SharedPass", "WindowMemo", "current_pass", "share_encoders", "shared_passes"]

# Bytes of outputs that are remembered: some thousand windows of several heads.
_MOST_BYTES = 64 * 2**20


class WindowMemo:
    """Remembers what heads gave for windows, the latest ones, in bounded memory.

    It holds good as long as weights stay as they are.

    Parameters
    ----------
    most_bytes : int
        Of the outputs that are kept.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.size = 0
        self._kept: OrderedDict[tuple[int, bytes], dict[Any, NDArray[np.float32]]] = OrderedDict()

    def get(self, encoder: TextEncoder, window: bytes) -> dict[Any, NDArray[np.float32]]:
        """Give what is known of a window: for some stages the output of their head."""
        key = (id(encoder), window)
        if key not in self._kept:
            return {}
        self._kept.move_to_end(key)
        return self._kept[key]

    def put(self, encoder: TextEncoder, window: bytes, outputs: dict[Any, NDArray[np.float32]]) -> None:
        """Remember what heads gave for a window."""
        key = (id(encoder), window)
        known = self._kept.setdefault(key, {})
        self._kept.move_to_end(key)
        self.size += sum(output.nbytes for stage, output in outputs.items() if stage not in known)
        known.update(outputs)
        while self.size > self.most_bytes:
            _, gone = self._kept.popitem(last=False)
            self.size -= sum(output.nbytes for output in gone.values())


@dataclass(eq=False)
class SharedPass:
    """What the heads on one encoder gave for the texts of one batch.

    Parameters
    ----------
    stages : list of Stage
        Whose heads run together, in the order of the pipeline.
    found : dict of str to Encoded
        Text -> what the heads gave for it.
    memo : WindowMemo, optional
        What they gave for the windows of earlier batches.
    """

    stages: list[Any]
    found: dict[str, Encoded] = field(default_factory=dict)
    memo: WindowMemo | None = None


_PASSES: ContextVar[dict[int, SharedPass]] = ContextVar("clinnlp_shared_passes")


@contextmanager
def shared_passes(stages: Sequence[Any], memo: WindowMemo | None = None) -> Iterator[None]:
    """Let stages on one encoder share its forward passes, until the block ends.

    Nothing but the memo outlives the block: it holds the batch of records that is being annotated, and no other thread
    sees it.

    Parameters
    ----------
    stages : sequence of Stage
        Those of a pipeline; the ones without an encoder are passed over.
    memo : WindowMemo, optional
        That of the batches before.
    """
    passes: dict[int, SharedPass] = {}
    for stage in stages:
        if getattr(encoder := getattr(stage, "encoder", None), "runs_heads", False):
            passes.setdefault(id(encoder), SharedPass([], memo=memo)).stages.append(stage)
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
