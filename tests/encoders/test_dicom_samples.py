"""What each of the public DICOM samples gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clinnlp.errors import ImageError
from clinnlp.image import Image

NO_PIXELS, NO_IMAGE, CUT_OFF = "no pixels", "not an image", "cut off"
NO_CODEC = r"JPEG Extended.*pip install 'clinnlp\[dicom\]'"
TINY = "dicomdirtests/TINY_ALPHA/PT000000/ST000000/SE000000"
TINY_NUMBERS = {"0": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "1": "0123456789ABCD"}
SMALL = (16, 16)

EXPECTED: dict[str, tuple[int, int] | str] = {
    "693_J2KI.dcm": (512, 512),
    "CT_small.dcm": (128, 128),
    "JPEG-lossy.dcm": NO_CODEC,
    "JPEG2000.dcm": (1024, 256),
    "MR_small.dcm": (64, 64),
    "MR_small_RLE.dcm": (64, 64),
    "MR_truncated.dcm": CUT_OFF,
    "SC_rgb_jpeg.dcm": (256, 256),
    "SOURCE.txt": NO_IMAGE,
    "UN_sequence.dcm": NO_PIXELS,
    "dicomdirtests/77654033/CR1/6154": SMALL,
    "dicomdirtests/77654033/CR2/6247": SMALL,
    "dicomdirtests/77654033/CR3/6278": SMALL,
    "dicomdirtests/77654033/CT2/17106": SMALL,
    "dicomdirtests/77654033/CT2/17136": SMALL,
    "dicomdirtests/77654033/CT2/17166": SMALL,
    "dicomdirtests/77654033/CT2/17196": SMALL,
    "dicomdirtests/98892001/CT2N/6293": SMALL,
    "dicomdirtests/98892001/CT2N/6924": SMALL,
    "dicomdirtests/98892001/CT5N/2062": SMALL,
    "dicomdirtests/98892001/CT5N/2392": SMALL,
    "dicomdirtests/98892001/CT5N/2693": SMALL,
    "dicomdirtests/98892001/CT5N/3023": SMALL,
    "dicomdirtests/98892001/CT5N/3353": SMALL,
    "dicomdirtests/98892003/MR1/15820": SMALL,
    "dicomdirtests/98892003/MR1/4919": SMALL,
    "dicomdirtests/98892003/MR1/5641": SMALL,
    "dicomdirtests/98892003/MR2/15970": SMALL,
    "dicomdirtests/98892003/MR2/4950": SMALL,
    "dicomdirtests/98892003/MR2/4981": SMALL,
    "dicomdirtests/98892003/MR2/5011": SMALL,
    "dicomdirtests/98892003/MR2/6273": SMALL,
    "dicomdirtests/98892003/MR2/6605": SMALL,
    "dicomdirtests/98892003/MR2/6935": SMALL,
    "dicomdirtests/98892003/MR700/4467": SMALL,
    "dicomdirtests/98892003/MR700/4528": SMALL,
    "dicomdirtests/98892003/MR700/4558": SMALL,
    "dicomdirtests/98892003/MR700/4588": SMALL,
    "dicomdirtests/98892003/MR700/4618": SMALL,
    "dicomdirtests/98892003/MR700/4648": SMALL,
    "dicomdirtests/98892003/MR700/4678": SMALL,
    "dicomdirtests/DICOMDIR": NO_PIXELS,
    "dicomdirtests/DICOMDIR-bigEnd": NO_PIXELS,
    "dicomdirtests/DICOMDIR-empty.dcm": NO_PIXELS,
    "dicomdirtests/DICOMDIR-implicit": NO_PIXELS,
    "dicomdirtests/DICOMDIR-nooffset": NO_PIXELS,
    "dicomdirtests/DICOMDIR-nopatient": NO_PIXELS,
    "dicomdirtests/DICOMDIR-reordered": NO_PIXELS,
    "dicomdirtests/README.txt": NO_IMAGE,
    "dicomdirtests/TINY_ALPHA/DICOMDIR": NO_PIXELS,
    "dicomdirtests/TINY_ALPHA/README": NO_IMAGE,
    "examples_palette.dcm": (350, 800),
    "examples_rgb_color.dcm": (240, 320),
    "examples_ybr_color.dcm": (240, 320),
    "image_dfl.dcm": (512, 512),
    "liver_1frame.dcm": (512, 512),
    "no_meta.dcm": NO_IMAGE,
    "reportsi.dcm": NO_PIXELS,
    "rtdose.dcm": (10, 10),
    **{f"{TINY}/IM0000{tens}{ones}": NO_PIXELS for tens, some in TINY_NUMBERS.items() for ones in some},
}
"""Height and width, or what the error says."""


# Cut out of a corner of a picture: all of it is air.
UNIFORM = ("dicomdirtests/77654033/CT2/17166", "dicomdirtests/77654033/CT2/17196")


def sample(corpora: Path, name: str) -> Path:
    path = corpora / "dicom_samples" / name
    if not path.is_file():
        pytest.skip(f"the sample {name} is not on this machine")
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_gives_its_pixels_or_says_why_not(name: str, corpora: Path) -> None:
    image, expected = Image(sample(corpora, name)), EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(ImageError, match=expected) as caught:
            image.pixels()
        assert Path(name).name not in str(caught.value)
        return
    found = image.pixels()
    assert found.dtype == np.uint8
    assert found.shape == (*expected, 3)
    assert (found.min() == found.max()) == (name in UNIFORM)
    info = image.info()
    assert (info.format, info.height, info.width) == ("DICOM", *expected)


def test_every_sample_is_in_the_table(corpora: Path) -> None:
    folder = corpora / "dicom_samples"
    if not folder.is_dir():
        pytest.skip("the samples are not on this machine")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(EXPECTED)


@pytest.mark.parametrize(("name", "frames"), [("examples_ybr_color.dcm", 30), ("rtdose.dcm", 15)])
def test_films_among_the_samples_give_all_their_frames(name: str, frames: int, corpora: Path) -> None:
    image = Image(sample(corpora, name))
    found = list(image.frames())
    assert len(found) == frames == image.info().frames
    assert np.array_equal(found[frames - 1], image.pixels(frame=frames - 1))
    assert not np.array_equal(found[0], found[frames - 1])
