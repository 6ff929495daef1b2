"""Records as Arrow batches."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from properties.records import records

from clinnlp import Answer, Entity, Record, Section, Token
from clinnlp.alignment import EditedText
from clinnlp.errors import FormatError, RecordError
from clinnlp.formats.arrow import from_arrow, schema, to_arrow
from clinnlp.record import FIELDS


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(records(), max_size=4))
def test_records_come_back_as_they_were(given_records: list[Record]) -> None:
    batch = to_arrow(given_records)
    assert batch.schema == schema()
    batch.validate(full=True)
    back = from_arrow(batch)
    assert back == given_records
    assert [record.to_dict() for record in back] == [record.to_dict() for record in given_records]
    for one, other in zip(back, given_records, strict=True):
        assert [one.has(name) for name in FIELDS] == [other.has(name) for name in FIELDS]


def test_null_says_that_nobody_looked_and_an_empty_list_that_nothing_was_found() -> None:
    batch = to_arrow([Record("x"), Record("x", found={"entities", "labels"})])
    assert batch.column("entities").to_pylist() == [None, []]
    assert batch.column("labels").to_pylist() == [None, []]
    assert [record.has("entities") for record in from_arrow(batch)] == [False, True]


def test_fields_can_be_chosen_and_unknown_ones_are_refused() -> None:
    assert schema(["entities", "metadata"]).names == ["id", "text", "metadata", "entities"]
    assert to_arrow([Record("x")], ["tokens"]).schema.names == ["id", "text", "tokens"]
    with pytest.raises(FormatError, match="no field 'entity'"):
        to_arrow([Record("x")], ["entity"])


def test_a_table_with_other_columns_is_read() -> None:
    table = pa.Table.from_batches([to_arrow([Record("Cough.", "a", entities=[Entity(0, 5)])])])
    table = table.append_column("row", pa.array([3]))
    assert from_arrow(table)[0].entities[0].text == "Cough"
    assert from_arrow(pa.table({"text": ["a"]})) == [Record("a")]


def test_without_texts_the_batch_holds_none_and_is_read_with_them() -> None:
    record = Record(
        "HPI: Zebulon coughs.",
        "1",
        entities=[Entity(5, 12, "NAME")],
        sections=[Section(0, 20, "hpi", heading="HPI: Zebulon")],
        answers=[Answer("Zebulon", 5, 12, evidence="Zebulon coughs")],
        cleaned=EditedText.of("HPI: Zebulon coughs."),
        tokens=[Token(5, 12)],
    )
    batch = to_arrow([record], texts=False)
    assert "Zebulon" not in str(batch.to_pylist())
    assert batch.column("entities")[0].as_py()[0]["end"] == 12
    assert from_arrow(batch.drop_columns(["answers"]), [record.text])[0].entities == record.entities
    with pytest.raises(FormatError, match="record '1' was written without its text"):
        from_arrow(batch)
    with pytest.raises(FormatError, match="1 rows, and 2 texts"):
        from_arrow(batch, ["a", "b"])


def test_a_value_that_a_column_cannot_hold_is_an_error_that_does_not_quote_it() -> None:
    record = Record("x", "7", answers=[Answer("Zebulon", start=2**70)])
    with pytest.raises(FormatError, match="'answers' cannot be written") as caught:
        to_arrow([record])
    assert "Zebulon" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_span_moved_out_of_the_text_is_refused() -> None:
    record = Record("x", "7", entities=[Entity(0, 1)])
    record.entities[0].end = 9
    with pytest.raises(RecordError, match="record '7'"):
        to_arrow([record])
