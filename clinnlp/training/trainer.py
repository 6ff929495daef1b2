"""A Trainer of transformers for heads on one encoder: batches by token budget, and the stages' own evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import TensorBoardCallback

from clinnlp.errors import ClinNLPError, MissingPackageError, TrainingError
from clinnlp.training.batches import BudgetSampler, MixedSampler
from clinnlp.training.config import FitConfig
from clinnlp.training.task import Batch, HeadsOnEncoder, HeadTask, TaskExamples

__all__ = ["TaskTrainer", "dropout"]

_ATTENTION = re.compile(r"attention\.(self\.)?dropout|attn_drop|attention_dropout")
"""Dropout of attention probabilities, as BERT, DistilBERT, GPT-2 and others name it."""


@contextmanager
def dropout(model: Any, rate: float | None) -> Iterator[None]:
    """Set the dropout of hidden states and heads, with that of attention off; give all their own rates at the end.

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


class _EpochTeller(TrainerCallback):  # type: ignore[misc]
    """Tell the sampler of each epoch: one that is resumed on several devices is out of the Trainer's own reach."""

    def __init__(self) -> None:
        self.sampler: MixedSampler | None = None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.sampler is not None:
            self.sampler.set_epoch(int(state.epoch or 0))


class TaskTrainer(Trainer):  # type: ignore[misc]
    """A Trainer with batches of one task each, a learning rate for each head, and the stages' own evaluation.

    Parameters
    ----------
    model : HeadsOnEncoder
    tasks : sequence of HeadTask
        In the order of the model's heads.
    config : FitConfig
    folder : Path
        Of checkpoints.
    """

    def __init__(self, model: HeadsOnEncoder, tasks: Sequence[HeadTask], config: FitConfig, folder: Path) -> None:
        self.tasks, self.fit_config = tasks, config
        self.optimizer: Any
        self.control: Any
        examples = TaskExamples(tasks)
        arguments = _arguments(tasks, config, folder)
        arguments._n_gpu = min(arguments.n_gpu, 1)  # several take a process each: one alone would cut batches up
        evaluated = arguments.eval_strategy != "no"
        self.epochs = _EpochTeller()
        callbacks = [self.epochs, *_trackers(config)]
        if config.patience is not None and evaluated:
            callbacks.append(EarlyStoppingCallback(config.patience))
        with _plain("the Trainer refuses a setting"):
            super().__init__(
                model=model,
                args=arguments,
                train_dataset=examples,
                eval_dataset=examples if evaluated else None,
                data_collator=examples.collate,
                callbacks=callbacks,
            )
        if not config.progress:
            self.remove_callback(PrinterCallback)
        self.loss_is_scaled_for_ga = False  # it is a batch's mean: the Trainer divides by the accumulated batches

    def compute_loss(self, model: Any, inputs: Batch, *_: Any, **__: Any) -> torch.Tensor:
        """Give the loss of a batch by that of its task."""
        task, parts = self.tasks[inputs["task"]], inputs["parts"]
        with torch.no_grad():
            taught = [[teacher.logits_of(part) for part in parts] for teacher in task.teachers]
        loss: torch.Tensor = model(inputs["task"], parts, lambda outputs: task.loss(outputs, inputs, taught))
        return loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Give batches by token budget; what is prepared is told of each new epoch."""
        config = self.fit_config
        samplers = [BudgetSampler(task.lengths, config.batch_tokens, config.seed) for task in self.tasks]
        rates = [(config.mixing or {}).get(task.name, 1.0) for task in self.tasks]
        sampler = MixedSampler(samplers, rates, config.seed, self.accelerator.num_processes)
        self.epochs.sampler = sampler
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Take a step, unless the loss is no number: what follows would only cost time."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        # All processes stop where that of one is none: the others would wait for it.
        if not bool(torch.isfinite(self.accelerator.reduce(loss))):
            raise TrainingError(f"the loss is not a number at step {self.state.global_step + 1}: lower learning_rate")
        return loss

    def refuse_nan(self) -> None:
        """Refuse weights that are no numbers, as a gradient that overflows leaves them.

        Raises
        ------
        TrainingError
            With the step.
        """
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            raise TrainingError(f"the weights are not numbers after step {self.state.global_step}: lower learning_rate")

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        """Save the weights, if they are numbers."""
        self.refuse_nan()
        super().save_model(*args, **kwargs)

    def create_optimizer(self, model: Any = None) -> Any:
        """Give the optimizer, with a learning rate for the encoder and one for each head."""
        if self.optimizer is None:
            with _plain(f"optimizer {self.fit_config.optimizer!r} cannot be used"):
                kind, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
                self.optimizer = kind(self._groups(), **settings)
        return self.optimizer

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Give the schedule of the learning rate."""
        with _plain(f"schedule {self.fit_config.schedule!r} cannot be used"):
            return super().create_scheduler(*args, **kwargs)

    def _groups(self) -> list[dict[str, Any]]:
        """Group the weights by learning rate, and those with decay from those without: biases and norms."""
        rates = {f"heads.{i}.{name}": own for i, task in enumerate(self.tasks) for name, own in task.rates.items()}
        rates.update({f"heads.{i}.": task.head_rate for i, task in enumerate(self.tasks) if task.head_rate})
        groups: dict[tuple[float, bool], list[Any]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), None)
                groups.setdefault((rate or self.args.learning_rate, parameter.ndim > 1), []).append(parameter)
        return [
            {"params": parameters, "lr": rate, "weight_decay": self.args.weight_decay if decayed else 0.0}
            for (rate, decayed), parameters in groups.items()
        ]

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the stages on their development records; the primary figure is the mean of theirs."""
        self.refuse_nan()
        self.model.eval()
        metrics: dict[str, float] = {}
        primary: list[float] = []
        judged = [task for task in self.tasks if task.evaluate is not None]
        for task in judged:
            assert task.evaluate is not None
            scores = task.evaluate()
            prefix = f"{task.name}." if len(self.tasks) > 1 else ""
            metrics.update({f"eval_{prefix}{name}": value for name, value in scores.items()})
            primary.append(scores.best)
        metrics["eval_primary"] = sum(primary) / len(primary)
        if self.accelerator.num_processes > 1:  # all decide by the same figures, whatever their devices round
            metrics = broadcast_object_list([metrics])[0]
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


@contextmanager
def _plain(what: str) -> Iterator[None]:
    """Tell in one line what the Trainer says of a setting."""
    try:
        yield
        return
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        if isinstance(error, (ClinNLPError, torch.OutOfMemoryError)):
            raise
        reason = " ".join(str(error).split())[:300]
    raise TrainingError(f"{what}: {reason}")


def _trackers(config: FitConfig) -> list[Any]:
    """Give TensorBoard's callback of the Trainer, where it is wanted: left to itself it writes among checkpoints."""
    if config.report_to != "tensorboard":
        return []
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingPackageError("tensorboard", "train") from None
    if not PartialState().is_main_process:
        return []
    place = None if config.output is None else f"{config.output}.tensorboard"
    return [TensorBoardCallback(SummaryWriter(place))]


def _arguments(tasks: Sequence[HeadTask], config: FitConfig, folder: Path) -> TrainingArguments:
    strategy = "epoch" if config.every is None else "steps"
    evaluated = any(task.evaluate is not None for task in tasks)
    best = evaluated and config.select == "best"
    every = {} if config.every is None else {"eval_steps": config.every, "save_steps": config.every}
    with _plain("the Trainer refuses a setting"):
        return TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            optim=config.optimizer,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup,
            lr_scheduler_type=config.schedule,
            max_grad_norm=config.max_grad_norm,
            gradient_accumulation_steps=config.gradient_accumulation,
            seed=config.seed,
            bf16=config.precision == "bfloat16",
            eval_strategy=strategy if evaluated else "no",
            save_strategy=strategy if best or config.output is not None else "no",
            save_total_limit=1,
            load_best_model_at_end=best,
            metric_for_best_model="primary" if evaluated else None,
            greater_is_better=True if evaluated else None,
            restore_callback_states_from_checkpoint=True,
            logging_strategy="epoch",
            report_to="none" if config.report_to == "tensorboard" else config.report_to,
            disable_tqdm=not config.progress,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            use_cpu=next(tasks[0].head.parameters()).device.type == "cpu",
            ddp_find_unused_parameters=True,
            **every,
        )
