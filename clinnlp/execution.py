"""Running stages over a batch, so that one bad record never costs the others."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinnlp.errors import ClinNLPError, RecordError, StageError
from clinnlp.record import Failure, Record
from clinnlp.stage import Stage

__all__ = ["read_input", "run_stages"]


def read_input(item: Any, position: int, on_error: str) -> Record:
    """Make a record of what a user gave; what cannot be one is an error, or an empty record that says so."""
    if isinstance(item, Record):
        return item
    try:
        if not isinstance(item, str):
            raise RecordError(f"item {position} is of type {type(item).__name__}: give Record objects or texts")
        return Record(item, id=str(position))
    except RecordError as error:
        if on_error == "raise":
            raise
        return Record("", id=str(position), errors=[Failure("input", type(error).__name__, str(error))])


def run_stages(stages: Sequence[Stage], records: Sequence[Record], on_error: str) -> None:
    """Run the stages over a batch in place.

    A stage that fails on a batch is run again record by record. With `on_error="keep"` the failing records
    get a `Failure`, and skip the later stages that require what the failed one would have assigned.
    """
    lost: dict[int, set[str]] = {}
    for record in records:
        if any(failure.stage == "input" for failure in record.errors):
            lost[id(record)] = {"*"}
    for stage in stages:
        ready: list[Record] = []
        for record in records:
            missing = lost.get(id(record), set())
            if "*" in missing or missing.intersection(stage.requires):
                missing.update(stage.assigns)
                continue
            absent = [field for field in stage.requires if not record.has(field)]
            if absent:
                _fail(stage, record, _absent(stage, record, absent[0]), on_error)
                lost.setdefault(id(record), set()).update(stage.assigns)
                continue
            ready.append(record)
        for record in _run_batch(stage, ready, on_error):
            gone = {field for field in stage.assigns if not record.has(field)}
            lost.setdefault(id(record), set()).update(gone)


def _run_batch(stage: Stage, records: Sequence[Record], on_error: str) -> list[Record]:
    """Run one stage; give the records that it failed on."""
    if not records:
        return []
    try:
        _run(stage, records)
    except Exception as error:
        if len(records) == 1:
            _fail(stage, records[0], error, on_error)
            return [records[0]]
        failed: list[Record] = []
        for record in records:
            failed += _run_batch(stage, [record], on_error)
        return failed
    return []


def _run(stage: Stage, records: Sequence[Record]) -> None:
    stage.process(records)
    for record in records:
        record.bind(stage.assigns)
    for record in records:
        record.found.update(stage.assigns)


def _absent(stage: Stage, record: Record, field: str) -> StageError:
    return StageError(
        f"stage {stage.name!r}: record {record.id!r} has no {field!r}: add a stage that assigns it, or bring it"
    )


def _fail(stage: Stage, record: Record, error: Exception, on_error: str) -> None:
    if isinstance(error, ClinNLPError):
        message, kind = str(error), type(error).__name__
    else:
        # A foreign message may quote the text, so only its class and the place in the code are told.
        message, kind = f"{type(error).__name__} at {_place(error)}", type(error).__name__
    if on_error == "keep":
        record.errors.append(Failure(stage.name, kind, message))
        record.found.add("errors")
        return
    if isinstance(error, StageError):
        raise error
    raise StageError(f"stage {stage.name!r} failed on record {record.id!r}: {message}") from None


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
