"""JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clinnlp import Entity, Record
from clinnlp.errors import FormatError
from clinnlp.formats import jsonl
from clinnlp.formats.columns import is_failed


def put(folder: Path, content: str | bytes) -> Path:
    path = folder / "notes.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_become_records(tmp_path: Path) -> None:
    path = put(tmp_path, '\ufeff{"text": "a\\u0000b", "id": 3, "ward": "3B"}\r\n\n{"text": null}\n')
    records = list(jsonl.read(path))
    assert [(r.id, r.text, r.metadata) for r in records] == [("3", "a\0b", {"ward": "3B"}), ("1", "", {})]


def test_a_broken_line_fails_alone_and_its_number_is_told(tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}',
        b'{"text": "Zebulon',
        b"",
        b'["text"]',
        b'{"text": "b\xe9d"}',
        b'{"text": "\\ud83d"}',
        b'{"id": "9", "note": "x"}',
        b"[" * 50_000,
        b'{"text": 1' + b"0" * 5000 + b"}",
        b'{"text": "good"}',
    ]
    records = list(jsonl.read(put(tmp_path, b"\n".join(lines))))
    assert [is_failed(r) for r in records] == [False] + [True] * 7 + [False]
    messages = [r.errors[0].message for r in records[1:8]]
    assert messages[0] == "line 2: not valid JSON at character 17"
    assert messages[1] == "line 4: a JSON list and not an object"
    assert "lone surrogate at offset 1" in messages[2]
    assert "lone surrogate at offset 0" in messages[3]
    assert messages[4] == "line 7: no column 'text'"
    assert messages[5].startswith("line 8: not")
    assert records[5].id == "9"
    assert not any("Zebulon" in message for message in messages)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"note": "x"}\n', "notes.jsonl, line 1 has no column 'text': its columns are note"),
        (b'[{"text": "x"}]', "notes.jsonl is a JSON array: write one object a line"),
        ('{"text": "x"}'.encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_file_of_another_kind_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        list(jsonl.read(put(tmp_path, content)))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    records = [
        Record("Cough 😷\r\n", "1", entities=[Entity(0, 5, "Symptom", score=0.1)], metadata={"a": [1, None]}),
        Record("", "1", found={"entities"}),
    ]
    path = jsonl.write(iter(records), tmp_path / "out" / "notes.jsonl")
    assert list(jsonl.read(path)) == records
    assert [r.has("entities") for r in jsonl.read(path)] == [True, True]
    chosen = jsonl.write(records, path, fields=["metadata"])
    assert [set(json.loads(line)) for line in chosen.read_text().splitlines()] == [
        {"id", "text", "metadata"},
        {"id", "text"},
    ]


def test_a_file_that_cannot_be_written_whole_does_not_appear(tmp_path: Path) -> None:
    bad = Record("x", "7")
    bad.labels = {"a": object()}  # type: ignore[dict-item]
    with pytest.raises((FormatError, ValueError)):
        jsonl.write([Record("y"), bad], tmp_path / "notes.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_without_texts_no_line_holds_any(tmp_path: Path) -> None:
    record = Record(
        "HPI: Zebulon coughs.",
        "1",
        entities=[Entity(5, 12, "NAME")],
        sections=[{"start": 0, "end": 20, "name": "hpi", "heading": "HPI: Zebulon"}],  # type: ignore[list-item]
        answers=[{"text": "Zebulon", "start": 5, "end": 12, "evidence": "Zebulon coughs"}],  # type: ignore[list-item]
        cleaned={"text": "Zebulon", "length": 20, "edits": [[0, 5, ""], [12, 20, ""]]},  # type: ignore[arg-type]
    )
    line = jsonl.to_line(record, texts=False, row=3)
    assert b"Zebulon" not in line
    plain = json.loads(line)
    assert plain["entities"] == [{"start": 5, "end": 12, "label": "NAME", "score": 1.0}]
    assert plain["sections"] == [{"start": 0, "end": 20, "name": "hpi", "body_start": 0}]
    assert plain["row"] == 3
    assert record.text  # the record itself is as it was
    assert record.entities[0].text == "Zebulon"
