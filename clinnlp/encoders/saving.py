"""Writing checkpoints that plain transformers opens, and heads without their encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.atomic import replace_folder
from clinnlp.cards import put_card
from clinnlp.encoders.checkpoints import BAG_FILE, HEAD_FILE, PIPELINE_FILE
from clinnlp.encoders.loading import load_config, quiet
from clinnlp.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

__all__ = [
    "check_dtype",
    "check_range",
    "load_head",
    "save_checkpoint",
    "save_encoder",
    "save_head",
    "save_with_encoder",
]

# What another checkpoint may have left in the folder, and transformers would read with this one.
_STALE = (
    "model*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    HEAD_FILE,
    BAG_FILE,
    PIPELINE_FILE,
)
_DTYPES = ("float32", "float16", "bfloat16")


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that weights are not saved in.

    Raises
    ------
    ConfigError
        Naming those that they are.
    """
    if dtype not in _DTYPES:
        raise ConfigError(f"weights are saved as {', '.join(_DTYPES)}, not as {dtype!r}")


def check_range(state: Mapping[str, torch.Tensor], dtype: str) -> None:
    """Refuse a dtype in which weights would become infinite.

    Raises
    ------
    ConfigError
        Naming one.
    """
    import torch

    kind = getattr(torch, dtype)
    for name, tensor in state.items() if kind is not torch.float32 else ():
        # What is infinite already, or no number, is no matter of the dtype.
        if tensor.is_floating_point() and (tensor.isfinite() & ~tensor.to(kind).isfinite()).any():
            others = " or ".join(other for other in _DTYPES if other not in (dtype, "float16"))
            most = torch.finfo(kind).max
            raise ConfigError(f"weights of {name} exceed {most:g}, the largest number of {dtype}: save as {others}")


def save_checkpoint(
    model: Any,
    processor: Any,
    folder: str | Path,
    dtype: str = "float32",
    state: Mapping[str, Any] | None = None,
    card: str | None = None,
    beside: Callable[[Path, str], None] | None = None,
) -> Path:
    """Write weights as safetensors, the configuration, and the tokenizer or image processor.

    Parameters
    ----------
    model : PreTrainedModel
    processor : tokenizer or image processor
    folder : str or Path
        Appears whole or not at all; a previous save survives a failure.
    dtype : {"float32", "float16", "bfloat16"}
        How the weights are written; the model in memory stays as it is.
    state : mapping of str to Tensor, optional
        Weights by name, where they are not all the model's own.
    card : str, optional
        The model card, which is written with them.
    beside : callable, optional
        Writes what else there is to save into the new folder, in this dtype.

    Raises
    ------
    ConfigError
        If `dtype` is another, or weights exceed its range.
    CheckpointError
        If the disk is full, or the folder cannot be written.
    """
    check_dtype(dtype)
    with _written(Path(folder)) as new:
        with quiet():
            model.save_pretrained(new, state_dict=_as(model.state_dict() if state is None else state, dtype))
        processor.save_pretrained(new)
        if beside is not None:
            beside(new, dtype)
        put_card(new, card)
    return Path(folder)


def save_encoder(encoder: Any, folder: str | Path, dtype: str = "float32") -> Path:
    """Write the encoder of a `TextEncoder`, with its tokenizer; see `save_checkpoint`."""
    pooler = encoder.pooler
    state = dict(encoder.model.state_dict())
    if pooler is not None:  # new heads begin with it
        state.update({f"pooler.{name}": tensor for name, tensor in pooler.state_dict().items()})
    return save_checkpoint(encoder.model, encoder.windows.tokenizer, folder, dtype, state)


def save_head(
    head: Any,
    folder: str | Path,
    dtype: str = "float32",
    card: str | None = None,
    state: Mapping[str, Any] | None = None,
    beside: Callable[[Path, str], None] | None = None,
) -> Path:
    """Write the weights of a head and its configuration, without the encoder; see `save_checkpoint`."""
    check_dtype(dtype)
    with _written(Path(folder)) as new:
        _put_head(head, new, dtype, state)
        if beside is not None:
            beside(new, dtype)
        put_card(new, card)
    return Path(folder)


def save_with_encoder(
    head: Any,
    encoder: Any,
    folder: str | Path,
    dtype: str = "float32",
    card: str | None = None,
    beside: Callable[[Path, str], None] | None = None,
) -> Path:
    """Write an encoder, and beside it a head that transformers has no model for; see `save_checkpoint`."""
    check_dtype(dtype)
    with _written(Path(folder)) as new:
        with quiet():
            encoder.model.save_pretrained(new, state_dict=_as(encoder.model.state_dict(), dtype))
        encoder.windows.tokenizer.save_pretrained(new)
        _put_head(head, new, dtype)
        if beside is not None:
            beside(new, dtype)
        put_card(new, card)
    return Path(folder)


def _put_head(head: Any, folder: Path, dtype: str, state: Mapping[str, Any] | None = None) -> None:
    from safetensors.torch import save_file

    head.config.architectures = [type(head).__name__]
    head.config.save_pretrained(folder)
    save_file(_as(head.state_dict() if state is None else state, dtype), folder / HEAD_FILE, metadata={"format": "pt"})


def load_head(make: Callable[[PretrainedConfig], Any], folder: str, encoder: str) -> Any:
    """Read a head that `save_head` wrote, in 32-bit floats.

    Parameters
    ----------
    make : callable
        Makes the head for a configuration.
    folder : str
    encoder : str
        Checkpoint of the encoder that it is put on.

    Raises
    ------
    CheckpointError
        If it cannot be read, or was made for another encoder.
    """
    from safetensors.torch import load_file

    ours, its = load_config(encoder), load_config(folder)
    for size in ("model_type", "hidden_size"):
        if getattr(ours, size, None) != getattr(its, size, None):
            raise CheckpointError(
                f"the head in {folder} was made for an encoder of {size} {getattr(its, size, None)}, and {encoder} has"
                f" {getattr(ours, size, None)}: it is a head of another encoder"
            )
    head = make(its)
    if not (Path(folder) / HEAD_FILE).is_file():
        raise CheckpointError(f"{folder} has no head of this kind, no {HEAD_FILE}: make a new one with from_base")
    try:
        head.load_state_dict({name: tensor.float() for name, tensor in load_file(Path(folder) / HEAD_FILE).items()})
    except Exception as error:  # safetensors and torch each raise their own
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"cannot read the head in {folder}: {type(error).__name__}: {reason}") from None
    return head


def _as(state: Mapping[str, torch.Tensor], dtype: str) -> dict[str, torch.Tensor]:
    import torch

    kind = getattr(torch, dtype)
    check_range(state, dtype)
    return {
        name: (tensor.to(kind) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in state.items()
    }


@contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of `folder`; a disk that is full is told in one line."""
    try:
        with replace_folder(folder, stale=_STALE) as new:
            yield new
    except Exception as error:
        # safetensors has an error of its own for what the system says.
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
    else:
        return
    raise CheckpointError(f"cannot save in {folder}: {reason}: make room or name another folder; what was there stays")
