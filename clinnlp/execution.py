"""Running stages over a batch, so that one bad record never costs the others."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinnlp._binding import record_name
from clinnlp._plain import clone
from clinnlp.encoders.shared import WindowMemo, shared_passes
from clinnlp.errors import ClinNLPError, RecordError, StageError
from clinnlp.record import FIELDS, Failure, Record
from clinnlp.stage import FunctionStage, Stage, refuse_returned

__all__ = ["annotate", "read_input", "run_stages"]

# Errors are raised outside of `except` blocks here: inside, they would carry as their context the error of a
# stage, whose message may quote the text.


def read_input(item: Any, position: int, on_error: str) -> Record:
    """Make a record of what a user gave; what cannot be one is an error, or an empty record that says so."""
    try:
        if isinstance(item, Record):
            item.bind(place=position)  # it may have been changed since it was made
            return item
        if not isinstance(item, str):
            raise RecordError(f"item {position} is of type {type(item).__name__}: give Record objects or texts")
        return Record(item, id=str(position))
    except RecordError as error:
        if on_error == "raise":
            raise
        name = item.id if isinstance(item, Record) else str(position)
        return Record("", id=name, errors=[Failure("input", type(error).__name__, str(error))])


def annotate(
    stages: Sequence[Stage], items: Sequence[Any], on_error: str, first: int, memo: WindowMemo | None = None
) -> list[Record]:
    """Make records of what a user gave, and run the stages over them as one batch; see `run_stages`."""
    records = [read_input(item, first + i, on_error) for i, item in enumerate(items)]
    run_stages(stages, records, on_error, first, memo)
    return records


def run_stages(
    stages: Sequence[Stage],
    records: Sequence[Record],
    on_error: str,
    first: int = 0,
    memo: WindowMemo | None = None,
) -> None:
    """Run the stages over a batch in place.

    A stage that fails on a batch is run again record by record, each as it was before. With `on_error="keep"`
    a failing record stays as it was before the stage and gets a `Failure`; it skips the later stages that
    require what the failed one would have assigned. `first` is the place of the first record in its list, from 0;
    `memo` has what heads gave for the windows of earlier batches.

    Raises
    ------
    StageError
        If a stage fails and `on_error` is `"raise"`, or if a stage cannot load what it needs.
    """
    with shared_passes(stages, memo):
        _run_in_order(stages, records, on_error, {id(record): first + i for i, record in enumerate(records)})


def _run_in_order(stages: Sequence[Stage], records: Sequence[Record], on_error: str, places: Mapping[int, int]) -> None:
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
                advice = f"add a stage that assigns it, bring it, or take {stage.name!r} out too, by without()"
                error = RecordError(f"it has no {absent[0]!r}: {advice}")
                _fail(stage, record, error, on_error, places)
                lost.setdefault(id(record), set()).update(stage.assigns)
                continue
            ready.append(record)
        if ready:
            # Heads on one encoder run together, when the first of them is asked.
            for together in [s for s in stages if s is stage or (s.encoder is not None and s.encoder is stage.encoder)]:
                _warm_up(together)
        for record in _run(stage, ready, on_error, places):
            gone = {field for field in stage.assigns if not record.has(field)}
            lost.setdefault(id(record), set()).update(gone)


def _warm_up(stage: Stage) -> None:
    """Let the stage load what it needs; where it cannot, no record is to blame, and none can go on."""
    try:
        stage.warm_up()
    except ClinNLPError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise StageError(f"stage {stage.name!r} cannot load: {type(error).__name__}: {message}") from error


def _run(stage: Stage, records: Sequence[Record], on_error: str, places: Mapping[int, int]) -> list[Record]:
    """Run one stage; give the records that it failed on."""
    # A function sees one record at a time anyway, and may do what must not be done twice.
    batches = [[record] for record in records] if isinstance(stage, FunctionStage) else [records]
    failed: list[Record] = []
    for batch in batches:
        error = _attempt(stage, batch)
        if error is None:
            continue
        for record in batch:
            if len(batch) > 1:
                error = _attempt(stage, [record])
            if error is not None:
                _fail(stage, record, error, on_error, places)
                failed.append(record)
    return failed


def _attempt(stage: Stage, records: Sequence[Record]) -> Exception | None:
    """Run one stage on a batch; where it fails, put the records back as they were and give the error."""
    before = [_State(record, stage) for record in records]
    try:
        refuse_returned(stage.process(list(records)), records)  # type: ignore[func-returns-value]
        for state in before:
            state.check()
    except Exception as error:
        for state in before:
            state.restore()
        return error
    for record in records:
        record.found.update(stage.assigns)
    return None


class _State:
    """A record as it was before a stage."""

    __slots__ = ("changing", "id", "record", "text", "values")

    def __init__(self, record: Record, stage: Stage) -> None:
        # A stage that does not say what it assigns may change everything.
        self.changing = stage.assigns or FIELDS
        self.record, self.text, self.id = record, record.text, record.id
        self.values = {
            name: clone(value) if name in self.changing else _shallow(value)
            for name, value in ((name, getattr(record, name)) for name in (*FIELDS, "found"))
        }

    def check(self) -> None:
        if self.record.text is not self.text and self.record.text != self.text:
            raise RecordError("the raw text was changed: write edits to `cleaned` or `deidentified`")
        unsaid = [n for n in FIELDS if n not in self.changing and getattr(self.record, n) != self.values[n]]
        self.record.bind((*self.changing, *unsaid))

    def restore(self) -> None:
        self.record.text, self.record.id = self.text, self.id
        for name, value in self.values.items():
            setattr(self.record, name, value)


def _shallow(value: Any) -> Any:
    return value.copy() if isinstance(value, (list, dict, set)) else value


def _fail(stage: Stage, record: Record, error: Exception, on_error: str, places: Mapping[int, int]) -> None:
    if isinstance(error, ClinNLPError):
        message, kind = str(error), type(error).__name__
    else:
        # A foreign message may quote the text, so only its class and the place in the code are told.
        message, kind = f"{type(error).__name__} at {_place(error)}", type(error).__name__
    if on_error == "keep":
        record.errors.append(Failure(stage.name, kind, message))
        record.found.add("errors")
        return
    raise StageError(f"stage {stage.name!r} failed on {record_name(record.id, places.get(id(record)))}: {message}")


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
