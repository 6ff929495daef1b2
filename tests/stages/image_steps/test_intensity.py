from __future__ import annotations

import numpy as np
import pytest
from scans import plate

from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages._image_steps.intensity import contrast, normalise


def rgb(grey: np.ndarray) -> CleanedImage:
    return CleanedImage.of(np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8))


def test_percentiles_become_black_and_white_and_outliers_do_not_count() -> None:
    grey = np.linspace(50, 150, 10_000).reshape(100, 100)
    grey[0, 0], grey[99, 99] = 0, 255
    found = normalise(rgb(grey), (1, 99)).pixels[:, :, 0]
    assert (found.min(), found.max()) == (0, 255)
    assert int(found[50, 0]) == pytest.approx(128, abs=3)
    assert np.array_equal(normalise(rgb(grey), (0, 100)).pixels, rgb(grey).pixels)


def test_two_exposures_of_one_picture_become_alike() -> None:
    grey = plate().astype(float)
    one, other = (normalise(rgb(values)).pixels.astype(int) for values in (grey, grey * 0.6 + 30))
    assert np.abs(one - other).mean() < 3


def test_colours_keep_their_hue() -> None:
    pixels = np.zeros((1, 3, 3), dtype=np.uint8)
    pixels[0] = [(60, 60, 60), (100, 80, 80), (140, 140, 140)]
    red, green, blue = (int(value) for value in normalise(CleanedImage.of(pixels), (0, 100)).pixels[0, 1])
    assert red > green == blue


@pytest.mark.parametrize("step", [normalise, contrast])
def test_a_picture_of_one_shade_stays_as_it_is(step: object) -> None:
    image = rgb(np.full((20, 20), 90))
    assert step(image) is image  # type: ignore[operator]


def test_contrast_is_raised_in_dark_and_in_bright_regions() -> None:
    chance = np.random.default_rng(0)
    grey = np.where(np.arange(128) < 64, 40, 200) + chance.integers(-4, 5, (128, 128))
    image = rgb(grey)
    found = contrast(image).pixels[:, :, 0].astype(float)
    for half in (slice(8, 56), slice(72, 120)):
        assert found[:, half].std() > 1.3 * grey[:, half].std()
    assert contrast(image, clip_limit=0.05).pixels.astype(float)[:, 8:56].std() > found[:, 8:56].std()


def test_contrast_keeps_the_hue_of_colours() -> None:
    ramp = np.linspace(80, 120, 4096).reshape(64, 64)
    image = CleanedImage.of(np.stack([ramp, ramp / 2, ramp / 4], axis=2).astype(np.uint8))
    red, green, blue = np.moveaxis(contrast(image).pixels.astype(float), 2, 0)
    assert red.std() > ramp.std()
    seen = red > 100
    assert np.median(green[seen] / red[seen]) == pytest.approx(0.5, abs=0.05)
    assert np.median(blue[seen] / red[seen]) == pytest.approx(0.25, abs=0.05)


def test_contrast_takes_colours_and_small_pictures() -> None:
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    found = contrast(CleanedImage.of(pixels)).pixels
    assert found.shape == pixels.shape
    assert found.dtype == np.uint8
    assert not np.array_equal(found, pixels)
    assert contrast(CleanedImage.of(pixels[:1, :2])).pixels.shape == (1, 2, 3)
