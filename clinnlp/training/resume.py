"""The checkpoints of a fine-tune: where they stand, which is whole, and whether a run may go on from them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file

from clinnlp.atomic import replace_file
from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.config import FitConfig
from clinnlp.training.task import HeadsOnEncoder, HeadTask

__all__ = [
    "begin",
    "checkpoint_folder",
    "gold_checksums",
    "last_checkpoint",
    "plan_of",
    "remove_checkpoints",
    "restore",
    "was_stopped",
    "writing",
]

_PLAN = "plan.json"
_STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")
# What may differ between a run and the one that goes on with it.
_FREE = ("resume", "progress", "report_to", "output")
_TOLD = {"weights": "the architecture of the model", "processes": "the number of processes"}


def gold_checksums(train: Sequence[Record], dev: Sequence[Record] | None) -> dict[str, str]:
    """Give checksums of training and development records, by which a run that goes on knows them again."""
    return {
        name: _checksum(json.dumps(record.to_dict(), sort_keys=True) for record in records or ())
        for name, records in (("training", train), ("development", dev))
    }


def _checksum(lines: Any) -> str:
    found = sha256()
    for line in lines:
        found.update(line.encode() + b"\n")
    return found.hexdigest()


def _beside(config: FitConfig) -> Path:
    output = Path(str(config.output)).absolute()
    return output.with_name(output.name + ".checkpoints")


def checkpoint_folder(config: FitConfig) -> Path:
    """Give the folder of checkpoints, the same one to all processes of a run on several devices.

    Raises
    ------
    TrainingError
        If there is one that no run made, or it cannot be made.
    """
    state = PartialState()
    place: list[Any] = [None]
    if state.is_main_process:
        if config.output is None:
            place = [tempfile.mkdtemp(prefix="clinnlp-fit-")]
        else:
            folder = _beside(config)
            with writing(folder, "name another output"):
                if folder.exists() and not config.resume:
                    _refuse_strange(folder)
                    shutil.rmtree(folder)
                folder.mkdir(parents=True, exist_ok=True)
            place = [str(folder)]
    if state.num_processes > 1:
        broadcast_object_list(place)
    return Path(place[0])


def _refuse_strange(folder: Path) -> None:
    if not folder.is_dir() or ((folder / _PLAN).exists() or not any(folder.iterdir())):
        return
    raise TrainingError(f"{folder.name} is where checkpoints go, and no run made what is in it: move it away")


def remove_checkpoints(config: FitConfig) -> None:
    """Remove the checkpoints beside the output, when all is saved."""
    shutil.rmtree(_beside(config), ignore_errors=True)


@contextmanager
def writing(folder: Path, mend: str) -> Iterator[None]:
    """Tell in one line that checkpoints cannot be written, as where the disk is full, and how to mend it.

    Raises
    ------
    TrainingError
        In the place of the errors of the system, safetensors and torch.
    """
    try:
        yield
        return
    except Exception as error:
        # safetensors has an error of its own for what the system says, and torch says it with the place in its source.
        wrote = isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
        if not wrote and not re.search(r"inline_container|PytorchStreamWriter", str(error)):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
    raise TrainingError(f"cannot write checkpoints in {folder.name}: {reason}: {mend}")


def last_checkpoint(folder: Path) -> Path | None:
    """Give the last checkpoint that was written to its end, which is the state of the Trainer."""
    numbered = [(int(match[1]), path) for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))]
    return next((path for _, path in sorted(numbered, reverse=True) if _read_state(path) is not None), None)


def _read_state(checkpoint: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state


def begin(folder: Path, plan: dict[str, Any], resume: bool) -> Path | None:
    """Give the checkpoint to go on from, or begin anew.

    Raises
    ------
    TrainingError
        If the checkpoints are of another run, or of none, or one is missing.
    """
    last = last_checkpoint(folder) if resume else None
    state = PartialState()
    if last is not None:
        _check_plan(folder, plan)
    if state.is_main_process:
        with writing(folder, "make room, or name another output"):
            if last is None:
                with replace_file(folder / _PLAN) as new:
                    new.write_text(json.dumps(plan), encoding="utf-8")
            else:
                _find_best(last)
    state.wait_for_everyone()
    return last


def _find_best(last: Path) -> None:
    """Let the checkpoint name that of the best epoch where it now is: the folder may have been moved."""
    state = _read_state(last) or {}
    if not state.get("best_model_checkpoint"):
        return
    best = last.with_name(Path(state["best_model_checkpoint"]).name)
    if not best.is_dir():
        raise TrainingError(f"{last.parent.name} lacks {best.name}, of the best epoch: begin again with resume=False")
    if state["best_model_checkpoint"] != str(best):
        with replace_file(last / _STATE) as new:
            new.write_text(json.dumps({**state, "best_model_checkpoint": str(best)}), encoding="utf-8")


def was_stopped(checkpoint: Path) -> bool:
    """Tell whether the run had come to its end at a checkpoint, by its epochs or by `patience`."""
    callbacks = (_read_state(checkpoint) or {}).get("stateful_callbacks", {})
    return bool(callbacks.get("TrainerControl", {}).get("args", {}).get("should_training_stop"))


def plan_of(model: HeadsOnEncoder, tasks: Sequence[HeadTask], config: FitConfig) -> dict[str, Any]:
    """Give what a run that goes on must have in common with the one that was cut off."""
    return {
        "weights": _checksum(f"{name} {tuple(tensor.shape)}" for name, tensor in model.state_dict().items()),
        "labels": {task.name: list(task.stage.labels) for task in tasks},
        "processes": PartialState().num_processes,
        "settings": {name: value for name, value in asdict(config).items() if name not in _FREE},
        "examples": {task.name: _checksum(map(str, task.lengths)) for task in tasks},
        "gold": {task.name: task.gold for task in tasks},
    }


def _check_plan(folder: Path, plan: dict[str, Any]) -> None:
    try:
        before = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"{folder.name} has checkpoints of no known run: move them away") from None
    now = json.loads(json.dumps(plan))
    changed = [_TOLD.get(name, name) for name in ("weights", "labels", "processes") if before.get(name) != now[name]]
    old = before.get("settings", {})
    changed += [name for name in now["settings"] if old.get(name) != now["settings"][name]]
    if not changed and before.get("gold") != now["gold"]:
        golds = before.get("gold", {})
        sets = {
            name for task, sums in now["gold"].items() for name in sums if golds.get(task, {}).get(name) != sums[name]
        }
        changed += [f"the {name} records" for name in sorted(sets, reverse=True)]
    if not changed and before.get("examples") != now["examples"]:
        changed.append("the training examples")
    if changed:
        raise TrainingError(
            f"{folder.name} has checkpoints of another run: it differs in {', '.join(changed)}: give what it had, or"
            " resume=False to begin again"
        )


def restore(model: HeadsOnEncoder, folder: Path, before: dict[str, torch.Tensor]) -> Path | None:
    """Give a model the weights of the last checkpoint, or those from before training; tell which."""
    last = last_checkpoint(folder)
    model.load_state_dict(before if last is None else load_file(last / "model.safetensors"))
    return last
