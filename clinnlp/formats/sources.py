"""Where records come from: a file, a folder of texts or of pictures, standard input, or records at hand."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

Format = Literal["csv", "tsv", "jsonl", "parquet", "text", "folder", "images", "stdin", "records"]

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

_FOLDERS = ("folder", "images")
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
        elif self.format in _FOLDERS:
            number = sum(1 for _ in self._files())
        elif self.format == "text":
            number = 1
        return self.limit if number is None else number if self.limit is None else min(number, self.limit)

    def _files(self) -> Iterator[tuple[bytes, Path]]:
        assert self.place is not None
        if self.format not in _FOLDERS:
            yield b"", self.place
            return
        for path in _files(self.format, self.place):
            yield os.fsencode(path.relative_to(self.place)), path


def open_source(
    source: str | os.PathLike[str] | Iterable[Record | str | Mapping[str, Any]] | Source,
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    *,
    label_columns: Sequence[str] = (),
    format: Format | None = None,
    limit: int | None = None,
) -> Source:
    """Give the records of a file, a folder of `.txt` files or of pictures, or standard input.

    Parameters
    ----------
    source : path, "-" or iterable of Record, str or dict
        `"-"` is standard input: JSON Lines, or all of it one text. In an iterable, such as a `datasets.Dataset`, a
        text becomes a record whose id is its place, and a dictionary is a row; of a dataset's features see
        `clinnlp.formats.dataset_rows`. A folder of pictures may have others in it, see `clinnlp.formats.image_folder`.
    text_column, id_column, images_column : str
        See `clinnlp.formats.columns`.
    label_columns : sequence of str
        Columns that are label sets: each holds the name of a gold label.
    format : str, optional
        Format of a file whose suffix does not tell it, or of a folder: `"folder"` for texts, `"images"` for pictures.
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
    columns = Columns(text_column, id_column, images_column, tuple(label_columns))
    if not isinstance(source, (str, os.PathLike)):
        if isinstance(source, (bytes, Mapping, Record)) or not hasattr(source, "__iter__"):
            raise FormatError(f"records come from a path or an iterable of them, not from {type(source).__name__}")
        return Source("records", lambda: _at_hand(source, columns), limit=limit)
    if source == "-":
        return Source("stdin", lambda: _standard_input(columns), limit=limit)
    path = Path(source)
    if path.is_dir():
        if format not in (None, *_FOLDERS):
            raise FormatError(f"{path.name} is a folder: as {format}, give one of its files")
        return _folder(path, format, limit)
    if not path.exists():
        raise FormatError(f"no file or folder {path.name!r}: give the path of one that exists")
    kind = format or FORMATS.get(path.suffix.lower())
    reader = None if kind is None else _reader(kind, path, columns)
    if kind is None or reader is None:
        known = ", ".join(sorted(FORMATS))
        raise FormatError(
            f"{path.name} is of no known format: give a file that ends with {known}, or a folder of"
            " .txt files or of pictures"
        )
    return Source(kind, reader, path, limit)


def read_all(
    source: str | os.PathLike[str],
    limit: int | None = None,
    *,
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    label_columns: Sequence[str] = (),
    label_set: str = "finding",
) -> list[Record]:
    """Read records with gold: those of what `open_source` opens, or of a folder of brat's files.

    In a folder of pictures the folders are classes: `benign/1.png` has the label `benign`.

    Parameters
    ----------
    source : path or "-"
    limit : int, optional
        At most so many records are read.
    text_column, id_column, images_column, label_columns
        As for `open_source`.
    label_set : str
        Name of the label set of a picture's class.

    Raises
    ------
    FormatError
        If there is no such file or folder, its format is not known, or one of its records cannot be read; or if a
        folder of pictures has not two classes or more with pictures in each.
    """
    from clinnlp.formats import brat

    path = Path(source)
    if path.is_dir() and any(path.glob("*.ann")):
        return brat.read_folder(path)[:limit]
    opened = open_source(source, text_column, id_column, images_column, label_columns=label_columns, limit=limit)
    if opened.format == "images":
        from clinnlp.formats import image_folder

        image_folder.check_classes(path)
        opened = replace(opened, records=lambda: image_folder.read(path, label_set))
    records = list(opened)
    if bad := [record for record in records if is_failed(record)]:
        raise FormatError(f"record {bad[0].id!r} of the gold cannot be read: {bad[0].errors[0].message}")
    return records


def _reader(kind: str, path: Path, columns: Columns) -> Callable[[], Iterator[Record]] | None:
    """Give what starts reading a file of a format, or None for an unknown one."""
    names = (columns.text, columns.id, columns.images)
    labels = columns.labels
    if kind in ("csv", "tsv"):
        from clinnlp.formats import csv

        return lambda: csv.read(path, *names, label_columns=labels, delimiter="\t" if kind == "tsv" else ",")
    if kind == "jsonl":
        from clinnlp.formats import jsonl

        return lambda: jsonl.read(path, *names, label_columns=labels)
    if kind == "parquet":
        from clinnlp.formats import parquet

        return lambda: parquet.read(path, *names, label_columns=labels)
    if kind == "text":
        from clinnlp.formats import text_folder

        return lambda: iter([text_folder.read_file(path)])
    return None


def _folder(path: Path, format: Format | None, limit: int | None) -> Source:
    from clinnlp.formats import image_folder, text_folder

    if format == "images" or (format is None and image_folder.is_image_folder(path)):
        return Source("images", lambda: image_folder.read(path), path, limit)
    return Source("folder", lambda: text_folder.read(path), path, limit)


def _files(format: Format, folder: Path) -> list[Path]:
    from clinnlp.formats import image_folder, text_folder

    return image_folder.files(folder) if format == "images" else text_folder.files(folder)


def _standard_input(columns: Columns) -> Iterator[Record]:
    from clinnlp.formats import standard_input

    names = (columns.text, columns.id, columns.images)
    return standard_input.read(sys.stdin.buffer, *names, label_columns=columns.labels)


def _at_hand(items: Iterable[Any], columns: Columns) -> Iterator[Record]:
    from clinnlp.formats.dataset_rows import read_features

    items, columns = read_features(items, columns)
    for place, item in enumerate(items):
        yield read_row(item, place, columns) if isinstance(item, Mapping) else read_input(item, place, "keep")
