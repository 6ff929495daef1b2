"""What is marked in a picture is found again from its cleaned pixels, whatever was done to it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import centre, marked, redness, scan

from clinnlp import Image
from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages import ImageCleaner

MOVING = ("deskew", "crop", "resize")
orders = st.lists(st.sampled_from(MOVING), unique=True, max_size=3)
angles = st.one_of(st.just(0.0), st.floats(-14, -1), st.floats(1, 14))
borders = st.tuples(*[st.integers(0, 60)] * 4)


@st.composite
def marks(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """A box well inside the plate, however it is turned."""
    x, y = draw(st.floats(0.3, 0.6)), draw(st.floats(0.3, 0.6))
    return x, y, x + draw(st.floats(0.05, 0.12)), y + draw(st.floats(0.05, 0.12))


@settings(max_examples=60)
@given(orders, angles, borders, marks(), st.integers(120, 500), st.booleans())
def test_a_mark_is_found_again_within_a_pixel(
    steps: list[str],
    angle: float,
    border: tuple[int, int, int, int],
    mark: tuple[float, float, float, float],
    size: int,
    pad: bool,
) -> None:
    pixels = scan(angle, border, mark)
    box = np.array(marked(mark, pixels, border), dtype=float)
    cleaned = ImageCleaner(steps, size=size, pad=pad).clean(Image(pixels))
    if "resize" in steps[-1:]:
        assert max(cleaned.size) == size
    red = redness(cleaned.pixels)

    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    assert np.abs(cleaned.points_to_original([centre(red)]) - middle).max() < 1
    assert np.abs(cleaned.points_to_cleaned([middle]) - centre(red)).max() < 1
    there = cleaned.points_to_cleaned([box[:2], box[2:]])
    assert np.allclose(cleaned.points_to_original(there), [box[:2], box[2:]])

    # A box that was turned is held by an upright one, which is larger.
    found = cleaned.boxes_to_cleaned([box])[0]
    rows, columns = np.nonzero(red > red.max() / 2)
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert (found[:2] <= seen[:2] + 1).all()
    assert (found[2:] >= seen[2:] - 1).all()
    turned = abs(cleaned.affine[0, 1]) > 1e-9
    back = cleaned.boxes_to_original([seen])[0]
    pixel = max(1.0, *np.abs(np.diag(cleaned.affine)[:2]))  # of the cleaned picture, in those of the original
    assert (back[:2] <= box[:2] + pixel).all()
    assert (back[2:] >= box[2:] - pixel).all()
    if not turned:
        assert np.abs(back - box).max() <= pixel
        assert np.allclose(cleaned.boxes_to_original([found]), [box])

    heat = cleaned.map_to_original(red)
    assert heat.shape == pixels.shape[:2]
    assert np.abs(centre(heat) - middle).max() < 1


numbers = st.floats(-5, 5)


@given(st.lists(numbers, min_size=6, max_size=6), st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
def test_there_and_back_is_the_same_point(values: list[float], points: list[tuple[float, float]]) -> None:
    affine = np.vstack([np.reshape(values, (2, 3)), [0, 0, 1]])
    if abs(np.linalg.det(affine)) < 1e-2:
        return
    cleaned = CleanedImage(np.zeros((4, 6, 3), dtype=np.uint8), affine, (8, 9))
    assert np.allclose(cleaned.points_to_cleaned(cleaned.points_to_original(points)), points, atol=1e-6)
