"""CSV and TSV files: one record a row, the first row names the columns.

Quoting is that of RFC 4180, with any line ends. Fields may be long and hold NUL bytes. A row with more or fewer
fields than the header, or with broken quotes, fails alone; its line is told.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clinnlp.errors import FormatError
from clinnlp.formats.columns import Columns, failed, may_be_shown, read_row
from clinnlp.formats.files import open_text
from clinnlp.record import Record

__all__ = ["read"]

LONGEST_FIELD = 2**28
"""Code points of the longest field; a quote that is never closed makes one as long as the rest of the file."""

# csv of Python 3.10 refuses NUL; this code point cannot occur, because undecodable bytes become U+DC80 to U+DCFF.
_NUL = "\udc00"


def read(
    path: str | os.PathLike[str],
    text_column: str = "text",
    id_column: str = "id",
    images_column: str = "images",
    *,
    label_columns: Sequence[str] = (),
    delimiter: str | None = None,
) -> Iterator[Record]:
    """Read records one by one.

    Parameters
    ----------
    path : path
    text_column, id_column, images_column : str
        See `clinnlp.formats.columns`.
    label_columns : sequence of str
        Columns that are label sets.
    delimiter : str, optional
        By default a tab in a `.tsv` file, else a comma.

    Yields
    ------
    Record
        One that could not be read is empty and has a failure of the stage `input`.

    Raises
    ------
    FormatError
        If the file cannot be opened, has no header, or has no column of texts.
    """
    path = Path(path)
    columns = Columns(text_column, id_column, images_column, tuple(label_columns))
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    with open_text(path) as file:
        rows = csv.reader(
            (line.replace("\0", _NUL) if "\0" in line else line for line in file),
            delimiter=delimiter or ("\t" if path.suffix.lower() == ".tsv" else ","),
            strict=True,
        )
        header = _header(rows, path, columns)
        place = 0
        for line, row in _rows(rows):
            if not row:
                continue
            if isinstance(row, str):
                yield failed(place, f"line {line}: {row}")
            elif len(row) != len(header):
                yield failed(place, f"line {line}: {len(row)} fields, and the header has {len(header)}")
            else:
                cells = (cell.replace(_NUL, "\0") if _NUL in cell else cell for cell in row)
                yield read_row(dict(zip(header, cells, strict=True)), place, columns, path.parent)
            place += 1


def _header(rows: Any, path: Path, columns: Columns) -> list[str]:
    line, header = next(_rows(rows), (0, None))
    if header is None:
        raise FormatError(f"{path.name} is empty: its first line should name the columns")
    if isinstance(header, str):
        raise FormatError(f"{path.name}, line {line}: {header}")
    columns.check(header, path.name)
    if twice := [(header.index(name) + 1, i + 1, name) for i, name in enumerate(header) if name in header[:i]]:
        first, second, name = twice[0]
        named = repr(name) if may_be_shown(name) else "the same"
        raise FormatError(f"{path.name} has two columns named {named}, {first} and {second}: rename one")
    return header


def _rows(rows: Any) -> Iterator[tuple[int, list[str] | str]]:
    """Give each row with the line it starts on, or what is wrong with it."""
    while True:
        line = rows.line_num + 1
        try:
            row: list[str] | str = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            row = _reason(str(error))
        yield line, row


def _reason(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quote is never closed, so that the rest of the file is one field"
    if "field limit" in message:
        return f"a field has more than {LONGEST_FIELD} characters: is a quote not closed?"
    return "its quotes are broken: write a quote inside a field twice"
