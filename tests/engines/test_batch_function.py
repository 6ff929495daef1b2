"""A pipeline as a function of a batch of columns."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, disable_progress_bars
from datasets.fingerprint import Hasher
from engines.registered import Masker, WordFinder, pipeline

from clinnlp import Entity, Pipeline, Record, as_stage
from clinnlp.errors import FormatError, PipelineError, StageError
from clinnlp.formats.arrow import from_arrow, schema

disable_progress_bars()

BATCH = {"text": ["A cough.", None, "No."], "id": [7, 8, 9], "ward": ["a", None, "c"]}


def test_a_dictionary_of_columns_comes_back_with_what_was_found() -> None:
    found = pipeline().as_map()(BATCH)
    assert list(found) == ["text", "id", "ward", "sections", "entities", "errors"]
    assert {name: found[name] for name in BATCH} == BATCH
    assert [[e["text"] for e in entities] for entities in found["entities"]] == [["cough"], [], []]
    assert found["entities"][0][0] == {
        "start": 2,
        "end": 7,
        "label": "Symptom",
        "text": "cough",
        "score": 0.75,
        "assertion": {
            "negated": False,
            "hypothetical": False,
            "historical": False,
            "family": False,
            "scores": None,
            "cues": None,
        },
        "attributes": None,
        "source": "test_words",
    }
    assert found["errors"] == [None, None, None]
    assert list(BATCH) == ["text", "id", "ward"]


@pytest.mark.parametrize("make", [pa.table, pa.RecordBatch.from_pydict])
def test_an_arrow_batch_comes_back_as_one(make: Any) -> None:
    batch = make(BATCH)
    found = pipeline().as_map()(batch)
    assert type(found) is type(batch)
    assert found.schema.field("entities").type == schema(["entities"]).field("entities").type
    assert found.select(batch.schema.names).equals(batch)
    assert [[e.text for e in record.entities] for record in from_arrow(found)] == [["cough"], [], []]


def test_a_failing_row_does_not_cost_the_others() -> None:
    batch = {"text": ["cough", "bad Zebulon", 5, "cough"]}
    found = pipeline().as_map()(batch)
    assert [[e["error"] for e in errors or ()] for errors in found["errors"]] == [
        [],
        ["ValueError"],
        ["RecordError"],
        [],
    ]
    assert [len(entities or ()) for entities in found["entities"]] == [1, 0, 0, 1]
    with pytest.raises(StageError, match="failed on record '0'"):
        pipeline().as_map(on_error="raise")({"text": ["bad"]})
    with pytest.raises(StageError, match="record '0' cannot be read"):
        pipeline().as_map(on_error="raise")({"text": [5]})


def test_columns_that_hold_fields_are_read() -> None:
    seen: list[Record] = []

    @as_stage(assigns="labels")
    def look(record: Record) -> None:
        seen.append(record.copy())

    batch = {
        "note": ["A cough."],
        "mrn": ["7"],
        "scan": [{"path": None, "bytes": b"\x89PNG"}],
        "questions": [["Why?"]],
        "metadata": [{"time": "2031"}],
        "entities": [[{"start": 2, "end": 7, "label": "Symptom"}]],
        "text": ["of another kind"],
    }
    found = Pipeline([look]).as_map("note", "mrn", "scan")(batch)
    (record,) = seen
    assert (record.text, record.id) == ("A cough.", "7")
    assert record.images[0].data == b"\x89PNG"
    assert (record.questions, record.metadata["time"]) == (["Why?"], "2031")
    assert record.entities == [Entity(2, 7, "Symptom", "cough")]
    assert found["scan"] == batch["scan"]
    assert found["entities"] == batch["entities"]


def test_a_stage_that_does_not_say_what_it_assigns_may_add_every_column() -> None:
    def anything(record: Record) -> None:
        record.labels = {"a": ["b"]}  # type: ignore[list-item]

    found = Pipeline([anything]).as_map()({"text": ["x"]})
    assert found["labels"] == [[{"name": "a", "labels": [{"name": "b", "score": 1.0}]}]]
    assert found["entities"] == [None]
    assert "metadata" not in found


def test_datasets_maps_it_and_its_columns_have_their_types_even_where_nothing_is_found(tmp_path: Path) -> None:
    texts = ["Nothing."] * 30 + ["A cough.", "bad"]
    dataset = Dataset.from_dict({"text": texts, "ward": list(range(32))})
    mapped = dataset.map(Pipeline([WordFinder(), Masker()]).as_map(), batched=True, batch_size=10)
    assert mapped["text"] == texts
    assert mapped["ward"] == list(range(32))
    assert mapped[30]["entities"][0]["text"] == "cough"
    assert mapped[0]["entities"] == []
    assert mapped[31]["errors"][0]["stage"] == "test_words"
    assert mapped[30]["deidentified"]["text"] == "A cough."
    arrow = dataset.with_format("arrow").map(pipeline().as_map(), batched=True, batch_size=10)
    assert arrow.with_format(None)[30]["entities"] == mapped[30]["entities"]


def test_datasets_knows_the_same_function_again_after_it_ran() -> None:
    function = pipeline().as_map()
    before = Hasher.hash(function)
    function({"text": ["cough"]})
    stage = function.pipeline["test_words"]
    stage.loaded = 0  # type: ignore[attr-defined]
    assert stage.weights is not None  # type: ignore[attr-defined]
    assert Hasher.hash(function) == before


def test_it_runs_in_another_process_and_leaves_its_weights_behind(tmp_path: Path) -> None:
    function = pipeline().as_map()
    expected = function(BATCH)
    state = pickle.dumps(function)
    assert pickle.loads(state).pipeline["test_words"].weights is None
    (tmp_path / "function").write_bytes(state)
    program = f"""
import pickle
print(pickle.loads(open({str(tmp_path / "function")!r}, "rb").read())({BATCH!r}) == {expected!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_what_is_no_batch_or_has_no_texts_is_one_error() -> None:
    with pytest.raises(FormatError, match="the batch has no column 'text': its columns are note"):
        pipeline().as_map()({"note": ["a"]})
    with pytest.raises(PipelineError, match="a dictionary of columns or an Arrow batch, not list"):
        pipeline().as_map()(["a"])
    with pytest.raises(PipelineError, match="on_error"):
        pipeline().as_map(on_error="hide")  # type: ignore[arg-type]


def test_a_column_of_the_users_own_is_not_overwritten() -> None:
    for taken in (["pneumonia", "x"], [3, 4]):
        with pytest.raises(PipelineError, match="the batch has a column 'entities' of its own"):
            pipeline().as_map()({"text": ["a", "b"], "entities": taken})
    kept = {"text": ["a", "b"], "labels": [3, 4]}
    assert pipeline().as_map()(kept)["labels"] == [3, 4]


def test_an_empty_batch_stays_empty() -> None:
    found = pipeline().as_map()({"text": []})
    assert found == {"text": [], "sections": [], "entities": [], "errors": []}


@pytest.mark.parametrize("row", [{"text": "A cough."}, {"text": ["A cough."], "id": 5}, {"text": None}])
def test_a_single_row_in_the_place_of_a_batch_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match="map in batches, with batched=True"):
        pipeline().as_map()(row)


def test_columns_of_unlike_length_are_refused() -> None:
    with pytest.raises(PipelineError, match="not of one length"):
        pipeline().as_map()({"text": ["A cough."], "id": ["1", "2"]})
