"""The pixels that models read, the way back, and how long they are held."""

from __future__ import annotations

import gc
import pickle
from functools import partial

import numpy as np
import pytest

from clinnlp import _held_pixels
from clinnlp._held_pixels import HELD
from clinnlp.cleaned_image import CleanedImage
from clinnlp.errors import ImageError

BLACK = np.zeros((4, 6, 3), dtype=np.uint8)
HALF = np.diag([2.0, 2.0, 1.0])  # of a picture half as high and wide


def made(value: int, height: int = 4) -> CleanedImage:
    return CleanedImage.of(np.full((height, 6, 3), value, dtype=np.uint8))


def test_a_picture_as_it_is_leads_back_to_itself() -> None:
    image = CleanedImage.of(BLACK)
    assert (image.size, image.shape) == ((4, 6), (4, 6))
    assert image.points_to_original([[1.5, 2]]).tolist() == [[1.5, 2]]
    assert image.boxes_to_original([[1, 2, 3, 4]]).tolist() == [[1, 2, 3, 4]]
    grid = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert np.array_equal(image.map_to_original(grid), grid)


def test_transforms_are_put_together_in_order() -> None:
    moved = np.array([[1, 0, 3], [0, 1, 1], [0, 0, 1]])
    image = CleanedImage.of(BLACK).then(BLACK[1:, 3:], moved).then(BLACK[:1, :1], HALF)
    assert image.points_to_original([[1, 1]]).tolist() == [[5, 3]]
    assert image.points_to_cleaned([[5, 3]]).tolist() == [[1, 1]]
    assert (image.size, image.shape) == ((1, 1), (4, 6))


def test_boxes_are_cut_off_at_the_edges_and_hold_what_was_turned() -> None:
    turned = np.array([[0, -1, 6], [1, 0, 0], [0, 0, 1.0]])
    image = CleanedImage(np.zeros((6, 4, 3), dtype=np.uint8), turned, (4, 6))
    assert image.boxes_to_original([[0, 0, 2, 1], [-5, -5, 50, 50]]).tolist() == [[5, 0, 6, 2], [0, 0, 6, 4]]
    assert image.boxes_to_cleaned([[5, 0, 6, 2]]).tolist() == [[0, 0, 2, 1]]
    assert image.boxes_to_original(np.empty((0, 4))).shape == (0, 4)


def test_a_coarse_heat_map_covers_the_picture_and_what_is_outside_is_filled() -> None:
    moved = np.array([[1, 0, 8], [0, 1, 4], [0, 0, 1]])
    image = CleanedImage(np.zeros((8, 16, 3), dtype=np.uint8), moved, (16, 32))
    found = image.map_to_original([[1.0, 3.0]], fill=-1)
    assert found.dtype == np.float32
    assert found.shape == (16, 32)
    assert (found[4:12, 8:24] >= 1).all()
    inside = np.zeros((16, 32), dtype=bool)
    inside[4:12, 8:24] = True
    assert (found[~inside] == -1).all()
    assert found[6, 8:12].tolist() == [1, 1, 1, 1]
    assert found[6, 15:17].tolist() == [1.875, 2.125]
    channels = image.map_to_original(np.ones((2, 2, 3)))
    assert channels.shape == (16, 32, 3)


@pytest.mark.parametrize("values", [np.ones(3), np.ones((1, 1, 1, 1)), np.ones((0, 2))])
def test_a_heat_map_of_another_form_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ImageError, match="heat map"):
        CleanedImage.of(BLACK).map_to_original(values)


def test_points_boxes_pixels_and_transforms_of_another_form_are_refused() -> None:
    image = CleanedImage.of(BLACK)
    with pytest.raises(ImageError, match="x before y"):
        image.points_to_original([1, 2])
    with pytest.raises(ImageError, match="boxes have"):
        image.boxes_to_original([1, 2, 3, 4])
    for pixels in (BLACK[:, :, 0], BLACK.astype(float), BLACK[:0]):
        with pytest.raises(ImageError, match="8-bit RGB"):
            CleanedImage.of(pixels)
    for affine in (np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan), np.diag([1, 1, 2])):
        with pytest.raises(ImageError, match="affine"):
            image.then(BLACK, affine)


def test_pickling_keeps_pixels_unless_they_can_be_made_again() -> None:
    kept = pickle.loads(pickle.dumps(made(7)))
    assert (kept.pixels == 7).all()
    large = made(7, 1000).made_again_by(partial(made, 7, 1000), "seven")
    assert len(pickle.dumps(large)) < 1000
    again = pickle.loads(pickle.dumps(large))
    assert (again.pixels == 7).all()
    assert (again.size, again.made_by) == ((1000, 6), "seven")


def test_the_oldest_pixels_are_let_go_and_made_again_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    monkeypatch.setattr(_held_pixels, "MAX_HELD", HELD.size + 3 * 72)
    calls: list[int] = []

    def maker(value: int) -> CleanedImage:
        calls.append(value)
        return made(value)

    images = [made(i).made_again_by(partial(maker, i), str(i)) for i in range(10)]
    assert HELD.size <= _held_pixels.MAX_HELD
    assert [int(image.pixels.max()) for image in images[7:]] == [7, 8, 9]
    assert calls == []
    assert [int(image.pixels.max()) for image in images[:2]] == [0, 1]
    assert calls == [0, 1]
    assert int(images[9].pixels.max()) == 9
    assert calls == [0, 1]
    held = HELD.size
    del images
    gc.collect()
    assert HELD.size == held - 3 * 72


def test_pixels_that_nobody_can_make_again_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_held_pixels, "MAX_HELD", 0)
    own = made(5)
    other = made(6).made_again_by(partial(made, 6), "six")
    made(7).made_again_by(partial(made, 7), "seven")
    assert (own.pixels == 5).all()
    assert (other.pixels == 6).all()
