from __future__ import annotations

import datetime
import decimal
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinnlp import Answer, Assertion, Entity, Failure, Image, Label, Record, Section, Sentence, Token, Value
from clinnlp.alignment import EditedText, replace
from clinnlp.errors import ImageError, RecordError
from clinnlp.image import Image as ImageClass

TEXT = "HPI: Mild asthma, took 5mg salbutamol."


def full_record() -> Record:
    return Record(
        TEXT,
        id="7",
        images=[Image(b"\x89PNG", labels={"finding": ["clear"]}), Image(array=np.arange(6.0).reshape(2, 3))],
        metadata={"patient": "p1", "age": 61, "visits": [1, 2], "nested": {"a": None}},
        cleaned=EditedText.of(TEXT, [replace(10, 16, "Asthma")]),
        tokens=[Token(0, 3), Token(3, 4)],
        sentences=[Sentence(0, 38)],
        sections=[Section(0, 38, name="history_of_present_illness", heading="HPI:", body_start=5)],
        entities=[
            Entity(10, 16, "Disease", score=0.75, assertion=Assertion(family=True), attributes={"cui": ["C1"]}),
            Entity(27, 37, "Medication", assertion=Assertion(), source="rules"),
        ],
        labels={"specialty": [Label("Pulmonology", 0.5)]},
        values=[Value(23, 26, number=5.0, unit="mg", comparator="=")],
        identifiers=[Entity(0, 3, "NAME")],
        deidentified=EditedText.of(TEXT, [replace(0, 3, "X")]),
        questions=["What was taken?"],
        answers=[Answer("salbutamol", 27, 37, "7", 0.9, "took 5mg salbutamol")],
        errors=[Failure("images", "ImageError", "no image")],
    )


def test_spans_get_the_text_at_their_offsets() -> None:
    record = Record(text="Mild asthma.", id="1", entities=[Entity(start=5, end=11, label="Disease")])
    entity = record.entities[0]
    assert (entity.text, entity.score, entity.assertion) == ("asthma", 1.0, None)


def test_offsets_count_code_points_and_not_bytes() -> None:
    text = "🫀 é e\u0301 \u05d0"
    record = Record(text, entities=[Entity(2, 3), Entity(4, 6), Entity(7, 8)])
    assert [entity.text for entity in record.entities] == ["é", "e\u0301", "\u05d0"]


@pytest.mark.parametrize("span", [(-1, 2), (2, 1), (0, 13), (13, 14), (-3, -1)])
def test_a_span_outside_the_text_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(RecordError, match=r"record 'r9': entities has a span .* outside the text of length 12"):
        Record("Mild asthma.", id="r9", entities=[Entity(*span)])


def test_a_span_whose_text_stands_elsewhere_is_refused_without_telling_the_text() -> None:
    with pytest.raises(RecordError, match=r"span \[0, 4\)") as caught:
        Record("Mild asthma.", entities=[Entity(0, 4, text="asthma")])
    assert "asthma" not in str(caught.value)


@pytest.mark.parametrize("offset", [1.0, "1", None])
def test_an_offset_that_is_no_whole_number_is_refused(offset: Any) -> None:
    with pytest.raises(RecordError, match="offset of type"):
        Record("Mild asthma.", tokens=[Token(0, offset)])


def test_offsets_and_scores_of_numpy_become_plain_numbers() -> None:
    entity = Entity(np.int64(0), np.int32(4), score=np.float32(0.5))  # type: ignore[arg-type]
    record = Record("Mild asthma.", entities=[entity], labels={"a": [Label("b", np.float32(0.25))]})  # type: ignore
    assert json.loads(json.dumps(record.to_dict()))["entities"] == [
        {"start": 0, "end": 4, "label": "", "text": "Mild", "score": 0.5}
    ]
    assert type(entity.start) is int
    assert type(record.labels["a"][0].score) is float


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "high", None])
def test_a_score_that_is_no_finite_number_is_refused(score: Any) -> None:
    with pytest.raises(RecordError, match="number"):
        Record("Mild asthma.", entities=[Entity(0, 4, "Disease", score=score)])
    with pytest.raises(RecordError, match="number"):
        Record(labels={"section": [Label("HPI", score)]})
    with pytest.raises(RecordError, match="number"):
        Record("Mild asthma.", answers=[Answer("x", score=score)])


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), "5"])
def test_a_measured_number_that_is_no_finite_number_is_refused(number: Any) -> None:
    assert Record("5-6 mg", values=[Value(0, 3, number=np.int64(5), high=6)]).values[0].number == 5.0  # type: ignore
    for value in (Value(0, 3, number=number), Value(0, 3, number=5.0, high=number)):
        with pytest.raises(RecordError, match="number"):
            Record("5-6 mg", values=[value])


def test_a_section_whose_body_starts_outside_it_is_refused() -> None:
    assert Record("abc", sections=[Section(1, 2)]).sections[0].body_start == 1
    with pytest.raises(RecordError, match="body"):
        Record("abcdef", sections=[Section(0, 2, body_start=4)])


@pytest.mark.parametrize(
    ("given", "kept"), [(12, "12"), (np.int64(3), "3"), (None, ""), ("a\udcff", "a\\udcff"), ("é", "é")]
)
def test_an_id_becomes_text_that_a_file_can_hold(given: Any, kept: str) -> None:
    assert Record("x", id=given).id == kept


@pytest.mark.parametrize("text", [None, b"x", 5, float("nan"), ["x"]])
def test_a_text_that_is_not_text_is_refused(text: Any) -> None:
    with pytest.raises(RecordError, match="text must be str"):
        Record(text)


def test_a_lone_surrogate_is_refused_and_its_offset_told() -> None:
    with pytest.raises(RecordError, match="record '5': lone surrogate at offset 4") as caught:
        Record("ok 🫀\ud800 Zebulon", id="5")
    # The codec's own error holds the whole text.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_nul_bytes_and_emptiness_are_text() -> None:
    assert Record("a\0b", entities=[Entity(1, 2)]).entities[0].text == "\0"
    assert Record("").text == ""


def test_gold_labels_are_given_as_names() -> None:
    assert Record(labels={"section": ["HPI"]}).labels == {"section": [Label("HPI", 1.0)]}


def test_metadata_becomes_what_json_can_hold() -> None:
    given = {
        "time": datetime.datetime(2024, 2, 29, 7, 30),
        "day": datetime.date(2024, 2, 29),
        "stamp": np.datetime64("2024-02-29T07:30:00.000000001", "ns"),
        "never": np.datetime64("NaT", "ns"),
        "age": np.int16(61),
        "weight": decimal.Decimal("70.5"),
        "absent": float("nan"),
        "flag": np.True_,
        "list": (1, np.array([1.5, 2.5])),
        3: "number as key",
    }
    metadata = Record(metadata=given).metadata
    assert metadata == {
        "time": "2024-02-29T07:30:00",
        "day": "2024-02-29",
        "stamp": "2024-02-29T07:30:00",
        "never": None,
        "age": 61,
        "weight": 70.5,
        "absent": None,
        "flag": True,
        "list": [1, [1.5, 2.5]],
        "3": "number as key",
    }
    json.dumps(metadata, allow_nan=False)


def test_a_missing_time_of_pandas_is_none() -> None:
    pandas = pytest.importorskip("pandas")
    assert Record(metadata={"a": pandas.NaT, "b": pandas.Timestamp("2024-01-02")}).metadata == {
        "a": None,
        "b": "2024-01-02T00:00:00",
    }


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "metadata",
    [{"a": object()}, {"a": b"bytes"}, {"a": {1, 2}}, ["a"], "text", {1: 0, "1": 0}, {"a": "\ud800"}, nested(5000)],
    ids=["object", "bytes", "set", "list", "text", "same key twice", "surrogate", "too deep"],
)
def test_metadata_that_json_cannot_hold_is_refused(metadata: Any) -> None:
    with pytest.raises(RecordError, match="metadata"):
        Record("x", id="4", metadata=metadata)


def test_attributes_of_an_entity_become_what_json_can_hold() -> None:
    entity = Entity(0, 1, attributes={"codes": ("C1", np.int64(2))})
    assert Record("x", entities=[entity]).entities[0].attributes == {"codes": ["C1", 2]}
    with pytest.raises(RecordError, match="attributes"):
        Record("x", entities=[Entity(0, 1, attributes={"a": object()})])


def test_one_image_or_question_stands_for_a_list_of_one(tmp_path: Path) -> None:
    record = Record(images=tmp_path / "scan.png", questions="Any fever?")  # type: ignore[arg-type]
    assert [image.path for image in record.images] == [str(tmp_path / "scan.png")]
    assert record.questions == ["Any fever?"]
    assert len(Record(images=np.zeros((4, 4))).images) == 1  # type: ignore[arg-type]


def test_images_are_given_as_path_bytes_or_array() -> None:
    record = Record(images=["a.png", b"bytes", np.zeros((2, 2)), {"path": "b.png"}])  # type: ignore[list-item]
    assert [image.path for image in record.images] == ["a.png", None, None, "b.png"]
    assert record.images[1].data == b"bytes"
    assert record.images[2].array is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"images": [3]},
        {"questions": [3]},
        {"questions": 3},
        {"entities": "abc"},
        {"entities": [(0, 1)]},
        {"entities": 5},
        {"entities": {"start": 0, "end": 1}},
        {"tokens": [Sentence(0, 1)]},
        {"labels": ["HPI"]},
        {"labels": {"section": 3}},
        {"labels": {"section": [3]}},
        {"labels": {"section": b"HPI"}},
        {"cleaned": "text"},
        {"errors": ["broken"]},
        {"errors": [Failure("a", 5)]},  # type: ignore[arg-type]
        {"entities": [Entity(0, 1, label=5)]},
        {"entities": [Entity(0, 1, assertion="negated")]},
        {"entities": [Entity(0, 1, assertion=Assertion(family="mother"))]},
        {"entities": [Entity(0, 1, assertion=Assertion(cues={"negated": [2, 4]}))]},
        {"entities": [Entity(0, 1, assertion=Assertion(cues={"negated": [1]}))]},
        {"entities": [Entity(0, 1, assertion=Assertion(scores={"maybe": 1.0}))]},
        {"entities": [Entity(0, 1, assertion=Assertion(scores={"family": "1"}))]},  # type: ignore[dict-item]
        {"values": [Value(0, 1, target_start=2, target_end=4)]},
        {"values": [Value(0, 1, numbers=["1"])]},  # type: ignore[list-item]
        {"entities": [Entity(0, 1, source="\ud800")]},
        {"sections": [Section(0, 1, name=None)]},
        {"sections": [Section(0, 1, body_start=0.5)]},
        {"values": [Value(0, 1, unit=b"mg")]},
        {"answers": [Answer(5)]},
        {"answers": [Answer("x", start="0")]},
    ],
    ids=str,
)
def test_a_field_of_another_form_is_a_record_error(fields: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=f"record '4': {next(iter(fields))}"):
        Record("abc", "4", **fields)


def test_spans_may_come_as_dictionaries() -> None:
    record = Record("abc", entities=[{"start": 0, "end": 1, "assertion": {"negated": True}}])  # type: ignore[list-item]
    assert record.entities == [Entity(0, 1, text="a", assertion=Assertion(negated=True))]


def test_an_edited_text_that_was_not_made_from_this_text_is_refused() -> None:
    with pytest.raises(RecordError, match="cleaned"):
        Record("abc", cleaned=EditedText.of("abcd"))
    forged = EditedText("abX", EditedText.of("abc").alignment)
    with pytest.raises(RecordError, match="deidentified"):
        Record("abc", deidentified=forged)


def test_repr_shows_counts_and_no_text() -> None:
    record = full_record()
    counts = "2 tokens, 1 sentences, 1 sections, 2 entities, 1 values, 1 identifiers"
    assert repr(record) == f"Record(id='7', {len(TEXT)} characters, {counts})"
    assert repr(Record("secret")) == "Record(id='', 6 characters)"


def test_a_record_goes_through_json_without_loss() -> None:
    record = full_record()
    back = Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
    assert back == record
    assert back.found == record.found
    assert back.to_dict() == record.to_dict()


def test_flags_of_numpy_become_plain_ones() -> None:
    assertion = Record("x", entities=[Entity(0, 1, assertion=Assertion(np.True_, 0))]).entities[0].assertion  # type: ignore
    assert assertion == Assertion(negated=True)
    assert type(assertion.negated) is type(assertion.hypothetical) is bool  # type: ignore[union-attr]


def test_no_assertion_and_an_assertion_of_nothing_stay_different() -> None:
    record = Record("ab", entities=[Entity(0, 1), Entity(1, 2, assertion=Assertion())])
    assert [entity.assertion for entity in Record.from_dict(record.to_dict()).entities] == [None, Assertion()]


def test_what_was_looked_for_in_vain_is_remembered_and_what_was_not_is_left_out() -> None:
    record = Record("x", id="1")
    assert record.to_dict() == {"id": "1", "text": "x"}
    record.found.add("entities")
    assert record.to_dict() == {"id": "1", "text": "x", "entities": []}
    back = Record.from_dict(record.to_dict())
    assert back.has("entities")
    assert not back.has("tokens")
    assert Record.from_dict({"text": "x", "tokens": None}).has("tokens") is False


def test_a_cleaned_text_that_a_stage_left_out_is_not_there() -> None:
    record = Record("x")
    record.found.add("cleaned")
    assert not record.has("cleaned")
    assert record.view.text == "x"


@pytest.mark.parametrize(
    "data",
    [
        {"text": "x", "note": "y"},
        {"text": 5},
        {"text": "x", "entities": [{"start": 0, "end": 1, "kind": "a"}]},
        {"text": "x", "entities": [{"start": 0}]},
        {"text": "x", "entities": ["a"]},
        {"text": "x", "entities": [{"start": 0, "end": 1, "assertion": "negated"}]},
        {"text": "x", "cleaned": {"text": "x"}},
        {"text": "x", "cleaned": {"text": "x", "length": "1", "edits": [[0, "1", "x"]]}},
        {"text": "x", "cleaned": {"text": "x", "length": 1, "edits": ["abcd"]}},
        {"text": "x", "labels": {"a": [{"name": "b", "score": "high"}]}},
        {"text": "x", "images": [{"data": "not base64!"}]},
        {"text": "x", "images": [{}]},
        {"text": "x", "entities": [{"start": 0, "end": 1, "assertion": {"negated": "no"}}]},
        {"text": "x", "cleaned": {"text": "y", "length": 1, "edits": [[0, 1, 5]]}},
        {"text": "x", "cleaned": {"text": "x", "length": 1.0, "edits": []}},
        {"text": "x", "answers": [{"text": "x", "start": "0"}]},
        "text",
        5,
    ],
    ids=str,
)
def test_a_dictionary_of_another_form_is_a_record_error(data: Any) -> None:
    with pytest.raises(RecordError):
        Record.from_dict(data)


def test_a_copy_is_equal_and_independent() -> None:
    record = full_record()
    copy = record.copy()
    assert copy == record
    assert copy.found == record.found
    copy.entities[0].label = "Other"
    copy.entities[0].assertion.family = False  # type: ignore[union-attr]
    copy.entities[0].attributes["cui"].append("C2")
    copy.metadata["visits"].append(3)
    copy.labels["specialty"][0].name = "Other"
    copy.images[0].labels["finding"].clear()
    copy.tokens.clear()
    copy.questions.append("More?")
    copy.found.clear()
    assert record == full_record()
    assert copy.images[1].array is record.images[1].array


def test_a_copy_leaves_out_the_named_fields() -> None:
    copy = full_record().copy(without=["entities", "images", "cleaned"])
    assert (copy.entities, copy.images, copy.cleaned) == ([], [], None)
    assert not copy.has("entities")
    assert copy.has("tokens")


def test_records_are_equal_by_value() -> None:
    assert full_record() == full_record()
    assert full_record() != Record(TEXT)
    assert Record("x", id=1) != Record("x", id=2)


def test_a_record_survives_pickling() -> None:
    record = full_record()
    back = pickle.loads(pickle.dumps(record))
    assert back == record
    assert back.found == record.found


def test_writing_a_record_refuses_spans_that_left_its_text() -> None:
    record = Record("abc")
    record.entities.append(Entity(1, 9, "Disease"))
    with pytest.raises(RecordError, match="outside"):
        record.to_dict()


def test_the_view_is_the_cleaned_text_where_there_is_one() -> None:
    record = full_record()
    assert record.view.text[10:16] == "Asthma"
    assert Record("abc").view.to_source(1, 2) == (1, 2)


def test_image_is_the_same_class_wherever_it_is_imported_from() -> None:
    assert Image is ImageClass
    assert issubclass(ImageError, ValueError)
