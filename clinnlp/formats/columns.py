"""Rows of a table or file, and the records they stand for.

A row's id, text and images are in the columns that `Columns` names. A column with the name of another field of a
`Record` holds that field, as lists and dictionaries or as JSON text. A column that is a label set by `Columns` holds
the name of a gold label, or a list of them. Every other column, and one of those that holds a plain text or number,
goes to `Record.metadata` under its own name.

A row that cannot be a record becomes an empty one with a `Failure` of the stage `input`, so that one bad row never
costs the others. A null text is an empty text: a record may be all images. A null or empty id becomes the row's
place.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinnlp._plain import plain_value
from clinnlp.errors import ClinNLPError, FormatError, RecordError
from clinnlp.image import Image
from clinnlp.record import FIELDS, Failure, Record

__all__ = ["Columns", "decode_field", "failed", "is_failed", "make_record", "may_be_shown", "read_row"]

_SHOWN = 20
# Words of which names of columns are made. Others may be a name or text, of a first row that is no header.
_WORDS = frozenset(FIELDS).union(
    re.findall(
        r"\w+",
        """
        text texts id ids row note notes report reports document documents doc docs record records body content contents
        patient subject hadm mrn stay admission encounter visit event chart date time year month day category type kind
        class description summary comment comments title name file filename path folder url source target image picture
        label gold section sentence word token value number num no code codes index key age sex gender race ward unit
        department specialty diagnosis diagnoses disease symptom medication drug dose finding findings impression
        history clinical medical hospital raw clean original input output split fold group set train test part language
        lang author provider doctor status score count length start end begin question answer query data a b c x y z of
        """,
    )
)
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that hold a record's text, id and images, and of those that are label sets."""

    text: str = "text"
    id: str = "id"
    images: str = "images"
    labels: tuple[str, ...] = ()

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse a table without the column of texts, or without one that was asked for by name.

        Raises
        ------
        FormatError
            If one is missing; a table of images may do without `text`.
        """
        given = [self.text] if self.images not in names or self.text != Columns.text else []
        given += [name for name, default in ((self.id, Columns.id), (self.images, Columns.images)) if name != default]
        given += self.labels
        for name in given:
            if name not in names:
                shown = [one for one in names if may_be_shown(one)][:_SHOWN]
                more = [f"{len(names) - len(shown)} more"] if len(shown) < len(names) else []
                raise FormatError(f"{where} has no column {name!r}: its columns are {', '.join([*shown, *more])}")


def may_be_shown(name: str) -> bool:
    """Tell whether the name of a column is made of words that such names have, and of no others."""
    parts = _PART.findall(name)
    plain = "".join(char for char in name if char.isalnum())
    words = [part for part in parts if not (part.isdigit() and len(part) < 3)]
    return "".join(parts) == plain and bool(words) and all(word.lower() in _WORDS for word in words)


def failed(place: int, message: str, given_id: Any = None) -> Record:
    """Give the empty record of a row that cannot be read, which says why."""
    return Record("", id=_id(given_id, place), errors=[Failure("input", FormatError.__name__, message)])


def is_failed(record: Record) -> bool:
    """Tell whether a record could not be read from its row."""
    return any(failure.stage == "input" for failure in record.errors)


def read_row(row: Mapping[str, Any], place: int, columns: Columns, folder: str | os.PathLike[str] = "") -> Record:
    """Make a record of a row.

    Parameters
    ----------
    row : mapping of str to value
        Column -> value.
    place : int
        Number of the row in its input, from 0; the record's id where it has none.
    columns : Columns
    folder : path
        Relative paths of images are looked for in it.

    Returns
    -------
    Record
        An empty one with a failure of the stage `input` where the row is not valid.
    """
    try:
        return make_record(row, place, columns, folder)
    except ClinNLPError as error:
        name = _id(row.get(columns.id), place)
        return Record("", id=name, errors=[Failure("input", type(error).__name__, str(error))])


def make_record(row: Mapping[str, Any], place: int, columns: Columns, folder: str | os.PathLike[str] = "") -> Record:
    """Make a record of a row, as `read_row` does.

    Raises
    ------
    RecordError
        If the row is not valid.
    FormatError
        If it holds what cannot be read.
    """
    name = _id(row.get(columns.id), place)
    try:
        fields, metadata = _fields(row, columns, f"record {name!r}")
        if folder and fields.get("images"):
            fields["images"] = [_located(image, folder) for image in fields["images"]]
        if metadata or "metadata" in fields:
            fields["metadata"] = {**(fields.get("metadata") or {}), **metadata}
        return Record.from_dict({**fields, "id": name, "text": _text(row.get(columns.text))})
    except ClinNLPError:
        raise
    except Exception as error:
        # A foreign message may quote the row.
        reason = type(error).__name__
    raise FormatError(f"record {name!r} cannot be read: {reason}")


def _fields(row: Mapping[str, Any], columns: Columns, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    fields: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    gold: dict[str, Any] = {}
    for column, value in row.items():
        if column in (columns.text, columns.id):
            continue
        if column in columns.labels:
            if (label := _gold(value, where, column)) is not None:
                gold[column] = label
            continue
        field = "images" if column == columns.images else column
        if hasattr(value, "tolist"):
            value = value.tolist()
        if field in FIELDS:
            if value is None or (isinstance(value, str) and not value):
                continue
            decoded = decode_field(field, value, where)
            if not isinstance(decoded, (str, int, float)):
                fields[field] = decoded
                continue
        metadata[column] = plain_value(_json_value(value), where)
    if gold:
        fields["labels"] = {**(fields.get("labels") or {}), **gold}
    return fields, metadata


def _gold(value: Any, where: str, column: str) -> Any:
    """Read a cell of a label set; an empty one is no gold, and a number is the name of a class."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        value = _json(value, where, column)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value) if isinstance(value, (int, float)) else value


def decode_field(name: str, value: Any, where: str) -> Any:
    """Give a field's value in the form that `Record` takes it in: JSON text is read, pairs become dictionaries.

    Raises
    ------
    RecordError
        If it begins like a JSON list or object and is none.
    """
    if name == "images":
        given = _json(value, where, name) if isinstance(value, str) and value[:1] == "[" else value
        return [_image(item) for item in (given if isinstance(given, (list, tuple)) else [given] if given else [])]
    if isinstance(value, str):
        value = _json(value, where, name)
    if name == "questions":
        return [value] if isinstance(value, str) else value
    if name == "labels":
        value = _label_sets(value, where)
    elif name == "sentences" and isinstance(value, (list, tuple)):
        value = [_sentence(item, where) for item in value]
    elif name in ("entities", "identifiers") and isinstance(value, (list, tuple)):
        value = [_entity(item, where, name) for item in value]
    return value


def _json(text: str, where: str, name: str) -> Any:
    """Read a text that begins like a JSON list or object; give another text as it is."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if name in ("images", "questions"):
            return text
        message = f"{where}: column {name!r} begins like JSON and is none"
    raise RecordError(message)


def _label_sets(value: Any, where: str) -> Any:
    """Read label sets given as `{"name": ..., "labels": ...}` or as (name, labels) pairs; one of None is not there."""
    if isinstance(value, Mapping):
        return {name: labels for name, labels in value.items() if labels is not None}
    if not isinstance(value, list):
        return value
    sets: dict[str, Any] = {}
    for one in value:
        pair = (one.get("name"), one.get("labels")) if isinstance(one, Mapping) else one
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)):
            raise RecordError(f"{where}: labels are a dictionary of label set -> labels, or a list of names and labels")
        sets[pair[0]] = pair[1]
    return sets


def _entity(item: Any, where: str, name: str) -> Any:
    if isinstance(item, Mapping) and isinstance(item.get("attributes"), str):
        return {**item, "attributes": _json(item["attributes"], where, name)}
    return item


def _sentence(item: Any, where: str) -> Any:
    if isinstance(item, Mapping) and "labels" in item:
        return {**item, "labels": _label_sets(item["labels"], where)}
    return item


def _image(item: Any) -> Any:
    """Read an image; `{"bytes": ..., "path": ...}` is how datasets gives one, with the path as a name."""
    if not isinstance(item, Mapping):
        return Image(item)
    given = {name: value for name, value in item.items() if value is not None}
    if "bytes" in given:
        given["data"] = given.pop("bytes")
        given["name"] = given.get("name") or given.pop("path", "")
        given.pop("path", None)
    if "labels" in given:
        given["labels"] = _label_sets(given["labels"], "images")
    return Image.from_dict(given)


def _located(image: Image, folder: str | os.PathLike[str]) -> Image:
    if image.path and "://" not in image.path:
        image.path = os.path.abspath(Path(folder) / image.path)  # noqa: PTH100 - resolve would follow links
    return image


def _id(given: Any, place: int) -> str:
    if hasattr(given, "item"):
        given = given.item()
    if isinstance(given, float):  # how pandas writes whole numbers beside a missing one
        given = None if math.isnan(given) else int(given) if given.is_integer() else given
    if isinstance(given, bytes):
        given = given.decode("utf-8", "backslashreplace")
    return str(place) if given is None or given == "" else str(given)


def _text(given: Any) -> Any:
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return ""
    # What is not UTF-8 becomes a lone surrogate, which Record refuses with its offset.
    return bytes(given).decode("utf-8", "surrogateescape") if isinstance(given, (bytes, bytearray)) else given


def _json_value(value: Any) -> Any:
    """Give a cell of a column that no field knows, as near to JSON as it can be kept."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(name): _json_value(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_json_value(item) for item in value]
    try:
        return plain_value(value, "")
    except RecordError:
        if isinstance(value, str):
            raise
        return str(value)
