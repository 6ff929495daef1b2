"""Files that are broken, or made to break a reader: each is one plain error of its record alone."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
from dicoms import CT, nested, written

import clinnlp
from clinnlp import Pipeline, Record
from clinnlp.errors import ImageError
from clinnlp.image import Image


def png(side: int, body: bytes = b"\0" * 1000) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def longer(keyword: str, length: int) -> bytes:
    """A file in which an element says that it is longer than the file."""
    data = bytearray(written(CT, PatientComments="x" * 10))
    tag = pydicom.datadict.tag_for_keyword(keyword)
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF)) + 4
    if data[at : at + 2] in (b"OW", b"OB", b"SQ", b"UT"):
        data[at + 4 : at + 8] = struct.pack("<I", length)
    else:
        data[at + 2 : at + 4] = struct.pack("<H", min(length, 65534))
    return bytes(data)


def without_pixels() -> bytes:
    data = pydicom.dcmread(io.BytesIO(written(CT)))
    del data.PixelData
    return Image(data).data or b""


def undelimited() -> bytes:
    data = pydicom.dcmread(io.BytesIO(written(np.zeros((8, 8), dtype=np.uint8))))
    data.compress(pydicom.uid.RLELossless)
    return (Image(data).data or b"")[:-30]


BAD = {
    "truncated PNG": (png(40, bytes(range(41)) * 40)[:-30], "damaged or truncated PNG"),
    "a PNG of 50,000 by 50,000 pixels": (png(50_000), "more than 100,000,000 pixels"),
    "text": (b"CHEST PA. Zebulon Quarry.", "not an image"),
    "DICOM without pixels": (without_pixels(), "no pixels"),
    "10,000 sequences of undefined length": (nested(10_000), "too deep"),
    "pixels longer than the file": (longer("PixelData", 4_000_000_000), "cut off"),
    "a name longer than the file": (longer("PatientComments", 65534), "cut off"),
    "compressed pixels without an end": (undelimited(), "cut off"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_is_one_line_that_names_what_is_wrong_and_no_patient(name: str) -> None:
    data, message = BAD[name]
    started = time.monotonic()
    for read in (Image(data).pixels, lambda: list(Image(data).frames())):
        with pytest.raises(ImageError, match=message) as caught:
            read()
        assert "\n" not in str(caught.value)
        assert "Quarry" not in str(caught.value)
    assert time.monotonic() - started < 5


def test_sequences_of_defined_length_that_nobody_reads_cost_nothing() -> None:
    started = time.monotonic()
    assert np.array_equal(Image(nested(10_000, defined=True)).pixels(), Image(written(CT)).pixels())
    lookup = b"\x28\x00\x10\x30"
    with pytest.raises(ImageError):
        Image(nested(10_000, lookup, defined=True)).pixels()
    assert time.monotonic() - started < 5


@pytest.mark.filterwarnings("ignore:a DICOM file may have names")
def test_deep_sequences_are_an_error_of_deidentification_too() -> None:
    for data in (nested(10_000), nested(10_000, defined=True)):
        with pytest.raises(ImageError) as caught:
            clinnlp.deidentify_dicom(data, "key")
        assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_in_the_middle_of_a_batch_fails_alone(tmp_path: Path) -> None:
    PIL.Image.new("L", (4, 4), 7).save(tmp_path / "0.png")
    PIL.Image.new("L", (4, 4), 9).save(tmp_path / "2.png")

    def brightness(record: Record) -> None:
        record.metadata["brightness"] = int(record.images[0].pixels().mean())

    records = [Record(id=str(i), images=[Image(tmp_path / f"{i}.png")]) for i in range(3)]
    done = list(Pipeline([brightness]).pipe(records, on_error="keep"))
    assert [record.metadata.get("brightness") for record in done] == [7, None, 9]
    assert [[failure.error for failure in record.errors] for record in done] == [[], ["ImageError"], []]
    assert str(tmp_path) not in str(done[1].errors)
