"""Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from clinnlp import Answer, Entity, Image, Label, Record
from clinnlp.errors import FormatError
from clinnlp.formats import parquet
from clinnlp.formats.columns import is_failed


def put(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "notes.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_rows_become_records(tmp_path: Path) -> None:
    path = put(tmp_path, {"text": ["a", None], "id": [3, 4], "ward": ["3B", None], "seen": [None, 5.0]})
    records = list(parquet.read(path))
    assert [(r.id, r.text) for r in records] == [("3", "a"), ("4", "")]
    assert [r.metadata for r in records] == [{"ward": "3B", "seen": None}, {"ward": None, "seen": 5.0}]
    assert parquet.count(path) == 2


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_a_text_that_is_not_utf8_fails_its_record_alone(tmp_path: Path, kind: pa.DataType) -> None:
    raw = pa.array(
        [b"good", b"b\xe9d Zebulon", b"good"], pa.binary() if kind != pa.large_string() else pa.large_binary()
    )
    path = put(tmp_path, {"text": raw if pa.types.is_binary(kind) else raw.view(kind), "id": ["1", "2", "3"]})
    records = list(parquet.read(path))
    assert [is_failed(r) for r in records] == [False, True, False]
    assert records[1].id == "2"
    assert "Zebulon" not in records[1].errors[0].message


def test_a_nested_value_that_is_not_utf8_fails_its_record_alone(tmp_path: Path) -> None:
    inner = pa.array([b"good", b"b\xe9d"]).view(pa.string())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), inner)
    records = list(parquet.read(put(tmp_path, {"text": ["a", "b"], "extra": lists})))
    assert [is_failed(r) for r in records] == [False, True]


@pytest.mark.parametrize("damage", ["not parquet", "cut", "middle"])
def test_a_damaged_file_is_one_error(tmp_path: Path, damage: str) -> None:
    path = put(tmp_path, {"text": [f"note {i} " * 50 for i in range(2000)]}, compression="zstd", use_dictionary=False)
    data = path.read_bytes()
    changed = {
        "not parquet": b"id,text\n1,a\n",
        "cut": data[: len(data) // 2],
        "middle": data[:40] + bytes(len(data) // 2) + data[40 + len(data) // 2 :],
    }
    path.write_bytes(changed[damage])
    with pytest.raises(FormatError, match=r"notes\.parquet is damaged") as caught:
        list(parquet.read(path))
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_missing_column_are_one_error_each(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.parquet cannot be read: FileNotFoundError"):
        list(parquet.read(tmp_path / "none.parquet"))
    with pytest.raises(FormatError, match=r"notes\.parquet has no column 'text': its columns are note"):
        list(parquet.read(put(tmp_path, {"note": ["a"]})))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    records = [
        Record(
            f"Cough 😷 {i}",
            str(i % 3),
            entities=[Entity(0, 5, "Symptom", score=0.1, attributes={"cui": "C1"})],
            labels={"section": [Label("HPI", 0.3)], "none": []},
            images=[Image(b"\x89PNG", name="a", labels={"finding": ["clear"]})],
            metadata={"a": [1, None]},
            questions=["Why?"],
        )
        for i in range(200)
    ]
    path = parquet.write(iter(records), tmp_path / "notes.parquet")
    assert list(parquet.read(path)) == records


def test_what_is_written_opens_in_datasets(tmp_path: Path) -> None:
    record = Record("Cough.", "1", entities=[Entity(0, 5, "Symptom")], labels={"section": [Label("HPI", 0.5)]})
    dataset = Dataset.from_parquet(str(parquet.write([record], tmp_path / "notes.parquet")), cache_dir=str(tmp_path))
    assert dataset[0]["entities"][0]["label"] == "Symptom"
    assert dataset[0]["labels"] == [{"name": "section", "labels": [{"name": "HPI", "score": 0.5}]}]


def test_no_records_give_a_file_with_columns_and_no_rows(tmp_path: Path) -> None:
    path = parquet.write([], tmp_path / "notes.parquet", fields=["entities"])
    assert pq.read_schema(path).names == ["id", "text", "entities"]
    assert list(parquet.read(path)) == []


def test_a_file_that_cannot_be_written_whole_does_not_appear(tmp_path: Path) -> None:
    bad = Record("x", "7")
    bad.answers = [Answer("x", start=2**70)]
    with pytest.raises(FormatError, match="'answers' cannot be written: OverflowError"):
        parquet.write([bad], tmp_path / "notes.parquet")
    assert list(tmp_path.iterdir()) == []
