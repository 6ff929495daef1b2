"""Running a pipeline over a corpus: exactly once, in order, resumable, in bounded memory."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from clinnlp.atomic import replace_file
from clinnlp.encoders.shared import WindowMemo
from clinnlp.engines import release
from clinnlp.engines.identity import pipeline_identity
from clinnlp.engines.journal import Journal
from clinnlp.engines.report import IdCounter, RunReport
from clinnlp.errors import ClinNLPError, FormatError, PipelineError
from clinnlp.execution import annotate
from clinnlp.formats.columns import Columns
from clinnlp.formats.sources import Source, open_source
from clinnlp.record import FIELDS, Failure, Record

if TYPE_CHECKING:
    from clinnlp.pipeline import OnError, Pipeline

__all__ = ["Batch", "Engine", "Progress", "RunSettings", "Watch", "annotated", "run"]

Progress = Callable[[int, "int | None"], None]
"""Told the number of records done, and of all where that is known."""
Watch = Callable[[Record], None]
"""Shown each annotated record before it is written."""
_Put = Callable[[Sequence[Record], "int | None"], None]


@dataclass(slots=True)
class Batch:
    """Records that go through the stages together.

    Parameters
    ----------
    part : int
        The part of the output that they are of.
    group : int
        Number of the group of batches that share what was found of repeated windows. A group ends with its part at the
        latest, so that a run that goes on has the same groups, and with them the same scores to the last digit.
    first : int
        Place of the first of them in the input.
    records : list of Record
        None at the end of a part.
    """

    part: int
    group: int
    first: int
    records: list[Record]


Engine = Callable[[Iterator[Batch]], Iterator[Batch]]
"""Annotates batches, and gives them in their order."""

_BATCH_CHARACTERS = 2_000_000
"""A batch ends at so many characters, so that long notes do not fill the memory."""
_GROUP = 4
"""Batches of a group."""
_FILES = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True)
class RunSettings:
    """How a corpus is run over and written; see `Pipeline.process`."""

    text: release.TextMode = "raw"
    fields: tuple[str, ...] | None = None
    on_error: OnError = "keep"
    batch_size: int = 64
    part_size: int = 1000
    format: Literal["parquet", "jsonl"] = "parquet"
    columns: Columns = field(default_factory=Columns)
    gold: bool = True

    def check(self, pipeline: Pipeline) -> None:
        """Refuse settings that cannot be used.

        Raises
        ------
        PipelineError
            Naming the setting.
        """
        if self.text not in release.TEXTS:
            raise PipelineError(f"text must be one of {', '.join(release.TEXTS)}, not {self.text!r}")
        if self.text == "deidentified" and not any("deidentified" in s.assigns for s in pipeline.stages.values()):
            raise PipelineError(
                f"text='deidentified' needs a stage that assigns 'deidentified', and {pipeline.name} has none: add one"
            )
        if self.on_error not in ("raise", "keep"):
            raise PipelineError(f"on_error must be 'raise' or 'keep', not {self.on_error!r}")
        if self.format not in ("parquet", "jsonl"):
            raise PipelineError(f"format must be 'parquet' or 'jsonl', not {self.format!r}")
        for name in ("batch_size", "part_size"):
            if not isinstance(size := getattr(self, name), int) or size < 1:
                raise PipelineError(f"{name} must be a whole number of at least 1, not {size!r}")
        if unknown := [name for name in self.fields or () if name not in FIELDS]:
            raise PipelineError(f"a record has no field {unknown[0]!r}: its fields are {', '.join(FIELDS)}")

    def writer(self, path: Path | BinaryIO) -> AbstractContextManager[_Put]:
        """Open a file of the output."""
        fields, texts = release.DEFAULT_FIELDS if self.fields is None else self.fields, self.text != "none"
        if self.format == "jsonl":
            from clinnlp.formats import jsonl

            return jsonl.writer(path, fields, texts=texts)
        from clinnlp.formats import parquet

        assert isinstance(path, Path)
        return parquet.writer(path, fields, texts=texts, numbered=True)

    def released(self, record: Record) -> Record:
        """Give what of a record is written."""
        if self.text == "deidentified":
            return release.deidentified(record)
        if self.text == "none":
            return release.without_text(record)
        return release.without_pixels(record) if self.fields is None else record


def run(
    pipeline: Pipeline,
    source: Any,
    output: str | os.PathLike[str] | BinaryIO,
    settings: RunSettings,
    *,
    resume: bool = True,
    limit: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    engine: Engine | None = None,
) -> RunReport:
    """Run a pipeline over a corpus; see `Pipeline.process`.

    Parameters
    ----------
    pipeline : Pipeline
    source : path, "-" or iterable
        See `clinnlp.formats.sources.open_source`.
    output : path or binary stream
        A folder; a file that ends with .parquet or .jsonl, which appears whole or not at all; or a stream of JSON
        Lines.
    settings : RunSettings
    resume : bool
        Whether parts of a folder that an earlier run finished are kept.
    limit : int, optional
        At most so many records are read.
    progress, watch : callable, optional
    engine : callable, optional
        What annotates; by default this process.

    Raises
    ------
    PipelineError
        If a setting cannot be used, or the folder holds another run.
    FormatError
        If the input cannot be read.
    StageError
        If a stage cannot load, or fails on a record and `settings.on_error` is `"raise"`.
    """
    started = time.monotonic()
    path = Path(output) if isinstance(output, (str, os.PathLike)) else None
    suffix = path.suffix.lower() if path is not None and not path.is_dir() else ""
    if path is None:
        settings = replace(settings, format="jsonl")
    elif suffix in _FILES:
        settings = replace(settings, format=_FILES[suffix])  # type: ignore[arg-type]
    settings.check(pipeline)
    columns = settings.columns
    opened = open_source(source, columns.text, columns.id, columns.images, limit=limit)
    with closing(IdCounter()) as ids:
        work = _Run(pipeline, settings, ids, opened.count() if progress else None, progress, watch)
        through = engine or partial(annotated, pipeline, settings.on_error)
        if path is None:
            assert not isinstance(output, (str, os.PathLike))
            with settings.writer(output) as put:
                work.write(through(work.batches(iter(opened), 0)), put)
        elif suffix in _FILES:
            with replace_file(path) as new, settings.writer(new) as put:
                work.write(through(work.batches(iter(opened), 0)), put)
            work.report.parts = 1
        else:
            _to_folder(work, opened, path, resume, through)
    work.report.duplicate_ids = ids.duplicates
    work.report.seconds = time.monotonic() - started
    return work.report


def annotated(pipeline: Pipeline, on_error: OnError, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Annotate batches in this process."""
    stages = list(pipeline.stages.values())
    memo, group = WindowMemo(), -1
    for batch in batches:
        if batch.group != group:
            memo, group = WindowMemo(), batch.group
        found = annotate(stages, batch.records, on_error, batch.first, memo) if batch.records else []
        yield replace(batch, records=found)


def _to_folder(work: _Run, source: Source, folder: Path, resume: bool, through: Engine) -> None:
    settings, report = work.settings, work.report
    identity = {"input": source.identity(), "settings": asdict(settings), "pipeline": pipeline_identity(work.pipeline)}
    with Journal(folder, identity, f".{settings.format}", resume) as journal:
        if journal.entries and source.place is None:
            raise PipelineError(
                f"{folder.name} holds a run, and nothing tells whether these records are its own:"
                " give another folder, resume=False, or a file as input"
            )
        with _stop_signal() as stopped:
            batches = through(_to_do(work, iter(source), journal, stopped))
            for batch in batches:
                with replace_file(journal.path(batch.part)) as new, settings.writer(new) as put:
                    counts = work.write(chain([batch], batches), put)
                journal.add(batch.part, batch.first, counts["records"], counts)
                report.parts += 1
        if work.stopped:
            raise PipelineError(
                f"the run was told to stop (SIGTERM), and {report.parts} parts of it are finished: it goes on when"
                " it is given again"
            )
        journal.end(report.parts, report.records)


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Tell whether SIGTERM has come, while the block runs; in another thread than the main one it is not caught."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


def _to_do(work: _Run, rows: Iterator[Record], journal: Journal, stopped: Callable[[], bool]) -> Iterator[Batch]:
    """Give the batches of the parts that are not finished, and pass over the others; stop between two parts."""
    part = 0
    while (ahead := next(rows, None)) is not None or part == 0:
        if stopped():
            work.stopped = True
            return
        taken = islice(chain([] if ahead is None else [ahead], rows), work.settings.part_size)
        if (entry := journal.finished(part)) is not None:
            work.skip(taken, entry["counts"])
        else:
            yield from work.batches(taken, part)
        part += 1


class _Run:
    """A pipeline on its way through a corpus."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: RunSettings,
        ids: IdCounter,
        total: int | None,
        progress: Progress | None,
        watch: Watch | None,
    ) -> None:
        self.pipeline, self.settings, self.ids = pipeline, settings, ids
        self.total, self.progress, self.watch = total, progress, watch
        self.report = RunReport()
        self.read = self._group = self._in_group = 0
        self.stopped = False

    def batches(self, rows: Iterable[Record], part: int) -> Iterator[Batch]:
        """Give the records of a part in batches, and one without any at its end."""
        batch: list[Record] = []
        characters = 0
        for record in rows:
            self.ids.add(record.id)
            self._raise_input(record)
            batch.append(record if self.settings.gold else release.without_annotations(record))
            characters += len(record.text)
            if len(batch) == self.settings.batch_size or characters >= _BATCH_CHARACTERS:
                yield self._next(part, batch)
                batch, characters = [], 0
        if batch:
            yield self._next(part, batch)
        yield self._next(part, [])

    def _next(self, part: int, records: list[Record]) -> Batch:
        batch = Batch(part, self._group, self.read, records)
        self.read += len(records)
        self._in_group += 1
        if not records or self._in_group == _GROUP:
            self._group, self._in_group = self._group + 1, 0
        return batch

    def write(self, batches: Iterable[Batch], put: _Put) -> dict[str, Any]:
        """Write annotated batches up to the end of their part; give what was counted."""
        part = RunReport()
        for batch in batches:
            if not batch.records:
                break
            for record in batch.records:
                if self.watch is not None:
                    self.watch(record)
            for record in self._write(batch.records, put, batch.first):
                part.add_record(record)
            self._tell(part.records)
        self.report.add_counts(part.counts())
        return part.counts()

    def skip(self, rows: Iterable[Record], counts: dict[str, Any]) -> None:
        """Pass over the records of a part that is finished."""
        for record in rows:
            self.ids.add(record.id)
            self.read += 1
        self.report.add_counts(counts)
        self.report.parts += 1
        self.report.resumed += 1
        self._tell()

    def _tell(self, more: int = 0) -> None:
        if self.progress is not None:
            self.progress(self.report.records + more, self.total)

    def _raise_input(self, record: Record) -> None:
        failure = next((failure for failure in record.errors if failure.stage == "input"), None)
        if failure is not None and self.settings.on_error == "raise":
            raise FormatError(f"record {record.id!r} cannot be read: {failure.message}")

    def _write(self, records: Sequence[Record], put: _Put, first: int) -> list[Record]:
        """Write a batch; a record that cannot be written leaves its failure in its place."""
        try:
            put([self.settings.released(record) for record in records], first)
            return list(records)
        except ClinNLPError as error:
            failure = Failure("output", type(error).__name__, str(error))
        if len(records) > 1:
            one_by_one = (self._write([record], put, first + i) for i, record in enumerate(records))
            return [record for written in one_by_one for record in written]
        (record,) = records
        if self.settings.on_error == "raise":
            raise FormatError(f"record {record.id!r} cannot be written: {failure.message}")
        failed = Record(record.text, record.id, errors=[*record.errors, failure])
        put([self.settings.released(failed)], first)
        return [failed]
