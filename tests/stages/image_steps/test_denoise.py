from __future__ import annotations

import numpy as np
import pytest
from scans import plate

from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages._image_steps.denoise import denoise_median, denoise_nlm, noise


def rgb(grey: np.ndarray) -> CleanedImage:
    return CleanedImage.of(np.repeat(grey[:, :, None], 3, axis=2))


def noisy(sigma: float, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A square with one edge, and the same with noise."""
    clean = np.full((side, side), 80.0)
    clean[:, side // 2 :] = 160
    return clean, np.clip(clean + np.random.default_rng(0).normal(0, sigma, clean.shape), 0, 255).astype(np.uint8)


def test_the_median_takes_away_single_odd_pixels_and_leaves_edges() -> None:
    clean = np.full((9, 10), 80, dtype=np.uint8)
    clean[:, 5:] = 160
    odd = clean.copy()
    odd[3, 2], odd[6, 7] = 255, 0
    found = denoise_median(rgb(odd)).pixels
    assert np.array_equal(found, rgb(clean).pixels)
    odd[2:5, 1:4] = 255
    assert denoise_median(rgb(odd)).pixels[3, 2, 0] != 80
    assert denoise_median(rgb(odd), size=5).pixels[3, 2, 0] == 80


def test_colours_are_denoised_by_channel() -> None:
    pixels = np.zeros((5, 5, 3), dtype=np.uint8)
    pixels[:] = (200, 100, 50)
    pixels[2, 2] = (0, 255, 50)
    assert np.array_equal(denoise_median(CleanedImage.of(pixels)).pixels, np.broadcast_to((200, 100, 50), (5, 5, 3)))


def test_non_local_means_halves_the_noise_and_keeps_the_edge() -> None:
    clean, given = noisy(12)
    found = denoise_nlm(rgb(given)).pixels[:, :, 0].astype(float)
    assert np.abs(found - clean).mean() < np.abs(given - clean).mean() / 2
    assert found[:, 36:].mean() - found[:, :28].mean() == pytest.approx(80, abs=3)


def test_a_picture_without_noise_stays_as_it_is() -> None:
    image = rgb(noisy(0)[1])
    assert denoise_nlm(image) is image


@pytest.mark.parametrize("sigma", [0, 3, 8, 20])
def test_the_noise_is_estimated_from_the_picture(sigma: float) -> None:
    assert noise(noisy(sigma, 128)[1]) == pytest.approx(sigma, abs=1.5)


def test_the_smallest_pictures_are_taken() -> None:
    for shape in ((1, 1), (1, 9), (2, 2)):
        for step in (denoise_median, denoise_nlm):
            assert step(rgb(np.full(shape, 7, dtype=np.uint8))).pixels.shape == (*shape, 3)


def test_a_grey_picture_stays_grey() -> None:
    for step in (denoise_median, denoise_nlm):
        found = step(rgb(plate(40, 50))).pixels
        assert np.array_equal(found[:, :, 0], found[:, :, 1])
        assert np.array_equal(found[:, :, 0], found[:, :, 2])
