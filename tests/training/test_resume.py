from __future__ import annotations

import functools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_base

from clinnlp import FitConfig, Record
from clinnlp.errors import TrainingError
from clinnlp.stages import EntityExtractor, ReportClassifier
from clinnlp.training.trainer import TaskTrainer
from training.killed import CONFIGS, DEV, DRUGS, FILLER, TRAIN, run

CHANCE = random.Random(20)
KILLED = [
    ("alone", "step:2"),  # before the first checkpoint
    ("alone", f"step:{CHANCE.randint(4, 10)}"),
    ("accumulated", f"step:{CHANCE.randint(8, 27)}"),
    ("joint", f"step:{CHANCE.randint(4, 16)}"),
    ("unjudged", "optimizer:10"),
    ("alone", "state:6"),
    ("patient", "ending"),  # by patience: it must not go on with another epoch
    ("patient", "saving"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_base(tmp_path_factory.mktemp("base"), [*DRUGS, *FILLER]))


@pytest.fixture(scope="module")
def killed(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what runs left that were killed, all in the middle."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("killed.py")),
            base,
            str(folder),
            *[w for k in KILLED for w in k],
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [-9] * len(KILLED), done.stderr[-2000:]
    return folder


@functools.cache
def unbroken(name: str, base: str) -> tuple[dict[str, torch.Tensor], Any]:
    return run(name, base)


@pytest.mark.parametrize(("name", "place"), KILLED)
def test_a_killed_fine_tune_ends_with_the_weights_of_an_unbroken_one(
    base: str, killed: Path, name: str, place: str
) -> None:
    output = killed / f"{name}-{place.replace(':', '-')}"
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    assert not output.exists()
    assert place == "step:2" or any(checkpoints.glob("checkpoint-*"))
    weights, report = run(name, base, output=str(output), resume=True)
    wanted, whole = unbroken(name, base)
    assert weights.keys() == wanted.keys()
    assert [key for key in wanted if not torch.equal(weights[key], wanted[key])] == []
    assert (report.best_epoch, report.best_score) == (whole.best_epoch, whole.best_score)
    assert [row["epoch"] for row in report.history] == [row["epoch"] for row in whole.history]
    assert output.is_dir()
    assert not checkpoints.exists()


@pytest.fixture
def cut_off(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a run that was cut off at its eighth step, with checkpoints beside it."""
    step = TaskTrainer.training_step

    def interrupted(self: TaskTrainer, *args: Any) -> torch.Tensor:
        if self.state.global_step == 7:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(TaskTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("alone", base, output=str(tmp_path / "ner"))
    monkeypatch.undo()
    assert (tmp_path / "ner.checkpoints" / "checkpoint-6").is_dir()
    return tmp_path / "ner"


def refused(ner: EntityExtractor, output: Path, train: Any = TRAIN, dev: Any = DEV, **settings: Any) -> str:
    with pytest.raises(TrainingError) as caught:
        ner.fit(train, dev, FitConfig(**{**CONFIGS["alone"], **settings}, output=str(output), resume=True))
    assert "\n" not in str(caught.value)
    assert (output.with_name("ner.checkpoints") / "checkpoint-6").is_dir()
    return str(caught.value)


def test_checkpoints_of_another_run_are_refused_with_what_differs(base: str, cut_off: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    before = {name: own.clone() for name, own in ner.state_dict().items()}
    assert "differs in learning_rate, seed: give what it had" in refused(ner, cut_off, learning_rate=1e-3, seed=9)
    assert "differs in the training records:" in refused(ner, cut_off, [*TRAIN[1:], TRAIN[0]])
    other = [record.copy() for record in TRAIN]
    other[0].entities.pop()
    assert "differs in the training records:" in refused(ner, cut_off, other)
    assert "differs in the development records:" in refused(ner, cut_off, TRAIN, DEV[1:])
    assert "differs in the architecture of the model, labels:" in refused(
        EntityExtractor.from_base(base, ["Drug", "Other"]), cut_off
    )
    assert "differs in labels:" in refused(EntityExtractor.from_base(base, ["Medication"]), cut_off, renamed(TRAIN))
    assert all(torch.equal(own, ner.state_dict()[name]) for name, own in before.items())


def renamed(records: list[Record]) -> list[Record]:
    found = [record.copy() for record in records]
    for record in found:
        for entity in record.entities:
            entity.label = "Medication"
    return found


def test_other_reports_of_the_same_number_are_other_training_records(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = str(tmp_path / "reports")

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ReportClassifier, "save", cut_off)
    with pytest.raises(KeyboardInterrupt):
        ReportClassifier.from_base(base, ["few", "many"]).fit(TRAIN, None, FitConfig(epochs=1, output=output))
    with pytest.raises(TrainingError, match="differs in the training records"):
        ReportClassifier.from_base(base, ["few", "many"]).fit(
            [*TRAIN[1:], TRAIN[0]], None, FitConfig(epochs=1, output=output, resume=True)
        )


def test_a_folder_of_checkpoints_that_no_run_made_is_refused_and_left_alone(base: str, tmp_path: Path) -> None:
    folder = tmp_path / "ner.checkpoints"
    (folder / "checkpoint-6").mkdir(parents=True)
    (folder / "checkpoint-6" / "trainer_state.json").write_text("{}")
    ner = EntityExtractor.from_base(base, ["Drug"])
    for resume in (True, False):
        with pytest.raises(TrainingError, match=r"ner\.checkpoints .* move (them|it) away"):
            ner.fit(TRAIN, None, FitConfig(epochs=1, output=str(tmp_path / "ner"), resume=resume))
        assert (folder / "checkpoint-6" / "trainer_state.json").read_text() == "{}"


def test_without_checkpoints_resuming_starts_afresh(base: str, tmp_path: Path) -> None:
    weights, _ = run("unjudged", base, output=str(tmp_path / "ner"), resume=True)
    wanted, _ = unbroken("unjudged", base)
    assert all(torch.equal(weights[name], own) for name, own in wanted.items())
    assert [path.name for path in tmp_path.iterdir()] == ["ner"]


def test_without_resuming_the_checkpoints_of_a_run_that_was_cut_off_are_replaced(base: str, cut_off: Path) -> None:
    weights, _ = run("alone", base, output=str(cut_off))
    assert all(torch.equal(weights[name], own) for name, own in unbroken("alone", base)[0].items())


@pytest.fixture
def ended(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a run that was cut off when it had stopped by patience, with the best epoch's checkpoint."""
    log = TaskTrainer.log

    def interrupted(self: TaskTrainer, logs: dict[str, float], *args: Any) -> None:
        if "train_runtime" in logs:
            raise KeyboardInterrupt
        log(self, logs, *args)

    monkeypatch.setattr(TaskTrainer, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("patient", base, output=str(tmp_path / "one" / "ner"))
    monkeypatch.undo()
    assert len(list((tmp_path / "one" / "ner.checkpoints").glob("checkpoint-*"))) == 2
    return tmp_path / "one" / "ner"


def test_checkpoints_may_be_moved_and_the_best_epoch_is_found(base: str, ended: Path, tmp_path: Path) -> None:
    shutil.move(ended.parent, tmp_path / "two")
    weights, _ = run("patient", base, output=str(tmp_path / "two" / "ner"), resume=True)
    assert all(torch.equal(weights[name], own) for name, own in unbroken("patient", base)[0].items())


def test_checkpoints_without_that_of_the_best_epoch_are_refused(base: str, ended: Path) -> None:
    first, _ = sorted(ended.with_name("ner.checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    shutil.rmtree(first)
    with pytest.raises(TrainingError, match=rf"lacks {first.name}, of the best epoch: begin again with resume=False"):
        run("patient", base, output=str(ended), resume=True)
