"""What the readers of corpora share: finding files, reading tables, cutting into parts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from clinnlp.errors import CorpusError, FormatError
from clinnlp.formats.files import open_text
from clinnlp.record import Record

__all__ = ["Parts", "cut", "existing", "table"]

Parts = dict[str, list[Record]]


def existing(folder: Path, name: str) -> Path:
    """Give the path of a file of a corpus.

    Raises
    ------
    CorpusError
        If it is not there.
    """
    path = folder / name
    if not path.is_file():
        raise CorpusError(f"corpus {folder.name!r}: its folder has no file {name}: get the corpus again")
    return path


def cut(records: Sequence[Record]) -> Parts:
    """Cut records sorted by id: of each five the fifth is for development."""
    return {
        "train": [record for i, record in enumerate(records) if i % 5 != 4],
        "devel": [record for i, record in enumerate(records) if i % 5 == 4],
    }


def table(path: Path, columns: Sequence[str], names: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """Read the rows of a CSV file.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Those that it must have.
    names : sequence of str, optional
        Names of all columns, for a file that may do without a header.

    Yields
    ------
    dict of str to str
        Column -> cell, for each row that is not empty.

    Raises
    ------
    FormatError
        If a column is missing, or a row has more or fewer cells than there are columns.
    """
    with open_text(path) as file:
        rows = csv.reader(file)
        header = next(rows, [])
        first = []
        if names is not None and header != list(names):
            header, first = list(names), [header]
        if absent := [name for name in columns if name not in header]:
            raise FormatError(f"{path.name} has no column {absent[0]!r}: get the corpus again")
        for number, row in enumerate(chain(first, rows), 1):
            if row and len(row) != len(header):
                raise FormatError(f"{path.name}, row {number}: {len(row)} cells, not {len(header)}")
            if row:
                yield dict(zip(header, row, strict=True))
