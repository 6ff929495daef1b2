"""TextEncoder: a transformer and its tokenizer, whose states all heads on it read."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from clinnlp.encoders.loading import load_config, load_encoder, load_tokenizer, pick_device
from clinnlp.encoders.shared import SharedPass, WindowMemo, current_pass
from clinnlp.encoders.text import Paragraph, TextWindows, Window
from clinnlp.encoders.windows import batch_by_length
from clinnlp.errors import StageError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PretrainedConfig

__all__ = ["Encoded", "TextEncoder", "enough_memory"]


@dataclass(slots=True, eq=False)
class Encoded:
    """What an encoder and the heads on it gave for one text.

    Parameters
    ----------
    paragraphs : list of Paragraph
    windows : list of Window
        Of all paragraphs, in order.
    outputs : dict of Stage to list of ndarray of float32
        For each stage the outputs of its head, window by window: shape (pieces, outputs), special pieces left out, of
        a head that labels pieces, or (outputs,) of one that labels windows.
    """

    paragraphs: list[Paragraph]
    windows: list[Window]
    outputs: dict[Any, list[NDArray[np.float32]]] = field(default_factory=dict)

    def central(self, stage: Any) -> list[NDArray[np.float32]]:
        """Join a stage's outputs of pieces over windows: of each piece the row of its most central copy.

        Returns
        -------
        list of ndarray of float32, shape (pieces, outputs)
            For each paragraph.
        """
        rows: list[list[NDArray[np.float32]]] = [[] for _ in self.paragraphs]
        for window, output in zip(self.windows, self.outputs[stage], strict=True):
            rows[window.paragraph].append(output[window.keep_start - window.start : window.keep_end - window.start])
        width = self.outputs[stage][0].shape[1] if self.windows else 0
        return [np.concatenate(parts) if parts else np.empty((0, width), dtype=np.float32) for parts in rows]


class TextEncoder:
    """A transformer and its tokenizer, with the windows in which it reads texts.

    Stages that hold the same object share its forward pass: see `clinnlp.encoders.shared`.

    Parameters
    ----------
    checkpoint : str
        Folder or Hub id; of a model with a head, the encoder in it. Nothing is read before the first use.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        By default the GPU where there is one.
    update : str, optional
        Folder of a low-rank update to the weights; see `clinnlp.encoders.updates`.
    """

    runs_heads = True

    def __init__(
        self,
        checkpoint: str,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
        update: str | None = None,
    ) -> None:
        self.checkpoint, self.update = checkpoint, update
        self.window, self.overlap, self.batch_tokens = window, overlap, batch_tokens
        self.device = device
        self.changed = False
        """Whether the weights in memory are not those of the checkpoint."""
        self.users: WeakSet[Any] = WeakSet()
        """Stages whose heads are on this encoder."""
        self._model: nn.Module | None = None
        self._pooler: nn.Module | None = None
        self._windows: TextWindows | None = None

    @property
    def config(self) -> PretrainedConfig:
        """The configuration of the checkpoint, read anew: whoever changes it changes no one else's."""
        return load_config(self.checkpoint)

    @property
    def windows(self) -> TextWindows:
        """The tokenizer and the windows."""
        if self._windows is None:
            self._windows = TextWindows(load_tokenizer(self.checkpoint), self.window, self.overlap, self.config)
        return self._windows

    @property
    def model(self) -> nn.Module:
        """The transformer without a pooler, loaded at first use, on its device."""
        if self._model is None:
            import torch

            with torch.inference_mode(False):  # else they could never be trained
                model, pooler = load_encoder(self.checkpoint)
                if self.update is not None:
                    from clinnlp.encoders.updates import apply_update

                    apply_update(model, self.update)
                self.adopt(model, pooler)
        assert self._model is not None
        return self._model

    @property
    def pooler(self) -> nn.Module | None:
        """The pooler that the checkpoint has, for new heads to begin with."""
        _ = self.model
        return self._pooler

    def adopt(self, model: nn.Module, pooler: nn.Module | None = None) -> None:
        """Take weights that were read with a head, unless there are some."""
        if self._model is None:
            self._model, self._pooler = model.eval().to(pick_device(self.device)), pooler

    def copy(self) -> TextEncoder:
        """Give an encoder with weights of its own, nobody else's."""
        other = TextEncoder(self.checkpoint, self.window, self.overlap, self.batch_tokens, self.device, self.update)
        other._model, other._pooler = copy.deepcopy(self.model), self._pooler
        other._windows, other.changed = self._windows, self.changed
        return other

    def same_as(self, other: TextEncoder) -> bool:
        """Tell whether another encoder gives the same states for the same windows."""
        if self is other:
            return True
        ours, its = (
            (one.checkpoint, one.update, one.window, one.overlap, one.device, one.changed) for one in (self, other)
        )
        return ours == its and not self.changed

    def warm_up(self) -> None:
        """Load tokenizer and weights."""
        _ = self.windows, self.model

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_windows": None}
        del state["users"]  # each tells of itself when it is unpickled
        if not self.changed:  # whoever unpickles reads them from the checkpoint
            state.update(_model=None, _pooler=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, users=WeakSet())

    def read(self, texts: Sequence[str], stage: Any) -> list[Encoded]:
        """Encode texts and run the head of a stage on them, and with it those of the stages that share the pass.

        Parameters
        ----------
        texts : sequence of str
        stage : Stage
            One of those with a head on this encoder.

        Returns
        -------
        list of Encoded
            With the outputs of `stage`, at least.
        """
        shared = current_pass(self)
        if shared is None or stage not in shared.stages:
            shared = SharedPass([stage])
        new = [text for text in dict.fromkeys(texts) if text not in shared.found]
        if new:
            shared.found.update(zip(new, self._encode(new, shared.stages, stage, shared.memo), strict=True))
        # A head that failed while another was asked fails again here, in its own name.
        lost = [text for text in dict.fromkeys(texts) if stage not in shared.found[text].outputs]
        for text, item in zip(lost, self._encode(lost, [stage], stage) if lost else [], strict=True):
            shared.found[text].outputs[stage] = item.outputs[stage]
        return [shared.found[text] for text in texts]

    def _encode(
        self, texts: Sequence[str], stages: Sequence[Any], asking: Any, memo: WindowMemo | None = None
    ) -> list[Encoded]:
        windows = self.windows
        found = [Encoded(paragraphs, windows.windows(paragraphs)) for paragraphs in windows.paragraphs(texts)]
        rows = [windows.input_ids(item.paragraphs[w.paragraph], w) for item in found for w in item.windows]
        outputs = self._remembered(rows, stages, asking, WindowMemo() if memo is None else memo)
        at = 0
        for item in found:
            end = at + len(item.windows)
            item.outputs = {stage: list(of_windows[at:end]) for stage, of_windows in outputs.items()}
            at = end
        return found

    def _remembered(
        self, rows: Sequence[Sequence[int]], stages: Sequence[Any], asking: Any, memo: WindowMemo
    ) -> dict[Any, list[NDArray[np.float32]]]:
        """Give what `_run_heads` does; a window that comes again, or of which the memo tells, is read once."""
        keys = [np.asarray(row, dtype=np.int32).tobytes() for row in rows]
        known = {key: memo.get(self, key) for key in dict.fromkeys(keys)}
        new = [key for key, outputs in known.items() if any(stage not in outputs for stage in stages)]
        places = {key: i for i, key in reversed(list(enumerate(keys)))}
        found = self._run_heads([rows[places[key]] for key in new], stages, asking)
        for i, key in enumerate(new):
            known[key] = {stage: outputs[i] for stage, outputs in found.items()}
            memo.put(self, key, known[key])
        kept = [stage for stage in stages if stage in found]  # those whose head did not fail
        return {stage: [known[key][stage] for key in keys] for stage in kept}

    def _run_heads(
        self, rows: Sequence[Sequence[int]], stages: Sequence[Any], asking: Any
    ) -> dict[Any, list[NDArray[np.float32]]]:
        """Give for each stage the output of its head on each window; one that fails is left out, but for the asking."""
        import torch

        skip = len(self.windows.prefix)
        special = skip + len(self.windows.suffix)
        nothing = np.empty(0, dtype=np.float32)
        results: dict[Any, list[NDArray[np.float32]]] = {stage: [nothing] * len(rows) for stage in stages}
        for batch in batch_by_length([len(row) for row in rows], self.batch_tokens):
            inputs = self.to_device(self.windows.pad([rows[i] for i in batch]))
            with torch.inference_mode(), enough_memory("batch_tokens", self.batch_tokens):
                states = self.states(inputs)
                for stage in list(results):
                    try:
                        output = stage.head_outputs(states, inputs["attention_mask"]).float().cpu().numpy()
                    except Exception:
                        if stage is asking:
                            raise
                        del results[stage]
                        continue
                    for i, row in zip(batch, output, strict=True):
                        # A copy: the padded batch is not kept for the sake of its rows.
                        own = row[skip : skip + len(rows[i]) - special] if row.ndim > 1 else row
                        results[stage][i] = own.copy()
        return results

    def to_device(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Bring a batch to where the weights are."""
        device = next(self.model.parameters()).device
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def states(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Run the transformer on a padded batch; the states of its last layer, shape (windows, pieces, width)."""
        return self.model(**inputs)[0]  # type: ignore[no-any-return]


@contextmanager
def enough_memory(setting: str, value: int) -> Iterator[None]:
    """Say what to lower where the memory, of the GPU or the machine, does not do.

    Raises
    ------
    StageError
        In the place of the errors of torch.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "allocate memory" not in str(error):
            raise
    else:
        return
    raise StageError(f"there is too little memory: lower {setting}, which is {value}")
