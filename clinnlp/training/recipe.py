"""Recipes: a `train.yaml` that makes a pipeline, weights and all, by one command."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from clinnlp.errors import ConfigError
from clinnlp.pipeline import Pipeline
from clinnlp.record import Record
from clinnlp.saving import load
from clinnlp.stage import Stage, resolve
from clinnlp.training.card import Fitted, write_card
from clinnlp.training.config import FitConfig

__all__ = ["RecipeReport", "run"]

_KEYS = {"name", "description", "dtype", "stages", "card"}
_STAGE_KEYS = {"stage", "name", "config", "base", "labels", "train", "dev", "fit"}


@dataclass
class RecipeReport:
    """What a recipe made.

    Parameters
    ----------
    folder : Path
        The saved pipeline.
    fitted : list of Fitted
        For each stage that learned: its report and its development scores.
    seconds : float
        Wall time.
    """

    folder: Path
    fitted: list[Fitted] = field(default_factory=list)
    seconds: float = 0.0


def run(recipe: str | Path, output: str | Path | None = None, seed: int | None = None) -> RecipeReport:
    """Train every stage of a recipe that has training data, and save the pipeline with its card.

    Parameters
    ----------
    recipe : str or Path
        A YAML file with `stages`: each has `stage`, its registered name; one that learns also has `base`,
        `labels` or what else its `from_base` takes, `train` and `dev` (corpus and part), and `fit` (the
        fields of `FitConfig`).
    output : str or Path, optional
        Folder of the pipeline; by default that of the recipe.
    seed : int, optional
        In the place of the recipe's seeds.

    Raises
    ------
    ConfigError
        If the recipe is not valid.
    CorpusError
        If a corpus that it names is not on this machine.
    """
    started = time.monotonic()
    path = Path(recipe)
    source = _read(path)
    document = _parse(source, path)
    stages: list[Stage] = []
    fitted: list[Fitted] = []
    for entry in document["stages"]:
        stage, report = _make(entry, path, stages, seed)
        stages.append(stage)
        fitted += [report] if report is not None else []
    folder = Path(output) if output is not None else path.parent
    pipeline = Pipeline(stages, str(document.get("name", folder.name)))
    pipeline.save(folder, str(document.get("dtype", "float32")))
    saved = load(folder)
    for item in fitted:  # the figures of what is shipped, its weights as they were written
        if item.dev:
            item.scores = cast("Any", saved[item.stage.name]).evaluate(item.dev)
    (folder / "train.yaml").write_bytes(source)
    write_card(folder, document, fitted)
    return RecipeReport(folder, fitted, time.monotonic() - started)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {type(error).__name__}") from None


def _parse(source: bytes, path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(source)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("stages"), list) or not document["stages"]:
        raise ConfigError(f"{path} has no list of stages")
    _known(document, _KEYS, str(path))
    for entry in document["stages"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("stage"), str):
            raise ConfigError(f"{path}: each stage needs `stage`, its registered name")
        _known(entry, _STAGE_KEYS, f"{path}: stage {entry['stage']!r}")
    return document


def _known(given: Mapping[str, Any], names: set[str], where: str) -> None:
    if unknown := sorted(set(given) - names):
        raise ConfigError(f"{where} has the unknown key {unknown[0]!r}: known are {', '.join(sorted(names))}")


def _make(
    entry: Mapping[str, Any], path: Path, before: Sequence[Stage], seed: int | None
) -> tuple[Stage, Fitted | None]:
    kind: Any = resolve(entry["stage"])
    config = dict(entry.get("config") or {})
    if "train" not in entry:
        stage = kind.load(config)
        stage.name = entry.get("name", stage.name)
        return stage, None
    if "base" not in entry or "labels" not in entry:
        raise ConfigError(f"{path}: stage {entry['stage']!r} learns, so it needs base and labels")
    settings = dict(entry.get("fit") or {})
    if seed is not None:
        settings["seed"] = seed
    fit = FitConfig.from_dict({"progress": True, **settings})
    stage = kind.from_base(entry["base"], labels=entry["labels"], **config)
    stage.name = entry.get("name", stage.name)
    train = _gold(entry["train"], before)
    dev = _gold(entry["dev"], before) if "dev" in entry else None
    report = stage.fit(train, dev, fit)
    return stage, Fitted(stage, entry, report, len(train), dev or [])


def _gold(named: Any, before: Sequence[Stage]) -> list[Record]:
    """Load records and run the earlier stages over them, so that training reads what the pipeline will read."""
    from clinnlp import corpora

    records: list[Record] = []
    for item in named if isinstance(named, list) else [named]:
        parts = corpora.load(item["corpus"])
        if item["part"] not in parts:
            raise ConfigError(f"the corpus {item['corpus']!r} has no part {item['part']!r}: it has {', '.join(parts)}")
        records += parts[item["part"]]
    return list(Pipeline(before).pipe(records)) if before else records
