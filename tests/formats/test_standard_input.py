"""Standard input."""

from __future__ import annotations

from io import BytesIO

import pytest

from clinnlp.errors import FormatError
from clinnlp.formats import standard_input
from clinnlp.formats.columns import is_failed


def test_lines_of_json_are_records() -> None:
    records = list(standard_input.read(BytesIO(b'\xef\xbb\xbf\n {"text": "a", "id": "x"}\n{"text": "b"}\n{broken\n')))
    assert [(r.id, r.text) for r in records] == [("x", "a"), ("1", "b"), ("2", "")]
    assert is_failed(records[2])


def test_anything_else_is_one_text_as_it_stands() -> None:
    for text in ("\n\nHPI: cough.\r\n{x}\n", "  ", "é", "[** Name **] seen"):
        assert [(r.id, r.text) for r in standard_input.read(BytesIO(text.encode()))] == [("0", text)]


def test_nothing_is_no_record() -> None:
    assert list(standard_input.read(BytesIO(b""))) == []


def test_a_text_that_is_not_utf8_fails() -> None:
    assert is_failed(next(standard_input.read(BytesIO(b"b\xe9d"))))


def test_lines_without_a_column_of_texts_are_one_error() -> None:
    with pytest.raises(FormatError, match="standard input, line 1 has no column 'text': its columns are note"):
        list(standard_input.read(BytesIO(b'{"note": "a"}')))
    assert next(standard_input.read(BytesIO(b'{"note": "a"}'), "note")).text == "a"
