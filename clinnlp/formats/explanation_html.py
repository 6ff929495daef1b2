"""Why a report got its label, as an HTML page: its words coloured by their weights, by spaCy's displaCy."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from pathlib import Path

from clinnlp.atomic import replace_file
from clinnlp.explanation import Explanation, WeightedSpan
from clinnlp.formats.html import render_page

__all__ = ["to_html", "write"]

# Blue and vermilion of Okabe and Ito's palette, which people who confuse red and green can tell apart.
_FOR, _AGAINST = "0, 114, 178", "213, 94, 0"
# Black letters stay readable on the strongest colour; a weaker one than the least could not be seen.
_STRONGEST, _LEAST = 0.6, 0.03
_SENTENCES = 5

_MARK = '<mark title="{label}" style="background: {bg}; padding: 0.15em 0; border-radius: 0.2em">{text}</mark>'


def to_html(explanation: Explanation, title: str | None = None) -> str:
    """Give a page of a report's raw text, with words that speak for the label in blue and those against it in orange.

    The heaviest word has the strongest colour; a word's weight is shown where the mouse rests on it. The sentences that
    speak most for the label stand in a table below.

    Parameters
    ----------
    explanation : Explanation
    title : str, optional
        By default the record's id.
    """
    heaviest = max((abs(word.weight) for word in explanation.words), default=0.0)
    spans = [
        {"start": w.start, "end": w.end, "label": _number(w.weight), "params": {"bg": _color(w.weight, heaviest)}}
        for w in explanation.words
        if abs(w.weight) * _STRONGEST > heaviest * _LEAST
    ]
    name = explanation.record_id if title is None else title
    below = _table(explanation.sentences)
    return render_page(explanation.record_text, spans, name, _MARK, above=_legend(explanation, heaviest), below=below)


def write(explanation: Explanation, path: str | os.PathLike[str], title: str | None = None) -> Path:
    """Write the page of `to_html`; the file appears whole or not at all."""
    page = to_html(explanation, title)
    with replace_file(Path(path)) as new:
        new.write_text(page, encoding="utf-8")
    return Path(path)


def _number(weight: float) -> str:
    return f"{weight:+.3f}"


def _color(weight: float, heaviest: float) -> str:
    strength = _STRONGEST * abs(weight) / heaviest if heaviest else 0.0
    return f"rgba({_FOR if weight > 0 else _AGAINST}, {strength:.2f})"


def _legend(explanation: Explanation, heaviest: float) -> str:
    if not explanation.words:
        return '<p class="legend">No word, no label.</p>\n'
    keys = "".join(
        f' <span style="background: {_color(sign, 1.0)}">&nbsp;{_number(sign * heaviest)}&nbsp;</span> {told}'
        for sign, told in ((1.0, "for the label"), (-1.0, "against it"))
    )
    said = f"{html.escape(explanation.label)}, probability {explanation.probability:.3f}"
    return f'<p class="legend"><b>{said}</b> ({html.escape(explanation.method.replace("_", " "))}){keys}</p>\n'


def _table(sentences: Sequence[WeightedSpan]) -> str:
    best = sorted((one for one in sentences if one.weight > 0), key=lambda one: -one.weight)[:_SENTENCES]
    if not best or len(sentences) < 2:
        return ""
    rows = "".join(
        f"<tr><td>{_number(one.weight)}</td><td>{one.start}&ndash;{one.end}</td><td>{html.escape(one.text)}</td></tr>\n"
        for one in best
    )
    return f'<table class="clinnlp"><caption>Sentences that speak most for the label</caption>\n{rows}</table>\n'
