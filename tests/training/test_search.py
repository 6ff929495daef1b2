from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_base

from clinnlp import FitConfig, Image, Record
from clinnlp.errors import ConfigError, MissingPackageError, TrainingError
from clinnlp.stages import EntityExtractor, ImageClassifier, ReportClassifier
from training.test_fit import DEV, DRUGS, FILLER, TRAIN

FAST = FitConfig(epochs=1, learning_rate=5e-3, batch_tokens=128, warmup=0.0, allow_shared=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), [*DRUGS, *FILLER])


def test_the_best_settings_are_found_among_all_that_were_tried_and_the_stage_is_as_before(base: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    before = {name: tensor.clone() for name, tensor in ner.state_dict().items()}
    report = ner.search(TRAIN, DEV, {"learning_rate": [1e-6, 5e-3], "batch_tokens": [64, 128]}, FAST, trials=6)
    assert len(report.trials) == 4  # each combination once
    assert len({repr(trial.settings) for trial in report.trials}) == 4
    scores = [trial.score for trial in report.trials if trial.score is not None]
    assert report.best_score == max(scores) > min(scores)
    assert report.metric == "f1"
    best = next(trial for trial in report.trials if trial.score == report.best_score)
    assert best.settings == {"learning_rate": report.best.learning_rate, "batch_tokens": report.best.batch_tokens}
    assert report.best.epochs == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in ner.state_dict().items())
    assert ner.fitted is None
    # Who fits with what was found gets what was found: trials begin with the stage's own weights.
    assert ner.fit(TRAIN, DEV, report.best).best_score == report.best_score


def test_the_same_seed_proposes_the_same_settings_within_their_ranges(base: Path) -> None:
    space = {"learning_rate": (1e-4, 1e-2, "log"), "epochs": (1, 2), "mask_words": (0.0, 0.3), "focal": [0.0, 2.0]}

    def found(seed: int) -> list[tuple[dict[str, object], float | None]]:
        torch.manual_seed(0)  # of the new head
        ner = EntityExtractor.from_base(base, ["Drug"])
        report = ner.search(TRAIN[:10], DEV[:2], space, FAST, trials=2, seed=seed)
        return [(trial.settings, trial.score) for trial in report.trials]

    one = found(3)
    assert one == found(3)
    assert [settings for settings, _ in one] != [settings for settings, _ in found(4)]
    for settings, _ in one:
        assert 1e-4 <= settings["learning_rate"] <= 1e-2  # type: ignore[operator]
        assert settings["epochs"] in (1, 2)
        assert isinstance(settings["mask_words"], float)


def test_all_trials_begin_with_the_same_weights(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[torch.Tensor] = []

    def watched(stage: EntityExtractor, *_: object) -> None:
        heads.append(stage.head.classifier.weight.detach().clone())
        stage.head.classifier.weight.data.zero_()
        raise TrainingError("seen enough")

    monkeypatch.setattr(EntityExtractor, "fit", watched)
    with pytest.raises(TrainingError, match="seen enough"):
        EntityExtractor.from_base(base, ["Drug"]).search(TRAIN, DEV, {"seed": [1, 2, 3]}, FAST)
    assert len(heads) == 3
    assert heads[0].any()
    assert torch.equal(heads[0], heads[1])
    assert torch.equal(heads[0], heads[2])


CHOICES: dict[str, list[object]] = {
    "epochs": [2], "learning_rate": [1e-3], "head_learning_rate": [1e-2], "optimizer": ["sgd"], "batch_tokens": [64],
    "weight_decay": [0.1], "warmup": [0.2], "schedule": ["cosine"], "max_grad_norm": [0.5], "dropout": [0.1],
    "mask_words": [0.2], "plant_entities": [0.2], "swap_entities": [0.2], "typos": [0.1], "abbreviations": [0.1],
    "class_weights": [{"Drug": 2.0}], "focal": [1.0], "label_smoothing": [0.1], "resample": ["over"],
    "freeze": ["encoder"], "lora": [2], "distill": [0.1], "distill_temperature": [1.0], "calibrate": [True],
    "mixing": [{"entities": 2.0}], "seed": [7], "select": ["last"], "patience": [1], "every": [3],
    "precision": ["bfloat16"], "gradient_accumulation": [2], "report_to": ["none"], "progress": [False],
    "crf": [False], "tune_thresholds": [True], "allow_shared": [True], "method": [None], "pairs": [4],
    "augment": [("shift",)],
}  # fmt: skip


def test_every_setting_reaches_the_fit(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a later version adds to FitConfig must have a choice here."""
    fitted: list[FitConfig] = []
    fit = EntityExtractor.fit

    def watched(stage: EntityExtractor, train: object, dev: object, config: FitConfig, teacher: object) -> object:
        fitted.append(config)
        return fit(stage, train, dev, config, teacher)

    monkeypatch.setattr(EntityExtractor, "fit", watched)
    apart = {"freeze", "every"}  # not with lora; steps that do not come
    space = {name: choice for name, choice in CHOICES.items() if name not in apart}
    ner = EntityExtractor.from_base(base, ["Drug"])
    for some in (space, {name: CHOICES[name] for name in apart}):
        (trial,) = ner.search(TRAIN[:6], DEV[:2], some, FAST, trials=3).trials
        assert trial.error == ""
        assert {name: getattr(fitted[-1], name) for name in some} == {name: choice[0] for name, choice in some.items()}
    assert set(CHOICES) == {f.name for f in fields(FitConfig)} - {"output", "resume"}
    for kept in ("output", "resume"):
        with pytest.raises(ConfigError, match="is no setting to look for"):
            ner.search(TRAIN[:6], DEV[:2], {kept: [None]}, FAST)


def test_a_trial_that_fails_is_told_and_the_others_go_on(base: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    report = ner.search(TRAIN[:6], DEV[:2], {"schedule": ["no such", "linear"]}, FAST)
    assert sorted(bool(trial.error) for trial in report.trials) == [False, True]
    assert report.best.schedule == "linear"
    with pytest.raises(TrainingError, match=r"all 1 trials failed, the last with: .*no such"):
        ner.search(TRAIN[:6], DEV[:2], {"schedule": ["no such"]}, FAST)


def test_the_stage_is_fitted_with_the_best_settings_and_saved_if_asked(base: Path, tmp_path: Path) -> None:
    config = FitConfig(epochs=1, batch_tokens=128, warmup=0.0, output=str(tmp_path / "ner"))
    ner = EntityExtractor.from_base(base, ["Drug"])
    report = ner.search(TRAIN, DEV, {"learning_rate": [1e-6, 5e-3]}, config, refit=True)
    assert report.fitted is not None
    assert report.fitted.best_score == report.best_score == ner.evaluate(DEV)["f1"]
    assert EntityExtractor.from_pretrained(tmp_path / "ner").evaluate(DEV)["f1"] == report.best_score
    assert [path.name for path in tmp_path.iterdir()] == ["ner"]


def test_reports_and_images_are_searched_too(base: Path) -> None:
    notes = [Record(f"{word} took", labels={"kind": [word[0]]}) for word in ("aspirin", "heparin") for _ in range(4)]
    reports = ReportClassifier.from_base(base, ["a", "h"], name="kind")
    assert reports.search(notes, notes, {"dropout": [0.0, 0.1]}, FAST).metric == "macro_f1"
    pictures = [
        Record("", images=[Image(np.full((8, 8), shade, dtype=np.uint8))], labels={"shade": [name]})
        for shade, name in ((0, "dark"), (255, "light"))
        for _ in range(2)
    ]
    images = ImageClassifier.from_base(labels=["dark", "light"], name="shade", image_size=8)
    assert len(images.search(pictures, pictures, {"focal": [0.0, 1.0]}, FAST).trials) == 2


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "the space is empty"),
        ({"lr": [1e-3]}, "no setting 'lr'"),
        ({"epochs": []}, "needs a list of choices"),
        ({"epochs": 3}, "needs a list of choices"),
        ({"epochs": [0]}, "at least 1"),
        ({"epochs": ["many"]}, "must be a number"),
        ({"epochs": (1.5, 3)}, "whole numbers"),
        ({"warmup": (0.0, 1.5)}, "between 0 and 1"),
        ({"learning_rate": (1e-3, 1e-4)}, "from low to high"),
        ({"weight_decay": (0.0, 1e-4, "log")}, "above 0"),
        ({"weight_decay": (0.0, 1e-4, "lin")}, "'log'"),
        ({"select": ("best", "last")}, "no number"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(base: Path, space: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EntityExtractor.from_base(base, ["Drug"]).search(TRAIN, DEV, space)


def test_a_missing_optuna_is_told_with_its_mend(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'clinnlp\[train\]'"):
        EntityExtractor.from_base(base, ["Drug"]).search(TRAIN, DEV, {"epochs": [1]})


def test_optuna_is_silent_and_gets_its_voice_back(base: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    EntityExtractor.from_base(base, ["Drug"]).search(TRAIN[:4], DEV[:1], {"schedule": ["linear", "no such"]}, FAST)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert optuna.logging.get_verbosity() == before
