"""Where records come from: a file, a folder of texts, standard input, or records at hand."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from clinnlp.errors import FormatError
from clinnlp.execution import read_input
from clinnlp.formats.columns import Columns, is_failed, read_row
from clinnlp.formats.files import open_bytes
from clinnlp.record import Record

__all__ = ["FORMATS", "Format", "Source", "open_source", "read_all"]

Format = Literal["csv", "tsv", "jsonl", "parquet", "text", "folder", "stdin", "records"]

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
"""Suffix of a file -> its format."""

_CHUNK = 2**20


@dataclass(frozen=True)
class Source:
    """Records in an order, to be read from the beginning as often as wanted, except those of a stream.

    Parameters
    ----------
    format : str
    records : callable
        Starts reading.
    place : Path or None
        The file or folder; None for a stream or for records at hand.
    limit : int or None
        At most so many records are read.
    """

    format: Format
    records: Callable[[], Iterator[Record]]
    place: Path | None = None
    limit: int | None = None

    def __iter__(self) -> Iterator[Record]:
        return self.records() if self.limit is None else islice(self.records(), self.limit)

    def identity(self) -> dict[str, Any]:
        """Give what tells this input from another, by its content: format, size and sha256.

        Raises
        ------
        FormatError
            If a file cannot be read.
        """
        given: dict[str, Any] = {"format": self.format, "limit": self.limit}
        if self.place is None:
            return given
        size, digest = 0, hashlib.sha256()
        for name, path in self._files():
            digest.update(name + b"\0")
            with open_bytes(path) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
            digest.update(size.to_bytes(8, "big"))
        return {**given, "bytes": size, "sha256": digest.hexdigest()}

    def count(self) -> int | None:
        """Give the number of records where that is known without reading them all."""
        number: int | None = None
        if self.format == "parquet" and self.place is not None:
            from clinnlp.formats import parquet

            number = parquet.count(self.place)
        elif self.format == "folder":
            number = sum(1 for _ in self._files())
        elif self.format == "text":
            number = 1
        return self.limit if number is None else number if self.limit is None else min(number, self.limit)

    def _files(self) -> Iterator[tuple[bytes, Path]]:
        assert self.place is not None
        if self.format != "folder":
            yield b"", self.place
            return
        from clinnlp.formats import text_folder

        for path in text_folder.files(self.place):
            yield os.fsencode(path.relative_to(self.place)), path


def open_source(
    source: str | os.PathLike[str] | Iterable[Record | str | Mapping[str, Any]] | Source,
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    *,
    format: Format | None = None,
    limit: int | None = None,
) -> Source:
    """Give the records of a file, a folder of `.txt` files, or standard input.

    Parameters
    ----------
    source : path, "-" or iterable of Record, str or dict
        `"-"` is standard input: JSON Lines, or all of it one text. In an iterable, such as a `datasets.Dataset`, a
        text becomes a record whose id is its place, and a dictionary is a row.
    text_column, id_column, images_column : str
        See `clinnlp.formats.columns`.
    format : str, optional
        Format of a file whose suffix does not tell it.
    limit : int, optional
        At most so many records are read.

    Raises
    ------
    FormatError
        If there is no such file or folder, or its format is not known.
    """
    if limit is not None and limit < 0:
        raise FormatError(f"limit is a number of records, not {limit}")
    if isinstance(source, Source):
        return source if limit is None else replace(source, limit=limit)
    columns = Columns(text_column, id_column, images_column)
    if not isinstance(source, (str, os.PathLike)):
        if isinstance(source, (bytes, Mapping, Record)) or not hasattr(source, "__iter__"):
            raise FormatError(f"records come from a path or an iterable of them, not from {type(source).__name__}")
        return Source("records", lambda: _at_hand(source, columns), limit=limit)
    if source == "-":
        return Source("stdin", lambda: _standard_input(columns), limit=limit)
    path = Path(source)
    if path.is_dir():
        if format not in (None, "folder"):
            raise FormatError(f"{path.name} is a folder: as {format}, give one of its files")
        return Source("folder", lambda: _folder(path), path, limit)
    if not path.exists():
        raise FormatError(f"no file or folder {path.name!r}: give the path of one that exists")
    kind = format or FORMATS.get(path.suffix.lower())
    reader = None if kind is None else _reader(kind, path, columns)
    if kind is None or reader is None:
        known = ", ".join(sorted(FORMATS))
        raise FormatError(f"{path.name} is of no known format: give a file that ends with {known}, or a folder of .txt")
    return Source(kind, reader, path, limit)


def read_all(source: str | os.PathLike[str], limit: int | None = None) -> list[Record]:
    """Read records with gold: those of what `open_source` opens, or of a folder of brat's files.

    Parameters
    ----------
    source : path or "-"
    limit : int, optional
        At most so many records are read.

    Raises
    ------
    FormatError
        If there is no such file or folder, its format is not known, or one of its records cannot be read.
    """
    from clinnlp.formats import brat

    path = Path(source)
    if path.is_dir() and any(path.glob("*.ann")):
        return brat.read_folder(path)[:limit]
    records = list(open_source(source, limit=limit))
    if bad := [record for record in records if is_failed(record)]:
        raise FormatError(f"record {bad[0].id!r} of the gold cannot be read: {bad[0].errors[0].message}")
    return records


def _reader(kind: str, path: Path, columns: Columns) -> Callable[[], Iterator[Record]] | None:
    """Give what starts reading a file of a format, or None for an unknown one."""
    names = (columns.text, columns.id, columns.images)
    if kind in ("csv", "tsv"):
        from clinnlp.formats import csv

        return lambda: csv.read(path, *names, delimiter="\t" if kind == "tsv" else ",")
    if kind == "jsonl":
        from clinnlp.formats import jsonl

        return lambda: jsonl.read(path, *names)
    if kind == "parquet":
        from clinnlp.formats import parquet

        return lambda: parquet.read(path, *names)
    if kind == "text":
        from clinnlp.formats import text_folder

        return lambda: iter([text_folder.read_file(path)])
    return None


def _folder(path: Path) -> Iterator[Record]:
    from clinnlp.formats import text_folder

    return text_folder.read(path)


def _standard_input(columns: Columns) -> Iterator[Record]:
    from clinnlp.formats import standard_input

    return standard_input.read(sys.stdin.buffer, columns.text, columns.id, columns.images)


def _at_hand(items: Iterable[Any], columns: Columns) -> Iterator[Record]:
    for place, item in enumerate(items):
        yield read_row(item, place, columns) if isinstance(item, Mapping) else read_input(item, place, "keep")
