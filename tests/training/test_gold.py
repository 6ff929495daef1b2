from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset
from tiny import tiny_base

from clinnlp import FitConfig, Pipeline, Record
from clinnlp.errors import ClinNLPError, RecordError, StageError, TrainingError
from clinnlp.formats import parquet
from clinnlp.formats.arrow import to_arrow
from clinnlp.record import Entity, Sentence
from clinnlp.stages import ReportClassifier, Tokenizer
from clinnlp.training.fit import read_gold
from clinnlp.training.splits import split

SECRET = "zanzibar"
WORDS = ["rash", "itch", "cough", "wheeze"]
FAST: dict[str, Any] = {"epochs": 1, "batch_tokens": 4 * 128}
GOLD = [
    Record(f"took {word}", id=word, labels={"organ": [organ]} if organ else {"other": ["x"]})
    for word, organ in zip([*WORDS, "took"], ["skin", "skin", "lungs", "lungs", ""], strict=True)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), [*WORDS, "took"])


def sets(records: list[Record]) -> list[dict[str, list[str]]]:
    return [{name: [label.name for label in labels] for name, labels in record.labels.items()} for record in records]


@pytest.mark.parametrize("source", ["parquet", "map", "process", "rows"])
def test_gold_is_taken_as_parquet_as_map_and_process_write_it(source: str, base: Path, tmp_path: Path) -> None:
    nlp = Pipeline([Tokenizer()])
    if source == "parquet":
        parquet.write(GOLD, tmp_path / "gold.parquet")
        rows = Dataset.from_parquet(str(tmp_path / "gold.parquet"), cache_dir=str(tmp_path / "cache"))
    elif source == "map":
        table = pa.Table.from_batches([to_arrow(GOLD, ["labels"])]).append_column("ward", pa.array(list("aabba")))
        rows = Dataset(table).map(nlp.as_map(), batched=True)
    elif source == "process":
        nlp.process(GOLD, tmp_path / "out.parquet")
        rows = Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    else:
        rows = Dataset.from_list([record.to_dict() for record in GOLD])
    assert sets(read_gold(rows)) == sets(GOLD)
    stage = ReportClassifier.from_base(base, labels=["skin", "lungs"], name="organ")
    assert stage.fit(rows, None, FitConfig(**FAST)).records == {"organ": 4}
    assert stage.evaluate(rows) == stage.evaluate(GOLD)


@pytest.mark.parametrize(
    "labels", [{"organ": "skin"}, {"organ": ["skin"], "other": None}, [{"name": "organ", "labels": [{"name": "skin"}]}]]
)
def test_plain_label_sets_are_gold_and_sets_of_none_are_not(labels: Any) -> None:
    (record,) = read_gold([{"text": "rash", "labels": labels}])
    assert sets([record]) == [{"organ": ["skin"]}]
    assert record.id == ""


def test_gold_of_sentences_and_entities_comes_back_from_arrow() -> None:
    record = Record(
        "rash",
        entities=[Entity(0, 4, "Sign", attributes={"code": 1})],
        sentences=[Sentence(0, 4, labels={"course": ["worse"]})],
    )
    (found,) = read_gold(Dataset(pa.Table.from_batches([to_arrow([record])])))
    assert (found.entities, found.sentences) == (record.entities, record.sentences)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": SECRET, "labels": SECRET}, "record '0' has labels of type str: give a dictionary"),
        ({"text": SECRET, "labels": [SECRET]}, "record '0': labels are a dictionary of label set -> labels"),
        ({"note": SECRET}, "record 0 of the gold has no column 'text'"),
        (SECRET, "item 0 of the gold is of type str: give records"),
    ],
)
def test_rows_that_are_no_gold_are_refused(row: Any, told: str) -> None:
    with pytest.raises(ClinNLPError) as caught:
        read_gold([row])
    assert str(caught.value).startswith(told)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"labels": {"organ": ["heart"]}}, "record 2 of those with gold (counted from 0) has the gold label 'heart'"),
        ({"labels": {"organ": ["skin", "lungs"]}}, "record 2 of those with gold (counted from 0) has 2 gold labels"),
        ({"entities": [Entity(0, 99, "Sign")]}, "record 3 (counted from 0): entities has a span [0, 99)"),
    ],
)
def test_a_record_without_an_id_is_named_by_its_place(base: Path, changed: dict[str, Any], told: str) -> None:
    gold = [Record(record.text, labels=record.labels) for record in GOLD]
    gold.insert(0, gold.pop())  # the one without gold for the stage
    for name, value in changed.items():
        setattr(gold[3], name, value)
    stage = ReportClassifier.from_base(base, labels=["skin", "lungs"], name="organ")
    with pytest.raises(ClinNLPError, match=re.escape(told)):
        stage.fit(gold, None, FitConfig(**FAST))


def test_a_split_and_a_pipeline_name_records_without_an_id_by_their_place(base: Path, tmp_path: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=["skin", "lungs"], name="organ")
    gold = [Record(record.text, labels=record.labels) for record in GOLD[:4]]
    told = "such as record 3 of those with gold (counted from 0) and record 0 of those with gold (counted from 0)"
    with pytest.raises(TrainingError, match=re.escape(told)):
        stage.fit(gold, gold[3:], FitConfig(**FAST))
    with pytest.raises(TrainingError, match=re.escape("record 0 (counted from 0) has no metadata['patient']")):
        split(gold, name="organ", by="patient")
    stage.sections = ["plan"]
    with pytest.raises(RecordError, match=re.escape("record 0 (counted from 0) has no 'sections'")):
        stage.evaluate(gold)

    def fail(record: Record) -> None:
        if record.text == "took wheeze":
            raise ValueError(SECRET)

    told = re.escape("failed on record 3 (counted from 0): ValueError")
    with pytest.raises(StageError, match=told):
        list(Pipeline([fail]).pipe(gold, batch_size=2))
    with pytest.raises(StageError, match=told):
        Pipeline([fail]).process(gold, tmp_path / "out.jsonl", on_error="raise", batch_size=2, part_size=2)
