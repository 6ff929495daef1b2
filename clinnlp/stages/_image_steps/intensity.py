"""How bright pixels are, with every pixel in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.cleaned_image import CleanedImage
from clinnlp.encoders.eight_bits import scale
from clinnlp.stages._image_steps.grey import brightness, each_channel, is_grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["contrast", "normalise"]


def normalise(image: CleanedImage, percentiles: tuple[float, float] = (1.0, 99.0)) -> CleanedImage:
    """Bring two percentiles of the brightness to 0 and 255, and what lies between them linearly along.

    A picture whose percentiles are equal stays as it is; colours keep their hue but where a channel is cut off.
    """
    low, high = np.percentile(brightness(image.pixels), percentiles)
    if high <= low:
        return image
    return image.then(scale(np.arange(256, dtype=np.float64), float(low), float(high))[image.pixels])


def contrast(image: CleanedImage, clip_limit: float = 0.01) -> CleanedImage:
    """Raise the contrast of each region: contrast limited adaptive histogram equalisation (Zuiderveld, 1994).

    Regions are an eighth of the picture high and wide. A picture of one shade stays as it is.
    """
    from skimage.exposure import equalize_adapthist

    def equalised(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.rint(equalize_adapthist(values, clip_limit=clip_limit) * 255))

    pixels = image.pixels
    if pixels.min() == pixels.max():
        return image
    # Of colours, scikit-image changes the value and neither hue nor saturation.
    made = each_channel(equalised, pixels) if is_grey(pixels) else equalised(pixels).astype(np.uint8)
    return image.then(made)
