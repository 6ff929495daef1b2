"""Why a report or a picture got its label: words and sentences with raw offsets, and heat maps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp._plain import to_plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Explanation", "HeatMap", "WeightedSpan"]


@dataclass(slots=True)
class WeightedSpan:
    """A span of the raw text, and how much it weighs in a label: above 0 it speaks for it, below 0 against it."""

    start: int
    end: int
    text: str
    weight: float


@dataclass(slots=True, repr=False)
class Explanation:
    """What the words and sentences of a report weigh in one label.

    Parameters
    ----------
    record_id : str
    label : str
        The label that is explained; `""` for a report without a word, where none was asked for.
    probability : float
        Of that label, between 0 and 1; 0 for a report without a word.
    words : list of WeightedSpan
        In the order of the text. Weights are parts of the label's logit: see `ReportClassifier.explain`.
    sentences : list of WeightedSpan
        The sentences of the record, or its paragraphs where it has none, with the sum of the weights of the words that
        start in them.
    method : str
        How the weights were found.
    record_text : str
        The raw text that the offsets are of.
    """

    record_id: str
    label: str
    probability: float
    words: list[WeightedSpan] = field(default_factory=list)
    sentences: list[WeightedSpan] = field(default_factory=list)
    method: str = ""
    record_text: str = ""

    def __repr__(self) -> str:
        return (
            f"Explanation(record_id={self.record_id!r}, label={self.label!r}, probability={self.probability:.3f},"
            f" {len(self.words)} words)"
        )

    def top(self, n: int = 10) -> list[WeightedSpan]:
        """Give the `n` words that speak most for the label, heaviest first; fewer where fewer speak for it."""
        return sorted((word for word in self.words if word.weight > 0), key=lambda word: -word.weight)[:n]

    def to_html(self, title: str | None = None) -> str:
        """Give a page of the raw text, its words coloured by their weights; see `clinnlp.formats.explanation_html`."""
        from clinnlp.formats.explanation_html import to_html

        return to_html(self, title)

    def write_html(self, path: str | os.PathLike[str], title: str | None = None) -> Path:
        """Write the page of `to_html`; the file appears whole or not at all."""
        from clinnlp.formats.explanation_html import write

        return write(self, path, title)

    def to_dict(self) -> dict[str, Any]:
        """Give all but the record's text as plain dictionaries, lists, texts and numbers that JSON can hold."""
        return {
            "record_id": self.record_id,
            "label": self.label,
            "probability": self.probability,
            "method": self.method,
            "words": to_plain(self.words),
            "sentences": to_plain(self.sentences),
        }


@dataclass(slots=True, repr=False)
class HeatMap:
    """What the places of a picture weigh in one label.

    Parameters
    ----------
    record_id : str
    image : int
        Number of the picture in its record.
    label : str
    probability : float
        Of that label, between 0 and 1.
    values : ndarray of float32, shape (height, width)
        Over the picture as it was given, between 0 and 1; 0 where nothing speaks for the label.
    pixels : ndarray of uint8, shape (height, width, 3)
        The picture.
    method : str
        How they were found.
    """

    record_id: str
    image: int
    label: str
    probability: float
    values: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    method: str = ""

    def __repr__(self) -> str:
        height, width = self.values.shape
        return (
            f"HeatMap(record_id={self.record_id!r}, image={self.image}, label={self.label!r},"
            f" probability={self.probability:.3f}, {height} x {width})"
        )

    def overlay(self, strength: float = 0.5) -> NDArray[np.uint8]:
        """Give the picture with its places coloured, from none over red to yellow; shape (height, width, 3)."""
        import numpy as np

        heat = np.asarray(self.values, dtype=np.float32)[..., None]
        colour = np.concatenate(
            [np.full_like(heat, 255), 255 * np.clip(2 * heat - 1, 0, 1), np.zeros_like(heat)], axis=-1
        )
        share = strength * np.clip(2 * heat, 0, 1)
        return np.asarray(np.rint(self.pixels * (1 - share) + colour * share), dtype=np.uint8)

    def peak(self) -> tuple[int, int]:
        """Give the row and column of the place that weighs most."""
        row, column = divmod(int(self.values.argmax()), self.values.shape[1])
        return row, column

    def write_png(self, path: str | os.PathLike[str], strength: float = 0.5) -> Path:
        """Write the picture of `overlay` as PNG; the file appears whole or not at all.

        Raises
        ------
        ClinNLPError
            If the file cannot be written.
        """
        from PIL import Image as Pictures

        from clinnlp.atomic import replace_file

        with replace_file(Path(path)) as new:
            Pictures.fromarray(self.overlay(strength)).save(new, format="PNG")
        return Path(path)
