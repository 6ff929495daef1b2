"""Other views of a picture, as another shot of the same patient could be: for training, and for judging several.

Made with MONAI's random transforms. None of them mirrors a picture unless it is asked for: left and right are findings.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
        "shift": "by up to 0.1 of the sides",
        "zoom": "in or out, by up to 0.1",
        "brightness": "up to 0.2 more or less",
        "contrast": "a gamma of up to 1.4, or 1 / 1.4: by 0.4",
        "noise": "of a deviation of up to 0.03 of the range",
        "blur": "of up to 1 pixel",
        "flip": "left and right exchanged",
        "flip_vertical": "top and bottom exchanged",
    }
)
"""Name -> what is done. Of all but the last two another amount may be named, such as `rotate=20`."""
_AMOUNTS = {"rotate": 10.0, "shift": 0.1, "zoom": 0.1, "brightness": 0.2, "contrast": 0.4, "noise": 0.03, "blur": 1.0}
# Beyond these a picture is no other shot of the same patient any more.
_MOST = {"rotate": 180.0, "shift": 0.5, "zoom": 0.5, "brightness": 1.0, "contrast": 4.0, "noise": 0.5, "blur": 20.0}
_GEOMETRY = ("rotate", "shift", "zoom")
_MIRRORS = ("flip", "flip_vertical")
_SIDES = re.compile(r"(?<![a-z])(?:left|right|lateral|laterality|l|r)(?![a-z])", re.IGNORECASE)


def check_views(names: Sequence[str], where: str, labels: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the names of views; refuse what is none, and a mirror where labels tell left from right.

    Raises
    ------
    ConfigError
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where} is a list of names of {', '.join(VIEWS)}")
    amounts = _amounts(names, where)
    if "flip" in amounts and (sided := [label for label in labels if _SIDES.search(label)]):
        raise ConfigError(f"{where} has 'flip', and the label {sided[0]!r} tells a side: leave it out")
    return tuple(dict.fromkeys(names))


def _amounts(names: Sequence[str], where: str) -> dict[str, float]:
    """Give the amount of each view that is named; 1 of a mirror."""
    found: dict[str, float] = {}
    for given in dict.fromkeys(names):
        name, _, told = given.partition("=")
        if name not in VIEWS or (name in _MIRRORS and name != given):
            raise ConfigError(f"{where} has {given!r}: known are {', '.join(VIEWS)}")
        if name in found:
            raise ConfigError(f"{where} has {name!r} twice: name it once")
        try:
            found[name] = float(told) if name != given else _AMOUNTS.get(name, 1.0)
        except ValueError:
            found[name] = math.nan
        if name not in _MIRRORS and not 0 < found[name] <= _MOST[name]:
            raise ConfigError(f"{where} has {given!r}: the amount is a number above 0, of {_MOST[name]:g} at most")
    return found


class Views:
    """Makes other views of pictures.

    Parameters
    ----------
    names : sequence of str
        Of `VIEWS`.
    mirrored : bool
        Whether mirrors turn every picture over, in place of every other one.
    """

    def __init__(self, names: Sequence[str], mirrored: bool = False) -> None:
        self._amounts = _amounts(names, "the views")
        self._mirrored = mirrored
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
            self._made[size] = _transforms(self._amounts, size, 1.0 if self._mirrored else 0.5)
        made = self._made[size]
        made.set_random_state(seed)
        with _without_metadata():
            shown = made(torch.from_numpy(pixels.astype(np.float32) / 255))
        return np.asarray(np.rint(np.clip(shown.numpy(), 0, 1) * 255), dtype=np.uint8)


@contextmanager
def _without_metadata() -> Iterator[None]:
    """Let MONAI's transforms keep no account of what they did: it takes longer than they do on small pictures."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _transforms(amounts: Mapping[str, float], size: tuple[int, int], mirror: float) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai import transforms as monai

    ways: dict[str, Callable[[float], Any]] = {
        "brightness": lambda by: monai.RandScaleIntensity(prob=1.0, factors=by),
        "contrast": lambda by: monai.RandAdjustContrast(prob=1.0, gamma=(1 / (1 + by), 1 + by)),
        "noise": lambda by: monai.RandGaussianNoise(prob=1.0, std=by),
        "blur": lambda by: monai.RandGaussianSmooth(prob=1.0, sigma_x=(by / 10, by), sigma_y=(by / 10, by)),
        "flip": lambda _: monai.RandFlip(prob=mirror, spatial_axis=1),
        "flip_vertical": lambda _: monai.RandFlip(prob=mirror, spatial_axis=0),
    }
    made: list[Any] = []
    geometry = {name: amounts.get(name, 0.0) for name in _GEOMETRY}
    if any(geometry.values()):
        made.append(
            monai.RandAffine(
                prob=1.0,
                rotate_range=math.radians(geometry["rotate"]),
                translate_range=tuple(side * geometry["shift"] for side in size),
                scale_range=geometry["zoom"],
                padding_mode="border",
                mode="bilinear",
            )
        )
    return monai.Compose([*made, *(ways[name](by) for name, by in amounts.items() if name not in _GEOMETRY)])


def views_of(
    pictures: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> Iterator[Iterator[NDArray[np.uint8]] | Sequence[NDArray[np.uint8]]]:
    """Give the pictures as they are, and in two views of each name, or turned over by a mirror."""
    yield pictures
    for name in names:
        made = Views([name], mirrored=True)
        for seed in range(1 if name in _MIRRORS else _OF_EACH):
            yield (made(picture, seed) for picture in pictures)
