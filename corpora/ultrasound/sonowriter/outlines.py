"""Outlines of lesions: smooth ovals that are wider than tall, and spiculated ones that are taller than wide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPES", "Floats", "draw_mask"]

SHAPES = ("oval", "spiculated")

Floats = NDArray[np.float64]

_ANGLES = 720


def draw_mask(shape: str, largest: float, side: int, chance: np.random.RandomState) -> NDArray[np.bool_]:
    """Draw a lesion somewhere in the middle of a picture.

    Parameters
    ----------
    shape : str
        One of `SHAPES`.
    largest : float
        Its larger extent, of width and height, in pixels.
    side : int
        Height and width of the picture in pixels.
    chance : RandomState

    Returns
    -------
    ndarray of bool, shape (side, side)
        True where the lesion is.
    """
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    if shape == "oval":
        radii = np.ones(_ANGLES)
        ratio, turn = chance.uniform(0.5, 0.72), chance.uniform(-0.15, 0.15)
    else:
        radii = _spikes(angles, chance)
        ratio, turn = chance.uniform(1.25, 1.55), chance.uniform(-0.25, 0.25)
    x, y = radii * np.cos(angles), ratio * radii * np.sin(angles)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    scale = largest / max(np.ptp(x), np.ptp(y))
    x, y = (x - x.min()) * scale, (y - y.min()) * scale
    # Room above for skin and fat, and below for what the lesion does to the sound.
    left = chance.uniform(4, side - 4 - x.max())
    top = chance.uniform(0.16 * side, 0.8 * side - y.max())
    return _filled(x + left, y + top, side)


def _spikes(angles: Floats, chance: np.random.RandomState) -> Floats:
    """Give the radius at each angle of a star with many thin arms of different lengths."""
    number = chance.randint(9, 14)
    radii = np.full(len(angles), 0.62) + 0.05 * np.sin(3 * angles + chance.uniform(0, 6))
    for arm in range(number):
        at = 2 * np.pi * (arm + chance.uniform(-0.3, 0.3)) / number
        apart = np.abs((angles - at + np.pi) % (2 * np.pi) - np.pi)
        radii += chance.uniform(0.2, 0.5) * np.exp(-((apart / chance.uniform(0.09, 0.16)) ** 2))
    return radii


def _filled(x: Floats, y: Floats, side: int) -> NDArray[np.bool_]:
    """Fill a closed outline by the even-odd rule, at the centres of pixels."""
    columns = np.arange(side) + 0.5
    inside = np.zeros((side, side), bool)
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    for row in range(side):
        height = row + 0.5
        crossing = (y <= height) != (next_y <= height)
        share = (height - y[crossing]) / (next_y[crossing] - y[crossing])
        at = x[crossing] + share * (next_x[crossing] - x[crossing])
        inside[row] = (columns[:, None] > at).sum(1) % 2 == 1
    return inside
