"""What a run lets out of a record: all of it, nothing of its text, or its de-identified text and what maps to it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

from clinnlp.alignment import EditedText
from clinnlp.image import Image
from clinnlp.record import FIELDS, SPAN_FIELDS, Assertion, Entity, Failure, Record, Section, Sentence, Value
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


# Kinds of values whose name is a canonical one, and no word of the note.
_NAMED = ("route", "form", "frequency")


@cache
def _section_names() -> frozenset[str]:
    """Give the canonical names of sections in all languages."""
    return frozenset(name for lang in languages("sections") for name in load_rules("sections", lang)["titles"])


def section_name(section: Section) -> str:
    """Give the name of a section, unless it may be words of the note: a heading that no rule knows names its own."""
    return OTHER if section.heading and section.name not in _section_names() else section.name


def without_text(record: Record) -> Record:
    """Give the record without the names of sections and values that are words of the note; see `without_pixels` too."""
    slim = copy.copy(without_pixels(record))
    slim.values = [_nameless(value) for value in record.values]
    slim.sections = [replace(section, name=section_name(section)) for section in record.sections]
    return slim


def without_pixels(record: Record) -> Record:
    """Give the record with the bytes and arrays of its images left out, which the input still has."""
    if all(image.path is not None and image.cleaned is None for image in record.images):
        return record
    slim = copy.copy(record)
    slim.images = [_without_pixels(image) for image in record.images]
    return slim


def _without_pixels(image: Image) -> Image:
    data = None if image.path is not None else b""
    return Image(path=image.path, data=data, name=image.name, labels=image.labels)


def without_annotations(record: Record) -> Record:
    """Give a new record of what is to be annotated: text, images, metadata and questions, and why it failed so far."""
    images = [image.copy() for image in record.images]
    for image in images:
        image.labels, image.cleaned = {}, None
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
    of spans whose text de-identification changed; of values that it left, what was measured and resolved dates. A
    record without a de-identified text keeps its failures alone.
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
            assertion = _assertion(span.assertion, edited)
            made.append(replace(span, start=start, end=end, text="", attributes=attributes, assertion=assertion))
        elif isinstance(span, Value):
            made.append(Value(start, end) if changed else _value(span, start, end, edited))
        elif isinstance(span, Section):
            made.append(_section(span, start, end, raw, edited))
        elif isinstance(span, Sentence):
            made.append(Sentence(start, end, labels=span.labels))
        else:
            made.append(type(span)(start, end))
    return made


def _assertion(found: Assertion | None, edited: EditedText) -> Assertion | None:
    """Map the cues of an assertion; one that the edited text has no place for is left out."""
    if found is None or not found.cues:
        return found
    cues = {flag: edited.to_target(*cue) for flag, cue in found.cues.items()}
    return replace(found, cues={flag: [start, end] for flag, (start, end) in cues.items() if start < end})


def _value(span: Value, start: int, end: int, edited: EditedText) -> Value:
    """Map a value; the words of the note that name it, and a date that it was resolved to, are left out."""
    target = (-1, -1) if span.target_start < 0 else edited.to_target(span.target_start, span.target_end)
    kept = _nameless(span)
    low, high = target if target[0] < target[1] else (-1, -1)
    time = "" if span.kind in ("date", "time") else span.time
    return replace(kept, start=start, end=end, text="", time=time, target_start=low, target_end=high)


def _nameless(span: Value) -> Value:
    """Give a value without the words of the note that say what was measured."""
    return span if span.kind in _NAMED else replace(span, name="")


def _section(span: Section, start: int, end: int, raw: str, edited: EditedText) -> Section:
    body = min(max(edited.to_target(span.body_start, span.body_start)[0], start), end)
    at = raw.find(span.heading, span.start, span.end) if span.heading else -1
    low, high = edited.to_target(at, at + len(span.heading)) if at >= 0 else (0, 0)
    return Section(start, end, section_name(span), edited.text[low:high], body)
