"""Running a pipeline over a corpus in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engines.registered import WordFinder, pipeline
from engines.test_local import NOTES, files, put, rows
from tiny import tiny_base

from clinnlp import Pipeline, Record, cli
from clinnlp.engines.processes import worker_count
from clinnlp.errors import PipelineError, StageError
from clinnlp.stages import EntityExtractor, ReportClassifier, Tokenizer

KILLED = "Note 13:"
"""What a note has in it that kills the process which reads it, in the tests that say so."""


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    source = put(tmp_path, NOTES)
    here = pipeline().process(source, tmp_path / "here", part_size=7, batch_size=2)
    report = pipeline().process(source, tmp_path / "there", engine="processes", workers=2, part_size=7, batch_size=2)
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert {**report.to_dict(), "seconds": 0} == {**here.to_dict(), "seconds": 0}


def test_stages_with_weights_give_the_same_annotations(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", ["took", "aspirin", "fever", "cough"])
    nlp = Pipeline(
        [
            Tokenizer(),
            EntityExtractor.from_base(base, labels=["Drug", "Symptom"]),
            ReportClassifier.from_base(base, ["a", "b"], name="kind"),
        ]
    )
    source = put(tmp_path, [f"took aspirin {i} " * (i % 5 + 1) + "fever" for i in range(20)])
    nlp.process(source, tmp_path / "here", batch_size=4)
    nlp.process(source, tmp_path / "there", engine="processes", workers=2, batch_size=4)
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_a_run_begun_by_one_engine_goes_on_with_another(tmp_path: Path) -> None:
    source = put(tmp_path, NOTES)
    pipeline().process(source, tmp_path / "out", part_size=5)
    (tmp_path / "out" / "part-00002.parquet").unlink()
    report = pipeline().process(source, tmp_path / "out", engine="processes", workers=2, part_size=5)
    assert (report.parts, report.resumed, report.records) == (5, 4, 23)
    assert [row["row"] for row in rows(tmp_path / "out")] == list(range(23))


def test_a_record_that_kills_its_worker_is_set_aside_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KILL_AT", KILLED)
    source = put(tmp_path, NOTES)
    report = pipeline().process(source, tmp_path / "out", engine="processes", workers=2, batch_size=4)
    found = rows(tmp_path / "out")
    assert [row["row"] for row in found] == list(range(23))
    assert report.failures == {"engine: WorkerDied": 1}
    dead = found[13]
    assert dead["text"] == NOTES[13]["text"]
    assert [error["error"] for error in dead["errors"]] == ["WorkerDied"]
    assert "Note 13" not in dead["errors"][0]["message"]
    assert all(row["entities"] for row in found if row["row"] != 13)


def test_a_death_is_raised_where_errors_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KILL_AT", KILLED)
    with pytest.raises(StageError, match="record 'n1': a worker process died on it twice"):
        pipeline().process(
            put(tmp_path, NOTES), tmp_path / "out", engine="processes", workers=2, batch_size=4, on_error="raise"
        )


def test_an_error_of_a_stage_is_the_same_as_in_this_process(tmp_path: Path) -> None:
    notes = [*NOTES[:3], {"text": "bad Zebulon", "id": "x"}]
    source = put(tmp_path, notes)
    for engine in ({}, {"engine": "processes", "workers": 1}):
        with pytest.raises(StageError, match="stage 'test_words' failed on record 'x': ValueError at") as caught:
            pipeline().process(source, tmp_path / "out", on_error="raise", resume=False, **engine)
        assert "Zebulon" not in str(caught.value)
    report = pipeline().process(source, tmp_path / "kept", engine="processes", workers=1)
    assert report.failures == {"test_words: ValueError": 1}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list its processes")
def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    source = put(tmp_path, [f"Note {i}: cough." for i in range(5000)])
    program = f"""
from engines.registered import pipeline
if __name__ == "__main__":
    pipeline().process({str(source)!r}, {str(tmp_path / "out")!r}, engine="processes", workers=2, progress=print)
"""
    script = tmp_path / "run.py"
    script.write_text(program, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    started = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()  # the first batch is there, and so are the workers
    names = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    workers = [int(name) for name in names if _parent(name) == started.pid]
    assert len(workers) >= 2
    started.kill()
    started.wait()
    ended = time.monotonic() + 60
    while any(_lives(worker) for worker in workers):
        assert time.monotonic() < ended
        time.sleep(0.1)


def _parent(process: str) -> int:
    try:
        return int(Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Unpicklable(WordFinder):
    """A stage that no other process can be given."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": threading.Lock()}


class Unloadable(WordFinder):
    """A stage that other processes cannot make again."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        if os.getpid() != state["pid"]:
            raise OSError("Zebulon")
        self.__dict__.update(state)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "pid": os.getpid()}


def test_a_pipeline_that_cannot_be_sent_or_loaded_says_so(tmp_path: Path) -> None:
    source = put(tmp_path, NOTES)
    with pytest.raises(PipelineError, match=r"words cannot be sent to other processes \(TypeError\)"):
        Pipeline([Unpicklable()], name="words").process(source, tmp_path / "a", engine="processes", workers=1)
    with pytest.raises(StageError, match="a worker process cannot load the pipeline: OSError") as caught:
        Pipeline([Unloadable()]).process(source, tmp_path / "b", engine="processes", workers=1)
    assert "Zebulon" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path: Path, workers: Any) -> None:
    with pytest.raises(PipelineError, match="workers must be a whole number of at least 1"):
        pipeline().process(put(tmp_path, NOTES), tmp_path / "out", engine="processes", workers=workers)


def test_workers_are_as_many_as_asked_for_or_as_there_are_cores() -> None:
    assert worker_count(pipeline(), 3) == 3
    assert worker_count(pipeline()) == len(os.sched_getaffinity(0))
    with pytest.raises(PipelineError, match="workers are of engine='processes'"):
        pipeline().process([Record("a")], "out", workers=2)


def test_the_command_has_the_engine_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pipeline().save(tmp_path / "words")
    given = ["process", str(put(tmp_path, NOTES)), str(tmp_path / "out"), "--pipeline", str(folder), "--quiet"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*given, "--engine", "processes", "--workers", "1"])
    assert ended.value.code in (0, None)
    assert "23 notes" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main([*given, "--engine", "moon"])
    assert ended.value.code == 1
    assert "there is no engine 'moon'" in capsys.readouterr().err
