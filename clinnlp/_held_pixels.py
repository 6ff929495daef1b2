"""How much memory the pixels of cleaned images take that can be made again."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clinnlp.cleaned_image import CleanedImage

__all__ = ["HELD", "MAX_HELD", "HeldPixels"]

MAX_HELD = 512 * 2**20
"""Most bytes of them that stay in memory."""


class HeldPixels:
    """The cleaned images that hold pixels which can be made again, oldest first."""

    def __init__(self) -> None:
        self._images: OrderedDict[int, tuple[weakref.ref[CleanedImage], int]] = OrderedDict()
        self.size = 0
        """Bytes that they have together."""
        self._lock = threading.RLock()  # a collected image may call `_drop` while its thread is in `add`

    def add(self, image: CleanedImage, size: int) -> None:
        """Remember an image, and let the oldest go until all are within `MAX_HELD`; never the newest."""
        key = id(image)
        with self._lock:
            self._drop(key)
            self._images[key] = (weakref.ref(image, lambda _: self._drop(key)), size)
            self.size += size
            while self.size > MAX_HELD and len(self._images) > 1:
                oldest = next(iter(self._images))
                found = self._images[oldest][0]()
                self._drop(oldest)
                if found is not None:
                    found.let_go()

    def _drop(self, key: int) -> None:
        with self._lock:
            _, size = self._images.pop(key, (None, 0))
            self.size -= size


HELD = HeldPixels()
