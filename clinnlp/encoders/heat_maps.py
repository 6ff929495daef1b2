"""Where in a picture an image classifier saw a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clinnlp.encoders.images import resize
from clinnlp.errors import CheckpointError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["class_activation", "to_original"]

# Maps of fewer cells a side say too little of where: an earlier layer is read then.
_LEAST_SIDE = 7
# Sides of the picture that a processor is asked with where it puts what.
_PROBE = 255


def class_activation(network: Any, pixels: torch.Tensor, label: int) -> tuple[NDArray[np.float32], float]:
    """Give what each place of a picture adds to the logit of a label, by LayerCAM.

    At each place of a layer's feature maps the activations are summed, each times its gradient of the logit where both
    speak for the label (Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps, 2021; of the last layer
    of a convolutional network it is close to Grad-CAM, Selvaraju et al., 2017). The deepest layer is read whose map has
    at least seven cells a side. Of a vision transformer the patches are the places, and gradients of both signs count.

    Parameters
    ----------
    network : PreTrainedModel
        Image classifier of transformers.
    pixels : Tensor of float, shape (1, 3, height, width)
    label : int

    Returns
    -------
    map : ndarray of float32, shape (rows, columns)
        Between 0 and 1; all 0 where nothing speaks for the label.
    logit : float

    Raises
    ------
    CheckpointError
        If the network gives no feature maps.
    """
    with torch.enable_grad():
        outputs = network(pixel_values=pixels, output_hidden_states=True)
        states = [state for state in outputs.hidden_states or () if state.requires_grad]
        logit = outputs.logits[0, label]
        gradients = torch.autograd.grad(logit, states, allow_unused=True) if states else ()
    found = [
        _map(state[0], gradient[0]) for state, gradient in zip(states, gradients, strict=True) if gradient is not None
    ]
    maps = [one for one in found if one is not None]
    if not maps:
        raise CheckpointError(f"{type(network).__name__} gives no feature maps: no heat map can be made of it")
    large = [one for one in maps if min(one.shape) >= _LEAST_SIDE and bool(one.any())]
    best = large[-1] if large else max(maps, key=lambda one: (bool(one.any()), one.numel()))
    chosen = best.detach().float().cpu().numpy()
    peak = float(chosen.max())
    return np.asarray(chosen / peak if peak > 0 else np.zeros_like(chosen), dtype=np.float32), float(logit.detach())


def _map(state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor | None:
    """Give the map of a layer; None where its places do not lie in a square."""
    if state.ndim == 2:  # patches, behind a token or two that are none
        side = int(len(state) ** 0.5)
        cells = side * side
        # Their activations have both signs, so that a gradient below 0 may speak for the label too.
        return (gradient * state)[len(state) - cells :].sum(dim=1).reshape(side, side).clamp(min=0)
    if state.ndim != 3:
        return None
    return (gradient.clamp(min=0) * state).sum(dim=0).clamp(min=0)


def to_original(
    values: NDArray[np.float32], processor: Any, height: int, width: int, read: tuple[int, int]
) -> NDArray[np.float32]:
    """Bring a map over what a network read to the picture that it was made of.

    Parameters
    ----------
    values : ndarray of float32, shape (rows, columns)
    processor : image processor of transformers
    height, width : int
        Of the picture.
    read : (int, int)
        Height and width that the network read.

    Returns
    -------
    ndarray of float32, shape (height, width)
        0 where the network did not look.
    """
    (a, b), (c, d) = _placed(processor, height, width, read)
    rows = (a * (np.arange(height) + 0.5) + b) / read[0] * values.shape[0] - 0.5
    columns = (c * (np.arange(width) + 0.5) + d) / read[1] * values.shape[1] - 0.5
    # Rows and columns are interpolated one after the other: the picture may have a hundred million pixels.
    over_rows, over_columns = _shares(rows, values.shape[0]), _shares(columns, values.shape[1])
    made: NDArray[np.float32] = over_rows @ values.astype(np.float32) @ over_columns.T
    np.minimum(made, values.max(), out=made)  # which rounding may have gone beyond
    return made


def _shares(places: NDArray[np.float64], cells: int) -> NDArray[np.float32]:
    """Give the share of each cell in what is linearly between them at places, shape (places, cells); 0 outside."""
    made: NDArray[np.float64] = np.clip(1 - np.abs(np.clip(places, 0, cells - 1)[:, None] - np.arange(cells)), 0, 1)
    made[(places <= -0.5 - 1e-6) | (places >= cells - 0.5 + 1e-6)] = 0
    return made.astype(np.float32)


def _placed(processor: Any, height: int, width: int, read: tuple[int, int]) -> list[tuple[float, float]]:
    """Give for rows and columns the line that leads from a place of the picture to one of what is read.

    Processors cut, pad and resize each in their own way: one is shown a picture of its own coordinates.
    """
    made = []
    for axis, size in enumerate((height, width)):
        ramp = np.linspace(0, _PROBE, size, dtype=np.float64) if size > 1 else np.array([_PROBE / 2])
        steps = np.rint(ramp).astype(np.uint8)
        grey = np.broadcast_to(steps[:, None] if axis == 0 else steps[None], (height, width))
        inside = np.full_like(grey, 255)
        shown = resize(processor, np.stack([grey, inside, inside], axis=-1)).astype(np.float64)
        values, there = shown[0].mean(axis=1 - axis), shown[1].min(axis=1 - axis) >= 254
        places = np.arange(read[axis]) + 0.5
        # At the edges and ends of the ramp values are cut off, and tell no place.
        safe = there & (values > 2) & (values < _PROBE - 2)
        if safe.sum() < 2 or np.ptp(values[safe]) < 1:
            made.append((read[axis] / size, 0.0))
            continue
        slope, start = np.polyfit(values[safe] / _PROBE * (size - 1) + 0.5, places[safe], 1)
        made.append((float(slope), float(start)))
    return made
