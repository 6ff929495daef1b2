"""Pictures of any size to one size."""

from __future__ import annotations

import numpy as np
import PIL.Image

from clinnlp.cleaned_image import CleanedImage

__all__ = ["resize"]


def resize(image: CleanedImage, size: int = 512, pad: bool = False) -> CleanedImage:
    """Bring the longest side to `size` pixels and keep the proportions; averaged where it gets smaller.

    Parameters
    ----------
    image : CleanedImage
    size : int
        Pixels.
    pad : bool
        Whether to make it square, with black on both sides.
    """
    height, width = image.size
    factor = size / max(height, width)
    new_height, new_width = max(round(height * factor), 1), max(round(width * factor), 1)
    made = np.array(
        PIL.Image.fromarray(image.pixels).resize((new_width, new_height), PIL.Image.Resampling.BILINEAR),
        dtype=np.uint8,
    )
    found = image.then(made, np.diag([width / new_width, height / new_height, 1.0]))
    if not pad or new_height == new_width:
        return found
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square = np.zeros((size, size, 3), dtype=np.uint8)
    square[top : top + new_height, left : left + new_width] = made
    return found.then(square, np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]))
