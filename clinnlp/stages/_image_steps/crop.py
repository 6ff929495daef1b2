"""Black borders and what is written into them, cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages._image_steps.grey import brightness, smaller

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["body_box", "crop"]

_SIDE = 512
# What is brighter than the ground by this share of the picture's range belongs to a region; writing and lines that are
# thinner than twice the radius, in shares of the shorter side, are no part of one.
_LEVEL = 0.1
_RADIUS = 0.01
_MARGIN = 0.01
_LEAST_AREA = 0.05


def crop(image: CleanedImage) -> CleanedImage:
    """Cut a picture to the box that `body_box` finds."""
    pixels = image.pixels
    box = body_box(brightness(pixels))
    if box is None:
        return image
    left, top, right, bottom = box
    return image.then(
        np.ascontiguousarray(pixels[top:bottom, left:right]), np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    )


def body_box(grey: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Find the box of the largest bright region: left, top, right, bottom.

    None, if there is nothing to cut off, the picture is of one shade, or no region covers a twentieth of it.

    Parameters
    ----------
    grey : ndarray of uint8, shape (height, width)
    """
    from scipy import ndimage

    small, factor = smaller(grey, _SIDE)
    low, high = np.percentile(small, (1, 99))
    if high - low < 1:
        return None
    bright = small > low + _LEVEL * (high - low)
    radius = round(_RADIUS * min(small.shape))
    if radius:
        # Padded, since a body that leaves the picture does not end at its edge.
        padded = np.pad(bright, radius, mode="edge")
        square = np.ones((2 * radius + 1, 2 * radius + 1), dtype=bool)
        bright = ndimage.binary_opening(padded, square)[radius:-radius, radius:-radius]
    regions, count = ndimage.label(bright)
    if not count:
        return None
    areas = np.bincount(regions.ravel())[1:]
    if areas.max() < _LEAST_AREA * bright.size:
        return None
    rows, columns = ndimage.find_objects(regions)[int(np.argmax(areas))]
    margin = _MARGIN * min(small.shape)
    height, width = grey.shape
    left, right = _edges(columns, margin, factor, width)
    top, bottom = _edges(rows, margin, factor, height)
    return None if (left, top, right, bottom) == (0, 0, width, height) else (left, top, right, bottom)


def _edges(found: slice, margin: float, factor: float, length: int) -> tuple[int, int]:
    return max(int((found.start - margin) * factor), 0), min(int(np.ceil((found.stop + margin) * factor)), length)
