"""Opening files of text, so that what is wrong with one is told in one line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from clinnlp.errors import FormatError

__all__ = ["check_encoding", "open_bytes", "open_text"]

_FOREIGN = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", b"PK\x03\x04": "a zip archive"}


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading.

    Raises
    ------
    FormatError
        If it cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        kind = type(error).__name__
    else:
        with file:
            yield file
        return
    raise FormatError(f"{path.name} cannot be read: {kind}")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a file of UTF-8 text with its line ends kept; bytes that are not UTF-8 become lone surrogates.

    Raises
    ------
    FormatError
        If it cannot be opened, or is of another encoding.
    """
    with open_bytes(path) as binary:
        check_encoding(binary.peek(4), path.name)
        yield io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")


def check_encoding(start: bytes, name: str) -> None:
    """Refuse a file that begins as no UTF-8 text does.

    Raises
    ------
    FormatError
        If it is UTF-16 or a zip archive, such as a spreadsheet.
    """
    for mark, kind in _FOREIGN.items():
        if start.startswith(mark):
            raise FormatError(f"{name} is {kind}, not UTF-8 text: convert it first")
