"""Fine-tuning: one head, or several on one encoder, on transformers.Trainer."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file
from transformers.trainer_utils import get_last_checkpoint

from clinnlp.atomic import replace_file
from clinnlp.encoders.encoder import enough_memory
from clinnlp.encoders.loading import quiet
from clinnlp.errors import MissingPackageError, TrainingError
from clinnlp.record import Record
from clinnlp.training.config import FitConfig
from clinnlp.training.task import HeadsOnEncoder, HeadTask
from clinnlp.training.trainer import TaskTrainer, dropout

if TYPE_CHECKING:
    from clinnlp.training.scores import Scores

__all__ = ["FitReport", "Gold", "fit_heads", "read_gold"]

Gold = Iterable[Record] | Any
"""Records with gold, or a `datasets.Dataset` with the fields of `Record.to_dict` as columns."""

_PLAN = "plan.json"
# What may differ between a run and the one that goes on with it.
_FREE = ("resume", "progress", "report_to", "output")


@dataclass
class FitReport:
    """What a fine-tune did.

    Parameters
    ----------
    history : list of dict
        For each epoch its number, mean training loss and development figures; those of heads that were trained
        together stand under `stage.figure`.
    metric : str
        The figure by which the best epoch was chosen; `""` without development records. Of heads that were trained
        together it is "primary", the mean of theirs.
    best_score : float or None
        Its value in the epoch whose weights were kept.
    best_epoch : float
        That epoch.
    folder : Path or None
        Where the fitted stage was saved.
    seconds : float
        Wall time.
    notes : list of str
        What a reader should know, such as gold that could not be learned.
    config : FitConfig
    records : dict of str to int
        Stage -> training records.
    temperatures : dict of str to float
        Stage -> the temperature by which its logits were divided, where scores were calibrated.
    base : str
        Checkpoint whose encoder training began with.
    scores : dict of str to Scores
        Stage -> its figures on the development records, with the weights that were kept.
    """

    config: FitConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    metric: str = ""
    best_score: float | None = None
    best_epoch: float = 0.0
    folder: Path | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)
    base: str = ""
    scores: dict[str, Scores] = field(default_factory=dict)


def read_gold(records: Gold) -> list[Record]:
    """Give the records of a list or of a `datasets.Dataset`.

    Raises
    ------
    TrainingError
        If it is neither.
    """
    if isinstance(records, (str, Mapping, Record)) or not isinstance(records, Iterable):
        raise TrainingError(f"gold is a list of records or a datasets.Dataset, not {type(records).__name__}")
    return [item if isinstance(item, Record) else Record.from_dict(item) for item in records]


def fit_heads(tasks: Sequence[HeadTask], encoder: Any, config: FitConfig) -> FitReport:
    """Train heads in place, together on one encoder, and keep the weights that scored best.

    Parameters
    ----------
    tasks : sequence of HeadTask
    encoder : TextEncoder or None
        None where the head is a whole model.
    config : FitConfig

    Returns
    -------
    FitReport

    Raises
    ------
    TrainingError
        If there is nothing to learn from, the loss is not a number, a checkpoint cannot be written, or the one to go on
        from is of another run.
    StageError
        If there is too little memory.
    """
    for task in tasks:
        if not task.examples:
            raise TrainingError(f"stage {task.name!r}: there is nothing to learn from: give training records with gold")
    started = time.monotonic()
    model = HeadsOnEncoder(
        None if encoder is None else _adapted(encoder.model, config.lora),
        [task.head for task in tasks],
        frozen=config.freeze == "encoder",
    )
    folder = _checkpoint_folder(config)
    before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    done = False
    try:
        trainer = TaskTrainer(model, tasks, config, folder)
        _train(trainer, model, folder, before, _plan(model, tasks, config), config)
        done = True
    finally:
        # Checkpoints beside a named output are for going on; others are of no use to anyone.
        if PartialState().is_main_process and (done or config.output is None):
            shutil.rmtree(folder, ignore_errors=True)
        if encoder is not None:
            encoder.model.requires_grad_(True)
            if config.lora:
                _merged(model)
        model.eval()
    for task in tasks:
        task.stage.head_changed = True
    if encoder is not None and config.freeze is None:
        encoder.changed = True
    return _report(trainer, tasks, config, time.monotonic() - started)


def _train(
    trainer: TaskTrainer,
    model: HeadsOnEncoder,
    folder: Path,
    before: dict[str, torch.Tensor],
    plan: dict[str, Any],
    config: FitConfig,
) -> None:
    last = get_last_checkpoint(str(folder)) if config.resume else None
    if last is not None:
        _check_plan(folder, plan)
    elif PartialState().is_main_process:
        with replace_file(folder / _PLAN) as new:
            new.write_text(json.dumps(plan), encoding="utf-8")
    try:
        with (
            quiet() if not config.progress else nullcontext(),
            dropout(model, config.dropout),
            enough_memory("batch_tokens", config.batch_tokens),
        ):
            trainer.train(resume_from_checkpoint=last)
        return
    except TrainingError as error:
        kept = get_last_checkpoint(str(folder))
        model.load_state_dict(before if kept is None else load_file(Path(kept) / "model.safetensors"))
        place = "those before training" if kept is None else f"those of step {Path(kept).name.rpartition('-')[2]}"
        message = f"{error}; the weights are {place}"
        if kept is not None and config.output is not None:
            message += f", whose checkpoint is in {folder.name}: fit with resume=True goes on from it"
    except Exception as error:
        # safetensors has an error of its own for what the system says.
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
        message = f"cannot write checkpoints in {folder.name}: {reason}: make room, then go on with resume=True"
    raise TrainingError(message)


def _adapted(encoder: Any, rank: int | None) -> Any:
    """Put low-rank updates on the linear layers of an encoder, whose own weights then stay as they are."""
    if rank is None:
        return encoder
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingPackageError("peft", "train") from None
    return get_peft_model(encoder, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


def _merged(model: HeadsOnEncoder) -> None:
    adapted: Any = model.encoder
    adapted.merge_and_unload()


def _checkpoint_folder(config: FitConfig) -> Path:
    """Give the folder of checkpoints, the same one to all processes of a run on several devices."""
    state = PartialState()
    place: list[Any] = [None]
    if state.is_main_process:
        if config.output is None:
            place = [tempfile.mkdtemp(prefix="clinnlp-fit-")]
        else:
            output = Path(config.output)
            folder = output.with_name(output.name + ".checkpoints")
            if folder.exists() and not config.resume:
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            place = [str(folder)]
    if state.num_processes > 1:
        broadcast_object_list(place)
    return Path(place[0])


def _plan(model: HeadsOnEncoder, tasks: Sequence[HeadTask], config: FitConfig) -> dict[str, Any]:
    """Give what a run that goes on must have in common with the one that was cut off."""
    shapes = [f"{name} {tuple(tensor.shape)}" for name, tensor in model.state_dict().items()]
    settings = {name: value for name, value in asdict(config).items() if name not in _FREE}
    return {
        "weights": sha256("\n".join(shapes).encode()).hexdigest(),
        "examples": {task.name: sha256(str(list(task.lengths)).encode()).hexdigest() for task in tasks},
        "labels": {task.name: list(task.stage.labels) for task in tasks},
        "settings": settings,
    }


def _check_plan(folder: Path, plan: dict[str, Any]) -> None:
    try:
        before = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"{folder.name} has checkpoints of no known run: move them away, or resume=False") from None
    now = json.loads(json.dumps(plan))
    changed = [name for name in ("weights", "examples", "labels") if before.get(name) != now[name]]
    old = before.get("settings", {})
    changed += [name for name in now["settings"] if old.get(name) != now["settings"][name]]
    if changed:
        told = {"weights": "the architecture of the model", "examples": "the training records"}
        raise TrainingError(
            f"{folder.name} has checkpoints of another run: it differs in"
            f" {', '.join(told.get(name, name) for name in changed)}: give what it had, or resume=False to begin again"
        )


def _report(trainer: TaskTrainer, tasks: Sequence[HeadTask], config: FitConfig, seconds: float) -> FitReport:
    if len(tasks) == 1:
        config = replace(config, head_learning_rate=tasks[0].head_rate)
    report = FitReport(config, seconds=seconds, records={task.name: task.records for task in tasks})
    epochs: dict[float, dict[str, Any]] = {}
    for entry in trainer.state.log_history:
        row = epochs.setdefault(round(entry["epoch"], 6), {"epoch": entry["epoch"]})
        for name, value in entry.items():
            if name == "loss" or name.startswith("eval_"):
                row[name.removeprefix("eval_")] = value
    report.history = [row for row in epochs.values() if len(row) > 1]
    scored = [row for row in report.history if "primary" in row]
    if scored:
        chosen = max(scored, key=lambda row: row["primary"]) if config.select == "best" else scored[-1]
        report.best_score, report.best_epoch = chosen["primary"], chosen["epoch"]
    elif report.history:
        report.best_epoch = report.history[-1]["epoch"]
    report.notes = [note for task in tasks for note in task.notes]
    return report
