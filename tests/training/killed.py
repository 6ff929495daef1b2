"""Fine-tunes that are killed: `python killed.py BASE FOLDER RUN STEP ...` runs each in a process of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState

from clinnlp import Entity, FitConfig, Pipeline, Record
from clinnlp.stages import EntityExtractor, ReportClassifier
from clinnlp.training.trainer import TaskTrainer

DRUGS = ["aspirin", "heparin", "insulin"]
FILLER = ["took", "no", "the", "daily", "stopped", "and"]


def note(seed: int, length: int = 12) -> Record:
    """A note in which every drug is a Drug, and which is long or short."""
    chance = random.Random(seed)
    words = [chance.choice(DRUGS if chance.random() < 0.3 else FILLER) for _ in range(length + seed % 7)]
    entities, at = [], 0
    for word in [*words, "aspirin"]:
        if word in DRUGS:
            entities.append(Entity(at, at + len(word), "Drug"))
        at += len(word) + 1
    kind = "many" if len(entities) > 4 else "few"
    return Record(" ".join([*words, "aspirin"]), id=str(seed), entities=entities, labels={"reports": [kind]})


TRAIN = [note(seed) for seed in range(24)]
DEV = [note(seed, 20) for seed in range(100, 103)]
CHANCE: dict[str, Any] = {"dropout": 0.2, "mask_words": 0.2, "plant_entities": 0.3, "learning_rate": 2e-3}
CONFIGS: dict[str, dict[str, Any]] = {
    "alone": {"epochs": 3, "every": 3, "select": "last", "batch_tokens": 128, "seed": 5, **CHANCE},
    "accumulated": {"epochs": 3, "every": 2, "batch_tokens": 64, "gradient_accumulation": 3, "seed": 6, **CHANCE},
    "joint": {"epochs": 2, "every": 3, "batch_tokens": 256, "mixing": {"reports": 0.5}, "seed": 7, **CHANCE},
    "unjudged": {"epochs": 3, "batch_tokens": 128, "seed": 8, **CHANCE},
    "patient": {"epochs": 30, "patience": 1, "batch_tokens": 128, "learning_rate": 1e-2},
}


def run(name: str, base: str, **settings: Any) -> tuple[dict[str, torch.Tensor], Any]:
    """Run a fine-tune to its end; give its weights and its report."""
    config = FitConfig(**CONFIGS[name], **settings)
    ner = EntityExtractor.from_base(base, ["Drug"])
    if name == "joint":
        reports = ReportClassifier.from_base(base, ["few", "many"])
        report = Pipeline([ner, reports]).fit(TRAIN, DEV, config)
        return {**ner.state_dict(), **{f"reports.{key}": own for key, own in reports.state_dict().items()}}, report
    report = ner.fit(TRAIN, None if name == "unjudged" else DEV, config)
    return ner.state_dict(), report


def kill_at(place: str) -> None:
    """Let the process be killed before a step, in the middle of a checkpoint's files, or when training is over."""
    where, _, number = place.partition(":")
    step, torch_save, to_json = TaskTrainer.training_step, torch.save, TrainerState.save_to_json
    log = TaskTrainer.log
    count = 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def training_step(self: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count == int(number):
            die()
        return step(self, *args)

    def half_of_the_optimizer(state: Any, path: Any) -> None:
        torch_save(state, path)
        if Path(path).name == "optimizer.pt" and Path(path).parent.name == f"checkpoint-{number}":
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

    def half_of_the_state(self: Any, path: Any) -> None:
        to_json(self, path)
        if Path(path).parent.name == f"checkpoint-{number}":
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

    def log_of_the_whole(self: Any, logs: Any, *args: Any) -> None:
        if "train_runtime" in logs:
            die()
        log(self, logs, *args)

    if where == "ending":
        TaskTrainer.log = log_of_the_whole
    elif where == "step":
        TaskTrainer.training_step = training_step
    elif where == "optimizer":
        torch.save = half_of_the_optimizer
    elif where == "state":
        TrainerState.save_to_json = half_of_the_state
    else:
        EntityExtractor.save = lambda *_: die()


if __name__ == "__main__":
    base, folder, *cases = sys.argv[1:]
    codes = []
    for name, place in zip(cases[::2], cases[1::2], strict=True):
        child = os.fork()
        if not child:
            kill_at(place)
            run(name, base, output=str(Path(folder) / f"{name}-{place.replace(':', '-')}"))
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(codes))
