"""Low-rank updates: what was learned on an encoder that another pipeline has, in a file of a hundredth of its size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.encoders.checkpoints import UPDATE_FILE
from clinnlp.encoders.loading import load_encoder
from clinnlp.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["apply_update", "save_update"]

# Singular values below this share of the largest are what rounding left.
_NOISE = 1e-5
_MOST = 64
_LEFT, _RIGHT = ":left", ":right"


def save_update(model: Any, base: str, folder: Path, dtype: str = "float32") -> None:
    """Write what an encoder has beyond the one that it was fitted from, as two thin matrices a layer (Hu et al., 2021).

    Parameters
    ----------
    model : Module
        An encoder that was fitted with `FitConfig(lora=...)`.
    base : str
        Checkpoint of the encoder that it was fitted from.
    folder : Path
        Is made.
    dtype : {"float32", "float16", "bfloat16"}

    Raises
    ------
    ConfigError
        If the difference is of no low rank, the encoder has other weights than that one, or some that are no finite
        numbers.
    """
    import torch
    from safetensors.torch import save_file

    before = load_encoder(base)[0].state_dict()
    kind = getattr(torch, dtype)
    parts: dict[str, torch.Tensor] = {}
    after = model.state_dict()
    _check_alike(after, before, base)
    for name, tensor in after.items():
        difference = tensor.detach().float().cpu() - before[name].float()
        if not difference.isfinite().all():
            raise ConfigError(f"the encoder has weights that are no finite numbers, in {name}: fit it anew")
        if not difference.any():
            continue
        found = torch.linalg.svd(difference, full_matrices=False) if difference.ndim == 2 else None
        rank = _MOST + 1 if found is None else int((_NOISE * found.S[0] < found.S).sum())
        if found is None or rank > _MOST:
            raise ConfigError(
                f"the encoder differs from {base} by more than a low-rank update, in {name}: fit it with"
                " FitConfig(lora=...), or save it whole"
            )
        root = found.S[:rank].sqrt()
        parts[name + _LEFT] = (found.U[:, :rank] * root).to(kind).contiguous()
        parts[name + _RIGHT] = (root[:, None] * found.Vh[:rank]).to(kind).contiguous()
        if not all(parts[name + end].isfinite().all() for end in (_LEFT, _RIGHT)):
            raise ConfigError(f"the update of {name} has numbers too large for {dtype}: save it as float32")
    folder.mkdir(parents=True)
    save_file(parts, folder / UPDATE_FILE, metadata={"format": "pt"})


def _check_alike(after: Mapping[str, Any], before: Mapping[str, Any], base: str) -> None:
    """Refuse weights of other names, shapes or types than those of the encoder that they were fitted from."""
    for name in sorted({*after, *before}):
        if name not in after or name not in before:
            what = "lacks" if name in before else "has"
            raise ConfigError(f"the encoder is no update to {base}: it alone {what} the weight {name}: save it whole")
        own, other = after[name], before[name]
        for one, two in ((tuple(own.shape), tuple(other.shape)), (own.dtype, other.dtype)):
            if one != two:
                raise ConfigError(f"the encoder is no update to {base}: {name} is {one} and was {two}: save it whole")


def apply_update(model: Any, folder: str) -> None:
    """Add an update that `save_update` wrote to the weights of an encoder, in place.

    Raises
    ------
    CheckpointError
        If it cannot be read, or is one of another encoder.
    """
    import torch
    from safetensors.torch import load_file

    try:
        parts: Mapping[str, torch.Tensor] = load_file(Path(folder) / UPDATE_FILE)
        state = model.state_dict()
        names = [name.removesuffix(_LEFT) for name in parts if name.endswith(_LEFT)]
        if {name + end for name in names for end in (_LEFT, _RIGHT)} != set(parts):
            raise ValueError("parts")
        with torch.no_grad():
            for name in names:
                state[name] += (parts[name + _LEFT].float() @ parts[name + _RIGHT].float()).to(state[name])
    except Exception as error:  # safetensors, torch and the system each raise their own
        raise CheckpointError(
            f"cannot read the update in {folder}: {type(error).__name__}: it is damaged, or one of another encoder"
        ) from None
