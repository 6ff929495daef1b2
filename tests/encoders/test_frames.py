"""Files of several frames, pages or pictures."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from dicoms import CT, written
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from clinnlp.encoders import limits
from clinnlp.errors import ImageError
from clinnlp.image import Image

SHADES = (30, 60, 90)


def saved(kind: str, **options: Any) -> bytes:
    """Write three pictures of one shade each to one file."""
    pictures = [PIL.Image.new("L", (6, 4), shade) for shade in SHADES]
    buffer = io.BytesIO()
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], **options)
    return buffer.getvalue()


def films() -> dict[str, bytes]:
    frames = np.stack([np.full((4, 6), shade, dtype=np.uint8) for shade in SHADES])
    native = written(frames[..., None], NumberOfFrames=3, SamplesPerPixel=1)
    packed = pydicom.dcmread(io.BytesIO(native))
    packed.compress(RLELossless)
    jpegs = pydicom.dcmread(io.BytesIO(native))
    jpegs.PixelData = pydicom.encaps.encapsulate([jpeg(frame) for frame in frames])
    jpegs.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return {
        "TIFF": saved("TIFF"),
        "GIF": saved("GIF", duration=40),
        "WEBP": saved("WEBP", lossless=True, duration=40),
        "DICOM": native,
        "DICOM, run lengths": Image(packed).data or b"",
        "DICOM, JPEG": Image(jpegs).data or b"",
    }


def jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(frame).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


FILMS = films()


@pytest.mark.parametrize("kind", FILMS)
def test_frames_come_one_by_one_and_each_can_be_read_alone(kind: str, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(FILMS[kind])
    for image in (Image(FILMS[kind]), Image(tmp_path / "film")):
        assert image.info().frames == 3
        frames = list(image.frames())
        assert [frame.shape for frame in frames] == [(4, 6, 3)] * 3
        assert [int(frame.mean()) for frame in frames] == list(SHADES)
        assert [int(image.pixels(frame=i).mean()) for i in (2, 0, 1)] == [90, 30, 60]
        assert np.array_equal(image.pixels(), frames[0])


@pytest.mark.parametrize("kind", FILMS)
def test_a_frame_that_is_not_there_is_refused(kind: str) -> None:
    for frame in (3, -1, 10**12):
        with pytest.raises(ImageError, match=f"3 frames, counted from 0, and no frame {frame}"):
            Image(FILMS[kind]).pixels(frame=frame)


def test_an_array_and_a_photograph_have_one_frame() -> None:
    for image in (Image(np.full((4, 6), 30, dtype=np.uint8)), Image(jpeg(np.full((4, 6), 30, dtype=np.uint8)))):
        (frame,) = image.frames()
        assert np.array_equal(frame, image.pixels())
        with pytest.raises(ImageError, match="1 frame, counted from 0, and no frame 1"):
            image.pixels(frame=1)


@pytest.mark.parametrize("kind", FILMS)
def test_too_many_frames_are_refused_before_the_first_and_single_ones_are_read(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_FRAMES", 2)
    with pytest.raises(ImageError, match="more than 2 frames"):
        next(Image(FILMS[kind]).frames())
    assert int(Image(FILMS[kind]).pixels(frame=2).mean()) == 90


@pytest.mark.parametrize("kind", FILMS)
def test_frames_that_are_too_large_together_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES", 2 * 4 * 6 * 3)
    with pytest.raises(ImageError, match="more than 144 bytes"):
        list(Image(FILMS[kind]).frames())


def test_a_file_that_announces_more_frames_than_it_has_is_refused() -> None:
    data = written(np.stack([CT, CT])[..., None], NumberOfFrames=9, SamplesPerPixel=1)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        Image(data).pixels()
    short = pydicom.dcmread(io.BytesIO(FILMS["DICOM, run lengths"]))
    short.NumberOfFrames = 5
    frames = Image(short).frames()
    with pytest.raises(ImageError):
        list(frames)


def test_frames_are_not_held_together() -> None:
    frames = np.zeros((40, 200, 200, 1), dtype=np.uint8)
    image = Image(written(frames, NumberOfFrames=40, SamplesPerPixel=1))
    next(image.frames())  # imports
    tracemalloc.start()
    for _ in image.frames():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 200 * 200 * 3


def group(**values: Any) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_an_enhanced_file_says_the_values_of_each_frame_in_groups() -> None:
    values = np.array([[0, 50, 100]], dtype=np.uint16)
    shared = group(
        PixelValueTransformationSequence=[group(RescaleSlope="2", RescaleIntercept="0", RescaleType="US")],
        PixelMeasuresSequence=[group(PixelSpacing=["0.5", "0.25"])],
    )
    each = [
        group(FrameVOILUTSequence=[group(WindowCenter=centre, WindowWidth="200")], FrameContentSequence=[group()])
        for centre in ("100", "200")
    ]
    enhanced = written(
        np.stack([values, values])[..., None],
        NumberOfFrames=2,
        SamplesPerPixel=1,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=each,
    )
    plain = [
        Image(written(values, WindowCenter=centre, WindowWidth="200", RescaleSlope="2", RescaleIntercept="0")).pixels()
        for centre in ("100", "200")
    ]
    assert not np.array_equal(plain[0], plain[1])
    assert np.array_equal(list(Image(enhanced).frames()), plain)
    assert np.array_equal(Image(enhanced).pixels(frame=1), plain[1])
    assert Image(enhanced).info().pixel_spacing == (0.5, 0.25)
