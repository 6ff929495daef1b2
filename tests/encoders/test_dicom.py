"""DICOM pictures: written by pydicom here, and those of the public samples."""

from __future__ import annotations

import io
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from clinnlp.errors import ImageError
from clinnlp.image import Image

CT = np.array([[0, 500, 1000], [1024, 1100, 2000]], dtype=np.int16)
NAME = "Quarry^Zebulon"


def written(array: np.ndarray, syntax: Any = ExplicitVRLittleEndian, preamble: bool = True, **settings: Any) -> bytes:
    """Write a DICOM file of an array; settings are elements by keyword."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    data.PatientName = NAME
    data.Rows, data.Columns = array.shape[:2] if array.ndim < 4 else array.shape[1:3]
    data.SamplesPerPixel = 3 if array.shape[-1] == 3 and array.ndim > 2 else 1
    data.PhotometricInterpretation = "RGB" if data.SamplesPerPixel == 3 else "MONOCHROME2"
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = array.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    data.PixelData = array.tobytes()
    for name, value in settings.items():
        setattr(data, name, value)
    if "BitsStored" in settings:
        data.HighBit = data.BitsStored - 1
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    if preamble:
        data.save_as(buffer, enforce_file_format=True)
    else:
        del data.file_meta
        data.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return buffer.getvalue()


def grey(data: bytes) -> list[list[int]]:
    found = Image(data).pixels()
    assert (found[:, :, 0] == found[:, :, 1]).all()
    assert (found[:, :, 0] == found[:, :, 2]).all()
    return found[:, :, 0].tolist()


def test_values_are_rescaled_before_the_window() -> None:
    data = written(CT, RescaleSlope="1", RescaleIntercept="-1024", WindowCenter="40", WindowWidth="400")
    # From -160 to 239 (centre 39.5, 399 wide): 0 HU is 160/399 of the way.
    assert grey(data) == [[0, 0, 87], [102, 151, 255]]


def test_the_first_of_several_windows_is_used() -> None:
    one = written(CT, WindowCenter="1000", WindowWidth="500")
    two = written(CT, WindowCenter=["1000", "300"], WindowWidth=["500", "10"])
    assert grey(two) == grey(one)


def test_window_functions_differ_as_the_standard_says() -> None:
    values = np.array([[0, 50, 100]], dtype=np.uint16)
    window = {"WindowCenter": "50", "WindowWidth": "100"}
    assert grey(written(values, **window)) == [[0, 129, 255]]
    assert grey(written(values, **window, VOILUTFunction="LINEAR_EXACT")) == [[0, 128, 255]]
    assert grey(written(values, **window, VOILUTFunction="SIGMOID")) == [[30, 128, 225]]


def test_a_window_one_wide_is_a_threshold_and_one_without_width_is_none() -> None:
    values = np.array([[9, 10, 11]], dtype=np.uint16)
    assert grey(written(values, WindowCenter="10.5", WindowWidth="1")) == [[0, 0, 255]]
    assert grey(written(values, WindowCenter="10", WindowWidth="0")) == [[0, 128, 255]]


def test_without_a_window_the_full_range_is_used() -> None:
    assert grey(written(CT)) == [[0, 64, 128], [131, 140, 255]]


def test_eight_bit_pixels_without_a_window_stay() -> None:
    values = np.array([[3, 100, 200]], dtype=np.uint8)
    assert grey(written(values)) == values.tolist()
    assert grey(written(np.array([[0, 1]], dtype=np.uint8), BitsStored=1)) == [[0, 255]]


def test_monochrome1_is_turned_over() -> None:
    plain = np.array(grey(written(CT)))
    assert grey(written(CT, PhotometricInterpretation="MONOCHROME1")) == (255 - plain).tolist()


def test_padding_is_black_and_outside_the_range() -> None:
    padded = np.array([[-2000, 100], [150, 200]], dtype=np.int16)
    settings = {"PixelPaddingValue": -2000}
    assert grey(written(padded, **settings)) == [[0, 0], [128, 255]]
    assert grey(written(padded, PhotometricInterpretation="MONOCHROME1", **settings)) == [[0, 255], [127, 0]]


def test_a_lookup_table_comes_before_a_window() -> None:
    table = Dataset()
    table.LUTDescriptor = [3, 0, 8]
    table.add_new("LUTData", "US", [200, 100, 0])
    values = np.array([[0, 1, 2]], dtype=np.uint16)
    data = written(values, VOILUTSequence=[table], WindowCenter="1", WindowWidth="2")
    assert grey(data) == [[200, 100, 0]]


def test_colours_and_palettes_are_kept() -> None:
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(Image(written(colour)).pixels(), colour)
    palette = {f"{name}PaletteColorLookupTableDescriptor": [2, 0, 16] for name in ("Red", "Green", "Blue")} | {
        f"{name}PaletteColorLookupTableData": np.array(shades, dtype="<u2").tobytes()
        for name, shades in {"Red": [0, 65535], "Green": [32896, 0], "Blue": [0, 0]}.items()
    }
    data = written(np.array([[0, 1]], dtype=np.uint8), PhotometricInterpretation="PALETTE COLOR", **palette)
    assert Image(data).pixels().tolist() == [[[0, 128, 0], [255, 0, 0]]]


def test_the_first_of_several_frames_is_read() -> None:
    frames = np.stack([CT, CT[::-1]])
    data = written(frames[..., None], NumberOfFrames=2, Rows=2, Columns=3, SamplesPerPixel=1)
    assert grey(data) == grey(written(CT))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_file_without_a_header_is_read(syntax: Any) -> None:
    assert grey(written(CT, syntax, preamble=False)) == grey(written(CT))


def test_a_deflated_file_is_read_and_one_that_unpacks_to_too_much_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(CT, DeflatedExplicitVRLittleEndian)
    assert grey(data) == grey(written(CT))
    monkeypatch.setattr("clinnlp.encoders.dicom._MAX_INFLATED", 100)
    with pytest.raises(ImageError, match="unpacks to more"):
        Image(data).pixels()


def test_a_missing_codec_is_named_with_what_to_install() -> None:
    data = written(CT)
    patched = pydicom.dcmread(io.BytesIO(data))
    patched.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 not decoded here \xff\xd9"])
    patched["PixelData"].VR = "OB"
    patched.file_meta.TransferSyntaxUID = JPEGLSLossless
    buffer = io.BytesIO()
    patched.save_as(buffer)
    with pytest.raises(ImageError, match=r"JPEG-LS.*pip install"):
        Image(buffer.getvalue()).pixels()


def test_a_file_without_pixels_and_one_cut_off_are_errors() -> None:
    data = written(CT)
    empty = pydicom.dcmread(io.BytesIO(data))
    del empty.PixelData
    buffer = io.BytesIO()
    empty.save_as(buffer)
    with pytest.raises(ImageError, match="no pixels"):
        Image(buffer.getvalue()).pixels()
    with pytest.raises(ImageError):
        Image(data[:-5]).pixels()


def test_a_file_that_says_it_is_huge_is_refused() -> None:
    with pytest.raises(ImageError, match="more than"):
        Image(written(CT, Rows=40_000, Columns=40_000)).pixels()


@settings(max_examples=80, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(0, 700))
def test_damage_anywhere_gives_pixels_or_an_error_without_the_patient(junk: bytes, at: int) -> None:
    data = bytearray(written(CT, WindowCenter="40", WindowWidth="400"))
    data[at : at + len(junk)] = junk
    message = ""
    with warnings.catch_warnings(record=True) as heard:
        try:
            assert Image(bytes(data)).pixels().shape[2] == 3
        except ImageError as error:
            message = str(error)
    assert "Quarry" not in message
    assert "\n" not in message
    assert heard == []


def test_every_sample_decodes_or_says_why_not(corpora: Path) -> None:
    files = sorted(path for path in (corpora / "dicom_samples").rglob("*") if path.is_file())
    decoded, refused = 0, []
    started = time.monotonic()
    for path in files:
        try:
            found = Image(path).pixels()
        except ImageError as error:
            refused.append((path.name, str(error)))
        else:
            decoded += 1
            assert found.dtype == np.uint8
            assert found.shape[2] == 3
            assert np.array_equal(found, Image(path).pixels())
    assert decoded >= 43
    assert decoded + len(refused) == len(files)
    assert not [name for name, message in refused if name in message]
    assert time.monotonic() - started < 30
