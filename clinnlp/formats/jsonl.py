"""JSON Lines: one record a line, as `Record.to_dict` gives it or with columns of your own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from clinnlp.atomic import replace_file
from clinnlp.errors import ClinNLPError, FormatError
from clinnlp.formats.columns import Columns, failed, read_row
from clinnlp.formats.files import check_encoding, open_bytes
from clinnlp.record import FIELDS, SPAN_FIELDS, Record

__all__ = ["read", "read_lines", "to_line", "write", "writer"]

_BOM = b"\xef\xbb\xbf"
_TEXTS = ("cleaned", "deidentified")


def read(
    path: str | os.PathLike[str],
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    *,
    label_columns: Sequence[str] = (),
) -> Iterator[Record]:
    """Read records one by one; blank lines are no records.

    Parameters
    ----------
    path : path
    text_column, id_column, images_column : str
        See `clinnlp.formats.columns`.
    label_columns : sequence of str
        Columns that are label sets.

    Yields
    ------
    Record
        One that could not be read is empty and has a failure of the stage `input`.

    Raises
    ------
    FormatError
        If the file cannot be opened, is one JSON array, or its first row has no column of texts.
    """
    path = Path(path)
    with open_bytes(path) as file:
        yield from read_lines(
            file, Columns(text_column, id_column, images_column, tuple(label_columns)), path.name, path.parent
        )


def read_lines(
    lines: Iterable[bytes], columns: Columns, name: str, folder: str | os.PathLike[str] = ""
) -> Iterator[Record]:
    """Read records from lines of bytes; see `read`."""
    place, checked = 0, False
    for number, line in enumerate(lines, 1):
        if number == 1:
            check_encoding(line[:4], name)
            line = line.removeprefix(_BOM)
        if not line.strip():
            continue
        if place == 0 and line.lstrip()[:1] == b"[":
            raise FormatError(f"{name} is a JSON array: write one object a line")
        row = _parse(line)
        if isinstance(row, str):
            yield failed(place, f"line {number}: {row}")
        else:
            if not checked:
                # A line without gold does without its column.
                replace(columns, labels=()).check(list(row), f"{name}, line {number}")
                checked = True
            missing = columns.text not in row and columns.images not in row
            yield (
                failed(place, f"line {number}: no column {columns.text!r}", row.get(columns.id))
                if missing
                else read_row(row, place, columns, folder)
            )
        place += 1


def _parse(line: bytes) -> dict[str, Any] | str:
    """Read a line as a JSON object, or say why it is none."""
    try:
        row = json.loads(line.decode("utf-8", "surrogateescape"))
    except json.JSONDecodeError as error:
        return f"not valid JSON at character {error.pos}"
    except (ValueError, RecursionError) as error:
        return f"not JSON that can be read: {type(error).__name__}"
    return row if isinstance(row, dict) else f"a JSON {type(row).__name__} and not an object"


def write(records: Iterable[Record], path: str | os.PathLike[str], fields: Sequence[str] | None = None) -> Path:
    """Write records as they come; the file appears whole or not at all.

    Parameters
    ----------
    records : iterable of Record
    path : path
    fields : sequence of str, optional
        What is written beside id and text; by default all that was looked for.

    Raises
    ------
    FormatError
        If a record holds what JSON cannot.
    """
    with replace_file(Path(path)) as new, writer(new, fields) as put:
        for record in records:
            put([record], None)
    return Path(path)


@contextmanager
def writer(
    path: str | os.PathLike[str] | BinaryIO, fields: Sequence[str] | None = None, *, texts: bool = True
) -> Iterator[Callable[[Sequence[Record], int | None], None]]:
    """Give a function that writes a batch of records, numbered from its second argument if that is a number.

    Parameters
    ----------
    path : path or binary file
    fields : sequence of str, optional
        What is written beside id and text; by default all that was looked for.
    texts : bool
        Whether the raw text, and every text taken from it, is written.
    """
    if isinstance(path, (str, os.PathLike)):
        with Path(path).open("wb") as file, writer(file, fields, texts=texts) as put:
            yield put
        return
    out = path

    def put_batch(records: Sequence[Record], first: int | None) -> None:
        lines = [
            to_line(record, fields, None if first is None else first + i, texts=texts)
            for i, record in enumerate(records)
        ]
        out.write(b"".join(lines))

    yield put_batch


def to_line(
    record: Record, fields: Sequence[str] | None = None, row: int | None = None, *, texts: bool = True
) -> bytes:
    """Give a record as a line of JSON.

    Raises
    ------
    FormatError
        If the record holds what JSON cannot.
    """
    left_out = set() if fields is None else set(FIELDS) - set(fields)
    try:
        plain = record.to_dict(without=left_out if texts else {*left_out, *_TEXTS})
        if not texts:
            _take_texts_out(plain)
        if row is not None:
            plain = {"row": row, **plain}
        return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    except ClinNLPError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(error).__name__
    raise FormatError(f"record {record.id!r} cannot be written as JSON: {kind}")


def _take_texts_out(plain: dict[str, Any]) -> None:
    del plain["text"]
    for name in (*SPAN_FIELDS, "answers"):
        for item in plain.get(name, ()):
            for key in ("text", "heading", "evidence"):
                item.pop(key, None)
