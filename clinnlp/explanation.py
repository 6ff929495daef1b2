"""Why a report, a picture or a whole record got its label: spans with raw offsets, heat maps, and findings."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp._plain import to_plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clinnlp.record import Label

__all__ = ["Explanation", "Finding", "FusedExplanation", "HeatMap", "WeightedSpan"]


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


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a record has, and what it weighs in a label: above 0 it speaks for it, below 0 against it.

    Parameters
    ----------
    modality : str
        "text", "images", "metadata" or "course".
    weight : float
        What it adds to the label's logit: see `MultimodalClassifier.explain`.
    name : str
        The variable of the metadata, or `""`.
    text : str
        The passage of the text, the value of the variable or the event; `""` of a picture.
    start, end : int or None
        Where a passage stands in the raw text.
    image : int or None
        Number of a picture in its record.
    """

    modality: str
    weight: float
    name: str = ""
    text: str = ""
    start: int | None = None
    end: int | None = None
    image: int | None = None


@dataclass(slots=True, repr=False)
class FusedExplanation:
    """What speaks for and against a label that was found from text, images, metadata and course together.

    Parameters
    ----------
    record_id : str
    label : str
        `""` for a record without anything to read, where none was asked for.
    probability : float
        Of that label, between 0 and 1.
    modalities : list of Label
        What carried the label: each modality with its share; largest first.
    findings : list of Finding
        Those that speak most for the label first.
    heat_maps : list of HeatMap
        One a picture.
    method : str
    """

    record_id: str
    label: str
    probability: float
    modalities: list[Label] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    heat_maps: list[HeatMap] = field(default_factory=list)
    method: str = ""

    def __repr__(self) -> str:
        return (
            f"FusedExplanation(record_id={self.record_id!r}, label={self.label!r}, probability={self.probability:.3f},"
            f" {len(self.findings)} findings)"
        )

    def speaking_for(self, n: int = 10) -> list[Finding]:
        """Give the `n` findings that speak most for the label, heaviest first."""
        return [one for one in self.findings if one.weight > 0][:n]

    def speaking_against(self, n: int = 10) -> list[Finding]:
        """Give the `n` findings that speak most against the label, heaviest first."""
        return [one for one in reversed(self.findings) if one.weight < 0][:n]

    def to_dict(self) -> dict[str, Any]:
        """Give all but the heat maps as plain dictionaries, lists, texts and numbers that JSON can hold."""
        names = ("record_id", "label", "probability", "modalities", "findings", "method")
        return {name: to_plain(getattr(self, name)) for name in names}
