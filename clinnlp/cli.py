"""The command line: `clinnlp process | evaluate | train | corpora | info`.

Each command prints tables for people, or with `--json` one JSON object, on standard output. A failure is one plain
line on standard error, and an exit status that is not zero. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinnlp.errors import ClinNLPError, ConfigError, PipelineError

if TYPE_CHECKING:
    from clinnlp.engines.local import RunSettings
    from clinnlp.pipeline import Pipeline
    from clinnlp.record import Record
    from clinnlp.training.scores import Scores

__all__ = ["app", "main"]

app = typer.Typer(
    name="clinnlp",
    help="Clinical language and images in one pipeline, with exact offsets into the raw text.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Text = str | None
Number = int | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; end the process with its status."""
    sys.exit(_status(None if arguments is None else list(arguments)))


def _status(arguments: list[str] | None) -> int:
    """Run the command line and give its exit status, telling a failure in one line."""
    try:
        returned = app(args=arguments, standalone_mode=False)
        return returned if isinstance(returned, int) else 0
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:  # whoever read standard output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ClinNLPError as error:
        return _fail(" ".join(str(error).split()), 1)
    except Exception as error:
        if hasattr(error, "format_message"):  # wrong options and arguments
            return _fail(" ".join(str(error.format_message()).split()), 2)
        reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        return _fail(f"unexpected {type(error).__name__}{reason}{_place(error)}", 1)


def _fail(message: str, status: int) -> int:
    typer.echo(f"clinnlp: {message}", err=True)
    return status


def _place(error: Exception) -> str:
    """Say where an unexpected error came from, without its message, which may quote a note."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


@app.callback(invoke_without_command=True)
def _begin(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def process(
    input: Annotated[
        str, typer.Argument(help="CSV, TSV, JSON Lines or Parquet file, folder of .txt or of pictures, or - for stdin.")
    ],
    output: Annotated[str, typer.Argument(help="Folder, FILE.parquet, FILE.jsonl, or - for JSON Lines on stdout.")],
    pipeline: Annotated[str, typer.Option(help="Shipped name, folder, or Hub id.")] = "clinical-en",
    text_column: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    id_column: Annotated[str, typer.Option(help="Column of the ids.")] = "id",
    images_column: Annotated[str, typer.Option(help="Column of the images.")] = "images",
    format: Annotated[str, typer.Option(help="Format of a folder's parts: parquet or jsonl.")] = "parquet",
    text: Annotated[str, typer.Option(help="Text in the output: raw, deidentified or none.")] = "raw",
    fields: Annotated[Text, typer.Option(help="What is written, such as entities,sections; by default all.")] = None,
    on_error: Annotated[str, typer.Option(help="keep a failing record with its error, or raise.")] = "keep",
    engine: Annotated[str, typer.Option(help="Where it runs: local, or in several processes.")] = "local",
    workers: Annotated[Number, typer.Option(help="Number of processes; by default one a GPU, or a core.")] = None,
    batch_size: Annotated[Number, typer.Option(help="Records that go through the stages together.")] = None,
    part_size: Annotated[int, typer.Option(help="Records in a part of a folder.")] = 1000,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was cut off, or begin again.")] = True,
    gold: Annotated[bool, typer.Option(help="Keep the annotations that the input brings, or find them anew.")] = True,
    limit: Annotated[Number, typer.Option(help="At most so many records.")] = None,
    html: Annotated[Text, typer.Option(help="Write a page of one note with its entities highlighted.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json: Json = False,
) -> None:
    """Annotate a corpus."""
    import clinnlp
    from clinnlp._shown import print_json, show_run
    from clinnlp.engines import process as run
    from clinnlp.engines.local import RunSettings
    from clinnlp.formats.columns import Columns

    if json and output == "-":
        raise ConfigError("--json and the output - both print on standard output: leave one out")
    if html is not None and text == "none":
        raise ConfigError("--html shows a note, and --text none leaves its text out: leave one out")
    nlp = clinnlp.load(pipeline)
    settings = RunSettings(
        text,  # type: ignore[arg-type]
        None if fields is None else tuple(name.strip() for name in fields.split(",") if name.strip()),
        on_error,  # type: ignore[arg-type]
        nlp.batch_size if batch_size is None else batch_size,
        part_size,
        format,  # type: ignore[arg-type]
        Columns(text_column, id_column, images_column),
        gold,
    )
    example = _Example()
    target = sys.stdout.buffer if output == "-" else output
    report = run(
        nlp,
        input,
        target,
        settings,
        engine=engine,
        workers=workers,
        resume=resume,
        limit=limit,
        progress=not quiet,
        watch=example.look,
    )
    if html is not None:
        example.write(html, nlp, input, settings)
    if json:
        print_json({"output": output, "html": html, **report.to_dict()})
    else:
        show_run(report, output, html)


class _Example:
    """The first note with entities, or else the first of all, to be shown."""

    def __init__(self) -> None:
        self.record: Record | None = None

    def look(self, record: Record) -> None:
        if self.record is None or (record.entities and not self.record.entities):
            self.record = record

    def write(self, path: str, nlp: Pipeline, source: str, settings: RunSettings) -> None:
        from clinnlp.engines.release import deidentified, without_annotations
        from clinnlp.formats import html
        from clinnlp.formats.sources import open_source
        from clinnlp.stages import MultimodalClassifier

        if self.record is None and source != "-":  # all parts were finished before
            columns = settings.columns
            first = open_source(source, columns.text, columns.id, columns.images, limit=1)
            given = first if settings.gold else map(without_annotations, first)
            for record in nlp.pipe(given, on_error="keep"):
                self.look(record)
        if self.record is None:
            raise PipelineError("there is no note to write a page of: the input is empty, or cannot be read again")
        if settings.text == "deidentified":
            html.write(deidentified(self.record), path)
        else:
            failed = {failure.stage for failure in self.record.errors}  # its labels may be gold that the input brought
            fusions = [one for one in nlp.stages.values() if isinstance(one, MultimodalClassifier)]
            read = [one for one in fusions if one.name not in failed and self.record.labels.get(one.name)]
            html.write(self.record, path, explanations=[why for one in read for why in one.explain(self.record)])


@app.command()
def evaluate(
    pipeline: Annotated[str, typer.Argument(help="Shipped name, folder, or Hub id.")],
    corpus: Annotated[str, typer.Argument(help="Name of a corpus, or a file of records with gold.")],
    part: Annotated[str, typer.Option(help="Part of the corpus.")] = "devel",
    stage: Annotated[str, typer.Option(help="Stage that is judged.")] = "entities",
    limit: Annotated[Number, typer.Option(help="At most so many records.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Compare a text classifier with a bag of words.")
    ] = False,
    baseline_part: Annotated[
        str, typer.Option(help="Part of the corpus, or file of records, that the bag of words learns from.")
    ] = "train",
    allow_shared: Annotated[
        bool, typer.Option("--allow-shared", help="Go on where a text is judged that the bag of words learns from.")
    ] = False,
    plots: Annotated[Text, typer.Option(help="Folder for confusion.png and reliability.png of a classifier.")] = None,
    json: Json = False,
) -> None:
    """Compare what a stage finds with the gold of a corpus."""
    import time

    import clinnlp
    from clinnlp._shown import print_json, show_scores

    started = time.monotonic()
    nlp = clinnlp.load(pipeline)
    judged: Any = nlp[stage]
    if not hasattr(judged, "evaluate"):
        raise PipelineError(f"stage {stage!r} of {nlp.name} cannot be evaluated: it does not learn")
    if baseline:
        from clinnlp.training.comparison import check_comparable

        check_comparable(judged)
    if plots is not None:
        from clinnlp.training.plots import check_drawable

        check_drawable(judged)
    records = _gold(corpus, part, limit)
    learned = _baseline_gold(corpus, baseline_part) if baseline else []
    names = list(nlp.stages)
    before = nlp.without(*names[names.index(stage) :])
    if len(before):
        place = getattr(judged, "place_gold", lambda record: record)  # a stage of a user's own may have none
        records, learned = (list(before.pipe(map(place, some))) for some in (records, learned))
    found = {"pipeline": pipeline, "corpus": corpus, "part": part, "stage": stage, "records": len(records)}
    if baseline:
        from clinnlp.training.comparison import compare

        compared = compare(judged, learned, records, allow_shared=allow_shared)
        scores, systems = compared.stage, {stage: compared.stage, "bag of words": compared.baseline}
        found |= {"baseline_part": baseline_part, "comparison": compared.to_dict()}
    else:
        scores = judged.evaluate(records)
        systems = {stage: scores}
    found |= {"scores": dict(scores), "per_label": dict(scores.per_label)}
    if scores.judged:
        found |= {"labels": list(scores.labels), "confusion": scores.confusion.tolist()}
    if plots is not None:
        found["plots"] = _draw(systems, Path(plots))
    found["seconds"] = time.monotonic() - started
    if json:
        print_json(found)
    else:
        show_scores(found)


def _draw(systems: dict[str, Scores], folder: Path) -> list[str]:
    """Draw how classifiers judge, and give the paths of the pictures."""
    from clinnlp.training.plots import write_confusion, write_reliability

    return [
        str(write_confusion(systems, folder / "confusion.png")),
        str(write_reliability(systems, folder / "reliability.png")),
    ]


def _baseline_gold(corpus: str, part: str) -> list[Record]:
    """Read the records from which a baseline learns: another part of the corpus, or a file."""
    from clinnlp import corpora

    if Path(part).is_file():
        return _gold(part, "", None)
    if corpus not in corpora.names() and Path(corpus).exists():
        raise ConfigError(f"{corpus} is a file, without parts: name with --baseline-part the file of training records")
    return _gold(corpus, part, None)


def _gold(corpus: str, part: str, limit: int | None) -> list[Record]:
    """Read records with gold from a corpus of the catalogue or from a file."""
    from clinnlp import corpora

    if corpus in corpora.names() or not Path(corpus).exists():
        return corpora.load(corpus, part)[part][:limit]
    from clinnlp.formats.sources import read_all

    return read_all(corpus, limit)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A train.yaml.")],
    output: Annotated[Text, typer.Option(help="Folder of the pipeline; by default that of the recipe.")] = None,
    seed: Annotated[Number, typer.Option(help="In the place of the recipe's seeds.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where a run of the same recipe was cut off.")] = False,
    json: Json = False,
) -> None:
    """Train the stages of a recipe and save the pipeline with its card."""
    from clinnlp._shown import print_json, show_training

    if not Path(recipe).is_file():
        raise ConfigError(f"no recipe {recipe!r}: give the path of a train.yaml")
    from clinnlp.training.recipe import run

    report = run(recipe, output, seed, resume)
    stages = [
        {
            "stage": item.stage.name,
            "train_records": item.train_records,
            "dev_records": len(item.dev),
            "best_epoch": item.report.best_epoch,
            "seconds": item.report.seconds,
            "scores": {} if item.scores is None else dict(item.scores),
        }
        for item in report.fitted
    ]
    made = {"folder": str(report.folder), "seconds": report.seconds, "stages": stages}
    if json:
        print_json(made)
    else:
        show_training(made)


@app.command()
def corpora(
    name: Annotated[Text, typer.Argument(help="Name of one corpus, to be told all about it.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Put the corpus on this machine if it is not.")] = False,
    json: Json = False,
) -> None:
    """List the corpora of the catalogue, or tell about one."""
    from dataclasses import asdict

    from clinnlp import corpora as catalogue
    from clinnlp._shown import print_json, show_corpora, show_corpus

    if name is None:
        if download:
            raise ConfigError("--download needs the name of a corpus")
        listed = [{**asdict(catalogue.info(one)), "here": _is_here(catalogue.folder, one)} for one in catalogue.names()]
        if json:
            print_json({"corpora": listed})
        else:
            show_corpora(listed)
        return
    told: dict[str, Any] = asdict(catalogue.info(name))
    if download:
        told["records"] = {part: len(records) for part, records in catalogue.load(name).items()}
    told["here"] = _is_here(catalogue.folder, name)
    if json:
        print_json(told)
    else:
        show_corpus(told)


def _is_here(folder: Callable[[str], Path | None], name: str) -> bool:
    return folder(name) is not None


@app.command()
def info(
    pipeline: Annotated[Text, typer.Argument(help="Shipped name, folder, or Hub id.")] = None,
    json: Json = False,
) -> None:
    """Tell versions and shipped pipelines, or the stages of a pipeline."""
    from clinnlp._shown import installed, print_json, show_info, show_pipeline

    if pipeline is None:
        told = installed()
        if json:
            print_json(told)
        else:
            show_info(told)
        return
    import clinnlp

    nlp = clinnlp.load(pipeline)
    stages = [
        {
            "name": name,
            "stage": stage.kind,
            "class": f"{type(stage).__module__}.{type(stage).__qualname__}",
            "requires": list(stage.requires),
            "uses": list(stage.uses),
            "assigns": list(stage.assigns),
            "config": stage.config(),
        }
        for name, stage in nlp.stages.items()
    ]
    made = {"name": nlp.name, "batch_size": nlp.batch_size, "stages": stages}
    if json:
        print_json(made)
    else:
        show_pipeline(made)


if __name__ == "__main__":
    main()
