"""Less noise, with every pixel in its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages._image_steps.grey import brightness, each_channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["denoise_median", "denoise_nlm", "noise"]

_LEAST_NOISE = 1.0
# Side of the patches that are compared, how far off they are looked for, and how strongly, in standard deviations of
# the noise: what scikit-image advises for its fast algorithm.
_PATCH, _DISTANCE, _STRENGTH = 5, 6, 0.8
_LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


def denoise_median(image: CleanedImage, size: int = 3) -> CleanedImage:
    """Give each pixel the median of a square of `size` by `size` around it: single odd pixels go, edges stay."""
    from scipy import ndimage

    return image.then(each_channel(lambda channel: ndimage.median_filter(channel, size, mode="nearest"), image.pixels))


def denoise_nlm(image: CleanedImage) -> CleanedImage:
    """Give each pixel the mean of those in whose neighbourhood the picture looks alike (Buades et al., 2005).

    How alike is measured by the noise that the picture itself has; one with next to none stays as it is.
    """
    from skimage.restoration import denoise_nl_means

    sigma = noise(brightness(image.pixels))
    if sigma < _LEAST_NOISE:
        return image

    def smoothed(channel: NDArray[np.uint8]) -> NDArray[Any]:
        found = denoise_nl_means(
            channel.astype(np.float32) / 255,
            patch_size=_PATCH,
            patch_distance=_DISTANCE,
            h=_STRENGTH * sigma / 255,
            sigma=sigma / 255,
            fast_mode=True,
        )
        return np.asarray(np.rint(np.clip(found, 0, 1) * 255))

    return image.then(each_channel(smoothed, image.pixels))


def noise(grey: NDArray[np.uint8]) -> float:
    """Estimate the standard deviation of the noise in a grey picture, in grey levels.

    The mean size of what is left after taking the difference of two Laplacians: J. Immerkaer, Fast Noise Variance
    Estimation, Computer Vision and Image Understanding 64 (1996).
    """
    from scipy import ndimage

    height, width = grey.shape
    if height < 3 or width < 3:
        return 0.0
    left = ndimage.convolve(grey.astype(np.float32), _LAPLACIANS)[1:-1, 1:-1]
    return float(math.sqrt(math.pi / 2) / 6 * np.abs(left).mean())
