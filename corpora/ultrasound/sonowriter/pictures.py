"""Pictures as an ultrasound scanner would make them: layers of tissue, speckle, a lesion and the sound behind it.

After the usual model of B-mode speckle: the echoes of a resolution cell add up to a complex Gaussian, whose amplitude
is shown in decibels (Wagner et al., IEEE Trans. Sonics Ultrason. 1983;30:156).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from sonowriter.outlines import Floats, draw_mask

__all__ = ["MM_PER_PIXEL", "SIDE", "Picture", "draw_picture"]

SIDE = 96
"""Height and width in pixels."""
MM_PER_PIXEL = 40 / SIDE
_GREYS = 32  # levels of grey: a file of fewer is smaller
_LOW, _HIGH = -34.0, 12.0  # decibels that are black and white


@dataclass(frozen=True)
class Picture:
    """A picture and where its lesion is.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (SIDE, SIDE)
    mask : ndarray of bool, shape (SIDE, SIDE)
        True where the lesion is; nowhere if there is none.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    @property
    def box(self) -> list[int] | None:
        """Left, top, right and bottom of the lesion in pixels, half-open; None if there is none."""
        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return None
        return [int(n) for n in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def draw_picture(shape: str | None, largest_mm: float, seed: int) -> Picture:
    """Draw a picture.

    Parameters
    ----------
    shape : str or None
        `oval` or `spiculated`; None for a picture without a lesion.
    largest_mm : float
        Larger extent of the lesion.
    seed : int
        Between 0 and 2**32 - 1. It decides all that is chance, with a generator that no version of NumPy changes.
    """
    chance = np.random.RandomState(seed)
    tissue = _tissue(chance)
    mask = np.zeros((SIDE, SIDE), bool)
    if shape is not None:
        mask = draw_mask(shape, largest_mm / MM_PER_PIXEL, SIDE, chance)
        tissue = _with_lesion(tissue, mask, shape, chance)
    echo = tissue * _speckle(chance)
    decibels = 20 * np.log10(echo + 1e-3) + chance.uniform(-2, 2)  # the gain that was set
    share = np.clip((decibels - _LOW) / (_HIGH - _LOW), 0, 1)
    pixels = np.rint(np.floor(share * (_GREYS - 1) + 0.5) * 255 / (_GREYS - 1)).astype(np.uint8)
    return Picture(pixels, mask)


def _speckle(chance: np.random.RandomState) -> Floats:
    """Give the amplitude of the echoes of even tissue, of mean square 1."""
    real, imaginary = (gaussian_filter(chance.standard_normal((SIDE, SIDE)), (0.8, 1.4)) for _ in range(2))
    amplitude = np.sqrt(real**2 + imaginary**2)
    return np.asarray(amplitude / np.sqrt((amplitude**2).mean()))


def _smooth(chance: np.random.RandomState, shape: tuple[int, ...], sigma: float | tuple[float, ...]) -> Floats:
    """Give smooth noise of mean 0 and standard deviation 1."""
    noise = gaussian_filter(chance.standard_normal(shape), sigma, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def _tissue(chance: np.random.RandomState) -> Floats:
    """Give how strongly each place echoes: skin, fat, gland, muscle and the chest wall, from the top."""
    depth = np.arange(SIDE)[:, None] / SIDE
    borders = [
        at + wave * _smooth(chance, (SIDE,), 12)
        for at, wave in ((0.04, 0.003), (chance.uniform(0.13, 0.2), 0.02), (0.76, 0.015), (0.88, 0.01), (0.91, 0.01))
    ]
    strengths = (1.8, chance.uniform(0.35, 0.5), chance.uniform(0.8, 1.0), 0.45, 1.7, 0.2)
    tissue = np.full((SIDE, SIDE), strengths[0])
    for border, strength in zip(borders, strengths[1:], strict=True):
        tissue[depth >= border[None, :]] = strength
    tissue = gaussian_filter(tissue, 0.8)
    streaks = _smooth(chance, (SIDE, SIDE), (1.5, 8)) * 0.35 + _smooth(chance, (SIDE, SIDE), (4, 6)) * 0.2
    return np.asarray(tissue * np.exp(streaks) * np.exp(-0.5 * depth))


def _with_lesion(tissue: Floats, mask: NDArray[np.bool_], shape: str, chance: np.random.RandomState) -> Floats:
    """Put a dark lesion into the tissue, with its rim, and with more or less sound behind it."""
    made = tissue.copy()
    soft = gaussian_filter(mask.astype(np.float64), 0.6)
    behind = np.maximum.accumulate(mask, axis=0) & ~np.maximum.accumulate(mask[::-1], axis=0)[::-1]
    beam = gaussian_filter(behind.astype(np.float64), (0.8, 1.2))
    if shape == "oval":
        rim = binary_dilation(mask, iterations=1) & ~mask
        made = made * (1 + 0.7 * gaussian_filter(rim.astype(np.float64), 0.5)) * (1 + chance.uniform(0.9, 1.4) * beam)
        inside = 0.1 * np.exp(0.1 * _smooth(chance, mask.shape, 2))
    else:
        halo = gaussian_filter(binary_dilation(mask, iterations=3).astype(np.float64), 1.5)
        made = made * (1 + 0.4 * halo) * (1 - chance.uniform(0.75, 0.88) * beam)
        inside = 0.09 * np.exp(0.4 * _smooth(chance, mask.shape, 1.5))
    return np.asarray(made * (1 - soft) + inside * soft)
