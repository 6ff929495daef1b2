"""Pipeline: an ordered, checked list of stages over one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from clinnlp.encoders.shared import WindowMemo, share_encoders
from clinnlp.errors import PipelineError
from clinnlp.execution import annotate
from clinnlp.record import Record
from clinnlp.stage import FunctionStage, Stage, field_names

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from clinnlp.engines.batch_function import BatchFunction
    from clinnlp.engines.release import TextMode
    from clinnlp.engines.report import RunReport
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold

__all__ = ["OnError", "Pipeline"]

OnError = Literal["raise", "keep"]


class Pipeline:
    """An ordered list of stages, checked when it is built, before any weight is loaded.

    Stages on the same encoder, one that was not changed in memory since, share it from then on: it is loaded once, and
    runs once over each note for all of them.

    Parameters
    ----------
    stages : sequence of Stage or callable
        A function of one record becomes a stage under its own name.
    name : str
        Name of the pipeline.
    batch_size : int
        Records that go through the stages together.

    Raises
    ------
    PipelineError
        If two stages have one name, or a stage requires what only a later one assigns.
    """

    def __init__(
        self, stages: Sequence[Stage | Callable[[Record], Any]], name: str = "pipeline", batch_size: int = 64
    ) -> None:
        self.name = name
        self.batch_size = _check_size(batch_size)
        self.card: dict[str, str] = {}
        """What the model card shall say, by heading: "data", "licence", "intended_use", "limits" and others."""
        self._stages: dict[str, Stage] = {}
        if isinstance(stages, (str, Mapping)) or not hasattr(stages, "__iter__"):
            raise PipelineError(f"give a pipeline a list of stages, not {type(stages).__name__}")
        for given in stages:
            stage = _as_stage(given)
            if stage.name in self._stages:
                raise PipelineError(f"two stages are named {stage.name!r}: give one of them another name")
            self._stages[stage.name] = stage
        _check_order(list(self._stages.values()))
        share_encoders(list(self._stages.values()))

    @property
    def stages(self) -> Mapping[str, Stage]:
        """The stages by name, in order."""
        return MappingProxyType(self._stages)

    def __getitem__(self, name: str) -> Stage:
        try:
            return self._stages[name]
        except KeyError:
            raise PipelineError(f"no stage {name!r} in {self.name}: it has {', '.join(self._stages)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._stages

    def __len__(self) -> int:
        return len(self._stages)

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}: {' -> '.join(self._stages)})"

    def without(self, *names: str) -> Pipeline:
        """Give a pipeline without the named stages, which shares the others.

        Raises
        ------
        PipelineError
            If a name is not one of its stages.
        """
        for name in names:
            self[name]
        kept = [stage for name, stage in self._stages.items() if name not in names]
        rest = Pipeline(kept, self.name, self.batch_size)
        rest.card = dict(self.card)
        return rest

    def warm_up(self) -> Pipeline:
        """Load what every stage needs, and give the pipeline back."""
        for stage in self._stages.values():
            stage.warm_up()
        return self

    def __call__(self, record: Record | str, on_error: OnError = "raise") -> Record:
        """Annotate one record or text; a record is filled in and given back.

        Raises
        ------
        StageError
            If a stage fails, unless `on_error` is `"keep"`.
        """
        return next(self.pipe([record], on_error=on_error))

    def pipe(
        self,
        records: Iterable[Record | str],
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        first: int = 0,
    ) -> Iterator[Record]:
        """Annotate records lazily and in order.

        Parameters
        ----------
        records : iterable of Record or str
            Records are filled in and given back; a text becomes a record whose id is its position.
        batch_size : int, optional
            Records that go through the stages together; results do not depend on it.
        on_error : {"raise", "keep"}
            `"keep"` puts a failure into `Record.errors` and goes on.
        first : int
            Place of the first record in a longer list, for texts' ids and for messages.

        Yields
        ------
        Record

        Raises
        ------
        StageError
            If a stage fails and `on_error` is `"raise"`, or if a stage cannot load what it needs.
        RecordError
            If an item is no valid record and `on_error` is `"raise"`.
        """
        if on_error not in ("raise", "keep"):
            raise PipelineError(f"on_error must be 'raise' or 'keep', not {on_error!r}")
        size = self.batch_size if batch_size is None else _check_size(batch_size)
        if isinstance(records, (str, bytes, Mapping, Record)) or not hasattr(records, "__iter__"):
            raise PipelineError("pipe takes an iterable of records or texts: for a single one call the pipeline")
        return self._pipe(iter(records), size, on_error, first)

    def _pipe(self, records: Iterator[Record | str], size: int, on_error: OnError, position: int) -> Iterator[Record]:
        stages, memo = list(self._stages.values()), WindowMemo()
        while taken := list(islice(records, size)):
            yield from annotate(stages, taken, on_error, position, memo)
            position += len(taken)

    def process(
        self,
        source: str | PathLike[str] | Iterable[Record | str | Mapping[str, Any]],
        output: str | PathLike[str],
        *,
        engine: str = "local",
        workers: int | None = None,
        resume: bool = True,
        text: TextMode = "raw",
        text_column: str = "text",
        id_column: str = "id",
        images_column: str = "images",
        on_error: OnError = "keep",
        batch_size: int | None = None,
        part_size: int = 1000,
        format: Literal["parquet", "jsonl"] = "parquet",
        fields: Sequence[str] | None = None,
        gold: bool = True,
        limit: int | None = None,
        progress: bool | Callable[[int, int | None], None] = False,
    ) -> RunReport:
        """Annotate a corpus into a folder, each record exactly once and under its place in the input.

        The folder gets `part-00000.parquet` and so on, `journal.jsonl` and `run.json`; see
        `clinnlp.engines.journal`. Memory does not grow with the number of records.

        Parameters
        ----------
        source : path, "-" or iterable of Record, str or dict
            A CSV, TSV, JSON Lines or Parquet file, a folder of `.txt` files, or standard input.
        output : path
            A folder, or a file that ends with `.parquet` or `.jsonl`.
        engine : {"local", "processes"}
            Where the pipeline runs: in this process, or in several of this machine (`clinnlp.engines.processes`).
        workers : int, optional
            Of "processes"; by default one for each GPU, or else for each core.
        resume : bool
            Whether to go on with a run that was cut off; else the folder's run begins again.
        text : {"raw", "deidentified", "none"}
            `"deidentified"` writes the de-identified text with every span mapped into it, and neither ids, metadata,
            answers nor anything else of the raw record; `"none"` writes offsets and labels without any text.
        text_column, id_column, images_column : str
            See `clinnlp.formats.columns`; all columns that no field knows are in the output's metadata.
        on_error : {"keep", "raise"}
            `"keep"` puts a failure into the record's `errors` and goes on.
        batch_size : int, optional
            Records that go through the stages together, by default that of the pipeline.
        part_size : int
            Records in a part.
        format : {"parquet", "jsonl"}
            Of the parts.
        fields : sequence of str, optional
            What is written beside id and text; by default all but tokens and the pixels of images.
        gold : bool
            Whether annotations that records bring are kept, so that stages do not look for them; else they are left
            out.
        limit : int, optional
            At most so many records are read.
        progress : bool or callable
            Whether a bar is shown on standard error, or what is told the number done and that of all, or None.

        Returns
        -------
        RunReport

        Raises
        ------
        PipelineError
            If a setting cannot be used, or the folder holds another run; or if the process was told to stop (SIGTERM):
            the parts in hand are finished first, and the run goes on when it is given again.
        FormatError
            If the input cannot be read.
        StageError
            If a stage cannot load, or fails on a record and `on_error` is `"raise"`.
        """
        from clinnlp.engines import process
        from clinnlp.engines.local import RunSettings
        from clinnlp.formats.columns import Columns

        columns = Columns(text_column, id_column, images_column)
        size = self.batch_size if batch_size is None else batch_size
        chosen = None if fields is None else tuple(fields)
        settings = RunSettings(text, chosen, on_error, size, part_size, format, columns, gold)
        return process(
            self,
            source,
            output,
            settings,
            engine=engine,
            workers=workers,
            resume=resume,
            limit=limit,
            progress=progress,
        )

    def fit(
        self,
        train: Gold | Mapping[str, Gold],
        dev: Gold | Mapping[str, Gold] | None = None,
        config: FitConfig | None = None,
    ) -> FitReport:
        """Fine-tune the heads that share an encoder together with it, in place.

        Each batch is of one head; `FitConfig.mixing` says how often the records of each are seen. The earlier stages
        that do not learn are run over copies of the records first, so that heads learn from what they will read. With
        `FitConfig(freeze="encoder")` the heads alone are fitted.

        Parameters
        ----------
        train, dev : records or mapping of stage name to records
            As lists of `Record` or a `datasets.Dataset`; of records for all, each head takes those with gold for it
            (entities of its own types; a record that was read with an empty list of entities has none of them).
            On `dev` the best epoch is chosen, by the mean of the heads' primary figures.
        config : FitConfig, optional

        Returns
        -------
        FitReport

        Raises
        ------
        TrainingError
            If no stage has gold, those that have do not share an encoder, or as a single stage's `fit` raises.
        """
        from clinnlp.training.stages import fit_pipeline

        return fit_pipeline(self, train, dev, config)

    def as_map(
        self,
        text_column: str = "text",
        id_column: str = "id",
        images_column: str = "images",
        on_error: OnError = "keep",
    ) -> BatchFunction:
        """Give the pipeline as a function of a batch, for `datasets.map(..., batched=True)`, Ray Data and Spark.

        It takes a dictionary of columns or an Arrow batch and gives it back with one column for each thing found;
        it can be pickled. See `clinnlp.engines.batch_function`.
        """
        from clinnlp.engines.batch_function import BatchFunction
        from clinnlp.formats.columns import Columns

        return BatchFunction(self, Columns(text_column, id_column, images_column), on_error)

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write `pipeline.yaml` and the weights of every stage that has some.

        Parameters
        ----------
        folder : str or Path
            Appears whole or not at all.
        dtype : {"float32", "float16", "bfloat16"}
            How the weights are written.

        Raises
        ------
        PipelineError
            If a stage has no registered name, so that no one could load it again.
        """
        from clinnlp.saving import save_pipeline

        return save_pipeline(self, folder, dtype)


def _check_size(size: int) -> int:
    if not isinstance(size, int) or size < 1:
        raise PipelineError(f"batch_size must be a whole number of at least 1, not {size!r}")
    return size


def _as_stage(given: Any) -> Stage:
    if isinstance(given, Stage):
        if not getattr(given, "name", ""):  # its __init__ did not call that of Stage
            given.name = given.kind or type(given).__name__
        for declared in ("requires", "uses", "assigns"):
            if not isinstance(names := getattr(given, declared), tuple):
                setattr(given, declared, field_names(names))
        return given
    if isinstance(given, type):
        raise PipelineError(f"{given.__name__} is a class: give an object of it, such as {given.__name__}()")
    if callable(given):
        return FunctionStage(given)
    raise PipelineError(f"a stage is a Stage object or a function of one record, not of type {type(given).__name__}")


def _check_order(stages: Sequence[Stage]) -> None:
    for i, stage in enumerate(stages):
        before = {field for earlier in stages[:i] for field in earlier.assigns}
        for field in (*stage.requires, *stage.uses):
            later = next((s for s in stages[i + 1 :] if _is_source(s, field, stage)), None)
            if field not in before and later is not None:
                raise PipelineError(
                    f"stage {stage.name!r} comes before {later.name!r}, which assigns the {field!r} that it reads:"
                    f" put {later.name!r} before {stage.name!r}"
                )


def _is_source(later: Stage, field: str, reader: Stage) -> bool:
    """Tell whether the later stage should have come first: it makes the field, and does not itself wait for it."""
    if field not in later.assigns or field in later.requires:
        return False
    both_add = field in later.uses and field in reader.assigns and field not in reader.requires
    return not both_add
