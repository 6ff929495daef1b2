from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import tiny_base

import clinnlp
from clinnlp import FitConfig, Pipeline
from clinnlp.stages import EntityExtractor, ReportClassifier
from clinnlp.training.fit import FitReport
from clinnlp.training.task import HeadsOnEncoder
from clinnlp.training.trainer import TaskTrainer
from training.killed import DEV, DRUGS, FILLER, TRAIN
from training.launched import digest

FAST: dict[str, Any] = {"learning_rate": 5e-3, "batch_tokens": 128, "warmup": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_base(tmp_path_factory.mktemp("base"), [*DRUGS, *FILLER]))


@pytest.fixture(scope="module")
def two(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two processes found that fine-tuned together on the CPU."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("launched.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    done = subprocess.run(
        [*launch, str(script), base, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": str(script.parents[1]),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_end_with_the_weights_of_the_best_epoch_which_are_saved_once(
    two: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, (one, other) = two
    assert (one["processes"], other["processes"]) == (2, 2)
    assert one["weights"] == other["weights"]
    for found in (one, other):
        best, epoch, judged = found["best"]
        assert judged == pytest.approx(best)
        assert epoch < found["history"][-1] == 5
        assert found["folder"] == str(folder / "nlp")
    assert (one["saves"], other["saves"]) == (1, 0)
    opened = clinnlp.load(folder / "nlp")["entities"]
    assert isinstance(opened, EntityExtractor)
    assert digest(opened.state_dict()) == one["weights"]
    assert not list(folder.glob("*.checkpoints"))
    assert len(list((folder / "nlp.tensorboard").glob("events*"))) == 1


def test_two_processes_together_see_every_example_once_an_epoch(two: tuple[Path, list[dict[str, Any]]]) -> None:
    _, (one, other) = two
    everything = {(task, place) for task in (0, 1) for place in range(len(TRAIN))}
    assert len(one["seen"]) == len(other["seen"]) == 5
    for mine, theirs in zip(one["seen"], other["seen"], strict=True):
        counts = Counter((task, place) for task, place in [*mine, *theirs])
        assert set(counts) == everything
        # An odd number of batches is made even by one that comes again.
        again = [drawn for drawn, count in counts.items() if count > 1]
        assert len({task for task, _ in again}) <= 1
        assert len(again) <= 10
        assert max(counts.values()) <= 2
        assert mine
        assert theirs
    assert len({json.dumps(epoch) for epoch in one["seen"]}) == 5


def test_a_fine_tune_by_two_processes_is_resumed_in_the_middle_of_an_epoch(
    two: tuple[Path, list[dict[str, Any]]],
) -> None:
    for found in two[1]:
        resumed, unbroken = found["resumed"]
        assert resumed == unbroken


def test_processes_stop_together_where_one_has_a_loss_that_is_no_number(two: tuple[Path, list[dict[str, Any]]]) -> None:
    for found in two[1]:
        assert found["lost"].startswith("the loss is not a number at step 2")


def fit(base: str, dev: Any = None, **settings: Any) -> tuple[EntityExtractor, FitReport]:
    ner = EntityExtractor.from_base(base, ["Drug"])
    return ner, ner.fit(TRAIN, dev, FitConfig(**{**FAST, **settings}))


def test_two_batches_of_a_step_are_like_one_of_twice_the_size(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one pass in order: each batch of 128 pieces is two of 64, so that the steps are the same but for rounding."""
    from clinnlp.training import batches

    same = [record for record in TRAIN if len(record.text.split()) == 13] * 6
    monkeypatch.setattr(torch, "randperm", lambda size, **_: torch.arange(size))
    steps: list[int] = []
    step = TaskTrainer.training_step
    monkeypatch.setattr(TaskTrainer, "training_step", lambda self, *args: (steps.append(1), step(self, *args))[1])
    found = []
    for tokens, accumulated in ((192, 1), (96, 2)):
        steps.clear()
        ner = EntityExtractor.from_base(base, ["Drug"])
        config = FitConfig(epochs=2, gradient_accumulation=accumulated, **{**FAST, "batch_tokens": tokens})
        sizes = batches.BudgetSampler([15] * len(same), tokens).sizes
        report = ner.fit(same, None, config)
        found.append((sizes, len(steps), [row["loss"] for row in report.history], ner.state_dict()))
    (whole, some, losses, weights), (halves, more, other_losses, other_weights) = found
    assert halves == [size // 2 for size in whole for _ in "ab"]
    assert more == 2 * some
    assert other_losses == pytest.approx(losses, rel=1e-3)
    assert all(torch.allclose(weights[name], own, atol=1e-3) for name, own in other_weights.items())


def test_bfloat16_is_computed_in_and_weights_stay_float32(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    states_of = HeadsOnEncoder._states

    def states(self: HeadsOnEncoder, part: Any) -> torch.Tensor:
        kinds.add(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return states_of(self, part)

    monkeypatch.setattr(HeadsOnEncoder, "_states", states)
    ner, report = fit(base, DEV, epochs=8, precision="bfloat16")
    assert kinds == {torch.bfloat16}
    assert {own.dtype for own in ner.state_dict().values()} == {torch.float32}
    assert report.best_score is not None
    assert report.best_score > 0.8
    assert report.history[-1]["loss"] < report.history[0]["loss"]
    plain, _ = fit(base, DEV, epochs=8)
    assert not torch.equal(ner.head.classifier.weight, plain.head.classifier.weight)


def test_patience_stops_after_epochs_without_a_better_score(base: str) -> None:
    _, report = fit(base, DEV, epochs=40, patience=2, learning_rate=1e-2)
    best = max(row["f1"] for row in report.history)
    first = next(i for i, row in enumerate(report.history) if row["f1"] == best)
    assert len(report.history) == first + 3 < 40
    assert report.best_epoch == first + 1


@pytest.mark.parametrize("settings", [{"optimizer": "adafactor"}, {"schedule": "cosine"}, {"optimizer": "sgd"}])
def test_optimizers_and_schedules_of_the_trainer_are_used(base: str, settings: dict[str, str]) -> None:
    plain, _ = fit(base, epochs=3)
    ner, report = fit(base, epochs=3, **settings)
    assert not torch.equal(ner.head.classifier.weight, plain.head.classifier.weight)
    assert report.history[-1]["loss"] < report.history[0]["loss"]


def test_a_cosine_falls_as_a_cosine(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    step = TaskTrainer.training_step

    def noted(self: TaskTrainer, *args: Any) -> torch.Tensor:
        rates.append(self.optimizer.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(TaskTrainer, "training_step", noted)
    fit(base, epochs=4, schedule="cosine")
    wanted = [5e-3 * (1 + torch.tensor(torch.pi * i / len(rates)).cos().item()) / 2 for i in range(len(rates))]
    assert rates == pytest.approx(wanted, abs=1e-8)


def test_tensorboard_gets_losses_and_figures_of_every_epoch(base: str, tmp_path: Path) -> None:
    nlp = Pipeline([EntityExtractor.from_base(base, ["Drug"]), ReportClassifier.from_base(base, ["few", "many"])])
    output = tmp_path / "nlp"
    report = nlp.fit(TRAIN, DEV, FitConfig(epochs=3, output=str(output), report_to="tensorboard", **FAST))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nlp", "nlp.tensorboard"]
    events = EventAccumulator(str(tmp_path / "nlp.tensorboard"))
    events.Reload()

    def values(tag: str) -> list[float]:
        return [event.value for event in events.Scalars(tag)]

    assert values("train/loss") == pytest.approx([row["loss"] for row in report.history])
    for figure in ("entities.f1", "reports.macro_f1", "primary"):
        assert values(f"eval/{figure}") == pytest.approx([row[figure] for row in report.history])
    assert len(values("train/learning_rate")) == 3


def test_every_judges_between_epochs_and_after_the_last_step(base: str) -> None:
    _, report = fit(base, DEV, epochs=2, every=2)
    judged = [row["epoch"] for row in report.history if "f1" in row]
    steps = [round(epoch / judged[0] * 2, 6) for epoch in judged]
    assert steps == [*range(2, len(steps) * 2, 2), steps[-1]]
    assert judged[-1] == 2
    assert report.best_score == max(row["f1"] for row in report.history if "f1" in row)


@pytest.mark.parametrize("every", [None, 2])
def test_the_last_weights_are_kept_where_they_are_selected(
    base: str, every: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last step the head is overwritten, so that the last weights are worse than those before."""
    step = TaskTrainer.training_step

    def spoiled(self: TaskTrainer, *args: Any) -> torch.Tensor:
        if self.state.global_step == self.state.max_steps - 1:
            with torch.no_grad():
                for parameter in self.tasks[0].head.parameters():
                    parameter.fill_(-1.0)
        return step(self, *args)

    monkeypatch.setattr(TaskTrainer, "training_step", spoiled)
    settings = {"epochs": 4, "batch_tokens": 64, "every": every}
    ner, report = fit(base, DEV, select="last", output=str(tmp_path / "ner"), **settings)
    judged = [row for row in report.history if "f1" in row]
    assert report.best_epoch == judged[-1]["epoch"] == 4
    assert report.best_score == judged[-1]["f1"] == pytest.approx(ner.evaluate(DEV)["f1"])
    assert max(row["f1"] for row in judged) > judged[-1]["f1"]
    best, chosen = fit(base, DEV, select="best", **settings)
    assert chosen.best_score == pytest.approx(best.evaluate(DEV)["f1"])
    assert chosen.best_score > report.best_score
