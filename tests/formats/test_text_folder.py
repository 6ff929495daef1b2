"""Folders of plain text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clinnlp.errors import FormatError
from clinnlp.formats import text_folder
from clinnlp.formats.columns import is_failed


def test_files_become_records_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, data in {"c.txt": b"\xef\xbb\xbfc\r\n", "b/a.TXT": b"", "a.txt": "é".encode(), "notes.md": b"x"}.items():
        (tmp_path / name).write_bytes(data)
    records = list(text_folder.read(tmp_path))
    assert [(r.id, r.text) for r in records] == [("a", "é"), ("b/a", ""), ("c", "\ufeffc\r\n")]


def test_files_that_cannot_be_read_fail_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good")
    (tmp_path / "b.txt").write_bytes(b"b\xe9d")
    (tmp_path / "c.txt").symlink_to(tmp_path / "gone")
    records = list(text_folder.read(tmp_path))
    assert [is_failed(r) for r in records] == [False, True, True]
    assert records[2].errors[0].message == "the file cannot be read: FileNotFoundError"
    assert records[2].id == "c"


def test_a_name_that_is_not_utf8_becomes_an_id_that_a_file_can_hold(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"n\xe9.txt")  # noqa: PTH118
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"x")
    except OSError:
        pytest.skip("this file system has no such names")
    assert [(r.id, r.text) for r in text_folder.read(tmp_path)] == [("n\\udce9", "x")]


def test_a_folder_without_texts_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"x")
    with pytest.raises(FormatError, match=r"has no \.txt file"):
        list(text_folder.read(tmp_path))
