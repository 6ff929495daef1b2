"""PNG, JPEG, TIFF, GIF, BMP and WebP to 8-bit RGB, through Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from clinnlp.encoders.eight_bits import to_rgb
from clinnlp.encoders.limits import check_frame, check_size, check_total, too_large
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

__all__ = ["count", "damaged", "decode_frame", "decode_frames", "open_picture"]

_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")


def decode_frame(file: BinaryIO, frame: int) -> NDArray[np.uint8]:
    """Decode one frame, page or picture of an animation, shape (height, width, 3).

    Raises
    ------
    ImageError
        If there is none, or it is damaged or too large.
    """
    with open_picture(file) as picture:
        if frame:
            check_frame(frame, count(picture))
        return _at(picture, frame)


def decode_frames(file: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    """Decode all frames one after another; see `decode_frame`."""
    with open_picture(file) as picture:
        frames = count(picture)
        check_total(0, frames)
        for frame in range(frames):
            yield _at(picture, frame)


def open_picture(file: BinaryIO) -> Picture:
    """Read the header of a picture.

    Raises
    ------
    ImageError
        If it is of none of the formats, damaged or too large.
    """
    import PIL.Image

    try:
        picture: Picture = PIL.Image.open(file, formats=_FORMATS)
    except PIL.UnidentifiedImageError:
        raise ImageError(f"not an image that can be read: give DICOM, {', '.join(_FORMATS)}") from None
    except PIL.Image.DecompressionBombError:
        raise ImageError(too_large()) from None
    except Exception as error:  # a damaged header raises whatever the format's reader stumbles over
        raise ImageError(f"a damaged image: {type(error).__name__}") from None
    check_size(picture.height, picture.width)
    return picture


def count(picture: Picture) -> int:
    """Count the frames of a file, which costs a walk over its headers.

    Raises
    ------
    ImageError
        If one of them is damaged.
    """
    try:
        return int(getattr(picture, "n_frames", 1))
    except Exception as error:
        raise damaged(picture, error) from None


def _at(picture: Picture, frame: int) -> NDArray[np.uint8]:
    import PIL.ImageOps

    try:
        picture.seek(frame)
        check_size(picture.height, picture.width)
        picture.load()
        return _picture_to_rgb(PIL.ImageOps.exif_transpose(picture))
    except ImageError:
        raise
    except Exception as error:
        raise damaged(picture, error) from None


def damaged(picture: Picture, error: Exception) -> ImageError:
    """Give the error of a picture that Pillow cannot read."""
    return ImageError(f"a damaged or truncated {picture.format} image: {type(error).__name__}")


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
