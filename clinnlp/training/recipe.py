"""Recipes: a `train.yaml` that makes a pipeline, weights and all, by one command."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from transformers import set_seed

from clinnlp.encoders.checkpoints import ENCODER_SETTINGS, base_settings, find_checkpoint
from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.saving import check_dtype
from clinnlp.errors import ClinNLPError, ConfigError
from clinnlp.formats.sources import read_all
from clinnlp.labels import Label
from clinnlp.pipeline import Pipeline
from clinnlp.record import Record
from clinnlp.saving import check_savable, load, save_pipeline
from clinnlp.stage import Stage, resolve
from clinnlp.stages._encoder_stage import EncoderStage
from clinnlp.stages.multimodal import MultimodalClassifier
from clinnlp.stages.vectors import VectorClassifier
from clinnlp.training.card import Fitted, write_card
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport
from clinnlp.training.planting import plant_identifiers
from clinnlp.training.recipe_file import COLUMNS, PLANTED, RELABEL, check_encoder, parse_recipe, read_recipe
from clinnlp.training.resume import gold_checksums, remove_checkpoints
from clinnlp.training.stages import fit_tasks, rules_before

__all__ = ["RecipeReport", "run"]


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


def run(
    recipe: str | Path, output: str | Path | None = None, seed: int | None = None, resume: bool = False
) -> RecipeReport:
    """Train every stage of a recipe that has training data, and save the pipeline with its card.

    Parameters
    ----------
    recipe : str or Path
        A YAML file with `stages`: each has `stage`, its registered name; one that learns also has `labels` or what else
        its `from_base` takes, and `train` and `dev`: a corpus and a part of it, `{corpus: a, part: b}`, records of
        one's own by their place from the recipe's folder, `{file: notes.jsonl}` (see
        `clinnlp.formats.sources.read_all`, whose columns may be named too), or a list of those. To any of them
        `label_set` gives the label set that is the stage's gold, where that has another name than the stage, and
        `names` what labels are called in the stage, `{GENHX: history_of_present_illness}`; `plant_identifiers` is the
        seed of `plant_identifiers`, for the gold of a deidentification stage. One with a `base` of its own is fitted
        alone, as its `fit` says (the fields of `FitConfig`), and so is one that reads no text, which needs no base. The
        others are heads on the recipe's `encoder` (its `base` and its windows), fitted together as the recipe's `fit`
        says; and after them, each alone, those with a `fit` of their own, which leaves the encoder as it is: `method`
        linear or nearest, `freeze: encoder`, or a stage that always does. `from` takes a stage of a pipeline as it is
        there. The encoder is saved whole, or, with `save: update` or `reference`, as what it has beyond that of a
        shipped pipeline, or by the name of that one. Under `beside` stand further pipelines by name, whose heads are
        fitted with them on the same encoder: they are saved beside this one and read its encoder.
    output : str or Path, optional
        Folder of the pipeline; by default that of the recipe.
    seed : int, optional
        In the place of the recipe's seeds.
    resume : bool
        Go on from the checkpoints that a run of the same recipe left beside the folder, where it was cut off.

    Raises
    ------
    ConfigError
        If the recipe is not valid.
    CorpusError
        If a corpus that it names is not on this machine.
    FormatError
        If a file that it names cannot be read.
    """
    started = time.monotonic()
    path = Path(recipe)
    source = read_recipe(path)
    document = parse_recipe(source, path)
    folder = Path(output) if output is not None else path.parent
    encoder = _encoder(document, path)
    plans = [_Plan(str(document.get("name", folder.name)), document)]
    plans += [_Plan(str(name), entry, f"{name}.") for name, entry in (document.get("beside") or {}).items()]
    configs: list[FitConfig] = []
    later: list[tuple[_Learner, FitConfig]] = []
    for plan in plans:
        for entry in plan.document["stages"]:
            made = _make(entry, path, plan, encoder)
            if made is None or made in plan.together:
                continue
            own = _settings(entry.get("fit"), seed, resume, f"{folder}.{plan.name}.{made.fitted.stage.name}")
            if _is_apart(entry):
                configs.append(_fit([made], made.fitted.stage.encoder, own))
            else:
                _check_frozen(own, made.fitted.stage, f"{path}: stage {entry['stage']!r}")
                later.append((made, own))
    check_dtype(str(document.get("dtype", "float32")))
    for plan in plans:  # what is wrong with them is told before the training
        check_savable(Pipeline(plan.stages, plan.name))
    for made, own in later:  # and so is what is wrong with their gold
        _check_task(made, own)
    joint = [made for plan in plans for made in plan.together]
    saved = document.get("encoder") or {}
    how = saved.get("save", "whole")
    if joint and how == "reference":
        raise ConfigError(
            f"{path}: encoder: save: reference leaves it as it is, and {joint[0].fitted.stage.name} would train it:"
            " give that stage a fit with freeze: encoder"
        )
    if joint:
        configs.append(_fit(joint, encoder, _settings(document.get("fit"), seed, resume, str(folder))))
    configs += [_fit([made], encoder, own) for made, own in later]
    dtype = str(document.get("dtype", "float32"))

    def encoder_of(plan: _Plan) -> str | None:
        if plan is plans[0]:
            return None if how == "whole" else saved["base"]
        return folder.resolve().name

    for plan in plans:
        place = folder if plan is plans[0] else folder.resolve().parent / plan.name
        save_pipeline(Pipeline(plan.stages, plan.name), place, dtype, encoder_of(plan), as_update=how == "update")
        written = load(place)
        for item in plan.fitted:  # the figures of what is shipped, its weights as they were written
            if item.dev:
                item.scores = cast("Any", written[item.stage.name]).evaluate(item.dev)
            item.called = {
                learner.task: f"`{learner.fitted.stage.name}`" + ("" if one is plan else f" of `{one.name}`")
                for one in plans
                for learner in one.together
            }
        write_card(
            place, {"name": plan.name, **plan.document}, plan.fitted, None if plan is plans[0] else plans[0].name
        )
    (folder / "train.yaml").write_bytes(source)
    for config in configs:
        remove_checkpoints(config)
    return RecipeReport(folder, [item for plan in plans for item in plan.fitted], time.monotonic() - started)


@dataclass
class _Learner:
    """A stage of a recipe that learns, the records that it learns from, and its name among those it is fitted with."""

    fitted: Fitted
    train: list[Record]
    task: str


@dataclass
class _Plan:
    """A pipeline of a recipe while it is made."""

    name: str
    document: Mapping[str, Any]
    prefix: str = ""
    """What stands before the names of its stages, among those of other pipelines."""
    stages: list[Stage] = field(default_factory=list)
    fitted: list[Fitted] = field(default_factory=list)
    together: list[_Learner] = field(default_factory=list)
    """Those that are fitted together on the recipe's encoder."""


def _fit(learners: Sequence[_Learner], encoder: Any, config: FitConfig) -> FitConfig:
    """Fit heads on one encoder, and give back the configuration."""
    alone = config.method is not None or not all(hasattr(learner.fitted.stage, "fit_task") for learner in learners)
    if alone and len(learners) > 1:
        told = "method" if config.method is not None else learners[0].fitted.stage.kind
        raise ConfigError(f"{told} is for a stage that is fitted alone: give it a base and a fit of its own")
    if alone:
        (learner,) = learners
        stage = cast("Any", learner.fitted.stage)
        settings = replace(config, output=None, resume=False)
        learner.fitted.report = stage.fit(learner.train, learner.fitted.dev or None, settings)
        return config
    set_seed(config.seed)
    tasks = []
    for learner in learners:
        # Where the last weights are kept, only they are scored, as they were written.
        dev = learner.fitted.dev or None if config.select == "best" else None
        task = cast("Any", learner.fitted.stage).fit_task(learner.train, dev, config)
        task.name, task.gold = learner.task, gold_checksums(learner.train, dev)
        tasks.append(task)
    report = fit_tasks(tasks, encoder, config)
    for learner in learners:
        learner.fitted.report = report
    return config


def _encoder(document: Mapping[str, Any], path: Path) -> Any:
    """Make the encoder that stages without a base of their own are on."""
    entry = document.get("encoder")
    if entry is None:
        return None
    check_encoder(entry, document, path)
    settings = {**base_settings(entry["base"]), **{key: entry[key] for key in ENCODER_SETTINGS if key in entry}}
    return TextEncoder(find_checkpoint(entry["base"]), **settings)


def _settings(given: Any, seed: int | None, resume: bool, output: str) -> FitConfig:
    """Read the settings of a fit; its checkpoints go beside `output`."""
    if not isinstance(given or {}, dict):
        raise ConfigError(f"fit is a mapping of the settings of FitConfig, not {type(given).__name__}")
    settings = dict(given or {})
    if taken := sorted({"output", "resume"} & set(settings)):
        raise ConfigError(f"a recipe's fit has no {taken[0]}: give --output or --resume to the command")
    if seed is not None:
        settings["seed"] = seed
    return FitConfig.from_dict({"progress": True, **settings, "output": output, "resume": resume})


def _make(entry: Mapping[str, Any], path: Path, plan: _Plan, encoder: Any) -> _Learner | None:
    """Make a stage of a pipeline; give one that learns with what it learns from."""
    kind: Any = resolve(entry["stage"])
    config = dict(entry.get("config") or {})
    where = f"{path}: stage {entry['stage']!r}"
    if "from" in entry:
        plan.stages.append(_taken(entry, kind, where))
        return None
    if "train" not in entry:
        stage = _made(where, kind.load, config)
        stage.name = entry.get("name", stage.name)
        plan.stages.append(stage)
        return None
    if "base" not in entry and (own := sorted(set(config) & set(ENCODER_SETTINGS))):
        raise ConfigError(f"{where} has no base of its own: give {own[0]} to the recipe's encoder")
    has_encoder = issubclass(kind, EncoderStage)
    base = entry.get("base", encoder if has_encoder else None)
    labels = {"labels": entry["labels"]} if "labels" in entry else {}
    if (base is None and has_encoder) or (not labels and hasattr(kind, "fit_task")):
        raise ConfigError(f"{where} learns, so it needs labels, and a base or the encoder's")
    stage = _made(where, kind.from_base, base, **labels, **config)
    stage.name = entry.get("name", stage.name)
    train = _gold(entry["train"], path.parent, plan.stages, stage)
    dev = _gold(entry["dev"], path.parent, plan.stages, stage) if "dev" in entry else None
    named = {"base": encoder.checkpoint, **entry} if has_encoder and "base" not in entry else entry
    fitted = Fitted(stage, named, FitReport(FitConfig()), len(train), dev or [])
    learner = _Learner(fitted, train, f"{plan.prefix}{stage.name}")
    plan.stages.append(stage)
    plan.fitted.append(fitted)
    if not _is_apart(entry) and "fit" not in entry:
        plan.together.append(learner)
    return learner


def _is_apart(entry: Mapping[str, Any]) -> bool:
    """Tell whether a stage is on no encoder of the recipe's: it has a base of its own, or reads no text."""
    return "base" in entry or not issubclass(resolve(entry["stage"]), EncoderStage)


def _taken(entry: Mapping[str, Any], kind: type[Stage], where: str) -> Stage:
    """Give a stage of a pipeline as it is there."""
    stages = load(entry["from"]).stages
    name = entry.get("name") or next((name for name, stage in stages.items() if type(stage) is kind), "")
    if type(stages.get(name)) is not kind:
        known = ", ".join(f"{name} ({stage.kind})" for name, stage in stages.items())
        raise ConfigError(f"{where}: {entry['from']} has no such stage: it has {known}")
    return stages[name]


def _check_frozen(config: FitConfig, stage: Stage, where: str) -> None:
    if config.method is not None and not isinstance(stage, VectorClassifier):
        raise ConfigError(f"{where} has the method {config.method!r}, which is for a stage of kind 'vectors'")
    leaves = isinstance(stage, MultimodalClassifier) or config.freeze == "encoder"
    if not leaves and config.method not in ("linear", "nearest"):
        raise ConfigError(
            f"{where} has a fit and no base of its own: it is fitted after the others, and must leave their encoder as"
            " it is: with freeze: encoder, or method: linear or nearest; or leave fit out, to be fitted with them"
        )


def _check_task(learner: _Learner, config: FitConfig) -> None:
    """Refuse gold that a stage cannot learn from before the others, whose encoder it is fitted on, are trained."""
    stage = cast("Any", learner.fitted.stage)
    if hasattr(stage, "fit_task"):
        set_seed(config.seed)  # its new head is made here
        stage.fit_task(learner.train, learner.fitted.dev or None, config)


def _made(where: str, make: Callable[..., Any], *given: Any, **config: Any) -> Any:
    """Make a stage; a config that is not one of its own is told in one line."""
    try:
        return make(*given, **config)
    except ClinNLPError:
        raise
    except Exception as error:  # each class has its own settings
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{where}: its config does not fit: {type(error).__name__}: {reason}") from None


def _gold(named: Any, folder: Path, before: Sequence[Stage], stage: Any) -> list[Record]:
    """Load records, and run the earlier stages over them, so that training reads what the pipeline will read."""
    from clinnlp import corpora

    records: list[Record] = []
    for item in named if isinstance(named, list) else [named]:
        if "file" in item:
            columns = {key: item[key] for key in COLUMNS & set(item)}
            if "label_set" in item:  # that of a folder of pictures
                columns["label_set"] = item["label_set"]
            found = read_all(folder / item["file"], **columns)
        else:
            parts = corpora.load(item["corpus"])
            if item["part"] not in parts:
                told = f"the corpus {item['corpus']!r} has no part {item['part']!r}"
                raise ConfigError(f"{told}: it has {', '.join(parts)}")
            found = parts[item["part"]]
        if PLANTED in item:
            found = plant_identifiers(found, item[PLANTED])
        records += [_relabelled(record, item, stage.name) for record in found] if RELABEL & set(item) else found
    rules = rules_before(before, stage)
    return list(Pipeline(rules).pipe(stage.place_gold(record) for record in records)) if rules else records


def _relabelled(record: Record, item: Mapping[str, Any], name: str) -> Record:
    """Give a record with the labels of another set as gold of a stage, under the names that the recipe gives them."""
    wanted, names = item.get("label_set", name), item.get("names") or {}

    def relabelled(sets: Mapping[str, Sequence[Label]]) -> dict[str, list[Label]]:
        made = {key: list(given) for key, given in sets.items() if key != name}
        if wanted in sets:
            named = [replace(label, name=names.get(label.name, label.name)) for label in sets[wanted]]
            made[name] = list({label.name: label for label in named}.values())  # two may have become one
        return made

    made = record.copy(without=["labels"])
    made.labels = relabelled(record.labels)
    for image in made.images:
        image.labels = relabelled(image.labels)
    if any(sentence.labels for sentence in record.sentences):
        made.sentences = [replace(sentence, labels=relabelled(sentence.labels)) for sentence in record.sentences]
    made.bind(["labels", "images", "sentences"])
    return made
