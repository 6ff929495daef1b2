"""A fine-tune by several processes, for torchrun: `launched.py BASE FOLDER` writes what each of them saw."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from clinnlp import FitConfig, Pipeline
from clinnlp.errors import TrainingError
from clinnlp.stages import EntityExtractor, ReportClassifier
from clinnlp.training.batches import MixedSampler
from clinnlp.training.task import TaskExamples
from clinnlp.training.trainer import TaskTrainer
from training.killed import CONFIGS, DEV, TRAIN, run


def digest(weights: dict[str, torch.Tensor]) -> str:
    found = sha256()
    for name in sorted(weights):
        found.update(name.encode() + weights[name].detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def watch() -> list[list[tuple[int, int]]]:
    """Note the examples that this process draws, (task, place), epoch by epoch."""
    seen: list[list[tuple[int, int]]] = []
    get, set_epoch = TaskExamples.__getitem__, MixedSampler.set_epoch

    def noted(self: TaskExamples, drawn: Any) -> Any:
        seen[-1].append((drawn.task, drawn.index))
        return get(self, drawn)

    def begun(self: MixedSampler, epoch: int) -> None:
        while len(seen) <= epoch:
            seen.append([])
        set_epoch(self, epoch)

    TaskExamples.__getitem__, MixedSampler.set_epoch = noted, begun
    return seen


def best_of_two_heads(base: str, output: str) -> dict[str, Any]:
    """Fit two heads; their learning rate grows too large, so that the best epoch is not the last one."""
    seen, saves, save = watch(), [], Pipeline.save
    Pipeline.save = lambda self, folder: (saves.append(1), save(self, folder))[1]
    nlp = Pipeline([EntityExtractor.from_base(base, ["Drug"]), ReportClassifier.from_base(base, ["few", "many"])])
    config = FitConfig(
        epochs=5, learning_rate=0.05, batch_tokens=256, warmup=0.9, output=output, report_to="tensorboard"
    )
    report = nlp.fit(TRAIN, DEV, config)
    ner = nlp["entities"]
    assert isinstance(ner, EntityExtractor)
    return {
        "weights": digest(ner.state_dict()),
        "seen": [list(epoch) for epoch in seen],
        "saves": len(saves),
        "best": (report.best_score, report.best_epoch, sum(s.best for s in report.scores.values()) / 2),
        "history": [row["epoch"] for row in report.history],
        "folder": str(report.folder),
    }


def resumed_and_unbroken(base: str, output: str) -> list[str]:
    """Cut a run off in the middle of its second epoch, and let it go on; and run one unbroken."""
    step = TaskTrainer.training_step

    def interrupted(self: TaskTrainer, *args: Any) -> torch.Tensor:
        if self.state.global_step == 9:
            raise KeyboardInterrupt
        return step(self, *args)

    TaskTrainer.training_step = interrupted
    try:
        run("alone", base, output=output)
        raise AssertionError("not interrupted")
    except KeyboardInterrupt:
        TaskTrainer.training_step = step
    state = json.loads(Path(f"{output}.checkpoints/checkpoint-7/trainer_state.json").read_text())
    assert state["epoch"] > 1
    assert state["epoch"] % 1
    return [digest(run("alone", base, **more)[0]) for more in ({"output": output, "resume": True}, {})]


def lost_by_one(base: str) -> str:
    """Let the loss of the last process alone be no number."""
    loss_of, state = TaskTrainer.compute_loss, PartialState()

    def compute_loss(self: TaskTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = loss_of(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 1 and state.is_last_process else loss

    TaskTrainer.compute_loss = compute_loss
    try:
        run("unjudged", base)
    except TrainingError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    base, folder = sys.argv[1:]
    CONFIGS["alone"] |= {"every": 7, "batch_tokens": 64}
    found = {
        "resumed": resumed_and_unbroken(base, f"{folder}/resumed"),
        **best_of_two_heads(base, f"{folder}/nlp"),
        "lost": lost_by_one(base),
        "processes": PartialState().num_processes,
    }
    Path(folder, f"rank{PartialState().process_index}.json").write_text(json.dumps(found))
