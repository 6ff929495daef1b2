"""Reading checkpoints: configuration, tokenizer, encoder and head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from clinnlp.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["load_config", "load_encoder", "load_model", "load_onto_base", "load_tokenizer", "pick_device", "quiet"]

_WEIGHTS = "*.safetensors"


def load_config(checkpoint: str, **changes: Any) -> PretrainedConfig:
    """Read a checkpoint's configuration.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be read.
    """
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(checkpoint, **changes)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(_cannot("configuration", checkpoint, error)) from None


def load_tokenizer(checkpoint: str) -> PreTrainedTokenizerBase:
    """Read a checkpoint's fast tokenizer.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot tell the offsets of its pieces.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except Exception as error:  # the tokenizers library raises bare Exceptions on broken files
        raise CheckpointError(_cannot("tokenizer", checkpoint, error)) from None
    if not tokenizer.is_fast:
        raise CheckpointError(f"the tokenizer of {checkpoint} is not a fast one: it cannot give offsets")
    pieces = tokenizer("a e 1 .", add_special_tokens=False)["input_ids"]
    if not set(pieces) - {tokenizer.unk_token_id}:
        # Where its file is missing transformers makes one that knows nothing, and every note would come out empty.
        raise CheckpointError(f"the tokenizer of {checkpoint} has no vocabulary: save it again beside the weights")
    return tokenizer


def load_model(auto_class: Any, checkpoint: str) -> PreTrainedModel:
    """Read a whole checkpoint, encoder and head, in 32-bit floats.

    Parameters
    ----------
    auto_class : type
        A class of transformers such as `AutoModelForTokenClassification`.

    Raises
    ------
    CheckpointError
        If the weights are missing, corrupt, of another architecture, or have no such head.
    """
    model, missing = _read(auto_class, checkpoint)
    if missing:
        raise CheckpointError(
            f"the weights in {checkpoint} lack {len(missing)} tensors of {type(model).__name__}, such as"
            f" {missing[0]}: it is a checkpoint of another kind; to train a new head on it use from_base"
        )
    return model


def load_encoder(checkpoint: str) -> tuple[PreTrainedModel, nn.Module | None]:
    """Read the encoder of a checkpoint, whatever head that has, in 32-bit floats.

    Returns
    -------
    encoder : PreTrainedModel
        Without its pooler.
    pooler : Module or None
        Its pooler, where the checkpoint has one: it belongs to a head, and is fitted with that.

    Raises
    ------
    CheckpointError
        If the encoder's weights are missing, corrupt or of another shape.
    """
    encoder, has_pooler = _read_encoder(checkpoint)
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None:
        encoder.pooler = None
    return encoder, pooler if has_pooler else None


def load_onto_base(auto_class: Any, checkpoint: str, config: PretrainedConfig) -> PreTrainedModel:
    """Build a whole model with a new head on the encoder of a checkpoint, whatever head that has.

    Raises
    ------
    CheckpointError
        If the encoder's weights are missing, corrupt or of another shape.
    """
    import torch

    encoder, _ = _read_encoder(checkpoint)
    model = auto_class.from_config(config, dtype=torch.float32).eval()
    try:
        lost = model.base_model.load_state_dict(encoder.state_dict(), strict=False).missing_keys
    except RuntimeError as error:
        raise CheckpointError(_cannot("weights", checkpoint, error)) from None
    _refuse_lost(lost, checkpoint)
    return model


def _read_encoder(checkpoint: str) -> tuple[Any, bool]:
    """Read an encoder, and tell whether the checkpoint has its pooler, if it has one."""
    from transformers import AutoModel

    encoder, missing = _read(AutoModel, checkpoint)
    _refuse_lost(missing, checkpoint)
    return encoder, not missing


def _refuse_lost(missing: Sequence[str], checkpoint: str) -> None:
    if lost := sorted(key for key in missing if "pooler" not in key):
        raise CheckpointError(
            f"the weights in {checkpoint} lack {len(lost)} tensors of the encoder, such as"
            f" {lost[0]}: it is a checkpoint of another architecture"
        )


def _read(auto_class: Any, checkpoint: str) -> tuple[PreTrainedModel, list[str]]:
    """Read a model and the names of its tensors that the checkpoint lacks."""
    import torch

    _check_weights(checkpoint)
    try:
        with quiet():
            model, info = auto_class.from_pretrained(
                checkpoint, dtype=torch.float32, output_loading_info=True, use_safetensors=True
            )
    except Exception as error:  # safetensors, torch and the Hub each raise their own
        raise CheckpointError(_cannot("weights", checkpoint, error)) from None
    model.eval()
    return model, sorted(info["missing_keys"])


@contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars and warnings of transformers while it reads or writes weights: what counts is checked.

    They are switched for the whole process: of several threads the first switches them, and the last one back.
    """
    _SWITCHES.change(1)
    try:
        yield
    finally:
        _SWITCHES.change(-1)


class _Switches:
    """The switches of transformers, and how many times it is wanted quiet."""

    def __init__(self) -> None:
        self.lock, self.wanted, self.bar, self.level = Lock(), 0, True, 0

    def change(self, by: int) -> None:
        """Want quiet once more, or once less."""
        from transformers.utils import logging

        with self.lock:
            if not self.wanted:
                self.bar, self.level = logging.is_progress_bar_enabled(), logging.get_verbosity()
                logging.disable_progress_bar()
                logging.set_verbosity_error()
            self.wanted += by
            if not self.wanted:
                logging.set_verbosity(self.level)
                if self.bar:
                    logging.enable_progress_bar()


_SWITCHES = _Switches()


def _check_weights(checkpoint: str) -> None:
    """Refuse a local folder without safetensors: pickled weights can run code."""
    folder = Path(checkpoint)
    if folder.is_dir() and not any(folder.glob(_WEIGHTS)):
        raise CheckpointError(f"the folder {checkpoint} has no safetensors file: save the model again in that format")


def _cannot(what: str, checkpoint: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"cannot read the {what} of {checkpoint}: {type(error).__name__}: {reason}"


def pick_device(device: str | None) -> torch.device:
    """Give the named device, or the GPU where there is one, or the CPU."""
    import torch

    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
