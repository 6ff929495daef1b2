"""Other views of a picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from clinnlp.encoders.views import VIEWS, Views, check_views, views_of
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


def test_another_amount_of_a_view_may_be_named(picture: NDArray[np.uint8]) -> None:
    def moved(name: str) -> float:
        views = Views([name])
        made = [views(picture, seed)[0].astype(float) for seed in range(30)]
        rows = np.arange(40)[:, None]
        return float(np.std([(one * rows).sum() / one.sum() for one in made]))

    assert moved("shift=0.3") > 2 * moved("shift") > 4 * moved("shift=0.02")
    assert (Views(["shift=0.1"])(picture, 3) == Views(["shift"])(picture, 3)).all()
    assert check_views(["rotate=20", "flip"], "x") == ("rotate=20", "flip")


@pytest.mark.parametrize("name", ["rotate=", "rotate=many", "shift=0", "shift=0.6", "zoom=nan", "blur=-1", "noise=inf"])
def test_an_amount_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"x has '{name}': the amount is a number above 0, of [0-9.]+ at most"):
        check_views([name], "x")


@pytest.mark.parametrize("names", [["flip=1"], ["turn=3"]])
def test_a_mirror_has_no_amount(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="known are rotate"):
        check_views(names, "x")


def test_a_view_is_named_once() -> None:
    with pytest.raises(ConfigError, match="x has 'rotate' twice"):
        check_views(["rotate", "rotate=20"], "x")
    with pytest.raises(ConfigError, match="tells a side"):
        check_views(["flip"], "x", ["left"])


def test_a_judged_picture_is_seen_as_it_is_and_in_its_mirror_once(picture: NDArray[np.uint8]) -> None:
    seen = [next(iter(view)) for view in views_of([picture], ["flip"])]
    assert len(seen) == 2
    assert (seen[0] == picture).all()
    assert (seen[1] == picture[:, :, ::-1]).all()
    assert len(list(views_of([picture], ["shift", "flip"]))) == 4
