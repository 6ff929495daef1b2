"""Parquet files: one record a row; see `clinnlp.formats.arrow` for the columns that are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clinnlp.atomic import replace_file
from clinnlp.errors import FormatError
from clinnlp.formats.arrow import schema, to_arrow
from clinnlp.formats.columns import Columns, read_row
from clinnlp.record import Record

__all__ = ["count", "read", "write", "writer"]

_BATCH = 64
_ROW_GROUP_BYTES = 2**26


def read(
    path: str | os.PathLike[str],
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    *,
    label_columns: Sequence[str] = (),
) -> Iterator[Record]:
    """Read records one by one.

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
        If the file is damaged or not Parquet, or has no column of texts.
    """
    path = Path(path)
    columns = Columns(text_column, id_column, images_column, tuple(label_columns))
    with _open(path) as file:
        names = file.schema_arrow.names
        columns.check(names, path.name)
        place = 0
        batches = file.iter_batches(batch_size=_BATCH, use_threads=False)
        while (batch := _next(batches, path, place)) is not None:
            values = [_values(batch.column(i)) for i in range(batch.num_columns)]
            for row in zip(*values, strict=True):
                yield read_row(dict(zip(names, row, strict=True)), place, columns, path.parent)
                place += 1


def count(path: str | os.PathLike[str]) -> int:
    """Give the number of rows of a file.

    Raises
    ------
    FormatError
        If the file is damaged or not Parquet.
    """
    with _open(Path(path)) as file:
        return int(file.metadata.num_rows)


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    except pa.ArrowInvalid:
        reason = "is damaged or not Parquet: write it again"
    except (OSError, pa.ArrowException) as error:
        reason = f"cannot be read: {type(error).__name__}"
    else:
        with file:
            yield file
        return
    raise FormatError(f"{path.name} {reason}")


def _next(batches: Iterator[pa.RecordBatch], path: Path, place: int) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (OSError, pa.ArrowException):
        pass
    raise FormatError(f"{path.name} is damaged after row {place}: write it again")


def _values(array: pa.Array) -> list[Any]:
    """Give a column's values; a text that is not UTF-8 keeps its bytes as lone surrogates, for `Record` to refuse."""
    try:
        return array.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        pass
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        kind = pa.binary() if pa.types.is_string(array.type) else pa.large_binary()
        cells = array.cast(kind).to_pylist()
        return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in cells]
    return [_value(scalar) for scalar in array]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return "\udcff"


def write(records: Iterable[Record], path: str | os.PathLike[str], fields: Sequence[str] | None = None) -> Path:
    """Write records as they come; the file appears whole or not at all.

    Parameters
    ----------
    records : iterable of Record
    path : path
    fields : sequence of str, optional
        What is written beside id and text, by default all.

    Raises
    ------
    FormatError
        If a field is unknown, or a record holds what its column cannot.
    """
    rows = iter(records)
    with replace_file(Path(path)) as new, writer(new, fields) as put:
        while batch := list(islice(rows, _BATCH)):
            put(batch, None)
    return Path(path)


@contextmanager
def writer(
    path: str | os.PathLike[str], fields: Sequence[str] | None = None, *, texts: bool = True, numbered: bool = False
) -> Iterator[Callable[[Sequence[Record], int | None], None]]:
    """Give a function that writes a batch of records, numbered from its second argument.

    Parameters
    ----------
    path : path
    fields : sequence of str, optional
        What is written beside id and text, by default all.
    texts : bool
        Whether the raw text, and every text taken from it, is written.
    numbered : bool
        Whether there is a column `row`, before all others, with the number of each record.
    """
    columns = schema(fields)
    if numbered:
        columns = columns.insert(0, pa.field("row", pa.int64()))
    waiting: list[pa.RecordBatch] = []

    with pq.ParquetWriter(path, columns, compression="zstd") as file:

        def flush() -> None:
            if waiting:
                file.write_table(pa.Table.from_batches(waiting, columns))
                waiting.clear()

        def put(records: Sequence[Record], first: int | None) -> None:
            batch = to_arrow(records, fields, texts=texts)
            if numbered:
                rows = pa.array(range(first or 0, (first or 0) + len(records)), pa.int64())
                batch = pa.RecordBatch.from_arrays([rows, *batch.columns], schema=columns)
            waiting.append(batch)
            if sum(one.nbytes for one in waiting) > _ROW_GROUP_BYTES:
                flush()

        yield put
        flush()
