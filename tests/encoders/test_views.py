"""Other views of a picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from clinnlp.encoders.views import VIEWS, Views, check_views
from clinnlp.errors import ConfigError


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.zeros((3, 40, 60), dtype=np.uint8)
    pixels[:, 6:12, 8:20] = 200
    pixels[:, 7:9, 10:12] = 90
    return pixels


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_is_another_the_same_for_a_seed_and_of_the_same_shape(name: str, picture: NDArray[np.uint8]) -> None:
    before = picture.copy()
    views = Views([name])
    made = [views(picture, seed) for seed in range(6)]
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in made)
    assert any((one != picture).any() for one in made)
    assert all((views(picture, seed) == one).all() for seed, one in enumerate(made))
    assert (picture == before).all()


def test_nothing_mirrors_a_picture_but_flips(picture: NDArray[np.uint8]) -> None:
    views = Views([name for name in VIEWS if not name.startswith("flip")])
    for seed in range(40):
        made = views(picture, seed)[0].astype(int)
        assert made[:, :30].sum() > made[:, 30:].sum()
        assert made[:20].sum() > made[20:].sum()
    mirrored = picture[:, :, ::-1]
    assert any((Views(["flip"])(picture, seed) == mirrored).all() for seed in range(20))


def test_what_is_no_view_and_a_mirror_of_sides_are_refused() -> None:
    with pytest.raises(ConfigError, match="x has 'mirror': known are rotate"):
        check_views(["mirror"], "x")
    with pytest.raises(ConfigError, match="x is a list of names"):
        check_views("flip", "x")
    for label in ("left lung", "mass_R", "Right"):
        with pytest.raises(ConfigError, match="tells a side"):
            check_views(["flip"], "x", ["none", label])
    assert check_views(["flip", "flip"], "x", ["upright", "cleft", "normal"]) == ("flip",)
