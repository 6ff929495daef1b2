"""A pipeline as a function of a batch of columns, which other engines map over their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinnlp.errors import PipelineError, StageError
from clinnlp.formats.columns import Columns, is_failed, read_row
from clinnlp.record import FIELDS

if TYPE_CHECKING:
    import pyarrow as pa

    from clinnlp.pipeline import OnError, Pipeline

__all__ = ["BatchFunction"]

_BROUGHT = ("images", "metadata", "questions")


class BatchFunction:
    """Annotate a batch of columns: a dictionary of lists, or an Arrow batch or table, which comes back as the same.

    Columns that hold fields of a record are read; to the columns of the batch, which stay as they are, one is added
    for each field that the pipeline fills in and one for errors, as `clinnlp.formats.arrow` writes them: null where
    nobody looked. A batch of `datasets.map` comes back as an Arrow table, because its columns' types must be the same
    in every batch, even in one where nothing is found.

    Pickling it pickles the stages, which leave their weights out and load them again.

    Parameters
    ----------
    pipeline : Pipeline
    columns : Columns
        Names of the columns of texts, ids and images.
    on_error : {"keep", "raise"}
        `"keep"` puts failures into the column `errors`.
    """

    def __init__(self, pipeline: Pipeline, columns: Columns, on_error: OnError = "keep") -> None:
        if on_error not in ("raise", "keep"):
            raise PipelineError(f"on_error must be 'raise' or 'keep', not {on_error!r}")
        self.pipeline, self.columns, self.on_error = pipeline, columns, on_error

    @property
    def fields(self) -> list[str]:
        """The fields that are added as columns, in their order; all, where a stage does not say what it assigns."""
        stages = self.pipeline.stages.values()
        wanted = {"errors", *(name for stage in stages for name in stage.assigns)}
        if any(not stage.assigns for stage in stages):
            wanted.update(name for name in FIELDS if name not in _BROUGHT)
        return [name for name in FIELDS if name in wanted]

    def __call__(self, batch: Any) -> Any:
        """Annotate a batch.

        Raises
        ------
        FormatError
            If the batch has no column of texts.
        PipelineError
            If it is of another kind, or has a column of its own where a field should be added.
        StageError
            If a record fails and `on_error` is `"raise"`.
        """
        if hasattr(batch, "pa_table"):  # how datasets hands out a batch
            return self._arrow(batch.pa_table, dict(batch))
        if isinstance(batch, Mapping):
            found = self._annotate(dict(batch))
            return {**batch, **{name: column.to_pylist() for name, column in found.items()}}
        if hasattr(batch, "schema") and hasattr(batch, "to_pydict"):
            wanted = [name for name in batch.schema.names if name in self._known]
            return self._arrow(batch, batch.select(wanted).to_pydict())
        raise PipelineError(f"a batch is a dictionary of columns or an Arrow batch, not {type(batch).__name__}")

    @property
    def _known(self) -> set[str]:
        return {self.columns.text, self.columns.id, self.columns.images, *FIELDS}

    def _arrow(self, table: pa.Table | pa.RecordBatch, values: Mapping[str, Any]) -> pa.Table | pa.RecordBatch:
        for name, column in self._annotate(values).items():
            if name in table.schema.names:
                table = table.set_column(table.schema.get_field_index(name), name, column)
            else:
                table = table.append_column(name, column)
        return table

    def _annotate(self, values: Mapping[str, Any]) -> dict[str, pa.Array]:
        """Give the columns that are found."""
        from clinnlp.formats.arrow import column

        self.columns.check(list(values), "the batch")
        known = {name: given for name, given in values.items() if name in self._known}
        for name, given in known.items():
            if isinstance(given, (str, bytes, Mapping)) or not hasattr(given, "__len__"):
                raise PipelineError(f"column {name!r} is a single value, not a list: map in batches, with batched=True")
        if len({len(given) for given in known.values()}) > 1:
            raise PipelineError(f"the columns {', '.join(known)} of the batch are not of one length")
        self._check_places(known)
        rows = zip(*known.values(), strict=True)
        records = [read_row(dict(zip(known, row, strict=True)), i, self.columns) for i, row in enumerate(rows)]
        if self.on_error == "raise" and (failed := [record for record in records if is_failed(record)]):
            raise StageError(f"record {failed[0].id!r} cannot be read: {failed[0].errors[0].message}")
        for _ in self.pipeline.pipe(records, on_error=self.on_error):
            pass
        return {name: column(records, name) for name in self.fields}

    def _check_places(self, known: Mapping[str, Sequence[Any]]) -> None:
        for name in self.fields:
            taken = [value for value in known.get(name, ()) if isinstance(value, (str, int, float)) and value == value]
            if any(str(value).lstrip()[:1] not in ("", "[", "{") for value in taken):
                raise PipelineError(f"the batch has a column {name!r} of its own, where what is found goes: rename it")
