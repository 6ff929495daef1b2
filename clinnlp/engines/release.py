"""What a run lets out of a record: all of it, nothing of its text, or its de-identified text and what maps to it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

from clinnlp.alignment import EditedText
from clinnlp.image import Image
from clinnlp.record import FIELDS, SPAN_FIELDS, Entity, Failure, Record, Section, Sentence, Value
from clinnlp.rules import languages, load_rules

__all__ = [
    "DEFAULT_FIELDS",
    "OTHER",
    "TEXTS",
    "TextMode",
    "deidentified",
    "section_name",
    "without_pixels",
    "without_text",
]

TextMode = Literal["raw", "deidentified", "none"]
TEXTS: tuple[TextMode, ...] = ("raw", "deidentified", "none")

DEFAULT_FIELDS = tuple(name for name in FIELDS if name != "tokens")
"""What is written beside id and text unless it is asked for otherwise."""


OTHER = "other"
"""The name, where no text may be told, of a section that is named after the words of its heading."""


@cache
def _section_names() -> frozenset[str]:
    """Give the canonical names of sections in all languages."""
    return frozenset(name for lang in languages("sections") for name in load_rules("sections", lang)["titles"])


def section_name(section: Section) -> str:
    """Give the name of a section, unless it may be words of the note: a heading that no rule knows names its own."""
    return OTHER if section.heading and section.name not in _section_names() else section.name


def without_text(record: Record) -> Record:
    """Give the record with the names of sections that are words of the note left out; see `without_pixels` too."""
    slim = copy.copy(without_pixels(record))
    slim.sections = [replace(section, name=section_name(section)) for section in record.sections]
    return slim


def without_pixels(record: Record) -> Record:
    """Give the record with the bytes and arrays of its images left out, which the input still has."""
    if all(image.path is not None for image in record.images):
        return record
    slim = copy.copy(record)
    slim.images = [_without_pixels(image) for image in record.images]
    return slim


def _without_pixels(image: Image) -> Image:
    return image if image.path is not None else Image(data=b"", name=image.name, labels=image.labels)


def without_annotations(record: Record) -> Record:
    """Give a new record of what is to be annotated: text, images, metadata and questions, and why it failed so far."""
    images = [image.copy() for image in record.images]
    for image in images:
        image.labels = {}
    return Record(
        record.text,
        record.id,
        images=images,
        metadata=record.metadata,
        questions=record.questions,
        errors=record.errors,
    )


def deidentified(record: Record) -> Record:
    """Give a record of the de-identified text, with every span mapped into it and nothing of the raw one.

    Id, metadata, questions, answers, and names and pixels of images are left out, and so are the messages of
    failures, which name the id. Attributes are left out of entities that the record brought, and, with all numbers,
    of spans whose text de-identification changed. A record without a de-identified text keeps its failures alone.
    """
    errors = [Failure(failure.stage, failure.error) for failure in record.errors]
    edited = record.deidentified
    if edited is None:
        return Record(errors=errors)
    fields: dict[str, Any] = {name: _mapped(getattr(record, name), record.text, edited) for name in SPAN_FIELDS}
    kept = (*SPAN_FIELDS, "labels", "images", "errors", "deidentified")
    return Record(
        edited.text,
        **fields,
        labels=record.labels,
        images=[Image(data=b"", labels=image.labels) for image in record.images],
        deidentified=EditedText.of(edited.text),
        errors=errors,
        found=record.found.intersection(kept),
    )


def _mapped(spans: Sequence[Any], raw: str, edited: EditedText) -> list[Any]:
    """Map spans into the edited text; those that it has no place for, or has twice, are left out."""
    made: list[Any] = []
    seen: set[Any] = set()
    for span in spans:
        start, end = edited.to_target(span.start, span.end)
        key = (start, end, getattr(span, "label", None), getattr(span, "name", None))
        if (start == end and span.start < span.end) or key in seen:
            continue
        seen.add(key)
        changed = edited.text[start:end] != raw[span.start : span.end]
        if isinstance(span, Entity):
            attributes = {} if changed or not span.source else span.attributes
            made.append(replace(span, start=start, end=end, text="", attributes=attributes))
        elif isinstance(span, Value):
            made.append(Value(start, end) if changed else replace(span, start=start, end=end, text=""))
        elif isinstance(span, Section):
            made.append(_section(span, start, end, raw, edited))
        elif isinstance(span, Sentence):
            made.append(Sentence(start, end, labels=span.labels))
        else:
            made.append(type(span)(start, end))
    return made


def _section(span: Section, start: int, end: int, raw: str, edited: EditedText) -> Section:
    body = min(max(edited.to_target(span.body_start, span.body_start)[0], start), end)
    at = raw.find(span.heading, span.start, span.end) if span.heading else -1
    low, high = edited.to_target(at, at + len(span.heading)) if at >= 0 else (0, 0)
    return Section(start, end, section_name(span), edited.text[low:high], body)
