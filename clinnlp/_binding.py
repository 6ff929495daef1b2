"""Bringing what stands in a record to its form: spans to the raw text, scores to numbers, the rest to JSON's kinds."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from clinnlp._plain import check_unicode, fields_of, from_plain, plain_value
from clinnlp.alignment import EditedText
from clinnlp.errors import AlignmentError, RecordError
from clinnlp.image import Image
from clinnlp.labels import Label, read_labels, read_number

__all__ = [
    "read_edited",
    "read_id",
    "read_images",
    "read_items",
    "read_label_sets",
    "read_metadata",
    "read_spans",
    "read_texts",
    "record_name",
]


def record_name(given: str, place: int | None = None, among: str = "") -> str:
    """Give how a message names a record: by its id, or where that is empty by its place in its list, from 0."""
    return f"record {given!r}" if given or place is None else f"record {place}{among} (counted from 0)"


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


def read_label_sets(given: Any, where: str) -> dict[str, list[Label]]:
    """Give label sets; see `clinnlp.labels.read_labels`."""
    try:
        return read_labels(given)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None


def read_metadata(given: Any, where: str) -> dict[str, Any]:
    """Give metadata as a dictionary of JSON's kinds."""
    if given is not None and not isinstance(given, Mapping):
        raise RecordError(f"{where}: give a dictionary, not {type(given).__name__}")
    metadata: dict[str, Any] = plain_value(given or {}, where)
    return metadata


def read_texts(given: Any, where: str) -> list[str]:
    """Give texts, such as questions, as a list: one or many."""
    return [_text(text, where) for text in ([given] if isinstance(given, str) else _iterable(given, where))]


def read_items(given: Any, kind: type[Any], where: str) -> list[Any]:
    """Give objects of one class as a list; they may come as dictionaries."""
    items = _objects(given, kind, where)
    for type_name, read in (("str", _text), ("int", _offset)):
        for name in fields_of(kind, type_name):
            for item in items:
                setattr(item, name, read(getattr(item, name), where))
    return items


def read_spans(given: Any, kind: type[Any], text: str, where: str) -> list[Any]:
    """Check spans against the raw text and give each its text.

    Raises
    ------
    RecordError
        If a span leaves the text, or carries a text that is not at its offsets.
    """
    spans = _objects(given, kind, where)
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
    check = _CHECKS.get(kind.__name__)
    if check is not None:
        for span in spans:
            check(span, where, length)
    return spans


def _check_entity(entity: Any, where: str, length: int) -> None:
    entity.label, entity.source = _text(entity.label, where), _text(entity.source, where)
    if entity.attributes:
        entity.attributes = read_metadata(entity.attributes, f"{where}: attributes")
    if entity.assertion is not None:
        for name in _FLAGS:
            flag = getattr(entity.assertion, name, None)
            if flag is not True and flag is not False:
                if flag not in (0, 1):
                    raise RecordError(f"{where}: an assertion's {name} is not true or false")
                setattr(entity.assertion, name, bool(flag))
        if entity.assertion.scores or entity.assertion.cues:
            _check_evidence(entity.assertion, f"{where}: an assertion", length)


def _check_evidence(assertion: Any, where: str, length: int) -> None:
    """Bring scores and cues, by flag, to numbers and pairs of offsets; what is None was not given."""
    for name in ("scores", "cues"):
        given = getattr(assertion, name)
        if not isinstance(given, Mapping) or not set(given) <= set(_FLAGS):
            raise RecordError(f"{where}'s {name} are a dictionary of {', '.join(_FLAGS)}")
        kept = {str(flag): value for flag, value in given.items() if value is not None}
        told = f"{where}'s {name}"
        read = {flag: read_number(x, told) if name == "scores" else _pair(x, told, length) for flag, x in kept.items()}
        setattr(assertion, name, read)


def _pair(given: Any, where: str, length: int) -> list[int]:
    pair = [_offset(one, where) for one in _iterable(given, where)]
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1] <= length:
        raise RecordError(f"{where} are pairs of offsets, start and end, inside the text of length {length}")
    return pair


def _check_section(section: Any, where: str, _: int) -> None:
    section.name, section.heading = _text(section.name, where), _text(section.heading, where)
    section.body_start = _offset(section.body_start, where)
    if not section.start <= section.body_start <= section.end:
        raise RecordError(f"{where} has a span [{section.start}, {section.end}) whose body starts outside it")


def _check_value(value: Any, where: str, length: int) -> None:
    for name in ("unit", "comparator", "kind", "name", "normal_unit", "time"):
        setattr(value, name, _text(getattr(value, name), where))
    for name in ("number", "high", "normal", "normal_high"):
        given = getattr(value, name)
        setattr(value, name, None if given is None else read_number(given, where))
    if value.numbers:
        value.numbers = [read_number(one, where) for one in _iterable(value.numbers, where)]
    value.target_start, value.target_end = _offset(value.target_start, where), _offset(value.target_end, where)
    target = value.target_start, value.target_end
    if target != (-1, -1) and not 0 <= target[0] <= target[1] <= length:
        raise RecordError(f"{where} has a value whose target is no span of the text of length {length}")


_FLAGS = ("negated", "hypothetical", "historical", "family")


def _check_sentence(sentence: Any, where: str, _: int) -> None:
    if type(sentence.labels) is not dict or sentence.labels:
        sentence.labels = read_label_sets(sentence.labels, where)


_CHECKS = {
    "Entity": _check_entity,
    "Section": _check_section,
    "Sentence": _check_sentence,
    "Value": _check_value,
}


def _objects(given: Any, kind: type[Any], where: str) -> list[Any]:
    """Give objects of one class as a list, with scores that are numbers."""
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


def read_edited(given: Any, text: str, where: str) -> EditedText | None:
    """Check that an edited text is what its edits make of the raw text."""
    if given is None:
        return None
    try:
        edited: EditedText = from_plain(EditedText, given)
        if edited.alignment.apply(text) == edited.text:
            return edited
    except (AlignmentError, RecordError) as error:
        raise RecordError(f"{where}: {error}") from None
    raise RecordError(f"{where}: the text is not what its edits make of the raw text")


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str):
        raise RecordError(f"{where}: a {type(given).__name__} stands where a text should")
    check_unicode(given, where)
    return str.__str__(given)


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
