"""Writing checkpoints that plain transformers opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.atomic import replace_folder
from clinnlp.encoders.checkpoints import quiet
from clinnlp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["save_checkpoint"]

# What another checkpoint may have left in the folder, and transformers would read with this one.
_STALE = (
    "model*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
_DTYPES = ("float32", "float16", "bfloat16")


def save_checkpoint(model: PreTrainedModel, processor: Any, folder: str | Path, dtype: str = "float32") -> Path:
    """Write weights as safetensors, the configuration, and the tokenizer or image processor.

    Parameters
    ----------
    model : PreTrainedModel
    processor : tokenizer or image processor
    folder : str or Path
        Appears whole or not at all; a previous save survives a failure.
    dtype : {"float32", "float16", "bfloat16"}
        How the weights are written; the model in memory stays as it is.

    Raises
    ------
    ConfigError
        If `dtype` is another.
    """
    import torch

    if dtype not in _DTYPES:
        raise ConfigError(f"weights are saved as {', '.join(_DTYPES)}, not as {dtype!r}")
    kind = getattr(torch, dtype)
    state = {
        name: (tensor.to(kind) if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    with replace_folder(Path(folder), stale=_STALE) as new:
        with quiet():
            model.save_pretrained(new, state_dict=state)
        processor.save_pretrained(new)
    return Path(folder)
