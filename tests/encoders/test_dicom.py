"""DICOM pictures, written by pydicom here."""

from __future__ import annotations

import copy
import io
import json
import pickle
import warnings
from typing import Any

import numpy as np
import pydicom
import pytest
from dicoms import CT, written
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from clinnlp import Record
from clinnlp.errors import ImageError, RecordError
from clinnlp.image import Image


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


HU = {"RescaleSlope": "1", "RescaleIntercept": "-1024"}


def test_hounsfield_units_without_a_window_go_through_that_of_soft_tissue() -> None:
    windowed = grey(written(CT, WindowCenter="40", WindowWidth="400", **HU))
    full = grey(written(CT))
    assert grey(written(CT, Modality="CT", **HU)) == windowed != full
    assert grey(written(CT, Modality="CT")) == full
    assert grey(written(CT, Modality="MR", **HU)) == full
    assert grey(written(CT, Modality="CT", RescaleType="US", **HU)) == full
    narrow = {"WindowCenter": "1000", "WindowWidth": "500"}
    assert grey(written(CT, Modality="CT", **narrow, **HU)) == grey(written(CT, **narrow, **HU))


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
    monkeypatch.setattr("clinnlp.encoders.dicom_files._MAX_INFLATED", 100)
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


def test_a_data_set_is_a_picture_and_is_written_as_it_is_then() -> None:
    data = written(CT, WindowCenter="40", WindowWidth="400")
    for dataset in (
        pydicom.dcmread(io.BytesIO(data)),
        pydicom.dcmread(io.BytesIO(written(CT, ImplicitVRLittleEndian))),
    ):
        expected = Image(data).pixels() if "WindowCenter" in dataset else Image(written(CT)).pixels()
        image = Image(dataset)
        assert image.data is not None
        assert image.path is None
        dataset.PhotometricInterpretation = "MONOCHROME1"
        assert np.array_equal(image.pixels(), expected)
        assert np.array_equal(pickle.loads(pickle.dumps(image)).pixels(), expected)
        assert np.array_equal(image.copy().pixels(), expected)
        assert Image.from_dict(json.loads(json.dumps(image.to_dict()))) == image
        assert np.array_equal(Record(images=[dataset]).images[0].pixels(), 255 - expected)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_data_set_keeps_its_syntax_and_stays_as_it_was(syntax: Any) -> None:
    dataset = pydicom.dcmread(io.BytesIO(written(CT, syntax)))
    before = copy.deepcopy(dataset)
    image = Image(dataset)
    assert image.info().transfer_syntax == syntax
    assert grey(image.data or b"") == grey(written(CT))
    assert dataset == before
    assert dataset.file_meta == before.file_meta


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_data_set_that_was_never_a_file_is_written_and_one_that_cannot_be_is_refused() -> None:
    dataset = pydicom.dcmread(io.BytesIO(written(CT)))
    new = Dataset()
    for element in dataset:
        new.add(element)
    assert grey(Image(new).data or b"") == grey(written(CT))
    new.add_new(0x00104000, "LT", 5)
    with pytest.raises(RecordError, match="cannot be written") as caught:
        Image(new)
    assert "\n" not in str(caught.value)


def test_neither_warning_nor_log_tells_what_stands_in_a_file(caplog: pytest.LogCaptureFixture) -> None:
    dataset = pydicom.dcmread(io.BytesIO(written(CT, BodyPartExamined="CHEST QUARRY")))
    dataset.PixelData += b"\0" * 100
    with warnings.catch_warnings(record=True) as heard, caplog.at_level(0):
        dataset.NumberOfFrames = 1
        image = Image(dataset)
        image.pixels()
        image.info()
        list(image.frames())
    assert heard == []
    assert caplog.records == []
