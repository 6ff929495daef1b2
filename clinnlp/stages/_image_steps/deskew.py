"""Scans that lie askew, turned upright."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages._image_steps.grey import brightness, smaller

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["deskew", "skew"]

_SIDE = 384
_LEAST_SIDE = 32
_LEAST_ANGLE = 0.5
_STEP = 0.25
_FRAME = 3
# A line counts that is this long, in shares of the shorter side, and an angle whose energy is so many times that of the
# middle one. Set on 87 films of the covid_cxr corpus, upright and turned on a black ground; how they do on the
# others is in docs/images.md.
_LEAST_LENGTH = 0.3
_LEAST_CLEARNESS = 1.4
_APART = 8


def deskew(image: CleanedImage, max_angle: float = 15.0) -> CleanedImage:
    """Turn a picture by the angle that `skew` finds, on a ground as bright as its edges are; nothing is cut off."""
    pixels = image.pixels
    grey = brightness(pixels)
    angle = skew(grey, max_angle)
    if angle is None:
        return image
    height, width = grey.shape
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    new_width = math.ceil(abs(width * cos) + abs(height * sin))
    new_height = math.ceil(abs(width * sin) + abs(height * cos))
    back = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    back[:2, 2] = np.array([width, height]) / 2 - back[:2, :2] @ (np.array([new_width, new_height]) / 2)
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    made = PIL.Image.fromarray(pixels).transform(
        (new_width, new_height),
        PIL.Image.Transform.AFFINE,
        tuple(back[:2].ravel()),
        PIL.Image.Resampling.BILINEAR,
        fillcolor=(int(np.median(edges)),) * 3,
    )
    return image.then(np.array(made), back)


def skew(grey: NDArray[np.uint8], max_angle: float = 15.0) -> float | None:
    """Estimate by how many degrees a picture is turned clockwise.

    The straight edges of a scan (its own, those of the plate, lines of writing) lie along one angle and the one at
    right angles to it, where the Hough transform of all edges has its energy. None, if no angle stands out, there are
    not two edges along it that are long enough (one alone may be a collimator's), it is less than half a degree, or
    it is at the end of the range.

    Parameters
    ----------
    grey : ndarray of uint8, shape (height, width)
    max_angle : float
        Degrees to either side that are looked at.
    """
    from skimage.feature import canny
    from skimage.transform import hough_line

    small, _ = smaller(grey, _SIDE)
    low, high = np.percentile(small, (1, 99))
    if min(small.shape) < _LEAST_SIDE or high - low < 1:
        return None
    edges = canny(np.clip((small - low) / (high - low), 0, 1), sigma=2.0)
    inner = np.zeros_like(edges)
    inner[_FRAME:-_FRAME, _FRAME:-_FRAME] = edges[_FRAME:-_FRAME, _FRAME:-_FRAME]
    angles = np.arange(-max_angle, max_angle + _STEP / 2, _STEP)
    votes = [hough_line(inner, np.deg2rad(angles + right))[0].astype(np.float64) for right in (0, 90)]
    energy = sum((one**2).sum(axis=0) for one in votes)
    best = int(np.argmax(energy))
    lines = sorted(length for one in votes for length in _longest_two(one[:, best]))
    clear = energy[best] > _LEAST_CLEARNESS * np.median(energy)
    inside = 0 < best < len(angles) - 1
    if not (inside and clear and lines[-2] > _LEAST_LENGTH * min(small.shape) and abs(angles[best]) >= _LEAST_ANGLE):
        return None
    # The top of a parabola through the best angle and its neighbours.
    before, top, after = energy[best - 1 : best + 2]
    return float(angles[best] + _STEP * (before - after) / (2 * (before - 2 * top + after)))


def _longest_two(votes: NDArray[np.float64]) -> tuple[float, float]:
    """Give the votes of the two longest parallel lines that are not beside each other."""
    first = int(np.argmax(votes))
    apart = np.abs(np.arange(len(votes)) - first) > _APART
    return float(votes[first]), float(votes[apart].max())
