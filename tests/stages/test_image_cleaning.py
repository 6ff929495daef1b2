"""The stage as a whole: its settings, its order, its memory, and what comes after it."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from scans import plate, scan

from clinnlp import Image, Pipeline, Record, _held_pixels
from clinnlp.cleaned_image import CleanedImage
from clinnlp.engines.release import without_annotations, without_pixels
from clinnlp.errors import ConfigError, ImageError
from clinnlp.saving import load
from clinnlp.stage import resolve
from clinnlp.stages import ImageCleaner
from clinnlp.stages.image_cleaning import STEPS


def cleaned(image: Image) -> CleanedImage:
    assert image.cleaned is not None
    return image.cleaned


def test_the_raw_picture_stays_and_the_cleaned_one_leads_back_to_it() -> None:
    pixels = scan(8)
    before = pixels.copy()
    record = ImageCleaner(size=300)(Record(images=[Image(pixels)]))
    (image,) = record.images
    assert np.array_equal(image.array, before)
    assert max(cleaned(image).size) == 300
    assert cleaned(image).shape == pixels.shape[:2]
    assert np.array_equal(image.view(), cleaned(image).pixels)
    assert np.array_equal(image.pixels(), before)
    assert cleaned(image).affine[0, 1] != 0  # turned
    # The middle of the plate is that of the picture, but for its borders.
    assert cleaned(image).points_to_original([[cleaned(image).size[1] / 2, cleaned(image).size[0] / 2]])[0] == (
        pytest.approx([40 + (pixels.shape[1] - 70) / 2, 60 + (pixels.shape[0] - 110) / 2], abs=6)
    )


@pytest.mark.parametrize("name", STEPS)
def test_each_step_alone_gives_a_picture_and_none_shares_pixels_with_the_raw_one(name: str) -> None:
    image = Image(scan(5))
    found = ImageCleaner([name]).clean(image)
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape == (*found.size, 3)
    found.pixels[:] = 0
    assert np.array_equal(image.array, scan(5))
    assert image.cleaned is None


def test_steps_are_made_in_the_order_given() -> None:
    image = Image(scan(0))
    first, last = (ImageCleaner(steps, size=100).clean(image) for steps in (["resize", "crop"], ["crop", "resize"]))
    assert max(first.size) < 100
    assert max(last.size) == 100
    assert np.array_equal(ImageCleaner([]).clean(image).pixels, image.pixels())


def test_settings_reach_their_steps() -> None:
    image = Image(scan(20))
    assert ImageCleaner(["deskew"]).clean(image).size == image.array.shape[:2]  # type: ignore[union-attr]
    assert ImageCleaner(["deskew"], max_angle=30).clean(image).affine[0, 1] != 0
    assert ImageCleaner(["resize"], size=70, pad=True).clean(image).size == (70, 70)
    noisy = Image(np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8))
    for one, other in (
        (ImageCleaner(["denoise_median"]), ImageCleaner(["denoise_median"], median=7)),
        (ImageCleaner(["normalise"]), ImageCleaner(["normalise"], percentiles=(20, 80))),
        (ImageCleaner(["contrast"]), ImageCleaner(["contrast"], clip_limit=0.2)),
    ):
        assert not np.array_equal(one.clean(noisy).pixels, other.clean(noisy).pixels)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"steps": ["crop", "sharpen"]}, "unknown step 'sharpen': known are denoise_median, denoise_nlm"),
        ({"steps": ["crop", "crop"]}, "'crop' is named twice"),
        ({"steps": "crop"}, r"give \['crop'\]"),
        ({"size": 0}, "size is at least 1"),
        ({"percentiles": (50, 50)}, "percentiles are two"),
        ({"clip_limit": 0}, "clip_limit is between"),
        ({"median": 2}, "median is an odd"),
        ({"max_angle": 90}, "max_angle is above 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ImageCleaner(**arguments)  # type: ignore[arg-type]


def test_a_saved_pipeline_cleans_as_before(tmp_path: Path) -> None:
    cleaner = ImageCleaner(["contrast", "resize"], size=64, pad=True, percentiles=(2, 98), name="films")
    Pipeline([cleaner]).save(tmp_path / "saved")
    again = load(tmp_path / "saved")["films"]
    assert isinstance(again, ImageCleaner)
    assert again.config() == cleaner.config()
    assert json.loads(json.dumps(cleaner.config())) == cleaner.config()
    assert np.array_equal(again.clean(Image(scan())).pixels, cleaner.clean(Image(scan())).pixels)
    assert resolve("image_cleaning") is ImageCleaner


def test_cleaning_again_changes_nothing_and_other_steps_go_on() -> None:
    record = Record(images=[Image(scan())])
    cleaner = ImageCleaner(["denoise_median", "crop"])
    cleaner(record)
    first = cleaned(record.images[0])
    cleaner(record)
    assert cleaned(record.images[0]) is first
    ImageCleaner(["resize"], size=50)(record)
    assert max(cleaned(record.images[0]).size) == 50
    corner = cleaned(record.images[0]).points_to_original([[0, 0]])
    assert np.allclose(corner, first.points_to_original([[0, 0]]))
    assert record.images[0].array is not None
    assert cleaned(record.images[0]).shape == record.images[0].array.shape[:2]


def test_cleaned_pixels_that_the_image_brings_are_cleaned_further_and_stay_themselves() -> None:
    image = Image(scan())
    brought = CleanedImage(np.full((9, 9, 3), 7, dtype=np.uint8), np.eye(3), scan().shape[:2])
    image.cleaned = brought
    found = ImageCleaner(["normalise", "crop"]).clean(image)
    assert (found.pixels == 7).all()
    assert found is not brought
    assert brought.made_by == ""


def test_an_image_carries_its_cleaned_pixels_where_it_is_copied_or_pickled_but_not_in_a_dictionary() -> None:
    record = ImageCleaner(size=60)(Record(id="1", images=[Image(scan())]))
    (image,) = record.images
    for other in (image.copy(), pickle.loads(pickle.dumps(image)), record.copy().images[0]):
        assert np.array_equal(cleaned(other).pixels, cleaned(image).pixels)
        assert np.array_equal(cleaned(other).affine, cleaned(image).affine)
        assert other == image
    assert set(image.to_dict()) == {"array"}
    back = Record.from_dict(json.loads(json.dumps(record.to_dict()))).images[0]
    assert back.cleaned is None
    assert back == image
    assert without_annotations(record).images[0].cleaned is None


def test_what_a_run_writes_has_no_cleaned_pixels(tmp_path: Path) -> None:
    PIL.Image.fromarray(scan()).save(tmp_path / "film.png")
    record = ImageCleaner(size=60)(Record(images=[Image(tmp_path / "film.png", labels={"finding": ["mass"]})]))
    slim = without_pixels(record)
    assert slim.images[0].cleaned is None
    assert slim.images[0] == record.images[0]
    assert record.images[0].cleaned is not None


def test_a_picture_that_cannot_be_read_is_the_error_of_its_record_alone(tmp_path: Path) -> None:
    records = [
        Record(id="0", images=[Image(scan())]),
        Record(id="1", images=[Image(scan()), Image(tmp_path / "Zebulon Quarry.png")]),
        Record(id="2", text="no picture"),
        Record(id="3", images=[Image(scan())]),
    ]
    done = list(Pipeline([ImageCleaner(size=60)]).pipe(records, on_error="keep"))
    assert [[failure.error for failure in record.errors] for record in done] == [[], ["ImageError"], [], []]
    assert "image 1: the file of an image is missing" in done[1].errors[0].message
    assert "Quarry" not in str(done[1].errors)
    assert [[image.cleaned is not None for image in record.images] for record in done] == [
        [True],
        [False] * 2,
        [],
        [True],
    ]


def test_pixels_that_were_let_go_are_made_again_or_it_is_said_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_held_pixels, "MAX_HELD", 0)
    path = tmp_path / "film.png"
    PIL.Image.fromarray(scan()).save(path)
    cleaner = ImageCleaner(size=60)
    first, *_ = images = [cleaner(Record(images=[Image(path)])).images[0] for _ in range(3)]
    assert np.array_equal(first.view(), images[-1].view())
    path.unlink()
    ImageCleaner(size=50)(Record(images=[Image(scan())]))
    with pytest.raises(ImageError, match="missing"):
        first.view()


def test_pictures_of_a_long_run_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_held_pixels, "MAX_HELD", 2**20)
    count, side = 1_000, 64
    nlp = Pipeline([ImageCleaner(["resize"], size=side)], batch_size=16)
    one, small = side * side * 3, plate(8, 8)

    def records() -> Iterator[Record]:
        for i in range(count):
            yield Record(id=str(i), images=[Image(small)])

    next(nlp.pipe(records()))
    tracemalloc.start()
    for record in nlp.pipe(records()):
        assert cleaned(record.images[0]).size == (side, side)
    passing = tracemalloc.get_traced_memory()[1]
    held = list(nlp.pipe(records()))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert passing < 3 * 2**20
    assert kept < count * one / 2
    assert len({image.view().shape for record in held for image in record.images}) == 1
