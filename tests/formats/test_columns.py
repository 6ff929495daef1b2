"""Rows and the records they stand for."""

from __future__ import annotations

import base64
import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinnlp import Entity, Image, Label, Record
from clinnlp.errors import FormatError
from clinnlp.formats.columns import Columns, is_failed, read_row

NAMES = Columns()


def row(**values: Any) -> Record:
    return read_row(values, 4, NAMES)


def test_columns_that_no_field_knows_go_to_the_metadata() -> None:
    record = row(text="Cough.", id="a", ward="3B", age=61, seen=datetime.date(2031, 5, 2), empty=None)
    assert not record.errors
    assert record.metadata == {"ward": "3B", "age": 61, "seen": "2031-05-02", "empty": None}


def test_metadata_comes_as_an_object_or_as_json_text_and_columns_are_added_to_it() -> None:
    for given in ({"time": "2031"}, '{"time": "2031"}'):
        assert row(text="x", metadata=given, ward="3B").metadata == {"time": "2031", "ward": "3B"}


def test_what_json_cannot_hold_is_kept_as_text() -> None:
    record = row(text="x", scan=b"\x00\x01", took=datetime.timedelta(minutes=5), deep=[{"a": b"\xff"}])
    assert not record.errors
    assert base64.b64decode(record.metadata["scan"]) == b"\x00\x01"
    assert record.metadata["took"] == "0:05:00"
    assert base64.b64decode(record.metadata["deep"][0]["a"]) == b"\xff"


def test_fields_of_a_record_are_read_as_lists_and_as_json_text() -> None:
    entities = [{"start": 0, "end": 5, "label": "Symptom", "score": 0.5, "attributes": {"cui": "C1"}}]
    plain = {"entities": entities, "labels": {"section": ["HPI"]}, "questions": ["Why?"]}
    for given in (plain, {name: json.dumps(value) for name, value in plain.items()}):
        record = row(text="Cough.", **given)
        assert not record.errors
        assert record.entities == [Entity(0, 5, "Symptom", "Cough", 0.5, attributes={"cui": "C1"})]
        assert record.labels == {"section": [Label("HPI")]}
        assert record.questions == ["Why?"]


def test_a_plain_text_or_number_under_the_name_of_a_field_is_metadata() -> None:
    record = row(text="x", labels="pneumonia", values=3, entities="")
    assert not record.errors
    assert record.metadata == {"labels": "pneumonia", "values": 3}


def test_a_question_may_be_a_plain_text() -> None:
    assert row(text="x", questions="[sic] why?").questions == ["[sic] why?"]


def test_label_sets_may_be_a_list_of_names_with_labels() -> None:
    given = [{"name": "a", "labels": [{"name": "b", "score": 0.25}]}, ("c", [])]
    assert row(text="x", labels=given).labels == {"a": [Label("b", 0.25)], "c": []}


@pytest.mark.parametrize("given", ["[1, 2", '{"a": }', ["ab", "cd"], [{"name": 1}]])
def test_labels_of_another_form_fail_the_record(given: Any) -> None:
    record = row(text="x", id="r", labels=given)
    assert is_failed(record)
    assert "record 'r'" in record.errors[0].message


@pytest.mark.parametrize("given", [None, "", float("nan"), np.float64("nan")])
def test_an_absent_id_becomes_the_place(given: Any) -> None:
    assert row(text="x", id=given).id == "4"


@pytest.mark.parametrize(
    ("given", "kept"), [(7, "7"), (7.0, "7"), (np.int32(7), "7"), (b"7", "7"), (0.5, "0.5"), (0, "0")]
)
def test_an_id_of_another_kind_becomes_text(given: Any, kept: str) -> None:
    assert row(text="x", id=given).id == kept


@pytest.mark.parametrize("given", [None, math.nan, ""])
def test_a_null_text_is_an_empty_text(given: Any) -> None:
    record = row(text=given, id="a")
    assert (record.text, record.errors) == ("", [])


@pytest.mark.parametrize("given", [5, ["a"], {"a": 1}])
def test_a_text_of_another_kind_fails_the_record_which_keeps_its_id(given: Any) -> None:
    record = row(text=given, id="a")
    assert (record.id, record.text) == ("a", "")
    assert "text must be str" in record.errors[0].message


def test_bytes_that_are_not_utf8_fail_the_record_and_tell_where() -> None:
    assert row(text="é".encode()).text == "é"
    assert "lone surrogate at offset 3" in row(text=b"abc\xff Zebulon").errors[0].message
    assert "Zebulon" not in row(text=b"abc\xff Zebulon").errors[0].message


def test_images_come_as_paths_bytes_and_dictionaries() -> None:
    paths = read_row({"text": "x", "images": ["a.png", "/b.png", "s3://c.png"]}, 0, NAMES, "/notes")
    assert [image.path for image in paths.images] == ["/notes/a.png", "/b.png", "s3://c.png"]
    assert row(images="a.png", id="i").images == [Image(path="a.png")]
    assert row(text="x", images='["a.png"]').images == [Image(path="a.png")]
    assert row(text="x", images=[{"bytes": b"1", "path": "scan.png"}]).images == [Image(data=b"1", name="scan.png")]
    assert row(text="x", images={"path": "a.png", "bytes": None}).images == [Image(path="a.png")]
    assert row(text="x", images=b"1").images == [Image(data=b"1")]
    assert row(text="x", images=None).images == []


def test_an_image_of_another_kind_fails_the_record() -> None:
    assert is_failed(row(text="x", images=5))
    assert is_failed(row(text="x", images=[{"bytes": b"1", "width": 3}]))


def test_a_span_outside_the_text_fails_the_record() -> None:
    record = row(text="x", id="a", entities=[{"start": 0, "end": 9}])
    assert "outside the text of length 1" in record.errors[0].message


def test_values_too_deep_within_one_another_fail_the_record() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert is_failed(row(text="x", odd=deep))


def test_a_missing_column_is_told_with_those_that_are_there() -> None:
    with pytest.raises(FormatError, match=r"n\.csv has no column 'text': its columns are note, ward"):
        NAMES.check(["note", "ward"], "n.csv")
    with pytest.raises(FormatError, match="no column 'mrn'"):
        Columns(id="mrn").check(["text"], "n.csv")
    with pytest.raises(FormatError, match="c19, 5 more"):
        NAMES.check([f"c{i}" for i in range(25)], "n.csv")
    with pytest.raises(FormatError) as caught:  # a file without a header
        NAMES.check(["7", "Zebulon has had a cough for days.", "Zebulon" * 9, "ward"], "n.csv")
    assert str(caught.value) == "n.csv has no column 'text': its columns are ward, 3 more"
    NAMES.check(["text"], "n.csv")
    NAMES.check(["images"], "n.csv")
    with pytest.raises(FormatError, match="no column 'note'"):
        Columns(text="note").check(["images"], "n.csv")


def test_paths_of_images_are_absolute_so_that_an_output_elsewhere_still_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = read_row({"text": "x", "images": "a.png"}, 0, NAMES, Path("sub"))
    assert record.images[0].path == str(tmp_path / "sub" / "a.png")
