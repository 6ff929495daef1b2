"""Other views of a picture, as another shot of the same patient could be: for training, and for judging several.

Made with MONAI's random transforms. None of them mirrors a picture unless it is asked for: left and right are findings.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VIEWS", "Views", "check_views", "views_of"]

_OF_EACH = 2

VIEWS = MappingProxyType(
    {
        "rotate": "by up to 10 degrees",
        "shift": "by up to a tenth of the sides",
        "zoom": "in or out, by up to a tenth",
        "brightness": "up to a fifth more or less",
        "contrast": "a gamma between 0.7 and 1.4",
        "noise": "of a deviation of up to 0.03 of the range",
        "blur": "of up to a pixel",
        "flip": "left and right exchanged",
        "flip_vertical": "top and bottom exchanged",
    }
)
"""Name -> what is done."""
_GEOMETRY = ("rotate", "shift", "zoom")
_SIDES = re.compile(r"(?<![a-z])(?:left|right|lateral|laterality|l|r)(?![a-z])", re.IGNORECASE)


def check_views(names: Sequence[str], where: str, labels: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the names of views; refuse what is none, and a mirror where labels tell left from right.

    Raises
    ------
    ConfigError
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where} is a list of names of {', '.join(VIEWS)}")
    if unknown := [name for name in names if name not in VIEWS]:
        raise ConfigError(f"{where} has {unknown[0]!r}: known are {', '.join(VIEWS)}")
    if "flip" in names and (sided := [label for label in labels if _SIDES.search(label)]):
        raise ConfigError(f"{where} has 'flip', and the label {sided[0]!r} tells a side: leave it out")
    return tuple(dict.fromkeys(names))


class Views:
    """Makes other views of pictures.

    Parameters
    ----------
    names : sequence of str
        Of `VIEWS`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = check_views(names, "the views")
        self._made: dict[tuple[int, int], Any] = {}

    def __call__(self, pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Give another view, the same one for the same seed; shape and dtype stay.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (3, height, width)
        seed : int
        """
        import torch

        size = (int(pixels.shape[1]), int(pixels.shape[2]))
        if size not in self._made:
            self._made[size] = _transforms(self.names, size)
        made = self._made[size]
        made.set_random_state(seed)
        shown = made(torch.from_numpy(pixels.astype(np.float32) / 255))
        return np.asarray(np.rint(np.clip(shown.numpy(), 0, 1) * 255), dtype=np.uint8)


def _transforms(names: Sequence[str], size: tuple[int, int]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai import transforms as monai

    ways: dict[str, Callable[[], Any]] = {
        "brightness": lambda: monai.RandScaleIntensity(prob=1.0, factors=0.2),
        "contrast": lambda: monai.RandAdjustContrast(prob=1.0, gamma=(0.7, 1.4)),
        "noise": lambda: monai.RandGaussianNoise(prob=1.0, std=0.03),
        "blur": lambda: monai.RandGaussianSmooth(prob=1.0, sigma_x=(0.1, 1.0), sigma_y=(0.1, 1.0)),
        "flip": lambda: monai.RandFlip(prob=0.5, spatial_axis=1),
        "flip_vertical": lambda: monai.RandFlip(prob=0.5, spatial_axis=0),
    }
    made: list[Any] = []
    if geometry := [name for name in names if name in _GEOMETRY]:
        made.append(
            monai.RandAffine(
                prob=1.0,
                rotate_range=math.radians(10) if "rotate" in geometry else 0.0,
                translate_range=tuple(side / 10 for side in size) if "shift" in geometry else 0.0,
                scale_range=0.1 if "zoom" in geometry else 0.0,
                padding_mode="border",
                mode="bilinear",
            )
        )
    return monai.Compose([*made, *(ways[name]() for name in names if name not in _GEOMETRY)])


def views_of(
    pictures: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> Iterator[Iterator[NDArray[np.uint8]] | Sequence[NDArray[np.uint8]]]:
    """Give the pictures as they are, and in two views of each name."""
    yield pictures
    for name in names:
        made = Views([name])
        for seed in range(_OF_EACH):
            yield (made(picture, seed) for picture in pictures)
