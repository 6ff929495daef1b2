"""Fine-tuning of one stage, and of all that learn in a pipeline together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from transformers import set_seed

from clinnlp.encoders.crf import TRANSITIONS
from clinnlp.errors import ConfigError, MissingPackageError, TrainingError
from clinnlp.pipeline import Pipeline
from clinnlp.record import Record
from clinnlp.saving import check_savable
from clinnlp.training.calibration import fit_temperature
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, Gold, fit_heads, read_gold
from clinnlp.training.resume import gold_checksums, remove_checkpoints
from clinnlp.training.task import HeadTask

if TYPE_CHECKING:
    from clinnlp.stage import Stage

__all__ = ["check_teachers", "finish", "fit_pipeline", "fit_stage", "fit_tasks", "rules_before", "save_fitted"]


def fit_stage(
    stage: Any,
    train: Gold,
    dev: Gold | None = None,
    config: FitConfig | None = None,
    teacher: Stage | Sequence[Stage] | None = None,
) -> FitReport:
    """Fine-tune one stage in place; see the `fit` of each.

    Where other stages share its encoder it gets a copy of its own, unless the encoder is frozen.

    Parameters
    ----------
    stage : Stage
        With a `fit_task` that makes its `HeadTask`.
    train, dev : sequence of Record or datasets.Dataset
    config : FitConfig, optional
        By default the stage's own.
    teacher : Stage or sequence of Stage, optional
        Stages of the same kind and labels, whose probabilities are learned beside the gold: see `FitConfig.distill`.

    Raises
    ------
    TrainingError
        If the gold does not fit the stage, or as `clinnlp.training.fit.fit_heads` raises.
    """
    config = config or stage.default_fit_config()
    _refuse_method(config)
    records, development = read_gold(train), None if dev is None else read_gold(dev)
    if development == []:
        raise TrainingError(f"stage {stage.name!r}: the development records are none: give some, or no dev at all")
    set_seed(config.seed)
    notes: list[str] = []
    task: HeadTask = stage.fit_task(records, development, config)
    task.teachers = check_teachers(stage, teacher)
    if config.output is not None:
        task.gold = gold_checksums(records, development)
    if config.freeze is None and stage.encoder is not None and len(stage.encoder.users) > 1:
        stage.encoder = stage.encoder.copy()
        notes.append("the encoder was shared: this stage has a copy of its own now, and the others the one from before")
    report = fit_tasks([task], stage.encoder, config)
    report.notes = notes + report.notes
    save_fitted(report, config, stage.save)
    return report


def fit_pipeline(
    pipeline: Pipeline,
    train: Gold | Mapping[str, Gold],
    dev: Gold | Mapping[str, Gold] | None = None,
    config: FitConfig | None = None,
) -> FitReport:
    """Fine-tune the heads of a pipeline that share an encoder, together; see `Pipeline.fit`."""
    config = config or FitConfig()
    _refuse_method(config)
    learning: list[Any] = [
        stage for stage in pipeline.stages.values() if stage.encoder is not None and hasattr(stage, "fit_task")
    ]
    given = _by_stage(learning, train, "train")
    judged = _by_stage(learning, dev, "dev") if dev is not None else {}
    stages = [stage for stage in learning if given.get(stage.name)]
    _check_joint(pipeline, stages)
    encoder = stages[0].encoder
    if config.output is not None:
        check_savable(pipeline)
    set_seed(config.seed)
    unjudged = [stage.name for stage in stages if dev is not None and not judged.get(stage.name)]
    if len(unjudged) == len(stages):
        raise TrainingError("no development record has gold for what is fitted: give some that have, or no dev at all")
    notes = [f"{name} was not judged: no development record has gold for it" for name in unjudged]
    if config.freeze is None and (frozen := [user for user in encoder.users if getattr(user, "frozen", False)]):
        own = encoder.copy()
        for user in frozen:
            user.encoder = own
        notes.append("an ensemble was on the encoder: it has a copy of its own now, the one from before")
    idle = sorted((stage for stage in encoder.users if stage not in stages), key=lambda stage: str(stage.name))
    if idle and config.freeze is None:
        named = ", ".join(stage.name for stage in idle)
        notes.append(f"nothing was given for {named}: their heads are on an encoder that has changed")
    tasks: list[HeadTask] = []
    for stage in stages:
        before = rules_before(pipeline.stages.values(), stage)
        records, development = (_prepared(some, before, stage) for some in (given[stage.name], judged.get(stage.name)))
        tasks.append(stage.fit_task(records or [], development or None, config))
        if config.output is not None:
            tasks[-1].gold = gold_checksums(records or [], development)
    report = fit_tasks(tasks, encoder, config)
    report.notes = notes + report.notes
    save_fitted(report, config, pipeline.save)
    return report


def _refuse_method(config: FitConfig) -> None:
    if config.method is not None:
        raise ConfigError(f"FitConfig: method={config.method!r} is for a VectorClassifier that is fitted alone")


def _by_stage(stages: Sequence[Any], gold: Any, what: str) -> dict[str, list[Record]]:
    """Give the gold of each stage: that which is given for it, or what of all records has some for it."""
    names = [stage.name for stage in stages]
    if isinstance(gold, Mapping):
        if unknown := sorted(set(gold) - set(names)):
            raise TrainingError(f"{what} is given for {unknown[0]!r}: the stages that learn are {', '.join(names)}")
        return {name: read_gold(records) for name, records in gold.items()}
    records = read_gold(gold)
    return {s.name: [_own(s, r) for r in records if s.has_gold(r)] for s in stages}


def _own(stage: Any, record: Record) -> Record:
    """Give a record without gold that is for other stages, where a stage can tell."""
    made: Record = stage.own_gold(record) if hasattr(stage, "own_gold") else record
    return made


def _check_joint(pipeline: Pipeline, stages: Sequence[Stage]) -> None:
    if not stages:
        alone = [name for name, one in pipeline.stages.items() if one.encoder is None and hasattr(one, "fit_task")]
        told = f"; {alone[0]!r} is on none, and is fitted by itself: nlp[{alone[0]!r}].fit" if alone else ""
        raise TrainingError(
            f"no stage of {pipeline.name} on a text encoder has gold: give records with entities or labels{told}"
        )
    apart = [stage.name for stage in stages if stage.encoder is not stages[0].encoder]
    if apart:
        raise TrainingError(
            f"{stages[0].name!r} and {apart[0]!r} do not share an encoder: make both from the same base with the same"
            " windows, or fit each alone"
        )


def rules_before(stages: Iterable[Stage], stage: Stage) -> list[Stage]:
    """Give the earlier stages whose work a stage reads in training: not those that learn, nor what needs theirs."""
    found: list[Stage] = []
    absent: set[str] = set()
    for one in stages:
        if one is stage:
            break
        if one.encoder is not None or hasattr(one, "fit") or absent.intersection(one.requires):
            absent.update(one.assigns)
        else:
            found.append(one)
            absent.difference_update(one.assigns)
    return found


def _prepared(records: Sequence[Record] | None, before: Sequence[Stage], stage: Any) -> list[Record] | None:
    """Run the earlier stages over copies of the records, so that training reads what the pipeline will read."""
    if records is None or not before:
        return None if records is None else list(records)
    return list(Pipeline(before).pipe(stage.place_gold(record).copy() for record in records))


def check_teachers(stage: Any, teacher: Any) -> list[Any]:
    """Give the teachers of a stage, of an ensemble each of its members.

    Raises
    ------
    TrainingError
        If one is not of its kind, labels and vocabulary.
    """
    given = [] if teacher is None else list(teacher) if isinstance(teacher, Sequence) else [teacher]
    teachers = [one for each in given for one in (each, *getattr(each, "members", ()))]
    for one in teachers:
        # What must agree in an ensemble but the windows: those are cut for the student.
        same = type(one) is type(stage) and list(one.labels) == list(stage.labels)
        if not same or _outputs(one) != _outputs(stage):
            raise TrainingError(
                f"stage {stage.name!r}: a teacher must be of its kind and have its labels in its order:"
                f" {', '.join(stage.labels)}"
            )
        if one.encoder is not None and one.windows.tokenizer.get_vocab() != stage.windows.tokenizer.get_vocab():
            raise TrainingError(f"stage {stage.name!r}: a teacher must have its vocabulary, to read the same pieces")
        one.warm_up()
    return teachers


def _outputs(stage: Any) -> dict[str, Any]:
    return {name: value for name, value in stage.alike().items() if name not in ("windows", "vocabulary")}


def fit_tasks(tasks: Sequence[HeadTask], encoder: Any, config: FitConfig) -> FitReport:
    """Train heads together, then calibrate and judge them with the weights that were kept; see `fit_heads`."""
    report = fit_heads(tasks, encoder, config)
    finish(tasks, report, config)
    return report


def finish(tasks: Sequence[HeadTask], report: FitReport, config: FitConfig) -> None:
    """Calibrate, tune and judge heads that were fitted, and tell their stages."""
    if not any(task.evaluate for task in tasks):
        idle = [name for name in ("patience", "calibrate", "tune_thresholds") if getattr(config, name)]
        report.notes += [f"{name} did nothing: it needs development records" for name in idle]
    elif config.tune_thresholds and not any(task.tune for task in tasks):
        report.notes.append("tune_thresholds did nothing: it is for heads that give several labels")
    for task in tasks:
        if config.calibrate and task.logits is not None:
            logits, targets, multi_label = task.logits()
            temperature = fit_temperature(logits, targets, multi_label=multi_label)
            _cool(task.head, temperature)
            if (bag := getattr(task.stage, "bag", None)) is not None:  # its logits are averaged with the head's
                task.stage.bag = bag.divided(temperature)
            report.temperatures[task.name] = temperature
        if config.tune_thresholds and task.tune is not None:
            task.tune()
            report.notes.append(
                f"{task.name}: thresholds were chosen on the development records: their figures flatter"
            )
        elif getattr(task.stage, "decided", False):
            report.notes.append(f"{task.name}: thresholds and abstention are those of before this fit: tune them again")
        if task.evaluate is not None:
            report.scores[task.name] = task.evaluate()
        encoder = task.stage.encoder
        report.base = str(encoder.checkpoint if encoder is not None else task.stage.checkpoint or "")
        task.stage.fitted, task.stage.fitted_as = report, task.name
    if report.scores:
        single = next(iter(report.scores.values())).primary
        report.metric = single if len(tasks) == 1 else "primary"


def _cool(head: Any, temperature: float) -> None:
    """Divide a head's logits by a temperature, in the weights of its last layer, and with them its transitions."""
    import torch

    linear = [module for module in head.modules() if isinstance(module, torch.nn.Linear)]
    last = [layer for layer in linear if layer.out_features == head.config.num_labels]
    if hasattr(head, "last_layer"):
        last = [head.last_layer()]
    if not last:
        raise TrainingError(f"{type(head).__name__} has no linear layer of labels: fit it without calibrate")
    with torch.no_grad():
        for parameter in last[-1].parameters():
            parameter.div_(temperature)
        if (transitions := getattr(head, TRANSITIONS, None)) is not None:
            transitions.div_(temperature)


def save_fitted(report: FitReport, config: FitConfig, save: Callable[[Path], Any]) -> None:
    """Save what was fitted, once where several processes fitted it; then nobody goes on from the checkpoints."""
    if config.output is None:
        return
    report.folder = Path(config.output)
    if PartialState().is_main_process:
        save(report.folder)
        remove_checkpoints(config)
        if report.history:
            _draw(report)
    PartialState().wait_for_everyone()


def _draw(report: FitReport) -> None:
    """Draw the learning curve beside what was saved, where matplotlib is installed."""
    from clinnlp.training.curve import write_learning_curve

    assert report.folder is not None
    try:
        write_learning_curve(report.history, report.folder / "learning_curve.png", metric=report.metric)
    except (MissingPackageError, OSError) as error:
        report.notes.append(f"no learning curve was drawn: {error}")
