"""What model cards tell of stages that learn: how they were fitted, and what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from clinnlp.cards import CARD_FILE, Card, base_name, is_foreign, read_card
from clinnlp.encoders.checkpoints import PIPELINE_FILE
from clinnlp.training.bootstrap import bootstrap_interval, score_intervals
from clinnlp.training.config import FitConfig

if TYPE_CHECKING:
    from clinnlp.pipeline import Pipeline
    from clinnlp.record import Record
    from clinnlp.stage import Stage
    from clinnlp.training.fit import FitReport
    from clinnlp.training.scores import Scores

__all__ = ["Fitted", "bootstrap_interval", "pipeline_card", "stage_card", "write_card"]

_TAGS = {"entities": "token-classification", "reports": "text-classification", "images": "image-classification"}
# What says nothing of the model, or is told in a sentence; an output is a path besides.
_UNTOLD = ("epochs", "seed", "output", "resume", "report_to", "progress")


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
    called : mapping of str to str
        Names of the tasks of its fit -> how its card calls them.
    """

    stage: Stage
    entry: Mapping[str, Any]
    report: FitReport
    train_records: int
    dev: list[Record]
    scores: Scores | None = None
    called: Mapping[str, str] = field(default_factory=dict)


def stage_card(stage: Any, folder: Path, dtype: str = "float32") -> str | None:
    """Give the card of a stage that is saved in a folder, or None where the folder has one of a user's own.

    Parameters
    ----------
    stage : Stage
        With `card`, the user's texts, and `fitted`, how it was last fitted.
    folder : Path
    dtype : str
        As which the weights are written.
    """
    return None if is_foreign(folder) else _stage_card(stage, dtype, stage.fitted).text()


def _stage_card(
    stage: Any,
    dtype: str,
    report: FitReport | None,
    scores: Scores | None = None,
    called: Mapping[str, str] | None = None,
) -> Card:
    """Describe a stage; `scores` are figures of its weights as they were written, `called` says how others are."""
    before = _card_before(stage)
    base = base_name(report.base if report is not None else before.base or stage.checkpoint)
    about = [
        f"A stage `{stage.kind}` of clinnlp ({type(stage).__name__}), "
        + (f"on `{base}`." if base else "a network of its own."),
        "",
        f"Labels: {', '.join(map(_listed, getattr(stage, 'labels', ()))) or 'none'}.",
    ]
    if getattr(stage, "bag", None) is not None:
        about += ["", "A bag of words, saved as hashes, votes with its head."]
    measured = _measured(stage, before, report, scores, called or {})
    if dtype != "float32" and scores is None and report is not None and report.scores:
        measured += [f"The weights are saved as {dtype}; the figures are those of float32."]
    return Card(stage.name, about, _texts(stage.card), base, "\n".join(measured), _TAGS.get(stage.kind, ""))


def _card_before(stage: Any) -> Card:
    """Give what was said where the head of a stage was read from, if it was."""
    return Card() if stage.saved_in is None else read_card(stage.saved_in)


def _measured(
    stage: Any, before: Card, report: FitReport | None, scores: Scores | None, called: Mapping[str, str]
) -> list[str]:
    if report is not None:
        task = stage.fitted_as or stage.name
        scores = report.scores.get(task) if scores is None else scores
        return [*_fit_lines(stage, task, report, called), *_figure_lines(stage.name, scores)]
    lines = [f"## How `{stage.name}` was fitted", ""]
    if not stage.weights_changed:
        told = f"Not fitted by clinnlp: its weights are those of `{base_name(stage.checkpoint)}`."
        return [before.measured] if before.measured else [*lines, told]
    if stage.encoder is not None and stage.encoder.changed:
        return [*lines, "Not fitted since its encoder was last trained: no figures hold."]
    return [*lines, "Never fitted: its head is new, and gives labels by chance."]


def pipeline_card(pipeline: Pipeline, folder: Path, dtype: str = "float32") -> str | None:
    """Give the card of a pipeline that is saved in a folder, or None where the folder has one of a user's own.

    Parameters
    ----------
    pipeline : Pipeline
        With `card`, the user's texts; what they do not say is taken from those of its stages.
    folder : Path
    dtype : str
        As which the weights are written.
    """
    if is_foreign(folder):
        return None
    stages = pipeline.stages.values()
    learned: list[Any] = [stage for stage in stages if hasattr(stage, "saved_in") and stage.has_weights]
    cards = {stage.name: _stage_card(stage, dtype, stage.fitted) for stage in learned}
    return _joined(pipeline.name, [(s.name, s.kind) for s in stages], pipeline.card, cards).text()


def _joined(title: str, stages: Sequence[tuple[str, str]], texts: Mapping[str, str], cards: Mapping[str, Card]) -> Card:
    """Make the card of a pipeline from those of its stages."""
    about = ["A pipeline of clinnlp, with these stages:", ""]
    for name, kind in stages:
        on = f" on `{cards[name].base}`" if name in cards and cards[name].base else ""
        about.append(f"- `{name}`" + (f" ({kind})" if kind != name else "") + on)
    measured = [card.measured.strip() for card in cards.values()]
    return Card(title, about, _texts(texts), measured="\n\n".join(measured), said=_said(cards))


def _texts(given: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in given.items()}


def _said(cards: Mapping[str, Card]) -> dict[str, str]:
    """Give what the cards of stages say, each under its heading with the stage's name."""
    said: dict[str, str] = {}
    for stage, card in cards.items():
        for name, text in card.texts.items():
            said[name] = f"{said[name]}\n\n" if name in said else ""
            said[name] += f"`{stage}`: {text.strip()}"
    return said


def write_card(folder: Path, recipe: Mapping[str, Any], fitted: Sequence[Fitted], beside: str | None = None) -> Path:
    """Write the cards of a pipeline that a recipe made, with the figures of its weights as they were saved.

    Parameters
    ----------
    folder : Path
        Of the saved pipeline.
    recipe : mapping
        Its `description` and `card` are the texts of the pipeline's card.
    fitted : sequence of Fitted
    beside : str, optional
        Name of the pipeline whose recipe made this one too.

    Returns
    -------
    Path
        The pipeline's README.md; one of a user's own is left as it is.
    """
    from clinnlp.atomic import replace_file

    document = yaml.safe_load((folder / PIPELINE_FILE).read_text(encoding="utf-8"))
    cards: dict[str, Card] = {}
    for item in fitted:
        card = _stage_card(item.stage, "float32", item.report, item.scores, item.called)
        card.base = base_name(item.entry.get("base", card.base))
        cards[item.stage.name] = card
    texts = _texts(recipe.get("card") or {})
    if recipe.get("description"):
        texts = {"description": str(recipe["description"]).strip(), **texts}
    stages = [(entry["name"], entry["stage"]) for entry in document["stages"]]
    whole = _joined(str(recipe.get("name", folder.name)), stages, texts, cards)
    source = "beside this file" if beside is None else f"of {beside}"
    whole.measured += f"\n\nMade by `clinnlp train train.yaml` with the recipe {source}."
    places = {entry["name"]: folder / entry["weights"] for entry in document["stages"] if entry.get("weights")}
    for place, card in [(folder, whole), *((places[name], card) for name, card in cards.items() if name in places)]:
        if not is_foreign(place):
            with replace_file(place / CARD_FILE) as new:
                new.write_bytes(card.text().encode("utf-8", "replace"))
    return folder / CARD_FILE


def _fit_lines(stage: Any, task: str, report: FitReport, called: Mapping[str, str]) -> list[str]:
    config = report.config
    told = stage.told_of_fit(report) or _told(task, report, called)
    if task in report.temperatures:
        heat = report.temperatures[task]
        told += f" Its logits are divided by the temperature {heat:.3f}, fitted on the development records."
    lines = [f"## How `{stage.name}` was fitted", "", told, ""]
    usual = FitConfig()
    changed = [f.name for f in fields(config) if f.name not in _UNTOLD]
    rows = [(n, getattr(config, n), getattr(usual, n)) for n in changed if getattr(config, n) != getattr(usual, n)]
    if rows:
        lines += ["| setting | value | default |", "| --- | --- | --- |"]
        lines += [f"| {setting} | {_cell(value)} | {_cell(default)} |" for setting, value, default in rows]
        lines.append("")
    return [*lines, *(f"- {note}" for note in report.notes), *([""] if report.notes else [])]


def _told(task: str, report: FitReport, called: Mapping[str, str]) -> str:
    config = report.config
    others = [called.get(other, f"`{other}`") for other in report.records if other != task]
    figure = "the mean of the heads' primary figures" if report.metric == "primary" else report.metric
    chosen = f"the best by {figure} on the development records" if figure and config.select == "best" else "the last"
    epochs = f"{config.epochs} epoch{'s' if config.epochs > 1 else ''}"
    return (
        f"Fitted on {report.records.get(task, 'an unknown number of')} training records"
        + (f", from `{base_name(report.base)}`" if report.base else "")
        + (f", together with {', '.join(others)}." if others else ".")
        + f" It took {report.seconds / 60:.1f} minutes: {epochs} at most, seed {config.seed}; the weights are those of"
        f" epoch {round(report.best_epoch, 2):g}, {chosen}."
    )


def _figure_lines(name: str, scores: Scores | None) -> list[str]:
    lines = [f"## Figures of `{name}`", ""]
    if scores is None:
        return [*lines, "Not measured: it was fitted without development records.", ""]
    counted = scores.judged or scores.counts
    intervals = score_intervals(scores)
    lines += [f"On {len(counted)} development {'items' if scores.judged else 'records'}:" if counted else "", ""]
    lines += ["| figure | value | 95% interval |", "| --- | --- | --- |"]
    for figure, value in scores.items():
        told = "{:.3f} to {:.3f}".format(*intervals[figure]) if figure in intervals else ""
        lines.append(f"| {figure} | {value:.3f} | {told} |")
    lines += ["", "Intervals are of 2,000 bootstrap samples of the documents (Efron, 1979)."]
    lines += ["`ece` is the expected calibration error (Naeini et al., 2015)."] if "ece" in scores else []
    columns = list(dict.fromkeys(column for row in scores.per_label.values() for column in row))
    if columns:
        lines += ["", f"| label | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for label, row in scores.per_label.items():
        cells = [_figure(column, row.get(column)) for column in columns]
        lines.append(f"| {_cell(label)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if name == "support" else f"{value:.3f}"


def _listed(label: str) -> str:
    """Give a label as it may stand in a list with commas."""
    return _cell(f'"{label}"' if "," in label else label)


def _cell(value: Any) -> str:
    """Give a value as it may stand in a table of Markdown, and read there as it is: one line, no mark-up."""
    text = " ".join(str(value).split())
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")
    # An underscore inside a word marks nothing.
    return re.sub(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
