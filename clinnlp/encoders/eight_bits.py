"""Arrays of numbers to 8-bit RGB pixels.

Values that are not 8-bit already are brought to 0-255 linearly, from the smallest and largest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.encoders.limits import check_size
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_shape", "scale", "to_eight_bits", "to_rgb"]


def to_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an array of pixels to 8-bit RGB.

    Parameters
    ----------
    array : ndarray, shape (height, width) or (height, width, channels)
        One channel is grey, three are RGB, four RGB and opacity, laid over black. Values as in `to_eight_bits`.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    ImageError
        If the array has another shape, or holds something else than real numbers.
    """
    check_shape(array)
    if array.ndim == 2:
        array = array[:, :, None]
    pixels = to_eight_bits(array[:, :, :3])
    if array.shape[2] == 4:
        opacity = to_eight_bits(array[:, :, 3:]).astype(np.float32) / 255
        pixels = np.rint(pixels * opacity).astype(np.uint8)
    return np.array(np.broadcast_to(pixels, (*array.shape[:2], 3)))


def check_shape(array: NDArray[Any]) -> None:
    """Refuse an array that is no picture; see `to_rgb`.

    Raises
    ------
    ImageError
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"an image array has the shape (height, width) or (height, width, 1, 3 or 4), not {array.shape}"
        )
    check_size(*array.shape[:2])
    if array.dtype.kind not in "buif":
        raise ImageError(f"an image array holds numbers, not {array.dtype}")


def to_eight_bits(values: NDArray[Any], unit: bool = True) -> NDArray[np.uint8]:
    """Bring real numbers to 0-255.

    8-bit values stay; true is 255; floats between 0 and 1 are multiplied by 255. Everything else goes linearly
    from its smallest finite value, which becomes 0, to its largest, 255; values that are all equal become 0.

    Parameters
    ----------
    values : ndarray
    unit : bool
        Whether floats between 0 and 1 are shares of 255, and not measurements.

    Raises
    ------
    ImageError
        If no value is finite.
    """
    if values.dtype == np.uint8:
        return np.asarray(values, dtype=np.uint8)
    if values.dtype == np.bool_:
        return np.asarray(values * 255, dtype=np.uint8)
    floats = values.astype(np.float64)
    finite = np.isfinite(floats)
    if not finite.any():
        raise ImageError("the image holds no finite number")
    low, high = float(floats.min(where=finite, initial=np.inf)), float(floats.max(where=finite, initial=-np.inf))
    if unit and values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return scale(floats, low, high)


def scale(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` to 0 and `high` to 255 linearly; what lies outside is cut off, what is no number becomes 0."""
    span = high - low
    share = (values - low) / span if span > 0 and np.isfinite(span) else (values > low).astype(np.float64)
    share = np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.rint(np.clip(share, 0, 1) * 255), dtype=np.uint8)
