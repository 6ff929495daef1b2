"""What stands above and below the note on a record's page: its labels, its pictures, and why a label was found."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

from clinnlp.errors import ImageError
from clinnlp.explanation import Finding, FusedExplanation, HeatMap
from clinnlp.image import Image
from clinnlp.record import Label, Record

__all__ = ["answers", "findings", "label_table", "pictures"]

# Longest side in pixels of a picture on a page, which holds it whole.
_SIDE = 512
_MOST_PICTURES = 24
# A finding of less of the heaviest one says nothing to a reader.
_LEAST = 0.02
_SHOWN = 8
_FOR, _AGAINST = "#0072b2", "#d55e00"  # of Okabe and Ito's palette, as in the page of an explanation


def answers(explanations: Sequence[FusedExplanation]) -> str:
    """Give each label with its probability, and what carried it, as bars."""
    made = ""
    for one in explanations:
        if not one.label:
            made += '<p class="answer">Nothing to read: no label.</p>\n'
            continue
        bars = "".join(
            f'<tr><td>{html.escape(part.name)}</td><td><div class="bar" style="width: {part.score * 12:.1f}rem"></div>'
            f"</td><td>{part.score:.0%}</td></tr>\n"
            for part in one.modalities
        )
        made += (
            f'<p class="answer"><b>{html.escape(one.label)}</b>, probability {one.probability:.2f}</p>\n'
            f'<table class="clinnlp"><caption>What carried it</caption>\n{bars}</table>\n'
        )
    return made


def findings(explanation: FusedExplanation) -> str:
    """Give the findings that speak for a label and against it, with their evidence, as a table each."""
    heaviest = max((abs(one.weight) for one in explanation.findings), default=0.0)
    shown = ""
    for found, told, color in (
        (explanation.speaking_for(_SHOWN), "Speaks for", _FOR),
        (explanation.speaking_against(_SHOWN), "Speaks against", _AGAINST),
    ):
        rows = "".join(_row(one, heaviest, color) for one in found if abs(one.weight) >= _LEAST * heaviest)
        rows = rows or '<tr><td colspan="3">nothing found</td></tr>\n'
        shown += f'<table class="clinnlp"><caption>{told} {html.escape(explanation.label)}</caption>\n{rows}</table>\n'
    return shown


def _row(finding: Finding, heaviest: float, color: str) -> str:
    if finding.image is not None:
        evidence = f"picture {finding.image + 1}"
    elif finding.modality == "metadata":
        evidence = f"{html.escape(finding.name)}: {html.escape(finding.text)}"
    else:
        evidence = f"&ldquo;{html.escape(finding.text)}&rdquo;"
    place = "" if finding.start is None else f" ({finding.start}&ndash;{finding.end})"
    width = 6 * abs(finding.weight) / heaviest if heaviest else 0.0
    return (
        f'<tr><td><div class="bar" style="width: {width:.1f}rem; background: {color}" title="{finding.weight:+.2f}">'
        f"</div></td><td>{html.escape(finding.modality)}</td><td>{evidence}{place}</td></tr>\n"
    )


def label_table(record: Record) -> str:
    """Give the best label of each set, of a record and of its pictures."""
    rows = "".join(_labels(name, labels) for name, labels in record.labels.items())
    return f'<table class="clinnlp"><caption>Labels</caption>\n{rows}</table>\n' if rows else ""


def _labels(name: str, labels: Sequence[Label], most: int = 3) -> str:
    told = ", ".join(f"{html.escape(one.name)} {one.score:.2f}" for one in labels[:most]) or "none"
    return f"<tr><td>{html.escape(name)}</td><td>{told}</td></tr>\n"


def pictures(record: Record, heat_maps: Iterable[HeatMap]) -> str:
    """Give the pictures with their labels, and beside each where a label was seen in it."""
    maps = {one.image: one for one in heat_maps}
    made = ""
    for number, image in enumerate(record.images[:_MOST_PICTURES]):
        name = f"picture {number + 1}"
        shown = _shown(image, name)
        if shown and number in maps:
            told = f"{name}: where {maps[number].label} was seen"
            shown += _element(Image(array=maps[number].overlay()), told)
        rows = "".join(_labels(key, labels) for key, labels in image.labels.items())
        table = f'<table class="clinnlp">\n{rows}</table>\n' if rows else ""
        made += f'<div class="picture"><p>{name}</p>{shown or "<p>cannot be shown</p>"}{table}</div>\n'
    if (left := len(record.images) - _MOST_PICTURES) > 0:
        made += f'<p class="picture">{left} more are not shown.</p>\n'
    return made


def _shown(image: Image, name: str) -> str:
    try:
        return _element(image, name)
    except ImageError:
        return ""


def _element(image: Image, name: str) -> str:
    """Give a picture as an element that holds its pixels."""
    from PIL import Image as Pictures

    picture = Pictures.fromarray(image.pixels())
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(name)}" title="{html.escape(name)}" src="data:image/png;base64,{data}">\n'
