"""How much a picture may hold: a small file can unpack to more than the memory does."""

from __future__ import annotations

from clinnlp.errors import ImageError

__all__ = ["MAX_BYTES", "MAX_FRAMES", "MAX_PIXELS", "check_frame", "check_size", "check_total", "too_large"]

MAX_PIXELS = 100_000_000
"""Largest frame that is decoded, in pixels."""
MAX_FRAMES = 10_000
"""Most frames or pages of one file that are decoded one after another."""
MAX_BYTES = 4 * 2**30
"""Most bytes that the frames of one file may have together, as 8-bit RGB."""


def check_size(height: int, width: int) -> None:
    """Refuse a picture without pixels, or with too many.

    Raises
    ------
    ImageError
    """
    if height < 1 or width < 1:
        raise ImageError("the image has no pixels")
    if height * width > MAX_PIXELS:
        raise ImageError(too_large())


def too_large() -> str:
    """Give what to say of a picture with too many pixels."""
    return f"the image has more than {MAX_PIXELS:,} pixels: make it smaller first"


def check_frame(frame: int, count: int) -> None:
    """Refuse a frame that is not there.

    Raises
    ------
    ImageError
    """
    if not 0 <= frame < count:
        frames = "1 frame" if count == 1 else f"{count:,} frames"
        raise ImageError(f"the image has {frames}, counted from 0, and no frame {frame}")


def check_total(size: int, frames: int = 1) -> None:
    """Refuse too many frames, or too many bytes of all frames together as 8-bit RGB.

    Raises
    ------
    ImageError
    """
    if frames > MAX_FRAMES:
        raise ImageError(f"the image has more than {MAX_FRAMES:,} frames: read single ones with pixels(frame=...)")
    if size > MAX_BYTES:
        raise ImageError(
            f"the frames of the image have more than {MAX_BYTES:,} bytes: read single ones with pixels(frame=...)"
        )
