"""One record as an HTML page: its note with entities highlighted, by spaCy's displaCy, its labels and its pictures."""

from __future__ import annotations

import html
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinnlp.atomic import replace_file
from clinnlp.explanation import FusedExplanation
from clinnlp.formats import _record_html
from clinnlp.formats.brat import longest
from clinnlp.record import Entity, Record

__all__ = ["COLORS", "render_page", "to_html", "write"]

COLORS = {
    "Disease": "#ffb3a7",
    "Symptom": "#ffd8a0",
    "Medication": "#a8dcc5",
    "Chemical": "#a8dcc5",
    "Dosage": "#cdeaa5",
    "Procedure": "#a9cdf5",
    "Test": "#bfc3f7",
    "LabValue": "#e0c6f5",
    "Anatomy": "#f7c5dd",
    "Gene": "#d9d2b4",
}
"""Label -> colour; other labels take one of `_PALETTE`, always the same."""

_PALETTE = (
    "#f2e394",
    "#9fe0e6",
    "#e6b89c",
    "#c4e17f",
    "#b8b8d1",
    "#f4a6c8",
    "#8fd3a6",
    "#d6c1a3",
    "#a3c4bc",
    "#f0b27a",
)

# displaCy's own has line breaks in it, which would show where the note's are kept.
_MARK = (
    '<mark class="entity" style="background: {bg}; padding: 0.3em 0.4em; border-radius: 0.35em">{text}'
    '<span style="font-size: 0.8em; font-weight: bold; margin-left: 0.5rem">{label}{kb_link}</span></mark>'
)

_STYLE = """<style>
  figure { max-width: 60rem; margin: auto }
  .entities { white-space: pre-wrap }
  .clinnlp { max-width: 60rem; margin: 3rem auto; border-collapse: collapse; font-size: 0.9rem }
  .clinnlp caption { text-align: left; padding: 0.5rem 0; font-weight: bold }
  .clinnlp td, .clinnlp th { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0 }
  .answer { max-width: 60rem; margin: 1rem auto; font-size: 1.3rem }
  .bar { height: 0.8rem; background: #0072b2 }
  .picture { max-width: 60rem; margin: 1rem auto }
  .picture img { width: 45%; margin-right: 1rem; image-rendering: pixelated }
  .caution { max-width: 60rem; margin: 2rem auto; font-size: 0.8rem; color: #555 }
  .clinnlp mark { padding: 0.1em 0.4em; border-radius: 0.35em }
</style>
"""


_CAUTION = (
    '<p class="caution">Found by a model, which can be wrong: no diagnosis, and no medical device. Weights say what the'
    " model went by, not what is true.</p>\n"
)


def to_html(
    record: Record,
    title: str | None = None,
    colors: Mapping[str, str] | None = None,
    explanations: Sequence[FusedExplanation] = (),
) -> str:
    """Give a page of a record: its raw text with entities highlighted, its labels, and its pictures, in the page.

    Of entities that overlap, the longest is highlighted and the others stand in a table below the note. A picture that
    cannot be decoded is told as such.

    Parameters
    ----------
    record : Record
    title : str, optional
        By default the record's id.
    colors : mapping of str to str, optional
        Label -> CSS colour, beside `COLORS`.
    explanations : sequence of FusedExplanation
        What `MultimodalClassifier.explain` gave for the record: the page begins with the answer and what carried it,
        and the findings that speak for it and against it; beside each picture stands where the label was seen.
    """
    shown = longest(entity for entity in record.entities if entity.start < entity.end)
    chosen = {id(entity) for entity in shown}
    others = [entity for entity in record.entities if id(entity) not in chosen]
    spans = [
        {"start": e.start, "end": e.end, "label": _described(e), "params": {"bg": _color(e.label, colors)}}
        for e in shown
    ]
    maps = [heat for one in reversed(explanations) for heat in one.heat_maps]  # of several the first one's are shown
    above = [
        _record_html.answers(explanations),
        *(_record_html.findings(one) for one in explanations if one.label),
        _record_html.pictures(record, maps),
    ]
    below = [_table(others, colors), _record_html.label_table(record), _CAUTION if explanations else ""]
    name = record.id if title is None else title
    return render_page(record.text, spans, name, _MARK, above="".join(above), below="".join(below))


def render_page(
    text: str, spans: Sequence[Mapping[str, Any]], title: str, mark: str, above: str = "", below: str = ""
) -> str:
    """Give a page of a text with spans highlighted, which needs no other file.

    Parameters
    ----------
    text, title : str
    spans : sequence of mapping
        In order and disjoint: "start", "end", "label" as HTML, and "params", more names for the template.
    mark : str
        displaCy's template of a span.
    above, below : str
        HTML around the text.
    """
    from spacy import displacy

    name = html.escape(title)
    page: str = displacy.render(
        {"text": text, "ents": spans, "title": name},
        style="ent",
        manual=True,
        page=True,
        jupyter=False,
        options={"template": mark},
    )
    page = page.replace("<title>displaCy</title>", f'<meta charset="utf-8"><title>{name}</title>{_STYLE}', 1)
    head, start, body = page.partition('<div class="entities"')
    body, end, tail = body.rpartition("</body>")
    return f"{head}{above}{start}{body}{below}{end}{tail}"


def write(
    record: Record,
    path: str | os.PathLike[str],
    title: str | None = None,
    colors: Mapping[str, str] | None = None,
    explanations: Sequence[FusedExplanation] = (),
) -> Path:
    """Write the page of `to_html`; the file appears whole or not at all."""
    page = to_html(record, title, colors, explanations)
    with replace_file(Path(path)) as new:
        new.write_text(page, encoding="utf-8")
    return Path(path)


def _described(entity: Entity) -> str:
    """Give an entity's label with what is said of it, as HTML; displaCy writes labels as they are."""
    said = entity.assertion
    names = ("negated", "hypothetical", "historical", "family") if said is not None else ()
    return html.escape(", ".join([entity.label, *(name for name in names if getattr(said, name))]))


def _color(label: str, colors: Mapping[str, str] | None) -> str:
    given = {**COLORS, **(colors or {})}.get(label)
    return html.escape(given or _PALETTE[zlib.crc32(label.encode("utf-8", "replace")) % len(_PALETTE)])


def _table(entities: Sequence[Entity], colors: Mapping[str, str] | None) -> str:
    if not entities:
        return ""
    rows = "".join(
        f'<tr><td>{entity.start}&ndash;{entity.end}</td><td><mark style="background: {_color(entity.label, colors)}">'
        f"{_described(entity)}</mark></td><td>{html.escape(entity.text)}</td></tr>\n"
        for entity in entities
    )
    caption = "Also found, overlapping those above"
    return f'<table class="clinnlp"><caption>{caption}</caption>\n{rows}</table>\n'
