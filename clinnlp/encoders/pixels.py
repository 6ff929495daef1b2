"""Pictures of any kind to 8-bit RGB pixels.

Values that are not 8-bit already are brought to 0-255 in one way everywhere: by the window that a DICOM file
names, or else linearly from the picture's own smallest and largest value.

No error here holds a name, a path or a value of a file: a path may name a patient.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from clinnlp.image import Image

__all__ = ["MAX_PIXELS", "decode", "to_eight_bits", "to_rgb"]

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded, in pixels: a small file can unpack to more than the memory holds."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")


def decode(image: Image) -> NDArray[np.uint8]:
    """Decode a picture to 8-bit RGB.

    PNG, JPEG, TIFF, BMP and WebP are read with Pillow: turned as their EXIF tag says, what is transparent laid
    over black, palettes and CMYK made RGB. DICOM is read as in `clinnlp.encoders.dicom`. Of a file with several
    frames or pages the first is read. Arrays are read as in `to_rgb`.

    Parameters
    ----------
    image : Image

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    ImageError
        If there is no such file, it is not a picture, is damaged, has more than `MAX_PIXELS`, or is compressed
        in a way that needs a package which is not installed.
    """
    if image.array is not None:
        return to_rgb(np.asarray(image.array))
    if image.data is not None:
        return _decode_file(io.BytesIO(image.data))
    path = Path(image.path or "")
    try:
        if not path.is_file():
            raise ImageError("the file of an image is missing: check its path")
        with path.open("rb") as file:
            return _decode_file(file)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"the file of an image cannot be read: {type(error).__name__}") from None


def _decode_file(file: BinaryIO) -> NDArray[np.uint8]:
    from clinnlp.encoders.dicom import decode_dicom, looks_like_dicom

    if not file.read(1):
        raise ImageError("the image is empty: it has no bytes")
    file.seek(0)
    # Warnings of the decoders may quote what stands in a file.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if looks_like_dicom(file):
            return decode_dicom(file)
        return _decode_picture(file)


def _decode_picture(file: BinaryIO) -> NDArray[np.uint8]:
    import PIL.Image
    import PIL.ImageOps

    try:
        picture: Picture = PIL.Image.open(file, formats=_FORMATS)
    except PIL.UnidentifiedImageError:
        raise ImageError(f"not an image that can be read: give DICOM, {', '.join(_FORMATS)}") from None
    except PIL.Image.DecompressionBombError:
        raise ImageError(_too_large()) from None
    except Exception as error:  # a damaged header raises whatever the format's reader stumbles over
        raise ImageError(f"a damaged image: {type(error).__name__}") from None
    with picture:
        check_size(picture.height, picture.width)
        try:
            picture.load()
            return _picture_to_rgb(PIL.ImageOps.exif_transpose(picture))
        except Exception as error:
            raise ImageError(f"a damaged or truncated {picture.format} image: {type(error).__name__}") from None


def _picture_to_rgb(picture: Picture) -> NDArray[np.uint8]:
    import PIL.Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        return to_rgb(np.asarray(picture))
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = PIL.Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = PIL.Image.alpha_composite(ground, picture)
    return np.array(picture.convert("RGB"))


def check_size(height: int, width: int) -> None:
    """Refuse a picture without pixels, or with too many.

    Raises
    ------
    ImageError
    """
    if height < 1 or width < 1:
        raise ImageError("the image has no pixels")
    if height * width > MAX_PIXELS:
        raise ImageError(_too_large())


def _too_large() -> str:
    return f"the image has more than {MAX_PIXELS:,} pixels: make it smaller first"


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
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"an image array has the shape (height, width) or (height, width, 1, 3 or 4), not {array.shape}"
        )
    check_size(*array.shape[:2])
    if array.dtype.kind not in "buif":
        raise ImageError(f"an image array holds numbers, not {array.dtype}")
    pixels = to_eight_bits(array[:, :, :3])
    if array.shape[2] == 4:
        opacity = to_eight_bits(array[:, :, 3:]).astype(np.float32) / 255
        pixels = np.rint(pixels * opacity).astype(np.uint8)
    return np.array(np.broadcast_to(pixels, (*array.shape[:2], 3)))


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
