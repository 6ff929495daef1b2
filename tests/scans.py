"""Pictures drawn for the tests of cleaning: a grey plate on black, upright or turned, with writing beside it."""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
import PIL.ImageDraw

WRITING = (4, 4)


def plate(height: int = 240, width: int = 200, seed: int = 0) -> np.ndarray:
    """A grey plate with a darker ellipse and a little noise, shape (height, width)."""
    rows, columns = np.mgrid[:height, :width]
    lungs = ((rows / height - 0.5) / 0.3) ** 2 + ((columns / width - 0.5) / 0.35) ** 2 < 1
    noise = np.random.default_rng(seed).normal(0, 2, (height, width))
    return np.clip(np.where(lungs, 90, 170) + noise, 0, 255).astype(np.uint8)


def scan(
    angle: float = 0.0,
    border: tuple[int, int, int, int] = (40, 60, 30, 50),
    mark: tuple[float, float, float, float] | None = None,
    writing: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """A plate turned clockwise by degrees, with black on its left, top, right and bottom.

    Parameters
    ----------
    mark : tuple, optional
        Red box, upright in the whole picture: left, top, right, bottom, as shares of what lies within the borders.
    """
    picture = PIL.Image.fromarray(plate(seed=seed)).rotate(-angle, PIL.Image.Resampling.BILINEAR, expand=True)
    left, top, right, bottom = border
    whole = PIL.Image.new("RGB", (picture.width + left + right, picture.height + top + bottom))
    whole.paste(picture.convert("RGB"), (left, top))
    if writing:
        PIL.ImageDraw.Draw(whole).text(WRITING, "QUARRY Z", fill=(255, 255, 255))
    pixels = np.array(whole)
    if mark is not None:
        x0, y0, x1, y1 = marked(mark, pixels, border)
        pixels[y0:y1, x0:x1] = (255, 0, 0)
    return pixels


def marked(
    mark: tuple[float, float, float, float], pixels: np.ndarray, border: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Where in the picture a mark is, in pixels."""
    left, top, right, bottom = border
    width, height = pixels.shape[1] - left - right, pixels.shape[0] - top - bottom
    x0, y0, x1, y1 = mark
    return (
        left + math.floor(x0 * width),
        top + math.floor(y0 * height),
        left + math.ceil(x1 * width),
        top + math.ceil(y1 * height),
    )


def redness(pixels: np.ndarray) -> np.ndarray:
    """How red each pixel is."""
    return np.clip(pixels[:, :, 0].astype(float) - pixels[:, :, 1], 0, None)


def centre(weights: np.ndarray) -> np.ndarray:
    """The middle of what is marked, (x, y)."""
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
