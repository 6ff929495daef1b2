"""Fine-tuning: one head, or several on one encoder, on transformers.Trainer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from clinnlp.encoders.encoder import enough_memory
from clinnlp.encoders.loading import quiet
from clinnlp.errors import MissingPackageError, StageError, TrainingError
from clinnlp.formats.columns import Columns, make_record
from clinnlp.formats.dataset_rows import read_features
from clinnlp.record import Record
from clinnlp.training.config import FitConfig
from clinnlp.training.resume import begin, checkpoint_folder, plan_of, restore, was_stopped, writing
from clinnlp.training.task import HeadsOnEncoder, HeadTask
from clinnlp.training.trainer import TaskTrainer, dropout

if TYPE_CHECKING:
    from clinnlp.training.scores import Scores

__all__ = ["FitReport", "Gold", "fit_heads", "read_gold"]

Gold = Iterable[Record] | Any
"""Records with gold, or a `datasets.Dataset` whose columns are as `clinnlp.formats.columns` says.

Its label sets are those of `Record.to_dict`, of `Pipeline.as_map` and `Pipeline.process`, or plain, such as
`{"section": "HPI"}`; a set that is None in a row is no gold.
"""


@dataclass(repr=False)
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

    def __repr__(self) -> str:
        best = "" if self.best_score is None else f"{self.metric} {self.best_score:.3f} in epoch {self.best_epoch:g}, "
        records = ", ".join(f"{number} records for {name}" for name, number in self.records.items())
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"FitReport({best}{records}, {self.seconds:.0f} s){notes}"


def read_gold(records: Gold) -> list[Record]:
    """Give the records of a list or of a `datasets.Dataset`.

    Raises
    ------
    TrainingError
        If it is neither.
    FormatError
        If a dataset has no column of texts.
    RecordError
        If an entity leaves the text of its record.
    """
    if isinstance(records, (str, Mapping, Record)) or not isinstance(records, Iterable):
        raise TrainingError(f"gold is a list of records or a datasets.Dataset, not {type(records).__name__}")
    rows, columns = read_features(records, Columns())
    found = [item if isinstance(item, Record) else _of_row(item, place, columns) for place, item in enumerate(rows)]
    for place, record in enumerate(found):  # gold may have been added to a record after it was made
        record.bind(("entities", "labels", "sentences"), place)
    return found


def _of_row(item: Any, place: int, columns: Columns) -> Record:
    """Make a record of a row of a dataset; one without an id has none, since its place is not who it is."""
    if not isinstance(item, Mapping):
        raise TrainingError(f"item {place} of the gold is of type {type(item).__name__}: give records")
    columns.check(list(item), f"record {place} of the gold")
    record = make_record(item, place, columns)
    if isinstance(item.get("labels"), (str, int, float)) and "labels" in record.metadata:
        raise TrainingError(
            f"record {record.id!r} has labels of type {type(item['labels']).__name__}: give a dictionary of label set"
            " -> labels, such as {'section': 'HPI'}"
        )
    if item.get("id") in (None, ""):
        record.id = ""
    return record


def fit_heads(tasks: Sequence[HeadTask], encoder: Any, config: FitConfig) -> FitReport:
    """Train heads in place, together on one encoder, and keep the weights that scored best.

    Checkpoints beside a named output stay until `remove_checkpoints` is called: until then a run can go on from them.

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
    if unknown := sorted(set(config.mixing or {}) - {task.name for task in tasks}):
        raise TrainingError(f"FitConfig: mixing names {unknown[0]!r}: fitted are {', '.join(t.name for t in tasks)}")
    with _prepared(tasks):
        return _fit(tasks, encoder, config)


def _fit(tasks: Sequence[HeadTask], encoder: Any, config: FitConfig) -> FitReport:
    started = time.monotonic()
    # Asked without it, processes that share a fine-tune on the CPU do not know of each other.
    PartialState(cpu=next(tasks[0].head.parameters()).device.type == "cpu")
    folder = checkpoint_folder(config)
    model = HeadsOnEncoder(
        None if encoder is None else _adapted(encoder.model, config.lora),
        [task.head for task in tasks],
        frozen=config.freeze == "encoder",
    )
    before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    try:
        trainer = TaskTrainer(model, tasks, config, folder)
        last = begin(folder, plan_of(model, tasks, config), config.resume)
        _train(trainer, model, folder, before, last, config)
    finally:
        _mark_changed(model, tasks, encoder, before)
        if config.output is None and PartialState().is_main_process:
            shutil.rmtree(folder, ignore_errors=True)
        if encoder is not None:
            encoder.model.requires_grad_(True)
            if config.lora:
                _merged(model)
        model.eval()
    return _report(trainer, tasks, config, time.monotonic() - started)


@contextmanager
def _prepared(tasks: Sequence[HeadTask]) -> Iterator[None]:
    """Make heads what is fitted; where a fit fails and leaves their weights as they were, they are put back."""
    undo = [(task.head, task.prepare()) for task in tasks if task.prepare is not None]
    before = [{name: own.detach().clone() for name, own in head.state_dict().items()} for head, _ in undo]
    try:
        yield
    except BaseException:
        for (head, put_back), own in zip(undo, before, strict=True):
            now = head.state_dict()
            if all(torch.equal(tensor, now[name].to(tensor.device)) for name, tensor in own.items()):
                put_back()
        raise


def _train(
    trainer: TaskTrainer,
    model: HeadsOnEncoder,
    folder: Path,
    before: dict[str, torch.Tensor],
    last: Path | None,
    config: FitConfig,
) -> None:
    """Run the Trainer; where it fails, the weights are those of the last checkpoint, and the message says so."""
    if last is not None and was_stopped(last):
        trainer.args.num_train_epochs = 0  # left to itself the Trainer forgets that it was stopped
    try:
        with (
            quiet() if not config.progress else nullcontext(),
            dropout(model, config.dropout),
            enough_memory("batch_tokens", config.batch_tokens),
            writing(folder, "make room, then go on with resume=True" if config.output else "make room"),
        ):
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
        trainer.refuse_nan()
        # Others may still read the checkpoint of the best epoch, when the first to be done removes it.
        trainer.accelerator.wait_for_everyone()
        return
    except BaseException as error:
        kept = restore(model, folder, before)
        if not isinstance(error, (TrainingError, StageError)):
            raise
        kind, message = type(error), str(error)
    step = None if kept is None else kept.name.rpartition("-")[2]
    message += f"; the weights are those {'before training' if step is None else f'of step {step}'}"
    # Batches of another size are another run: after too little memory one begins anew, with the weights that there are.
    if step is not None and config.output is not None and kind is TrainingError and "resume=True" not in message:
        message += f", whose checkpoint is in {folder.name}: fit with resume=True goes on from it"
    raise kind(message)


def _mark_changed(
    model: HeadsOnEncoder, tasks: Sequence[HeadTask], encoder: Any, before: dict[str, torch.Tensor]
) -> None:
    """Note which weights are not those that were read any more, so that nobody takes them from there."""
    now = model.state_dict()
    moved = [name for name, own in before.items() if not torch.equal(own, now[name].to(own.device))]
    for i, task in enumerate(tasks):
        if any(name.startswith(f"heads.{i}.") for name in moved):
            task.stage.head_changed = True
            task.stage.fitted = None  # what was said of the weights before holds no longer
    if encoder is not None and any(name.startswith("encoder.") for name in moved):
        encoder.changed = True
        for stage in encoder.users:
            stage.fitted = None


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
