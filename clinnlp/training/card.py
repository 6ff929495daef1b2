"""Model cards: what a pipeline was made of, and what was measured."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinnlp.record import Record
    from clinnlp.stage import Stage
    from clinnlp.training.fit import FitReport
    from clinnlp.training.scores import Scores

__all__ = ["Fitted", "bootstrap_interval", "write_card"]


@dataclass
class Fitted:
    """A stage that learned, and how it was judged.

    Parameters
    ----------
    stage : Stage
    entry : mapping
        Its part of the recipe.
    report : FitReport
    train_records : int
    dev : list of Record
    scores : Scores or None
        Figures on the development records.
    """

    stage: Stage
    entry: Mapping[str, Any]
    report: FitReport
    train_records: int
    dev: list[Record]
    scores: Scores | None = None


def bootstrap_interval(
    counts: Sequence[tuple[int, int, int]], rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Give the 95% interval of F1 by resampling documents (Efron, 1979; percentile method).

    Parameters
    ----------
    counts : sequence of (int, int, int)
        For each document: right, found and gold spans.
    rounds : int
    seed : int

    Returns
    -------
    (float, float)
    """
    generator = random.Random(seed)  # noqa: S311 - statistics, not secrets
    values: list[float] = []
    for _ in range(rounds):
        sample = generator.choices(counts, k=len(counts))
        hits = sum(row[0] for row in sample)
        total = sum(row[1] + row[2] for row in sample)
        values.append(2 * hits / total if total else 0.0)
    values.sort()
    return values[int(0.025 * rounds)], values[int(0.975 * rounds) - 1]


def write_card(folder: Path, recipe: Mapping[str, Any], fitted: Sequence[Fitted]) -> Path:
    """Write `README.md` beside a pipeline: text of the recipe's `card`, then what was measured."""
    card = recipe.get("card") or {}
    lines = [f"# {recipe.get('name', folder.name)}", ""]
    if recipe.get("description"):
        lines += [str(recipe["description"]).strip(), ""]
    for title, text in card.items():
        lines += [f"## {str(title).replace('_', ' ').capitalize()}", "", str(text).strip(), ""]
    for item in fitted:
        lines += _stage_lines(item)
    lines += ["Made by `clinnlp train train.yaml` with the recipe beside this file.", ""]
    path = folder / "README.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _stage_lines(item: Fitted) -> list[str]:
    report = item.report
    chosen = report.metric and report.config.select == "best"
    lines = [
        f"## Stage `{item.stage.name}`: measured",
        "",
        f"Trained on {item.train_records} records from `{item.entry['base']}` in {report.seconds / 60:.0f} minutes;"
        f" seed {report.config.seed}, epoch {report.best_epoch:g} of {report.config.epochs}"
        + (f", chosen by {report.metric} on the development records." if chosen else "."),
        *report.notes,
        "",
    ]
    if item.scores is None:
        return lines
    lines += [
        f"On {len(item.dev)} development records, kept out of training:",
        "",
        "| figure | value |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {value:.3f} |" for name, value in item.scores.items()]
    if item.scores.counts:
        low, high = bootstrap_interval(item.scores.counts)
        lines += [f"| f1, 95% interval over documents | {low:.3f} to {high:.3f} |"]
    columns = list(next(iter(item.scores.per_label.values()), {}))
    lines += ["", f"| label | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for label, row in item.scores.per_label.items():
        cells = [f"{row[name]:.0f}" if name == "support" else f"{row[name]:.3f}" for name in columns]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, ""]
