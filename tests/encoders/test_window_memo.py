"""Windows that come again are read once, and give the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_base

from clinnlp import Pipeline, Record
from clinnlp.encoders.shared import WindowMemo
from clinnlp.formats import jsonl
from clinnlp.stages import EntityExtractor, ReportClassifier, Tokenizer

WORDS = ["took", "aspirin", "fever", "cough", "today"]
OLD = "PLAN: took aspirin today."


@pytest.fixture
def nlp(tmp_path: Path) -> Pipeline:
    base = tiny_base(tmp_path / "base", WORDS)
    entities = EntityExtractor.from_base(base, labels=["Drug", "Symptom"])
    return Pipeline([Tokenizer(), entities, ReportClassifier.from_base(entities.encoder, ["a", "b"], name="kind")])


@pytest.fixture
def windows(nlp: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows go through the encoder, each time that it runs."""
    encoder: Any = nlp["entities"].encoder
    seen: list[int] = []
    states = encoder.states
    monkeypatch.setattr(encoder, "states", lambda inputs: seen.append(len(inputs["input_ids"])) or states(inputs))
    return seen


def notes(count: int) -> list[Record]:
    """Notes of which each has a paragraph of its own and one that all have."""
    return [Record(f"fever {'cough ' * i}\n\n{OLD}", str(i)) for i in range(count)]


def test_a_paragraph_that_comes_again_is_read_once_in_a_batch_and_in_later_ones(
    nlp: Pipeline, windows: list[int]
) -> None:
    list(nlp.pipe(notes(12), batch_size=3))
    assert sum(windows) == 13


def test_annotations_are_those_without_repetition(nlp: Pipeline) -> None:
    together = list(nlp.pipe(notes(9), batch_size=2))
    for record, note in zip(together, notes(9), strict=True):
        alone = nlp(note)
        assert [(e.start, e.end, e.label) for e in record.entities] == [
            (e.start, e.end, e.label) for e in alone.entities
        ]
        for one, other in zip(record.labels["kind"], alone.labels["kind"], strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-5)


def test_nothing_is_remembered_from_one_call_to_the_next(nlp: Pipeline, windows: list[int]) -> None:
    before = nlp(OLD).labels["kind"]
    with torch.no_grad():
        for parameter in nlp["kind"].head.parameters():  # type: ignore[attr-defined]
            parameter.add_(0.5 * torch.randn_like(parameter))
    after = nlp(OLD).labels["kind"]
    assert sum(windows) == 2
    assert before[0].score != after[0].score


def test_a_run_that_goes_on_writes_the_same_bytes(nlp: Pipeline, tmp_path: Path) -> None:
    jsonl.write(notes(23), tmp_path / "notes.jsonl")
    for name in ("whole", "cut"):
        nlp.process(tmp_path / "notes.jsonl", tmp_path / name, part_size=7, batch_size=2)
    for part in (0, 2):
        (tmp_path / "cut" / f"part-0000{part}.parquet").unlink()
    report = nlp.process(tmp_path / "notes.jsonl", tmp_path / "cut", part_size=7, batch_size=2)
    assert report.resumed == 2
    for path in (tmp_path / "whole").glob("part-*"):
        assert (tmp_path / "cut" / path.name).read_bytes() == path.read_bytes()


def test_the_memo_is_bounded_and_forgets_what_was_not_asked_for_longest() -> None:
    memo, encoder, stage = WindowMemo(most_bytes=1000), object(), object()
    for i in range(10):
        memo.put(encoder, bytes([i]), {stage: np.zeros(50, dtype=np.float32)})  # type: ignore[arg-type]
        assert memo.get(encoder, b"\0")  # type: ignore[arg-type]
        assert memo.size <= 1000
    known = [i for i in range(10) if memo.get(encoder, bytes([i]))]  # type: ignore[arg-type]
    assert known == [0, 6, 7, 8, 9]
    memo.put(encoder, b"long", {stage: np.zeros(5000, dtype=np.float32)})  # type: ignore[arg-type]
    assert memo.size == 0
