"""Grey pictures as one channel, and colours by their brightness."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["brightness", "each_channel", "is_grey", "smaller"]


def is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether the three channels of a picture are equal."""
    red = pixels[:, :, 0]
    return np.array_equal(red, pixels[:, :, 1]) and np.array_equal(red, pixels[:, :, 2])


def brightness(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the brightness of RGB pixels, shape (height, width), weighted as ITU-R BT.601 does."""
    return np.asarray(PIL.Image.fromarray(pixels).convert("L"))


def each_channel(function: Callable[[NDArray[np.uint8]], NDArray[Any]], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Apply a function to each channel of RGB pixels, and only once to a grey picture."""
    if is_grey(pixels):
        made = np.broadcast_to(function(pixels[:, :, 0])[:, :, None], pixels.shape)
    else:
        made = np.stack([function(pixels[:, :, i]) for i in range(3)], axis=2)
    return np.array(made, dtype=np.uint8)


def smaller(grey: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float64], float]:
    """Make a grey picture smaller, so that its longest side is `side` at most.

    Returns
    -------
    smaller : ndarray of float, shape (height, width)
        Between 0 and 255.
    factor : float
        How many pixels of the given picture are one of the smaller.
    """
    factor = max(max(grey.shape) / side, 1.0)
    height, width = (max(round(length / factor), 1) for length in grey.shape)
    picture = PIL.Image.fromarray(grey).resize((width, height), PIL.Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float64), factor
