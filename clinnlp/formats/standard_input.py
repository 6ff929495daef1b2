"""Standard input: JSON Lines, or all of it one text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from clinnlp.formats.columns import Columns, read_row
from clinnlp.formats.jsonl import read_lines
from clinnlp.record import Record

__all__ = ["read"]

NAME = "standard input"


def read(
    file: BinaryIO,
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    *,
    label_columns: Sequence[str] = (),
) -> Iterator[Record]:
    """Read records from a binary stream: lines of JSON if the first line with something on it begins with `{`.

    Else all of it is one text, whose id is `0`; nothing at all is no record.

    Yields
    ------
    Record
        One that could not be read is empty and has a failure of the stage `input`.

    Raises
    ------
    FormatError
        If the first line of JSON has no column of texts.
    """
    columns = Columns(text_column, id_column, images_column, tuple(label_columns))
    start: list[bytes] = []
    for line in file:
        start.append(line)
        if line.strip(b" \t\r\n\xef\xbb\xbf"):
            break
    if not start:
        return
    if start[-1].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        yield from read_lines(chain(start, file), columns, NAME)
    else:
        yield read_row({columns.text: b"".join(start) + file.read()}, 0, columns)
