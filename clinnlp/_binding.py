"""Bringing what stands in a record to its form: spans to the raw text, scores to numbers, the rest to JSON's kinds."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from clinnlp._plain import check_unicode, from_plain, plain_value
from clinnlp.alignment import EditedText
from clinnlp.errors import AlignmentError, RecordError
from clinnlp.image import Image
from clinnlp.labels import read_labels, read_number

__all__ = ["read_edited", "read_id", "read_images", "read_items", "read_metadata", "read_spans", "read_texts"]


def read_id(given: Any) -> str:
    """Give an id as text: None is empty, a lone surrogate of a file's name is written out."""
    text = "" if given is None else str(given)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_images(given: Any, where: str) -> list[Image]:
    """Give images as a list: one or many, as Image, path, bytes, array or dictionary."""
    items = given if isinstance(given, (list, tuple)) else [] if given is None else [given]
    try:
        images = [
            item if isinstance(item, Image) else Image.from_dict(item) if isinstance(item, Mapping) else Image(item)
            for item in items
        ]
        for image in images:
            image.labels = read_labels(image.labels)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    return images


def read_metadata(given: Any, where: str) -> dict[str, Any]:
    """Give metadata as a dictionary of JSON's kinds."""
    if given is not None and not isinstance(given, Mapping):
        raise RecordError(f"{where}: give a dictionary, not {type(given).__name__}")
    metadata: dict[str, Any] = plain_value(given or {}, where)
    return metadata


def read_texts(given: Any, where: str) -> list[str]:
    """Give texts, such as questions, as a list: one or many."""
    texts = [given] if isinstance(given, str) else list(_iterable(given, where))
    for text in texts:
        if not isinstance(text, str):
            raise RecordError(f"{where}: give texts, not {type(text).__name__}")
        check_unicode(text, where)
    return texts


def read_items(given: Any, kind: type[Any], where: str) -> list[Any]:
    """Give objects of one class as a list; the class may come as dictionaries."""
    items = given if type(given) is list else list(_iterable(given, where))
    if not set(map(type, items)) <= {kind}:
        try:
            items = [from_plain(kind, item) for item in items]
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from None
    if hasattr(kind, "score"):
        for item in items:
            item.score = read_number(item.score, where)
    return items


def read_spans(given: Any, kind: type[Any], text: str, where: str) -> list[Any]:
    """Check spans against the raw text and give each its text.

    Raises
    ------
    RecordError
        If a span leaves the text, or carries a text that is not at its offsets.
    """
    spans = read_items(given, kind, where)
    length = len(text)
    for span in spans:
        start, end = span.start, span.end
        if type(start) is not int or type(end) is not int:
            start, end = span.start, span.end = _offset(start, where), _offset(end, where)
        if not 0 <= start <= end <= length:
            raise RecordError(f"{where} has a span [{start}, {end}) outside the text of length {length}")
        found = text[start:end]
        if span.text != found:
            if span.text:
                raise RecordError(f"{where} has a span [{start}, {end}) whose text is not what stands there")
            span.text = found
    if hasattr(kind, "attributes"):
        for span in spans:
            if span.attributes:
                span.attributes = read_metadata(span.attributes, f"{where}: attributes")
    if hasattr(kind, "number"):
        for span in spans:
            span.number = None if span.number is None else read_number(span.number, where)
            span.high = None if span.high is None else read_number(span.high, where)
    if hasattr(kind, "body_start"):
        for span in spans:
            if not span.start <= span.body_start <= span.end:
                raise RecordError(f"{where} has a span [{span.start}, {span.end}) whose body starts outside it")
    return spans


def read_edited(given: Any, text: str, where: str) -> EditedText | None:
    """Check that an edited text is what its edits make of the raw text."""
    if given is None:
        return None
    edited: EditedText = from_plain(EditedText, given)
    try:
        if edited.alignment.apply(text) == edited.text:
            return edited
    except AlignmentError as error:
        raise RecordError(f"{where}: {error}") from None
    raise RecordError(f"{where}: the text is not what its edits make of the raw text")


def _offset(given: Any, where: str) -> int:
    try:
        return operator.index(given)
    except TypeError:
        raise RecordError(f"{where} has an offset of type {type(given).__name__}: give whole numbers") from None


def _iterable(given: Any, where: str) -> Iterable[Any]:
    if given is None:
        return ()
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)):
        return given
    raise RecordError(f"{where}: give a list, not {type(given).__name__}")
