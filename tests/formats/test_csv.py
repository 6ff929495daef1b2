"""CSV and TSV files."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinnlp import Record
from clinnlp.errors import FormatError
from clinnlp.formats import csv
from clinnlp.formats.columns import is_failed


def put(folder: Path, content: str | bytes, name: str = "notes.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def failures(records: list[Record]) -> list[str | None]:
    return [record.errors[0].message if record.errors else None for record in records]


def test_rows_become_records_with_their_texts_as_they_stand(tmp_path: Path) -> None:
    path = put(tmp_path, '\ufeffid,text,ward\r\n7,"Cough, ""dry"".\r\nNo fever.\n",3B\r\n8,é 😷,\r\n')
    records = list(csv.read(path))
    assert [(r.id, r.text) for r in records] == [("7", 'Cough, "dry".\r\nNo fever.\n'), ("8", "é 😷")]
    assert [r.metadata for r in records] == [{"ward": "3B"}, {"ward": ""}]


def test_columns_can_be_named_and_ids_default_to_the_place(tmp_path: Path) -> None:
    path = put(tmp_path, "note;mrn\na;1\nb;2\n")
    records = list(csv.read(path, "note", "mrn", delimiter=";"))
    assert [(r.id, r.text) for r in records] == [("1", "a"), ("2", "b")]
    assert [r.id for r in csv.read(path, "note", delimiter=";")] == ["0", "1"]


def test_a_tsv_file_is_cut_at_tabs(tmp_path: Path) -> None:
    assert [r.text for r in csv.read(put(tmp_path, "id\ttext\n1\ta, b\n", "n.tsv"))] == ["a, b"]


def test_a_field_of_ten_million_characters_and_nul_bytes_are_read(tmp_path: Path) -> None:
    long = "fever " * 1_700_000
    records = list(csv.read(put(tmp_path, f'text\n"{long}"\n"a\0b"\n')))
    assert [len(r.text) for r in records] == [len(long), 3]
    assert records[1].text == "a\0b"


def test_bytes_that_are_not_utf8_fail_their_record_alone(tmp_path: Path) -> None:
    records = list(csv.read(put(tmp_path, b"id,text\n1,good\n2,b\xe9d\n3,good\n")))
    assert [is_failed(r) for r in records] == [False, True, False]
    assert records[1].id == "2"
    assert "lone surrogate at offset 1" in records[1].errors[0].message


def test_a_row_of_another_width_fails_alone_and_its_line_is_told(tmp_path: Path) -> None:
    records = list(csv.read(put(tmp_path, 'id,text\n1,"a\nb"\n2\n3,c,d\n\n4,e\n')))
    assert failures(records) == [
        None,
        "line 4: 1 fields, and the header has 2",
        "line 5: 3 fields, and the header has 2",
        None,
    ]
    assert [r.id for r in records] == ["1", "1", "2", "4"]


def test_broken_quotes_fail_their_row_and_one_never_closed_is_told(tmp_path: Path) -> None:
    records = list(csv.read(put(tmp_path, 'id,text\n1,"a"b\n2,c\n3,"d\n4,e\n')))
    assert [r.text for r in records] == ["", "c", ""]
    assert failures(records) == [
        "line 2: its quotes are broken: write a quote inside a field twice",
        None,
        "line 4: a quote is never closed, so that the rest of the file is one field",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "notes.csv is empty"),
        (b"id,note\n", "notes.csv has no column 'text': its columns are id, note"),
        (b"text,text\n", "two columns named 'text'"),
        ("text\n".encode("utf-16"), "notes.csv is UTF-16, not UTF-8 text: convert it first"),
        (b"PK\x03\x04rest", "is a zip archive"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        list(csv.read(put(tmp_path, content)))
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.csv cannot be read: FileNotFoundError"):
        list(csv.read(tmp_path / "none.csv"))
