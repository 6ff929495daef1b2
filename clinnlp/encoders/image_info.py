"""What describes the pixels of a picture, and never the patient, without decoding them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from clinnlp.encoders import dicom, pictures
from clinnlp.encoders.dicom_files import FRAME_GROUPS, looks_like_dicom, read_dicom
from clinnlp.encoders.eight_bits import check_shape
from clinnlp.encoders.limits import check_size
from clinnlp.encoders.pixels import opened, quiet_decoders
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from pydicom import Dataset

    from clinnlp.image import Image

__all__ = ["ImageInfo", "read_info"]

# What DICOM allows in a code string (PS3.5, 6.2); whatever else stands there may be words about the patient.
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_UID = re.compile(r"[0-9.]{1,64}")
_LATERALITIES = ("L", "R", "U", "B")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What describes the pixels of an image. What a file does not say is empty or None.

    Parameters
    ----------
    format : str
        "DICOM", "PNG", "JPEG", "TIFF", ..., or "array".
    height, width : int
        Pixels of the first frame, as `Image.pixels` gives it.
    frames : int
        Frames, pages or pictures of an animation.
    modality : str
        Such as "CT" or "DX"; this and all that follows are of DICOM alone.
    body_part : str
        Such as "CHEST".
    laterality : str
        "L", "R", "U" (unpaired) or "B" (both).
    view_position : str
        Such as "AP".
    pixel_spacing : tuple of float, optional
        Distance in mm between rows, and between columns: in the patient, or else at the detector or on the scanned
        film.
    photometric_interpretation : str
        Such as "MONOCHROME2".
    transfer_syntax : str
        Its UID.
    """

    format: str
    height: int
    width: int
    frames: int = 1
    modality: str = ""
    body_part: str = ""
    laterality: str = ""
    view_position: str = ""
    pixel_spacing: tuple[float, float] | None = None
    photometric_interpretation: str = ""
    transfer_syntax: str = ""


def read_info(image: Image) -> ImageInfo:
    """Read what describes the pixels of an image; see `Image.info`.

    Raises
    ------
    ImageError
        If there is no such file, it is not a picture, damaged or too large.
    """
    if image.array is not None:
        array = np.asarray(image.array)
        check_shape(array)
        return ImageInfo("array", *array.shape[:2])
    with opened(image) as file, quiet_decoders():
        return _dicom_info(file) if looks_like_dicom(file) else _picture_info(file)


def _picture_info(file: BinaryIO) -> ImageInfo:
    with pictures.open_picture(file) as picture:
        height, width = picture.height, picture.width
        if _is_turned(picture):
            height, width = width, height
        return ImageInfo(str(picture.format), height, width, pictures.count(picture))


def _is_turned(picture: Picture) -> bool:
    if picture.format == "PNG" and "exif" not in picture.info:
        return False  # Pillow would look for it behind the pixels, and decode them for that
    try:
        return picture.getexif().get(_ORIENTATION) in _TURNED
    except Exception as error:
        raise pictures.damaged(picture, error) from None


def _dicom_info(file: BinaryIO) -> ImageInfo:
    dataset = read_dicom(file, pixels=False)
    try:
        height, width, frames = int(dataset.Rows), int(dataset.Columns), dicom.frame_count(dataset)
        laterality = _code(dataset, "ImageLaterality") or _code(dataset, "Laterality")
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        found = ImageInfo(
            "DICOM",
            height,
            width,
            frames,
            modality=_code(dataset, "Modality"),
            body_part=_code(dataset, "BodyPartExamined"),
            laterality=laterality if laterality in _LATERALITIES else "",
            view_position=_code(dataset, "ViewPosition"),
            pixel_spacing=_spacing(dataset),
            photometric_interpretation=_code(dataset, "PhotometricInterpretation"),
            transfer_syntax=syntax if _UID.fullmatch(syntax) else "",
        )
    except Exception as error:
        raise ImageError(f"a damaged DICOM file: {type(error).__name__}") from None
    check_size(height, width)
    return found


def _code(dataset: Dataset, name: str) -> str:
    text = str(dataset.get(name) or "").strip().upper()
    return text if _CODE.fullmatch(text) else ""


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    groups = [item for name in FRAME_GROUPS for item in (dataset.get(name) or [])[:1]]
    measures = [item for group in groups for item in (group.get("PixelMeasuresSequence") or [])[:1]]
    for name in _SPACINGS:
        for said in (*measures, dataset):
            if spacing := _two_lengths(said.get(name)):
                return spacing
    return None


def _two_lengths(value: Any) -> tuple[float, float] | None:
    if value is None or isinstance(value, (str, float)) or len(value) != 2:
        return None
    row, column = float(value[0]), float(value[1])
    return (row, column) if 0 < row < math.inf and 0 < column < math.inf else None
