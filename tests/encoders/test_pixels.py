"""Pictures that Pillow and NumPy give, and those that nobody can."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinnlp.encoders import limits
from clinnlp.errors import ImageError
from clinnlp.image import Image

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def encoded(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_files_give_back_the_pixels_they_were_made_of(kind: str) -> None:
    found = Image(encoded(PIL.Image.fromarray(COLOUR), kind)).pixels()
    assert found.dtype == np.uint8
    assert np.array_equal(found, COLOUR)


def test_a_grey_picture_gets_three_equal_channels() -> None:
    found = Image(encoded(PIL.Image.fromarray(GREY), "PNG")).pixels()
    assert found.shape == (2, 3, 3)
    assert all(np.array_equal(found[:, :, i], GREY) for i in range(3))


def test_a_path_and_its_bytes_give_the_same_pixels(tmp_path: Path) -> None:
    data = encoded(PIL.Image.fromarray(COLOUR), "JPEG")
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    assert np.array_equal(Image(path).pixels(), Image(data).pixels())
    assert np.abs(Image(path).pixels().astype(int).mean() - COLOUR.mean()) < 10


def test_sixteen_bits_are_scaled_by_their_own_range() -> None:
    deep = np.array([[1000, 2000], [3000, 1500]], dtype=np.uint16)
    expected = [[0, 128], [255, 64]]
    for kind in ("PNG", "TIFF"):
        assert Image(encoded(PIL.Image.fromarray(deep), kind)).pixels()[:, :, 0].tolist() == expected
    assert Image(deep).pixels()[:, :, 0].tolist() == expected


def test_a_palette_becomes_its_colours() -> None:
    picture = PIL.Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    assert Image(encoded(picture, "PNG")).pixels().tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_black_and_white_becomes_zero_and_255() -> None:
    picture = PIL.Image.fromarray(np.array([[True, False]]))
    assert Image(encoded(picture, "PNG")).pixels().tolist() == [[[255] * 3, [0] * 3]]


def test_what_is_transparent_lies_over_black() -> None:
    seen, unseen = [90, 80, 70, 255], [90, 80, 70, 0]
    array = np.array([[seen, unseen]], dtype=np.uint8)
    expected = [[[90, 80, 70], [0, 0, 0]]]
    assert Image(encoded(PIL.Image.fromarray(array), "PNG")).pixels().tolist() == expected
    assert Image(array).pixels().tolist() == expected


def test_cmyk_becomes_rgb() -> None:
    found = Image(encoded(PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)).pixels()
    red, green, blue = found.reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (PIL.Image.fromarray(np.array([[0.25, 1.0]], dtype=np.float32)), [[64] * 3, [255] * 3]),
        (PIL.Image.fromarray(np.array([[-50.0, np.nan, 150.0]], dtype=np.float32)), [[0] * 3, [0] * 3, [255] * 3]),
        (PIL.Image.fromarray(np.array([[-5, 70_000]], dtype=np.int32)), [[0] * 3, [255] * 3]),
        (PIL.Image.new("CMYK", (2, 1), (0, 255, 255, 0)), [[255, 0, 0]] * 2),
    ],
    ids=["shares", "floats with a gap", "32 bits", "CMYK"],
)
def test_files_of_other_numbers_than_bytes_are_read_as_arrays_are(picture: PIL.Image.Image, expected: Any) -> None:
    assert Image(encoded(picture, "TIFF")).pixels().tolist() == [expected]


def test_a_turned_photograph_stands_upright() -> None:
    picture = PIL.Image.fromarray(np.zeros((10, 20), dtype=np.uint8))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    assert Image(encoded(picture, "JPEG", exif=exif)).pixels().shape == (20, 10, 3)


def test_the_first_page_of_several_is_read() -> None:
    pages = [PIL.Image.new("L", (4, 4), shade) for shade in (30, 60)]
    assert (Image(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])).pixels() == 30).all()


def test_floats_between_0_and_1_are_shares_and_others_are_scaled() -> None:
    assert Image(GREY / 255).pixels()[:, :, 0].tolist() == GREY.tolist()
    assert Image(np.array([[-10.0, 0.0, 10.0]])).pixels()[0, :, 0].tolist() == [0, 128, 255]
    assert Image(np.array([[np.nan, -np.inf, 3.0, 5.0, np.inf]])).pixels()[0, :, 0].tolist() == [0, 0, 0, 255, 255]
    assert Image(np.full((2, 2), 7.5)).pixels().max() == 0


def test_a_boolean_mask_becomes_black_and_white() -> None:
    assert Image(np.array([[True, False]])).pixels()[0, :, 0].tolist() == [255, 0]


def test_decoding_an_array_leaves_it_as_it_was() -> None:
    array = COLOUR.copy()
    Image(array).pixels()[:] = 0
    assert np.array_equal(array, COLOUR)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5),
        np.zeros((2, 2, 2)),
        np.zeros((2, 2, 3, 3)),
        np.zeros((0, 4)),
        np.zeros((2, 2), dtype=complex),
        np.array([["a"]]),
        np.full((2, 2), np.nan),
    ],
    ids=["one axis", "two channels", "four axes", "empty", "complex", "text", "no number"],
)
def test_an_array_that_is_no_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        Image(array).pixels()


def test_a_missing_file_is_told_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="missing") as caught:
        Image(tmp_path / "Zebulon Quarry.png").pixels()
    assert "Quarry" not in str(caught.value)
    with pytest.raises(ImageError, match="missing"):
        Image(tmp_path).pixels()
    with pytest.raises(ImageError):
        Image("name\0with nul.png").pixels()


@pytest.mark.parametrize("data", [b"", b"a note, not a picture", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"%PDF-1.7"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        Image(data).pixels()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_file_cut_off_is_an_error_and_not_half_a_picture(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(PIL.Image.fromarray(noise), kind)
    with pytest.raises(ImageError):
        Image(data[: len(data) // 2]).pixels()


def test_a_small_file_that_says_it_is_huge_is_refused_before_it_is_unpacked() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for side in (20_000, 2_000_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        with pytest.raises(ImageError, match="pixels"):
            Image(data).pixels()


def test_the_limit_counts_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PIXELS", 5)
    with pytest.raises(ImageError, match="more than 5 pixels"):
        Image(GREY).pixels()
    assert Image(GREY[:1]).pixels().shape == (1, 3, 3)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from(["PNG", "JPEG", "TIFF"]))
def test_damage_anywhere_gives_pixels_or_an_image_error(junk: bytes, at: int, kind: str) -> None:
    data = bytearray(encoded(PIL.Image.fromarray(COLOUR), kind))
    data[at : at + len(junk)] = junk
    message = ""
    with warnings.catch_warnings(record=True) as heard:
        try:
            assert Image(bytes(data)).pixels().shape[2] == 3
        except ImageError as error:
            message = str(error)
    assert "\n" not in message
    assert heard == []


def test_damage_is_not_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(ImageError):
        Image(encoded(PIL.Image.fromarray(COLOUR), "TIFF")[:40] + b"Zebulon Quarry").pixels()
    assert "Quarry" not in caplog.text
