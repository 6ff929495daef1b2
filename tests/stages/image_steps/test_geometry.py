"""Steps that move pixels: where to, and when they leave a picture alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from scans import plate, scan

from clinnlp.cleaned_image import CleanedImage
from clinnlp.stages._image_steps.crop import body_box, crop
from clinnlp.stages._image_steps.deskew import deskew, skew
from clinnlp.stages._image_steps.resize import resize


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(PIL.Image.fromarray(pixels).convert("L"))


def mesh(seed: int) -> np.ndarray:
    """Long lines at angles drawn by chance."""
    chance = np.random.default_rng(seed)
    picture = PIL.Image.new("L", (200, 200))
    for turn in chance.uniform(0, np.pi, 40):
        step, middle = 300 * np.array([np.cos(turn), np.sin(turn)]), chance.uniform(40, 160, 2)
        PIL.ImageDraw.Draw(picture).line((*(middle - step), *(middle + step)), fill=255, width=3)
    return np.array(picture)


class TestDeskew:
    @pytest.mark.parametrize("angle", [-14, -7.3, -1, 1, 3.6, 12])
    def test_the_angle_of_a_turned_scan_is_estimated(self, angle: float) -> None:
        assert skew(grey(scan(angle))) == pytest.approx(angle, abs=0.2)
        turned = deskew(CleanedImage.of(scan(angle)))
        assert skew(grey(turned.pixels)) is None
        assert turned.shape == scan(angle).shape[:2]

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("angle", [-9, 4])
    def test_lines_of_writing_give_the_angle_of_a_page(self, seed: int, angle: float) -> None:
        page = np.full((300, 260), 245, dtype=np.uint8)
        chance = np.random.default_rng(seed)
        for row in range(30, 270, 18):
            for column in range(25, int(chance.integers(180, 235)), 7):
                page[row : row + 8, column : column + 5] = 20
        turned = PIL.Image.fromarray(page).rotate(-angle, PIL.Image.Resampling.BILINEAR, fillcolor=245)
        assert skew(np.asarray(turned)) == pytest.approx(angle, abs=0.3)
        # The new corners are as bright as the page.
        corners = deskew(CleanedImage.of(np.array(turned.convert("RGB")))).pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.min() > 230

    def test_nothing_is_cut_off(self) -> None:
        turned = deskew(CleanedImage.of(scan(10)))
        assert turned.size[0] > turned.shape[0]
        assert turned.size[1] > turned.shape[1]
        height, width = turned.shape
        corners = turned.points_to_cleaned([[0, 0], [width, 0], [0, height], [width, height]])
        assert corners.min() > -1e-6
        assert (corners.max(axis=0) < [turned.size[1] + 1e-6, turned.size[0] + 1e-6]).all()

    def test_an_upright_scan_stays_as_it_is(self) -> None:
        image = CleanedImage.of(scan(0))
        assert deskew(image) is image

    @pytest.mark.parametrize("angle", [20, -30])
    def test_an_angle_beyond_the_bound_is_left_and_found_with_a_wider_one(self, angle: float) -> None:
        assert skew(grey(scan(angle))) is None
        assert skew(grey(scan(angle)), 40) == pytest.approx(angle, abs=0.2)

    @pytest.mark.parametrize("name", ["blank", "noise", "round", "one edge", "tiny", "thin"])
    def test_a_picture_that_shows_no_angle_is_left(self, name: str) -> None:
        rows, columns = np.mgrid[:200, :200]
        pictures = {
            "blank": np.full((200, 200), 9, dtype=np.uint8),
            "noise": np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8),
            "round": np.where((rows - 100) ** 2 + (columns - 90) ** 2 < 60**2, 200, 10).astype(np.uint8),
            "one edge": np.where(columns < 150 + 0.12 * rows, 160, 0).astype(np.uint8),
            "tiny": plate(20, 20),
            "thin": plate(1, 300),
        }
        assert skew(pictures[name]) is None

    def test_lines_at_all_angles_show_none(self) -> None:
        assert [skew(mesh(seed)) for seed in range(10)] == [None] * 10

    def test_real_films_are_left_upright_and_found_where_they_are_turned(self, corpora: Path) -> None:
        films = sorted((corpora / "covid_cxr" / "images").glob("*.jpg"))[::20]
        if not films:
            pytest.skip("the corpus covid_cxr is not on this machine")
        found = 0
        for film in films:
            picture = PIL.Image.open(film).convert("L")
            assert skew(np.asarray(picture)) is None
            turned = picture.rotate(-6, PIL.Image.Resampling.BILINEAR, expand=True)
            angle = skew(np.asarray(turned))
            assert angle is None or angle == pytest.approx(6, abs=1)
            found += angle is not None
        assert found >= len(films) / 2


class TestCrop:
    def test_black_borders_and_what_is_written_into_them_go(self) -> None:
        pixels = scan(border=(40, 60, 30, 50))
        left, top, right, bottom = body_box(grey(pixels)) or (0, 0, 0, 0)
        height, width = pixels.shape[:2]
        assert [left, top, width - right, height - bottom] == pytest.approx([40, 60, 30, 50], abs=6)
        assert left <= 40
        assert top <= 60
        assert right >= width - 30
        assert bottom >= height - 50
        cropped = crop(CleanedImage.of(pixels))
        assert np.array_equal(cropped.pixels, pixels[top:bottom, left:right])

    def test_a_thin_line_that_reaches_the_edge_is_no_part_of_the_body(self) -> None:
        pixels = np.pad(np.full((200, 160), 150, dtype=np.uint8), 60)
        pixels[160, :] = 255
        left, _, right, _ = body_box(pixels) or (0, 0, 0, 0)
        assert [left, right] == pytest.approx([60, 220], abs=6)

    def test_a_large_picture_is_cut_at_the_same_place_as_a_small_one(self) -> None:
        small = scan(border=(40, 60, 30, 50), writing=False)
        large = np.array(PIL.Image.fromarray(small).resize((small.shape[1] * 6, small.shape[0] * 6)))
        boxes = [np.array(body_box(grey(picture))) for picture in (small, large)]
        assert np.abs(boxes[1] / 6 - boxes[0]).max() < 3

    @pytest.mark.parametrize("name", ["whole", "black", "white", "specks", "one pixel"])
    def test_a_picture_without_a_border_or_a_region_stays_as_it_is(self, name: str) -> None:
        specks = np.zeros((100, 100), dtype=np.uint8)
        specks[::10, ::10] = 255
        pictures = {
            "whole": plate(),
            "black": np.zeros((50, 50), dtype=np.uint8),
            "white": np.full((50, 50), 255, dtype=np.uint8),
            "specks": specks,
            "one pixel": np.zeros((1, 1), dtype=np.uint8),
        }
        image = CleanedImage.of(np.repeat(pictures[name][:, :, None], 3, axis=2))
        assert crop(image) is image

    def test_dark_lungs_stay_in(self) -> None:
        body = np.full((200, 200), 150, dtype=np.uint8)
        body[40:160, 20:90], body[40:160, 110:180] = 5, 5
        pixels = np.pad(body, 50)
        left, top, right, bottom = body_box(pixels) or (0, 0, 0, 0)
        assert [left, top, right, bottom] == pytest.approx([50, 50, 250, 250], abs=5)


class TestResize:
    @pytest.mark.parametrize(
        ("height", "width", "expected"), [(100, 50, (64, 32)), (30, 60, (32, 64)), (7, 7, (64, 64))]
    )
    def test_the_longest_side_gets_the_size_and_proportions_stay(
        self, height: int, width: int, expected: tuple[int, int]
    ) -> None:
        assert resize(CleanedImage.of(np.zeros((height, width, 3), dtype=np.uint8)), 64).size == expected

    def test_padding_makes_a_square_with_the_picture_in_its_middle(self) -> None:
        found = resize(CleanedImage.of(np.full((20, 40, 3), 200, dtype=np.uint8)), 80, pad=True)
        assert found.size == (80, 80)
        assert (found.pixels[20:60] == 200).all()
        assert (found.pixels[:20] == 0).all()
        assert (found.pixels[60:] == 0).all()
        assert found.points_to_original([[0, 20], [80, 60]]).tolist() == [[0, 0], [40, 20]]

    def test_corners_stay_corners_where_the_proportions_are_rounded(self) -> None:
        found = resize(CleanedImage.of(np.zeros((301, 17, 3), dtype=np.uint8)), 20)
        assert found.size == (20, 1)
        assert np.allclose(found.points_to_original([[1, 20]]), [[17, 301]])

    def test_what_gets_smaller_is_averaged(self) -> None:
        stripes = np.zeros((64, 64, 3), dtype=np.uint8)
        stripes[:, ::2] = 200
        found = resize(CleanedImage.of(stripes), 8).pixels
        assert np.abs(found.astype(int) - 100).max() < 20

    def test_a_line_of_pixels_keeps_one(self) -> None:
        assert resize(CleanedImage.of(np.zeros((1, 1000, 3), dtype=np.uint8)), 10).size == (1, 10)
