"""Records as Arrow batches, without loss.

A column that is null says that nobody looked; an empty list says that someone looked and found nothing, as
`Record.has` tells them apart. Tokens and sentences have no text: it is that of the record at their offsets. Label sets
are a list of names with labels, because `datasets` cannot read Arrow's maps. Metadata and attributes are JSON text,
scores 64-bit floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import pyarrow as pa

from clinnlp.errors import ClinNLPError, FormatError
from clinnlp.formats.columns import decode_field
from clinnlp.image import Image, array_to_bytes
from clinnlp.labels import Label
from clinnlp.record import FIELDS, SPAN_FIELDS, Record

__all__ = ["VERSION", "column", "from_arrow", "schema", "to_arrow"]

VERSION = 1
"""Of the schema, in its metadata under `clinnlp`."""

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_FLAGS = ("negated", "hypothetical", "historical", "family")
_ASSERTION = pa.struct(
    [
        *((name, _BOOL) for name in _FLAGS),
        ("scores", pa.struct([(name, _FLOAT) for name in _FLAGS])),
        ("cues", pa.struct([(name, pa.list_(_INT)) for name in _FLAGS])),
    ]
)
_LABEL_SET = pa.struct([("name", _TEXT), ("labels", pa.list_(pa.struct([("name", _TEXT), ("score", _FLOAT)])))])
_EDIT = pa.struct([("start", _INT), ("end", _INT), ("text", _TEXT)])
_EDITED = pa.struct([("text", _TEXT), ("length", _INT), ("edits", pa.list_(_EDIT))])
_OFFSETS = {"start": _INT, "end": _INT}
_ENTITY = {
    **_OFFSETS,
    "label": _TEXT,
    "text": _TEXT,
    "score": _FLOAT,
    "assertion": _ASSERTION,
    "attributes": _TEXT,
    "source": _TEXT,
}
_STRUCTS: dict[str, dict[str, pa.DataType]] = {
    "tokens": _OFFSETS,
    "sentences": {**_OFFSETS, "labels": pa.list_(_LABEL_SET)},
    "sections": {**_OFFSETS, "name": _TEXT, "heading": _TEXT, "body_start": _INT},
    "entities": _ENTITY,
    "identifiers": _ENTITY,
    "values": {
        **_OFFSETS,
        "text": _TEXT,
        "number": _FLOAT,
        "high": _FLOAT,
        "unit": _TEXT,
        "comparator": _TEXT,
        "kind": _TEXT,
        "name": _TEXT,
        "numbers": pa.list_(_FLOAT),
        "normal": _FLOAT,
        "normal_high": _FLOAT,
        "normal_unit": _TEXT,
        "time": _TEXT,
        "target_start": _INT,
        "target_end": _INT,
    },
    "answers": {"text": _TEXT, **_OFFSETS, "record_id": _TEXT, "score": _FLOAT, "evidence": _TEXT},
    "errors": {"stage": _TEXT, "error": _TEXT, "message": _TEXT},
    "images": {
        "path": _TEXT,
        "data": pa.binary(),
        "array": pa.binary(),
        "name": _TEXT,
        "labels": pa.list_(_LABEL_SET),
    },
}
_RAW_TEXTS = ("text", "heading", "evidence")


def schema(fields: Sequence[str] | None = None) -> pa.Schema:
    """Give the Arrow schema of records with the named fields beside id and text, by default all."""
    columns = [(name, _type(name)) for name in _chosen(fields)]
    return pa.schema([("id", _TEXT), ("text", _TEXT), *columns], metadata={"clinnlp": str(VERSION)})


def to_arrow(records: Sequence[Record], fields: Sequence[str] | None = None, *, texts: bool = True) -> pa.RecordBatch:
    """Write records as an Arrow batch.

    Parameters
    ----------
    records : sequence of Record
    fields : sequence of str, optional
        Fields beside id and text, by default all.
    texts : bool
        Whether the raw text, and every text taken from it, is written; without it these are null.

    Raises
    ------
    FormatError
        If a field is unknown, or a record holds what its column cannot.
    """
    columns = [_array([record.id for record in records], _TEXT, "id")]
    columns.append(_array([record.text if texts else None for record in records], _TEXT, "text"))
    columns += [column(records, name, texts=texts) for name in _chosen(fields)]
    return pa.RecordBatch.from_arrays(columns, schema=schema(fields))


def column(records: Sequence[Record], name: str, *, texts: bool = True) -> pa.Array:
    """Write one field of records as an Arrow array.

    Raises
    ------
    RecordError
        If a record is not valid.
    FormatError
        If a record holds what the column cannot.
    """
    values: list[Any] = []
    for record in records:
        if has := record.has(name):
            record.bind((name,))
        values.append(getattr(record, name) if has else None)
    if name in _STRUCTS:
        return _structs(values, name, texts)
    if name in ("cleaned", "deidentified"):
        values = [_edited(value) if texts and value is not None else None for value in values]
    elif name == "labels":
        values = [None if value is None else _label_sets(value) for value in values]
    elif name == "metadata":
        values = [None if value is None else _to_json(value) for value in values]
    return _array(values, _type(name), name)


def from_arrow(batch: pa.RecordBatch | pa.Table, texts: Sequence[str] | None = None) -> list[Record]:
    """Read records from a batch or table with columns as `schema` has them; other columns are left out.

    Parameters
    ----------
    batch : RecordBatch or Table
    texts : sequence of str, optional
        The raw texts of a batch that was written without them.

    Raises
    ------
    FormatError
        If there is no column of texts, or texts are missing.
    RecordError
        If a row is not a valid record.
    """
    names = [name for name in batch.schema.names if name in FIELDS]
    if "text" not in batch.schema.names and texts is None:
        raise FormatError("the batch has no column 'text': give the texts")
    if texts is not None and len(texts) != batch.num_rows:
        raise FormatError(f"the batch has {batch.num_rows} rows, and {len(texts)} texts are given")
    given = [name for name in ("id", "text") if name in batch.schema.names]
    rows = batch.select([*given, *names]).to_pylist()
    return [_record(row, names, None if texts is None else texts[i]) for i, row in enumerate(rows)]


def _record(row: dict[str, Any], names: Sequence[str], text: str | None) -> Record:
    where = f"record {row.get('id')!r}"
    text = row.get("text") if text is None else text
    if text is None and any(row.get(name) for name in SPAN_FIELDS):
        raise FormatError(f"{where} was written without its text: give the texts")
    fields = {name: decode_field(name, row[name], where) for name in names if row[name] is not None}
    return Record.from_dict({**fields, "id": row.get("id"), "text": text or ""})


def _chosen(fields: Sequence[str] | None) -> list[str]:
    """Give fields in the order of `Record`."""
    if fields is None:
        return list(FIELDS)
    wanted = set(fields) - {"id", "text"}
    if unknown := sorted(wanted - set(FIELDS)):
        raise FormatError(f"a record has no field {unknown[0]!r}: its fields are id, text, {', '.join(FIELDS)}")
    return [name for name in FIELDS if name in wanted]


@cache
def _type(name: str) -> pa.DataType:
    if name in _STRUCTS:
        return pa.list_(pa.struct(list(_STRUCTS[name].items())))
    if name in ("cleaned", "deidentified"):
        return _EDITED
    return {"labels": pa.list_(_LABEL_SET), "questions": pa.list_(_TEXT)}.get(name, _TEXT)


def _structs(values: Sequence[list[Any] | None], name: str, texts: bool) -> pa.Array:
    """Make a column of lists of structs, field by field, which is several times faster than from dictionaries."""
    flat = [item for value in values for item in value or ()]
    children = []
    for key, kind in _STRUCTS[name].items():
        if not texts and key in _RAW_TEXTS:
            children.append(pa.nulls(len(flat), kind))
        else:
            children.append(_array(map(_reader(key), flat), kind, name))
    structs = pa.StructArray.from_arrays(children, fields=list(_type(name).value_type))
    offsets = [0]
    for value in values:
        offsets.append(offsets[-1] + len(value or ()))
    mask = pa.array([value is None for value in values], _BOOL)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs, type=_type(name), mask=mask)


def _reader(key: str) -> Callable[[Any], Any]:
    if key == "assertion":
        return _assertion
    if key == "attributes":
        return lambda item: _to_json(item.attributes) if item.attributes else None
    if key == "array":
        return _pixels
    if key == "labels":
        return lambda item: _label_sets(item.labels)
    return attrgetter(key)


def _assertion(entity: Any) -> dict[str, Any] | None:
    found = entity.assertion
    if found is None:
        return None
    flags = {name: getattr(found, name) for name in _FLAGS}
    return {**flags, "scores": found.scores or None, "cues": found.cues or None}


def _pixels(image: Image) -> bytes | None:
    return None if image.array is None else array_to_bytes(image.array)


def _label_sets(sets: dict[str, list[Label]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "labels": [{"name": label.name, "score": label.score} for label in labels]}
        for name, labels in sets.items()
    ]


def _edited(value: Any) -> dict[str, Any]:
    edits = [{"start": edit.start, "end": edit.end, "text": edit.text} for edit in value.alignment.edits]
    return {"text": value.text, "length": value.alignment.length, "edits": edits}


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _array(values: Iterable[Any], kind: pa.DataType, name: str) -> pa.Array:
    try:
        made = pa.array(list(values), kind)
    except ClinNLPError:
        raise
    except (pa.ArrowException, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = type(error).__name__  # its message may quote the text
    else:
        if isinstance(made, pa.Array):
            return made
        reason = "more than 2 GiB of text in one batch"
    raise FormatError(f"the column {name!r} cannot be written: {reason}")
