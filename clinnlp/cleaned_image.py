"""CleanedImage: the pixels that models read, and the way back to the original picture.

Coordinates are continuous: x runs along a row and y down the columns, and the pixel in row r and column c covers x from
c to c + 1 and y from r to r + 1. A box is (x of its left edge, y of its top edge, x of its right edge, y of its bottom
edge), so that `pixels[top:bottom, left:right]` is what it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp._held_pixels import HELD
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Maker = Callable[[], "CleanedImage"]

__all__ = ["CleanedImage"]


class CleanedImage:
    """Pixels made from those of a picture, with the affine transform that leads back to it.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    affine : ndarray of float, shape (3, 3)
        Brings (x, y, 1) of these pixels to those of the original; coordinates as above.
    shape : tuple of int
        Height and width of the original in pixels.
    made_by : str
        What made it, with its settings.

    Raises
    ------
    ImageError
        If the pixels have another form, or the transform has no inverse.
    """

    __slots__ = ("__weakref__", "_maker", "_pixels", "affine", "made_by", "shape", "size")

    def __init__(self, pixels: NDArray[np.uint8], affine: ArrayLike, shape: tuple[int, int], made_by: str = "") -> None:
        self._pixels: NDArray[np.uint8] | None = _checked(pixels)
        self.size: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        """Height and width of these pixels."""
        self.affine = _invertible(affine)
        self.shape = (int(shape[0]), int(shape[1]))
        self.made_by = made_by
        self._maker: Maker | None = None

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> CleanedImage:
        """Take a picture as it is."""
        return cls(pixels, np.eye(3), pixels.shape[:2])

    def then(self, pixels: NDArray[np.uint8], affine: ArrayLike | None = None) -> CleanedImage:
        """Give what was made of these pixels.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
        affine : ndarray of float, shape (3, 3), optional
            Brings coordinates of the new pixels to these; left out where every pixel stayed in its place.
        """
        back = self.affine if affine is None else self.affine @ _invertible(affine)
        return CleanedImage(pixels, back, self.shape)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels, shape (height, width, 3); made again where they were let go.

        Raises
        ------
        ImageError
            If they cannot be made again, since the original is gone.
        """
        pixels = self._pixels
        if pixels is None:
            assert self._maker is not None
            pixels = self._maker().pixels
            self._hold(pixels)
        return pixels

    def made_again_by(self, maker: Maker, made_by: str) -> CleanedImage:
        """Say how the pixels are made, so that the memory of a long run need not hold them: the oldest are let go.

        Parameters
        ----------
        maker : callable
            Gives an equal cleaned image; it goes where this one is pickled, in the place of the pixels.
        made_by : str
            What makes it, with its settings.
        """
        pixels, self._maker, self.made_by = self.pixels, maker, made_by
        self._hold(pixels)
        return self

    @property
    def _inverse(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.affine), dtype=np.float64)

    def _hold(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        HELD.add(self, pixels.nbytes)

    def let_go(self) -> None:
        """Let go of pixels that can be made again."""
        self._pixels = None

    def __getstate__(self) -> tuple[Any, ...]:
        pixels = self._pixels if self._maker is None else None
        return (pixels, self.size, self.affine, self.shape, self.made_by, self._maker)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._pixels, self.size, self.affine, self.shape, self.made_by, self._maker = state

    def __repr__(self) -> str:
        return f"CleanedImage({self.size[0]} x {self.size[1]}, from {self.shape[0]} x {self.shape[1]})"

    def points_to_original(self, points: ArrayLike) -> NDArray[np.float64]:
        """Bring points (x, y) of these pixels to the original, shape (points, 2); they may lie outside of it."""
        return _mapped(points, self.affine)

    def points_to_cleaned(self, points: ArrayLike) -> NDArray[np.float64]:
        """Bring points (x, y) of the original to these pixels, shape (points, 2); they may lie outside of them."""
        return _mapped(points, self._inverse)

    def boxes_to_original(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Bring boxes of these pixels to the original.

        Parameters
        ----------
        boxes : ndarray, shape (boxes, 4)
            x and y of the upper left, then of the lower right corner.

        Returns
        -------
        ndarray of float, shape (boxes, 4)
            The smallest upright boxes that hold them, cut off at the original's edges.
        """
        return _boxes(boxes, self.affine, self.shape)

    def boxes_to_cleaned(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Bring boxes of the original to these pixels, as `boxes_to_original` does the other way."""
        return _boxes(boxes, self._inverse, self.size)

    def map_to_original(self, values: ArrayLike, fill: float = 0.0) -> NDArray[np.float32]:
        """Bring a heat map over these pixels to the original.

        Parameters
        ----------
        values : ndarray, shape (rows, columns) or (rows, columns, channels)
            A grid of any size that covers the cleaned picture, such as a network's last layer.
        fill : float
            Value where the original is not in the cleaned picture.

        Returns
        -------
        ndarray of float32, shape (height, width) or (height, width, channels)
            Interpolated linearly between the middles of the grid's cells.

        Raises
        ------
        ImageError
            If it has another number of axes, or none of a cell.
        """
        from scipy import ndimage

        grid = np.asarray(values, dtype=np.float32)
        if grid.ndim not in (2, 3) or 0 in grid.shape:
            raise ImageError(f"a heat map has the shape (rows, columns) or (rows, columns, channels), not {grid.shape}")
        if grid.ndim == 3:
            return np.stack([self.map_to_original(grid[:, :, i], fill) for i in range(grid.shape[2])], axis=2)
        scale = np.diag([grid.shape[1] / self.size[1], grid.shape[0] / self.size[0], 1.0])
        # ndimage counts rows before columns, from the middle of the first cell.
        to_grid = _SWAPPED @ (_shift(-0.5) @ scale @ self._inverse @ _shift(0.5)) @ _SWAPPED
        found: NDArray[np.float32] = ndimage.affine_transform(
            grid, to_grid, output_shape=self.shape, order=1, mode="nearest"
        )
        rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
        for axis, length in enumerate(grid.shape):
            at = to_grid[axis, 0] * rows + to_grid[axis, 1] * columns + to_grid[axis, 2]
            found[(at < -0.5) | (at > length - 0.5)] = fill
        return found


_SWAPPED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def _shift(by: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0.0, by], [0.0, 1.0, by], [0.0, 0.0, 1.0]])


def _checked(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"cleaned pixels are 8-bit RGB, (height, width, 3), not {pixels.dtype} {pixels.shape}")
    return pixels


def _invertible(affine: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(affine, dtype=np.float64)
    flat = matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12
    if flat or not np.array_equal(matrix[2], (0, 0, 1)):
        raise ImageError("the transform of a cleaned image is an affine one, (3, 3), with an inverse")
    return matrix


def _mapped(points: ArrayLike, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    given = np.asarray(points, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 2:
        raise ImageError(f"points have the shape (points, 2), x before y, not {given.shape}")
    return np.asarray(given @ matrix[:2, :2].T + matrix[:2, 2])


def _boxes(boxes: ArrayLike, matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    given = np.asarray(boxes, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 4:
        raise ImageError(f"boxes have the shape (boxes, 4): x, y, x, y, not {given.shape}")
    corners = _mapped(given[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2), matrix).reshape(-1, 4, 2)
    found = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    height, width = size
    return np.asarray(np.clip(found, 0, [width, height, width, height]), dtype=np.float64)
