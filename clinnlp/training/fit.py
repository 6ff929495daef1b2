"""Fine-tuning on transformers.Trainer, with batches by token budget and the stage's own evaluation."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from clinnlp.encoders.checkpoints import quiet
from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.batches import BudgetSampler
from clinnlp.training.config import FitConfig

if TYPE_CHECKING:
    from clinnlp.training.scores import Scores

__all__ = ["FitReport", "FitTask", "Gold", "fit_task", "read_gold"]

Gold = Iterable[Record] | Any
"""Records with gold, or a `datasets.Dataset` with the fields of `Record.to_dict` as columns."""


_ATTENTION = re.compile(r"attention\.(self\.)?dropout|attn_drop|attention_dropout")
"""Dropout of attention probabilities, as BERT, DistilBERT, GPT-2 and others name it."""


@dataclass
class FitTask:
    """What is fitted.

    Parameters
    ----------
    model : PreTrainedModel
        Gives a loss for the batches that `collate` makes.
    examples : sequence
        Training examples.
    lengths : sequence of int
        Tokens of each example.
    collate : callable
        Makes a batch, a dictionary of tensors, of a list of examples.
    evaluate : callable, optional
        Scores the model, as it then is, on development records.
    head : str
        Beginning of the names of the head's parameters.
    loss : callable, optional
        Gives the mean loss of a batch from the model and that batch, where the model's own is not the right one.
    """

    model: Any
    examples: Sequence[Any]
    lengths: Sequence[int]
    collate: Callable[[list[Any]], Mapping[str, Any]]
    evaluate: Callable[[], Scores] | None = None
    head: str = "classifier"
    loss: Callable[[Any, dict[str, Any]], torch.Tensor] | None = None


@dataclass
class FitReport:
    """What a fine-tune did.

    Parameters
    ----------
    history : list of dict
        For each epoch its number, mean training loss and development figures.
    metric : str
        The figure by which the best epoch was chosen; `""` without development records.
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
    """

    config: FitConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    metric: str = ""
    best_score: float | None = None
    best_epoch: float = 0.0
    folder: Path | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


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


def fit_task(task: FitTask, config: FitConfig) -> FitReport:
    """Train a model in place, and keep the weights that scored best.

    Parameters
    ----------
    task : FitTask
    config : FitConfig

    Returns
    -------
    FitReport

    Raises
    ------
    TrainingError
        If there is nothing to learn from, or the loss is not a number.
    """
    if not task.examples:
        raise TrainingError("there is nothing to learn from: give training records with gold")
    started = time.monotonic()
    folder = _checkpoint_folder(config)
    try:
        trainer = _TaskTrainer(task, config, folder)
        last = get_last_checkpoint(str(folder)) if config.resume else None
        with quiet() if not config.progress else nullcontext(), _dropout(task.model, config.dropout):
            trainer.train(resume_from_checkpoint=last)
    except BaseException:
        # Checkpoints beside a named output are for resuming; others are of no use to anyone.
        if config.output is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    task.model.eval()
    return _report(trainer, task, config, time.monotonic() - started)


@contextmanager
def _dropout(model: Any, rate: float | None) -> Iterator[None]:
    """Set the dropout of hidden states and head, with that of attention off; give all their own rates at the end.

    Dropout of attention costs a fused kernel, and a third of the speed on a CPU.
    """
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)]
    kept = [layer.p for _, layer in layers]
    if rate is not None:
        for name, layer in layers:
            layer.p = 0.0 if _ATTENTION.search(name) else rate
    try:
        yield
    finally:
        for (_, layer), own in zip(layers, kept, strict=True):
            layer.p = own


def _checkpoint_folder(config: FitConfig) -> Path:
    if config.output is None:
        return Path(tempfile.mkdtemp(prefix="clinnlp-fit-"))
    folder = Path(config.output)
    folder = folder.with_name(folder.name + ".checkpoints")
    if folder.exists() and not config.resume:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _TaskTrainer(Trainer):  # type: ignore[misc]
    """A Trainer with batches by token budget, two learning rates, and a stage's own evaluation."""

    def __init__(self, task: FitTask, config: FitConfig, folder: Path) -> None:
        self.task, self.fit_config = task, config
        self.primary = ""
        self.optimizer: Any
        self.control: Any
        evaluated = "epoch" if task.evaluate is not None else "no"
        best = task.evaluate is not None and config.select == "best"
        saved = "epoch" if best or config.output is not None else "no"
        arguments = TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup,
            lr_scheduler_type=config.schedule,
            max_grad_norm=config.max_grad_norm,
            gradient_accumulation_steps=config.gradient_accumulation,
            seed=config.seed,
            bf16=config.precision == "bfloat16",
            eval_strategy=evaluated,
            save_strategy=saved,
            save_total_limit=1,
            load_best_model_at_end=best,
            metric_for_best_model="primary" if evaluated == "epoch" else None,
            greater_is_better=True if evaluated == "epoch" else None,
            restore_callback_states_from_checkpoint=True,
            logging_strategy="epoch",
            report_to=config.report_to,
            disable_tqdm=not config.progress,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            use_cpu=task.model.device.type == "cpu",
        )
        callbacks: list[Any] = []
        if config.patience is not None and evaluated == "epoch":
            callbacks.append(EarlyStoppingCallback(config.patience))
        super().__init__(
            model=task.model,
            args=arguments,
            train_dataset=task.examples,
            eval_dataset=task.examples if evaluated == "epoch" else None,
            data_collator=task.collate,
            callbacks=callbacks,
        )
        if not config.progress:
            self.remove_callback(PrinterCallback)
        if task.loss is not None:
            self.loss_is_scaled_for_ga = False  # it is a batch's mean: the Trainer divides by the accumulated batches

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        """Give the task's own loss, or the model's."""
        if self.task.loss is not None:
            return self.task.loss(model, inputs)
        return super().compute_loss(model, inputs, *args, **options)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Give batches by token budget; what is prepared is told of each new epoch."""
        sampler = BudgetSampler(self.task.lengths, self.fit_config.batch_tokens, self.fit_config.seed)
        loader = DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Take a step, unless the loss is no number: what follows would only cost time."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"the loss is not a number at step {self.state.global_step + 1}: lower learning_rate")
        return loss

    def create_optimizer(self, model: Any = None) -> Any:
        """Give AdamW with a learning rate for the encoder and one for the head."""
        if self.optimizer is None:
            config = self.fit_config
            groups: dict[tuple[bool, bool], list[Any]] = {}
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    groups.setdefault((name.startswith(self.task.head), parameter.ndim > 1), []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": parameters,
                        "lr": (config.head_learning_rate if head else None) or config.learning_rate,
                        "weight_decay": config.weight_decay if decayed else 0.0,
                    }
                    for (head, decayed), parameters in groups.items()
                ],
                lr=config.learning_rate,
            )
        return self.optimizer

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the stage on its development records."""
        assert self.task.evaluate is not None
        self.model.eval()
        scores = self.task.evaluate()
        metrics = {f"eval_{name}": value for name, value in scores.items()} | {"eval_primary": scores.best}
        self.primary = scores.primary
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _report(trainer: _TaskTrainer, task: FitTask, config: FitConfig, seconds: float) -> FitReport:
    report = FitReport(config, seconds=seconds)
    epochs: dict[float, dict[str, Any]] = {}
    for entry in trainer.state.log_history:
        row = epochs.setdefault(round(entry["epoch"], 6), {"epoch": entry["epoch"]})
        for name, value in entry.items():
            if name == "loss" or (name.startswith("eval_") and name != "eval_primary"):
                row[name.removeprefix("eval_")] = value
    report.history = [row for row in epochs.values() if len(row) > 1]
    if task.evaluate is not None:
        report.metric = trainer.primary
        scored = [row for row in report.history if report.metric in row]
        chosen = scored[-1]
        if config.select == "best":
            chosen = max(scored, key=lambda row: row[report.metric])
        report.best_score, report.best_epoch = chosen[report.metric], chosen["epoch"]
    elif report.history:
        report.best_epoch = report.history[-1]["epoch"]
    return report
