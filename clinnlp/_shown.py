"""What the command line prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from clinnlp.engines.report import RunReport

__all__ = [
    "installed",
    "print_json",
    "show_corpora",
    "show_corpus",
    "show_info",
    "show_pipeline",
    "show_run",
    "show_scores",
    "show_training",
]

PACKAGES = ("torch", "transformers", "datasets", "spacy", "pyarrow", "numpy", "monai", "pydicom")
_MOST = 12


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def show_run(report: RunReport, output: str, html: str | None) -> None:
    """Show what a run found, on standard error if its records are on standard output."""
    console = Console(stderr=output == "-", highlight=False)
    rate = report.records / report.seconds if report.seconds else 0.0
    console.print(
        f"{report.records:,} notes, {report.characters:,} characters in {report.seconds:,.1f} s ({rate:,.1f}/s)",
        markup=False,
    )
    table = Table("Found", "Name", "Number", title=None)
    table.columns[2].justify = "right"
    counts = report.to_dict()
    _count_rows(table, "entities", counts["entities"])
    _count_rows(table, "sections", {name or "(before the first heading)": n for name, n in counts["sections"].items()})
    _count_rows(table, "labels", counts["labels"])
    _count_rows(table, "failures", counts["failures"])
    if table.row_count:
        console.print(table)
    console.print(f"{report.errors:,} notes with errors, {report.duplicate_ids:,} duplicate ids", markup=False)
    parts = f" in {report.parts} parts, {report.resumed} of an earlier run" if report.resumed else ""
    if output != "-":
        console.print(f"Written to {output}{parts}", markup=False, soft_wrap=True)
    if html is not None:
        console.print(f"One note as a page: {html}", markup=False, soft_wrap=True)


def _count_rows(table: Table, kind: str, counts: Mapping[str, int]) -> None:
    items = list(counts.items())
    for i, (name, number) in enumerate(items[:_MOST]):
        table.add_row(kind if i == 0 else "", _plain(name), f"{number:,}")
    if rest := items[_MOST:]:
        table.add_row("", f"{len(rest)} others", f"{sum(number for _, number in rest):,}")


def show_scores(found: Mapping[str, Any]) -> None:
    """Show the scores of a stage, whole and by label."""
    console = Console(highlight=False)
    where = f"{found['stage']} of {found['pipeline']} on {found['corpus']}"
    console.print(f"{where}: {found['records']:,} records in {found['seconds']:,.1f} s", markup=False, soft_wrap=True)
    console.print(_compared(found) if "comparison" in found else _figures(found["scores"]))
    if found["per_label"]:
        names = list(dict.fromkeys(name for figures in found["per_label"].values() for name in figures))
        by_label = _table("Label", *names)
        for label, figures in found["per_label"].items():
            cells = [f"{figures[name]:.0f}" if name == "support" else _number(figures.get(name)) for name in names]
            by_label.add_row(_plain(label), *cells)
        console.print(by_label)
    if "comparison" in found:
        _show_verdict(console, found["comparison"], found["baseline_part"])
    if "plots" in found:
        console.print(f"Pictures: {', '.join(found['plots'])}", markup=False, soft_wrap=True)


def _figures(scores: Mapping[str, float]) -> Table:
    table = _table("Figure", "Value")
    for name, value in scores.items():
        table.add_row(name, _number(value))
    return table


def _compared(found: Mapping[str, Any]) -> Table:
    """Put the figures of a stage and of the bag of words side by side, with their intervals."""
    ours, other = found["comparison"]["intervals"], found["comparison"]["baseline"]
    table = _table("Figure", "Stage", "95% interval", "Bag of words", "95% interval")
    for name, value in found["scores"].items():
        cells = [_number(value), _interval(ours.get(name))]
        table.add_row(name, *cells, _number(other["scores"][name]), _interval(other["intervals"].get(name)))
    return table


def _interval(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f"{pair[0]:.3f} to {pair[1]:.3f}"


def _show_verdict(console: Console, compared: Mapping[str, Any], part: str) -> None:
    bag = compared["baseline"]
    console.print(
        f"Bag of words: TF-IDF of {' and '.join(bag['features'])}, logistic regression with C={bag['strength']:g},"
        f" learned from {bag['train_records']:,} records of {part}",
        markup=False,
        soft_wrap=True,
    )
    for note in compared["notes"]:
        console.print(_plain(f"Note: {note}."), soft_wrap=True)
    verdict = compared["verdict"]
    console.print(_plain(f"{verdict[:1].upper()}{verdict[1:]}."), soft_wrap=True)


def show_training(made: Mapping[str, Any]) -> None:
    """Show what was trained, and how well."""
    console = Console(highlight=False)
    table = _table("Stage", "Training records", "Best epoch", "Seconds", "Development scores")
    for one in made["stages"]:
        scores = ", ".join(f"{name} {_number(value)}" for name, value in one["scores"].items())
        table.add_row(
            one["stage"], str(one["train_records"]), f"{one['best_epoch']:g}", f"{one['seconds']:.0f}", scores
        )
    console.print(table)
    console.print(f"Saved in {made['folder']} after {made['seconds']:,.0f} s", markup=False, soft_wrap=True)


def show_corpora(listed: Sequence[Mapping[str, Any]]) -> None:
    """Show the catalogue."""
    table = Table("Name", "What it is", "Parts", "Weights may be learned", "Here")
    for one in listed:
        may, here = ("yes" if one[name] else "no" for name in ("may_be_learned", "here"))
        table.add_row(one["name"], _plain(one["title"]), ", ".join(one["parts"]), may, here)
    Console(highlight=False).print(table)


def show_corpus(told: Mapping[str, Any]) -> None:
    """Show all that is known of a corpus."""
    table = Table(show_header=False)
    for name, value in told.items():
        if name != "files" and value not in ("", [], {}):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(name.replace("_", " "), _plain(shown))
    Console(highlight=False).print(table)


def installed() -> dict[str, Any]:
    """Tell versions and the shipped pipelines."""
    import clinnlp
    from clinnlp.shipped import shipped_names
    from clinnlp.stage import stage_names

    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "clinnlp": clinnlp.__version__,
        "python": platform.python_version(),
        "packages": packages,
        "pipelines": shipped_names(),
        "stages": stage_names(),
    }


def show_info(told: Mapping[str, Any]) -> None:
    """Show versions and shipped pipelines."""
    table = Table(show_header=False)
    table.add_row("clinnlp", told["clinnlp"])
    table.add_row("python", told["python"])
    for name, found in told["packages"].items():
        table.add_row(name, found or "not installed")
    table.add_row("pipelines", ", ".join(told["pipelines"]) or "none")
    table.add_row("stages", ", ".join(told["stages"]))
    Console(highlight=False).print(table)


def show_pipeline(made: Mapping[str, Any]) -> None:
    """Show the stages of a pipeline."""
    table = Table("Name", "Stage", "Reads", "Fills in", "Settings", title=_plain(made["name"]))
    for one in made["stages"]:
        reads = ", ".join([*one["requires"], *one["uses"]])
        settings = ", ".join(f"{name}={value}" for name, value in one["config"].items())
        table.add_row(one["name"], one["stage"], reads, ", ".join(one["assigns"]), _plain(settings))
    Console(highlight=False).print(table)


def _table(*names: str) -> Table:
    table = Table(names[0])
    for name in names[1:]:
        table.add_column(name, justify="right")
    return table


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _plain(text: str) -> Text:
    """Give a text in one line, without a meaning to rich or to the terminal."""
    shown = " ".join(text.split())
    return Text("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown))
