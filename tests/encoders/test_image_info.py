"""What describes pixels, read without decoding them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from dicoms import CT, written
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from clinnlp.encoders.image_info import ImageInfo
from clinnlp.errors import ImageError
from clinnlp.image import Image

SAID = {
    "Modality": "DX",
    "BodyPartExamined": "CHEST",
    "ImageLaterality": "L",
    "ViewPosition": "AP",
    "PixelSpacing": ["0.2", "0.1"],
}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_dicom_file_tells_what_its_pixels_are(syntax: Any) -> None:
    found = Image(written(CT, syntax, PatientID="Quarry-7", StudyDescription="Quarry", **SAID)).info()
    assert found == ImageInfo(
        "DICOM", 2, 3, 1, "DX", "CHEST", "L", "AP", (0.2, 0.1), "MONOCHROME2", transfer_syntax=str(syntax)
    )
    assert "Quarry" not in repr(found)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_nothing_but_codes_is_let_through() -> None:
    name = "Zebulon Quarry, born 1930"
    found = Image(written(CT, Modality=name, BodyPartExamined=name, Laterality="Z", ViewPosition="a.p.")).info()
    assert found == ImageInfo(
        "DICOM", 2, 3, photometric_interpretation="MONOCHROME2", transfer_syntax="1.2.840.10008.1.2.1"
    )
    assert Image(written(CT, Laterality="r", BodyPartExamined=" chest ")).info().body_part == "CHEST"


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"ImagerPixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4)),
        ({"NominalScannedPixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4)),
        ({"PixelSpacing": ["1", "2"], "ImagerPixelSpacing": ["0.3", "0.4"]}, (1, 2)),
        ({"PixelSpacing": ["0", "2"]}, None),
        ({"PixelSpacing": "2"}, None),
        ({"PixelSpacing": None}, None),
    ],
)
def test_spacing_is_that_in_the_patient_or_else_at_the_detector(elements: Any, spacing: Any) -> None:
    assert Image(written(CT, **elements)).info().pixel_spacing == spacing


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_a_picture_tells_its_size(kind: str) -> None:
    buffer = io.BytesIO()
    PIL.Image.new("L", (6, 4)).save(buffer, kind)
    assert Image(buffer.getvalue()).info() == ImageInfo(kind, 4, 6)


def test_an_array_tells_its_size_and_one_that_is_no_picture_is_refused() -> None:
    assert Image(np.zeros((4, 6, 3))).info() == ImageInfo("array", 4, 6)
    with pytest.raises(ImageError):
        Image(np.zeros(4)).info()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_size_is_that_of_the_picture_as_it_is_turned(kind: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PIL.Image.new("L", (20, 10)).save(buffer, kind, exif=exif)
    info = Image(buffer.getvalue()).info()
    assert (info.height, info.width) == Image(buffer.getvalue()).pixels().shape[:2] == (20, 10)


def test_pixels_that_cannot_be_decoded_are_described_all_the_same() -> None:
    dataset = pydicom.dcmread(io.BytesIO(written(CT, **SAID)))
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 not decoded here \xff\xd9"])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    image = Image(dataset)
    assert (image.info().height, image.info().modality) == (2, "DX")
    with pytest.raises(ImageError):
        image.pixels()


def test_damage_a_missing_file_and_a_report_are_errors() -> None:
    report = pydicom.dcmread(io.BytesIO(written(CT)))
    for name in ("PixelData", "Rows"):
        del report[name]
    for image in (
        Image("nowhere.png"),
        Image(b""),
        Image(b"text"),
        Image(report),
        Image(written(CT, Rows=50_000, Columns=50_000)),
    ):
        with pytest.raises(ImageError) as caught:
            image.info()
        assert "nowhere" not in str(caught.value)
