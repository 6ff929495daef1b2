"""Pictures of any kind to 8-bit RGB pixels, one frame at a time.

Values that are not 8-bit already are brought to 0-255 in one way everywhere: by the window that a DICOM file
names, or else linearly from the picture's own smallest and largest value.

No error here holds a name, a path or a value of a file: a path may name a patient.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from clinnlp.encoders.eight_bits import to_rgb
from clinnlp.encoders.limits import check_frame, check_total
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.image import Image

__all__ = ["decode", "decode_all", "opened", "quiet_decoders"]


def decode(image: Image, frame: int = 0) -> NDArray[np.uint8]:
    """Decode one frame of a picture to 8-bit RGB.

    PNG, JPEG, TIFF, GIF, BMP and WebP are read with Pillow: turned as their EXIF tag says, what is transparent laid
    over black, palettes and CMYK made RGB. DICOM is read as in `clinnlp.encoders.dicom`. Arrays are read as in
    `to_rgb`, and have one frame.

    Parameters
    ----------
    image : Image
    frame : int
        Frame of a DICOM file, page of a TIFF file or picture of an animation, from 0.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    ImageError
        If there is no such file or frame, it is not a picture, is damaged, has more than `limits.MAX_PIXELS`, or is
        compressed in a way that needs a package which is not installed.
    """
    if image.array is not None:
        check_frame(frame, 1)
        return to_rgb(np.asarray(image.array))
    with opened(image) as file, quiet_decoders():
        from clinnlp.encoders import dicom, pictures

        if dicom.looks_like_dicom(file):
            return dicom.decode_frame(file, frame)
        return pictures.decode_frame(file, frame)


def decode_all(image: Image) -> Iterator[NDArray[np.uint8]]:
    """Decode the frames of a picture one after another, each when it is asked for; the file stays open until then.

    Yields
    ------
    ndarray of uint8, shape (height, width, 3)
        As from `decode`.

    Raises
    ------
    ImageError
        As `decode`, and if there are more than `limits.MAX_FRAMES`, or they have more than `limits.MAX_BYTES`.
    """
    if image.array is not None:
        yield decode(image)
        return
    with opened(image) as file:
        from clinnlp.encoders import dicom, pictures

        is_dicom = dicom.looks_like_dicom(file)
        frames = dicom.decode_frames(file) if is_dicom else pictures.decode_frames(file)
        size = 0
        while True:
            with quiet_decoders():  # not while the caller has the frame: warnings are switched for the whole process
                pixels = next(frames, None)
            if pixels is None:
                return
            size += pixels.nbytes
            check_total(size)
            yield pixels


@contextmanager
def opened(image: Image) -> Iterator[BinaryIO]:
    """Open the file or the bytes of an image.

    Raises
    ------
    ImageError
        If there is no file, it cannot be read or has no bytes.
    """
    try:
        if image.data is None and not Path(image.path or "").is_file():
            raise ImageError("the file of an image is missing: check its path")
        with io.BytesIO(image.data) if image.data is not None else Path(image.path or "").open("rb") as file:
            if not file.read(1):
                raise ImageError("the image is empty: it has no bytes")
            file.seek(0)
            yield file
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"the file of an image cannot be read: {type(error).__name__}") from None


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Let no decoder warn or log: what it says may quote a file, or its path."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
