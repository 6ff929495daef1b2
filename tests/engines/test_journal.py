"""Resuming a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engines.registered import Masker, WordFinder, pipeline
from engines.test_local import files, put, rows

from clinnlp import Entity, Pipeline, Record
from clinnlp.engines.identity import pipeline_identity
from clinnlp.engines.journal import Journal
from clinnlp.errors import PipelineError

NOTES = [f"Note {i}: cough." for i in range(25)]


def killed(source: Path, out: Path, at: str) -> None:
    """Run in another process, which is killed when it reaches the note."""
    program = f"""
from engines.registered import pipeline
pipeline().process({str(source)!r}, {str(out)!r}, part_size=6)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TEST_KILL_AT": at}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_that_goes_on_gives_the_same_bytes_as_an_unbroken_one(tmp_path: Path) -> None:
    source = put(tmp_path, NOTES)
    killed(source, tmp_path / "out", "Note 17")
    left = files(tmp_path / "out")
    assert {"part-00000.parquet", "part-00001.parquet"} <= set(left)
    assert "part-00002.parquet" not in left
    assert any(name.startswith(".part-00002") for name in left)
    killed(source, tmp_path / "out", "Note 22")
    report = pipeline().process(source, tmp_path / "out", part_size=6)
    assert (report.records, report.resumed, report.parts) == (25, 3, 5)
    assert report.entities == {"Symptom": 25}
    pipeline().process(source, tmp_path / "whole", part_size=6)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert [row["row"] for row in rows(tmp_path / "out")] == list(range(25))


@pytest.mark.parametrize("engine", [{}, {"engine": "processes", "workers": 1}])
def test_a_run_that_is_told_to_stop_finishes_the_part_in_hand_and_goes_on_later(
    tmp_path: Path, engine: dict[str, Any]
) -> None:
    source = put(tmp_path, NOTES * 4)
    before = signal.getsignal(signal.SIGTERM)

    def stop(done: int, _: int | None) -> None:
        if 8 <= done < 12:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(PipelineError, match=r"told to stop \(SIGTERM\), and \d+ parts of it are finished: it goes on"):
        pipeline().process(source, tmp_path / "out", part_size=6, progress=stop, **engine)
    assert signal.getsignal(signal.SIGTERM) is before
    finished = sorted(path.name for path in (tmp_path / "out").glob("part-*"))
    assert 2 <= len(finished) < 17
    assert not list((tmp_path / "out").glob(".part-*"))
    assert [row["row"] for row in rows(tmp_path / "out")] == list(range(6 * len(finished)))
    report = pipeline().process(source, tmp_path / "out", part_size=6)
    assert (report.records, report.resumed) == (100, len(finished))
    pipeline().process(source, tmp_path / "whole", part_size=6)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_finished_parts_are_not_made_again(tmp_path: Path) -> None:
    source = put(tmp_path, [{"text": note, "id": str(i % 7)} for i, note in enumerate(NOTES)])
    out = tmp_path / "out"
    first = pipeline().process(source, out, part_size=10)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    nlp = pipeline()
    report = nlp.process(source, out, part_size=10)
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()} == before
    assert nlp["test_words"].loaded == 0  # type: ignore[attr-defined]
    assert report.resumed == 3
    assert report.duplicate_ids == 18
    same = {**report.to_dict(), "resumed": 0, "seconds": 0}
    assert same == {**first.to_dict(), "seconds": 0}


def test_a_part_that_is_lost_is_made_again_and_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    source, out = put(tmp_path, NOTES), tmp_path / "out"
    pipeline().process(source, out, part_size=10)
    whole = files(out)
    (out / "part-00001.parquet").unlink()
    assert pipeline().process(source, out, part_size=10).resumed == 2
    assert files(out) == whole
    (out / "part-00001.parquet").write_bytes(whole["part-00000.parquet"])
    with pytest.raises(PipelineError, match=r"part-00001\.parquet is not what this run wrote: remove it"):
        pipeline().process(source, out, part_size=10)


def test_a_line_cut_off_in_the_journal_is_made_again_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    source, out = put(tmp_path, NOTES), tmp_path / "out"
    pipeline().process(source, out, part_size=10)
    whole = files(out)
    journal = whole["journal.jsonl"]
    lines = journal.splitlines(keepends=True)
    assert [json.loads(line).get("rows") for line in lines] == [10, 10, 5, 25]
    (out / "journal.jsonl").write_bytes(lines[0] + lines[1][:30])
    assert pipeline().process(source, out, part_size=10).resumed == 1
    assert files(out) == whole
    (out / "journal.jsonl").write_bytes(lines[0] + b"damage\n" + lines[1])
    with pytest.raises(PipelineError, match=r"journal\.jsonl, line 2 is damaged"):
        pipeline().process(source, out, part_size=10)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input": ["other"]}, r"input\.bytes .*, input\.sha256"),
        ({"part_size": 11}, r"settings\.part_size \(was 10, is 11\)"),
        ({"text": "none"}, r"settings\.text \(was \"raw\", is \"none\"\)"),
        ({"fields": ["entities"]}, r"settings\.fields"),
        ({"limit": 3}, r"input\.limit \(was null, is 3\)"),
        ({"word": "fever"}, r"stages\.test_words\.settings\.word \(was \"cough\", is \"fever\"\)"),
        ({"stages": [WordFinder(), Masker()]}, r"pipeline\.order"),
    ],
)
def test_a_run_that_changed_is_refused_and_begins_again_only_when_asked(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    out = tmp_path / "out"
    pipeline().process(put(tmp_path, NOTES), out, part_size=10)
    whole = files(out)
    source = put(tmp_path, changed.pop("input", NOTES))
    stages = changed.pop("stages", None) or [WordFinder(changed.pop("word", "cough"))]
    nlp = Pipeline(stages, batch_size=4)
    options = {"part_size": 10, **changed}
    with pytest.raises(PipelineError, match=f"out holds a run that differs in .*{message}.*resume=False") as caught:
        nlp.process(source, out, **options)
    assert "\n" not in str(caught.value)
    assert files(out) == whole
    nlp.process(source, out, resume=False, **options)
    assert files(out) != whole


def test_a_function_whose_code_changed_is_another_stage(tmp_path: Path) -> None:
    def note(record: Record) -> None:
        record.labels = {"a": []}

    first = pipeline_identity(Pipeline([note]))

    def note(record: Record) -> None:  # type: ignore[no-redef]
        record.labels = {"b": []}

    assert pipeline_identity(Pipeline([note])) != first


def test_weights_are_part_of_what_tells_a_pipeline_from_another(tmp_path: Path) -> None:
    stage = WordFinder()
    (tmp_path / "model.safetensors").write_bytes(b"1")
    stage.checkpoint = str(tmp_path)  # type: ignore[attr-defined]
    first = pipeline_identity(Pipeline([stage]))
    assert pipeline_identity(Pipeline([stage])) == first
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert pipeline_identity(Pipeline([stage])) != first


def test_weights_that_are_in_memory_alone_tell_pipelines_apart() -> None:
    import torch

    stage = WordFinder()
    stage.weights_changed, stage.model = True, torch.nn.Linear(2, 2)  # type: ignore[attr-defined]
    first = pipeline_identity(Pipeline([stage]))
    assert pipeline_identity(Pipeline([stage])) == first
    with torch.no_grad():
        stage.model.bias += 1  # type: ignore[attr-defined]
    assert pipeline_identity(Pipeline([stage])) != first


def test_a_run_without_a_finished_part_may_change(tmp_path: Path) -> None:
    source = put(tmp_path, [{"note": "cough"}])
    with pytest.raises(ValueError, match="no column 'text'"):
        pipeline().process(source, tmp_path / "out")
    assert pipeline().process(source, tmp_path / "out", text_column="note").records == 1


def test_records_at_hand_are_not_taken_for_those_of_an_earlier_run(tmp_path: Path) -> None:
    pipeline().process(["a"], tmp_path / "out")
    with pytest.raises(PipelineError, match="nothing tells whether these records are its own"):
        pipeline().process(["b"], tmp_path / "out")
    pipeline().process(["b"], tmp_path / "out", resume=False)
    assert rows(tmp_path / "out")[0]["text"] == "b"


def test_parts_of_unknown_origin_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").write_bytes(b"mine")
    for resume in (True, False):
        with pytest.raises(PipelineError, match=r"holds parts without a run\.json: give an empty folder"):
            pipeline().process(["a"], tmp_path, resume=resume)
    assert files(tmp_path) == {"part-00000.parquet": b"mine"}


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"mine")
    pipeline().process(["a"], tmp_path)
    pipeline().process(["a"], tmp_path, resume=False)
    assert (tmp_path / "README.md").read_bytes() == b"mine"


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        Journal(tmp_path / "out", {"a": 1}, ".parquet", resume=True),
        pytest.raises(PipelineError, match="another process is writing to out"),
    ):
        pipeline().process(["a"], tmp_path / "out")
    assert pipeline().process(["a"], tmp_path / "out").records == 1


def test_the_files_of_a_run_do_not_tell_time_or_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        pipeline().process(put(folder, NOTES), folder / "out")
        time.sleep(0.01)
    assert files(tmp_path / "a" / "out") == files(tmp_path / "b" / "out")
    assert all(str(tmp_path).encode() not in content for content in files(tmp_path / "a" / "out").values())


def test_entities_that_records_bring_are_counted(tmp_path: Path) -> None:
    def nothing(record: Record) -> None:
        pass

    report = Pipeline([nothing]).process([Record("a b", entities=[Entity(0, 1, "X"), Entity(2, 3, "Y")])] * 2, tmp_path)
    assert report.entities == {"X": 2, "Y": 2}
    assert report.duplicate_ids == 1


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PipelineError, match="cannot write into the folder out"):
        pipeline().process(put(tmp_path, NOTES[:2]), tmp_path / "file" / "out")
