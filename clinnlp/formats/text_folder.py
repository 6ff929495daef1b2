"""Folders of plain text: one record a `.txt` file, whose id is its place in the folder without the suffix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from clinnlp.errors import FormatError
from clinnlp.formats.columns import Columns, failed, read_row
from clinnlp.record import Record

__all__ = ["files", "read", "read_file"]


def files(folder: str | os.PathLike[str]) -> list[Path]:
    """Give the `.txt` files of a folder and the folders in it, in the order in which they are read.

    Raises
    ------
    FormatError
        If there is none.
    """
    folder = Path(folder)
    found = [path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and not path.is_dir()]
    if not found:
        raise FormatError(f"{folder.name} has no .txt file: give a folder of them, or a file of another format")
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(folder)))


def read(folder: str | os.PathLike[str]) -> Iterator[Record]:
    """Read the records of a folder one by one, sorted by the bytes of their names.

    Yields
    ------
    Record
        One that could not be read is empty and has a failure of the stage `input`.

    Raises
    ------
    FormatError
        If there is no `.txt` file.
    """
    folder = Path(folder)
    for place, path in enumerate(files(folder)):
        yield read_file(path, place, path.relative_to(folder).with_suffix("").as_posix())


def read_file(path: str | os.PathLike[str], place: int = 0, name: str | None = None) -> Record:
    """Read one file as a record, by default under the file's name; its bytes are UTF-8, line ends are kept."""
    path = Path(path)
    name = path.stem if name is None else name
    try:
        data = path.read_bytes()
    except OSError as error:
        return failed(place, f"the file cannot be read: {type(error).__name__}", name)
    return read_row({"id": name, "text": data}, place, Columns())
