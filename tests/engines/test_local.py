"""Running a pipeline over a corpus in one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from engines.registered import Masker, WordFinder, pipeline

from clinnlp import Answer, Entity, Image, Pipeline, Record, Stage
from clinnlp.errors import FormatError, PipelineError, StageError
from clinnlp.formats import jsonl, parquet
from clinnlp.formats.arrow import from_arrow


def rows(output: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted(output.glob("part-*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def put(folder: Path, notes: Sequence[dict[str, Any] | str], name: str = "notes.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(n if isinstance(n, dict) else {"text": n}) + "\n" for n in notes))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


NOTES = [{"text": f"Note {i}: cough.", "id": f"n{i % 6}", "ward": i} for i in range(23)]


def test_every_row_is_in_the_output_once_under_its_place(tmp_path: Path) -> None:
    report = pipeline().process(put(tmp_path, NOTES), tmp_path / "out", part_size=10, batch_size=3)
    found = rows(tmp_path / "out")
    assert [row["row"] for row in found] == list(range(23))
    assert [(row["id"], row["text"]) for row in found] == [(note["id"], note["text"]) for note in NOTES]
    assert [json.loads(row["metadata"]) for row in found] == [{"ward": i} for i in range(23)]
    assert all(row["text"][e["start"] : e["end"]] == e["text"] == "cough" for row in found for e in row["entities"])
    assert (report.records, report.errors, report.duplicate_ids, report.parts) == (23, 0, 17, 3)
    assert report.entities == {"Symptom": 23}
    assert report.sections == {"note": 23}
    assert report.characters == sum(len(str(note["text"])) for note in NOTES)
    assert report.seconds > 0


def test_the_parts_read_back_as_records(tmp_path: Path) -> None:
    pipeline().process(put(tmp_path, NOTES), tmp_path / "out")
    path = tmp_path / "out" / "part-00000.parquet"
    expected = list(pipeline().pipe(jsonl.read(tmp_path / "notes.jsonl")))
    assert from_arrow(pq.read_table(path)) == expected
    again = list(parquet.read(path))
    assert [record.entities for record in again] == [record.entities for record in expected]


def test_the_output_does_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    source = put(tmp_path, NOTES)
    for size in (1, 7, 64):
        pipeline().process(source, tmp_path / str(size), batch_size=size)
    assert rows(tmp_path / "1") == rows(tmp_path / "7") == rows(tmp_path / "64")


def test_tokens_are_written_when_they_are_asked_for(tmp_path: Path) -> None:
    source = put(tmp_path, ["a"])
    pipeline().process(source, tmp_path / "all")
    pipeline().process(source, tmp_path / "few", fields=["tokens", "entities"])
    names = pq.read_schema(tmp_path / "all" / "part-00000.parquet").names
    assert names[:3] == ["row", "id", "text"]
    assert "tokens" not in names
    assert "entities" in names
    assert pq.read_schema(tmp_path / "few" / "part-00000.parquet").names == ["row", "id", "text", "tokens", "entities"]


def test_failing_records_are_in_the_output_with_their_errors_and_the_others_go_on(tmp_path: Path) -> None:
    path = put(tmp_path, ["cough", "bad Zebulon", "cough"])
    path.write_bytes(path.read_bytes() + b'{"text": "Zebulon\n' + b'{"text": "b\xe9d", "id": "u"}\n')
    report = pipeline().process(path, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [[e["error"] for e in row["errors"] or ()] for row in found] == [
        [],
        ["ValueError"],
        [],
        ["FormatError"],
        ["RecordError"],
    ]
    assert [row["text"] for row in found] == ["cough", "bad Zebulon", "cough", "", ""]
    assert [row["entities"] is None for row in found] == [False, True, False, True, True]
    assert report.errors == 3
    assert report.failures == {"test_words: ValueError": 1, "input: FormatError": 1, "input: RecordError": 1}
    assert not any("Zebulon" in e["message"] for row in found for e in row["errors"] or ())


def test_on_error_raise_ends_the_run_without_a_part(tmp_path: Path) -> None:
    source = put(tmp_path, ["cough", "bad Zebulon"])
    with pytest.raises(StageError, match="failed on record '1'") as caught:
        pipeline().process(source, tmp_path / "out", on_error="raise")
    assert "Zebulon" not in str(caught.value)
    assert sorted(files(tmp_path / "out")) == ["journal.jsonl", "run.json"]
    source.write_bytes(b'{"text": "a"}\n{"text"')
    with pytest.raises(FormatError, match="record '1' cannot be read: line 2: not valid JSON"):
        pipeline().process(source, tmp_path / "out2", on_error="raise")


def test_a_record_that_cannot_be_written_leaves_its_failure_in_its_place(tmp_path: Path) -> None:
    def odd(record: Record) -> None:
        record.entities = [Entity(0, 1, "X")]
        record.answers = [Answer("a", start=2**70 if record.text == "odd" else 0)]

    source = put(tmp_path, ["a", "odd", "b"])
    report = Pipeline([odd]).process(source, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [len(row["entities"] or ()) for row in found] == [1, 0, 1]
    assert [(e["stage"], e["error"]) for e in found[1]["errors"]] == [("output", "FormatError")]
    assert (report.records, report.errors, report.entities) == (3, 1, {"X": 2})
    with pytest.raises(FormatError, match="record '1' cannot be written"):
        Pipeline([odd]).process(source, tmp_path / "out2", on_error="raise")


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_text_none_leaves_every_raw_text_out(tmp_path: Path, format: str) -> None:
    source = put(tmp_path, ["Zebulon has a cough."])
    nlp = Pipeline([WordFinder("a cough", "Symptom"), Masker()])
    nlp.process(source, tmp_path / "out", text="none", format=format)  # type: ignore[arg-type]
    written = files(tmp_path / "out")
    assert not any(b"Zebulon" in content for content in written.values())
    assert b" has" not in written[f"part-00000.{format}"]
    if format == "parquet":
        (row,) = rows(tmp_path / "out")
        assert "Zebulon" not in str(row)
        assert "cough" not in str(row)
        assert row["text"] is None
        assert [(e["start"], e["end"], e["label"]) for e in row["entities"]] == [(12, 19, "Symptom")]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_text_deidentified_writes_spans_of_the_deidentified_text_and_nothing_raw(tmp_path: Path, format: str) -> None:
    note = {"text": "HPI: Zebulon has a cough.", "id": "Zebulon-7", "ward": "Zebulon", "images": ["Zebulon.png"]}
    source = put(tmp_path, [{**note, "questions": ["Is Zebulon ill?"]}, {"text": "bad Zebulon", "id": "Zebulon-8"}])
    nlp = Pipeline([WordFinder(), Masker()])
    report = nlp.process(source, tmp_path / "out", text="deidentified", format=format)  # type: ignore[arg-type]
    assert report.errors == 1
    for content in files(tmp_path / "out").values():
        assert b"Zebulon" not in content
    if format == "parquet":
        found = rows(tmp_path / "out")
        assert "Zebulon" not in str(found)
        assert found[0]["text"] == found[0]["deidentified"]["text"] == "HPI: [NAME] has a cough."
        assert [(e["label"], e["text"]) for e in found[0]["entities"] + found[0]["identifiers"]] == [
            ("Symptom", "cough"),
            ("NAME", "[NAME]"),
        ]
        assert [row["id"] for row in found] == ["", ""]
        assert [row["row"] for row in found] == [0, 1]
        assert found[1]["errors"][0]["error"] == "ValueError"
        assert len(from_arrow(pq.read_table(tmp_path / "out" / "part-00000.parquet"))) == 2


def test_pixels_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    records = [Record("a", "1", images=[Image(b"\x89PNG", name="x", labels={"f": ["g"]}), Image(path="/b.png")])]
    pipeline().process(records, tmp_path / "few")
    pipeline().process(records, tmp_path / "all", fields=["images"])
    assert records[0].images[0].data == b"\x89PNG"
    for name, data in (("few", b""), ("all", b"\x89PNG")):
        (record,) = from_arrow(pq.read_table(tmp_path / name / "part-00000.parquet"))
        assert record.images == [Image(data=data, name="x", labels={"f": ["g"]}), Image(path="/b.png")]


@pytest.mark.parametrize("name", ["out.parquet", "deep/out.jsonl"])
def test_a_single_file_appears_whole_or_not_at_all(tmp_path: Path, name: str) -> None:
    source = put(tmp_path, NOTES)
    report = pipeline().process(source, tmp_path / name)
    reader = parquet.read if name.endswith("parquet") else jsonl.read
    assert [(r.id, r.text) for r in reader(tmp_path / name)] == [(n["id"], n["text"]) for n in NOTES]
    assert (report.records, report.duplicate_ids, report.parts) == (23, 17, 1)
    with pytest.raises(StageError):
        pipeline().process(
            put(tmp_path, ["cough", "bad"], "b.jsonl"), tmp_path / f"x{Path(name).suffix}", on_error="raise"
        )
    assert not list(tmp_path.glob("*x*"))


def test_no_records_give_one_part_without_rows(tmp_path: Path) -> None:
    report = pipeline().process([], tmp_path / "out")
    assert (report.records, report.parts) == (0, 1)
    assert rows(tmp_path / "out") == []


def test_a_limit_ends_the_run(tmp_path: Path) -> None:
    assert pipeline().process(put(tmp_path, NOTES), tmp_path / "out", limit=5).records == 5
    assert len(rows(tmp_path / "out")) == 5


@pytest.mark.parametrize("gold", [True, False])
def test_annotations_that_records_bring_are_kept_or_left_out(tmp_path: Path, gold: bool) -> None:
    class Finder(Stage):
        assigns = ("entities",)

        def process(self, records: Sequence[Record]) -> None:
            for record in records:
                record.entities = record.entities or [Entity(2, 7, "Found")]

    brought = {"entities": [{"start": 0, "end": 1, "label": "Gold"}], "labels": {"a": ["b"]}, "ward": "3B"}
    images = [{"path": "/a.png", "labels": {"finding": ["clear"]}}]
    source = put(tmp_path, [{"text": "A cough.", "id": "7", "images": images, **brought}])
    Pipeline([Finder()]).process(source, tmp_path / "out", gold=gold)
    (record,) = from_arrow(pq.read_table(tmp_path / "out" / "part-00000.parquet"))
    assert [entity.label for entity in record.entities] == ["Gold" if gold else "Found"]
    assert bool(record.labels) is bool(record.images[0].labels) is gold
    assert (record.id, record.metadata, record.images[0].path) == ("7", {"ward": "3B"}, "/a.png")


def test_progress_is_told_in_numbers(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    nlp = pipeline()
    nlp.process(put(tmp_path, NOTES), tmp_path / "a", part_size=10, progress=lambda done, all: seen.append((done, all)))
    assert seen == [(done, None) for done in (4, 8, 10, 14, 18, 20, 23)]
    seen.clear()
    nlp.process(tmp_path / "a" / "part-00000.parquet", tmp_path / "b", progress=lambda *told: seen.append(told))
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_a_progress_bar_is_on_standard_error_and_shows_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline().process(put(tmp_path, ["Zebulon coughs"]), tmp_path / "out", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/" in err
    assert "Zebulon" not in err


def test_long_notes_go_through_in_small_batches(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Sizes(Stage):
        assigns = ("entities",)

        def process(self, records: Sequence[Record]) -> None:
            sizes.append(len(records))

    Pipeline([Sizes()]).process(["a" * 1_500_000] * 3 + ["b"], tmp_path / "out")
    assert sizes == [2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "ray"}, "engine 'ray' is not available yet: use engine='local' or engine='processes'"),
        ({"engine": "moon"}, "there is no engine 'moon': use engine='local' or engine='processes'"),
        ({"text": "secret"}, "text must be one of raw, deidentified, none"),
        ({"text": "deidentified"}, "needs a stage that assigns 'deidentified', and words has none"),
        ({"on_error": "hide"}, "on_error must be 'raise' or 'keep'"),
        ({"format": "xml"}, "format must be 'parquet' or 'jsonl'"),
        ({"part_size": 0}, "part_size must be a whole number of at least 1"),
        ({"fields": ["entity"]}, "a record has no field 'entity'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_error_and_writes_nothing(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        pipeline().process(["a"], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_output_may_not_be_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(PipelineError, match="out is a file: give a folder"):
        pipeline().process(["a"], tmp_path / "out")
