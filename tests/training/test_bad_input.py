from __future__ import annotations

import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from tiny import tiny_base

from clinnlp import Entity, FitConfig, Image, Pipeline, Record
from clinnlp.errors import CheckpointError, ClinNLPError, ConfigError, RecordError, StageError, TrainingError
from clinnlp.stages import EntityExtractor, ImageClassifier, ReportClassifier
from clinnlp.training.fit import FitReport
from clinnlp.training.task import HeadsOnEncoder
from clinnlp.training.trainer import TaskTrainer
from training.killed import CONFIGS, DEV, DRUGS, FILLER, TRAIN, run

SECRET = "zanzibar"
FAST: dict[str, Any] = {"epochs": 1, "batch_tokens": 128}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_base(tmp_path_factory.mktemp("base"), [*DRUGS, *FILLER]))


@contextmanager
def refused(kind: type[ClinNLPError], *told: str) -> Iterator[None]:
    """Expect an error of one line that tells what it should, and no text of a record."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert SECRET not in message
    for part in told:
        assert part in message


def reports(base: str, **options: Any) -> ReportClassifier:
    return ReportClassifier.from_base(base, ["few", "many"], **options)


def pictures(*names: str) -> list[Record]:
    chance = np.random.default_rng(0)
    return [
        Record(SECRET, id=str(i), images=[Image(chance.integers(0, 255, (8, 8), dtype=np.uint8))], labels={"x": [name]})
        for i, name in enumerate(names)
    ]


def classifier() -> ImageClassifier:
    return ImageClassifier.from_base(labels=["few", "many"], name="x", image_size=8)


def at_step(number: int, monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
    """Let something happen to the loss of a step."""
    loss_of = TaskTrainer.compute_loss

    def compute_loss(self: TaskTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = loss_of(self, *args, **kwargs)
        return what(loss) if self.state.global_step + 1 == number else loss

    monkeypatch.setattr(TaskTrainer, "compute_loss", compute_loss)


def fail_with(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_a_loss_that_is_no_number_leaves_the_last_checkpoint_to_go_on_from(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(8, monkeypatch, lambda loss: loss * float("nan"))
    ner = EntityExtractor.from_base(base, ["Drug"])
    output = str(tmp_path / "ner")
    with refused(
        TrainingError,
        "the loss is not a number at step 8: lower learning_rate; the weights are those of step 6, whose checkpoint is"
        " in ner.checkpoints: fit with resume=True goes on from it",
    ):
        ner.fit(TRAIN, DEV, FitConfig(**CONFIGS["alone"], output=output))
    saved = load_file(tmp_path / "ner.checkpoints" / "checkpoint-6" / "model.safetensors")
    assert torch.equal(ner.head.classifier.weight, saved["heads.0.classifier.weight"])
    words = ner.encoder.model.get_input_embeddings().weight
    assert torch.equal(words, saved["encoder.embeddings.word_embeddings.weight"])
    assert ner.encoder.changed
    again = pickle.loads(pickle.dumps(ner))
    assert torch.equal(again.encoder.model.get_input_embeddings().weight, words)
    monkeypatch.undo()
    weights, _ = run("alone", base, output=output, resume=True)
    unbroken, _ = run("alone", base)
    assert all(torch.equal(weights[name], own) for name, own in unbroken.items())


def test_a_loss_that_is_no_number_before_any_checkpoint_leaves_all_as_it_was(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(3, monkeypatch, lambda loss: loss * float("inf"))
    ner = EntityExtractor.from_base(base, ["Drug"])
    before = {name: own.clone() for name, own in ner.state_dict().items()}
    with refused(TrainingError, "not a number at step 3: lower learning_rate; the weights are those before training"):
        ner.fit(TRAIN, DEV, FitConfig(**CONFIGS["alone"]))
    assert all(torch.equal(own, ner.state_dict()[name]) for name, own in before.items())
    assert not ner.encoder.changed
    assert all(parameter.requires_grad for parameter in ner.encoder.model.parameters())


@pytest.mark.parametrize("dev", [None, DEV])
@pytest.mark.parametrize("output", ["ner", None])
def test_weights_that_overflow_in_the_last_step_are_not_kept(
    base: str, dev: Any, output: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TaskTrainer.training_step

    def overflowing(self: TaskTrainer, *args: Any) -> torch.Tensor:
        loss = step(self, *args)
        next(parameter for parameter in self.model.parameters() if parameter.grad is not None).grad[0, 0] = torch.inf
        return loss

    monkeypatch.setattr(TaskTrainer, "training_step", overflowing)
    ner = EntityExtractor.from_base(base, ["Drug"])
    with refused(TrainingError, "the weights are not numbers after step 1", "those before training"):
        ner.fit(TRAIN[:4], dev, FitConfig(epochs=1, warmup=0.0, output=output and str(tmp_path / output)))
    assert all(bool(torch.isfinite(own).all()) for own in ner.state_dict().values())
    assert not (tmp_path / "ner").exists()


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."
    ),
    MemoryError(),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_too_little_memory_tells_the_setting_to_lower(
    base: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    with monkeypatch.context() as patch:
        patch.setattr(HeadsOnEncoder, "_states", fail_with(error))
        with refused(StageError, "too little memory: lower batch_tokens, which is 128; the weights are those before"):
            ner.fit(TRAIN, None, FitConfig(**FAST))
    with monkeypatch.context() as patch:
        patch.setattr(type(ner.encoder), "states", fail_with(error))
        with refused(StageError, "too little memory: lower batch_tokens, which is 4096; the weights are those before"):
            ner.fit(TRAIN, DEV, FitConfig(**FAST))
    images = classifier()
    records = pictures("few", "many")
    with monkeypatch.context() as patch:
        patch.setattr(images.model, "forward", fail_with(error))
        with refused(StageError, "too little memory: lower batch_tokens, which is 128"):
            images.fit(records, None, FitConfig(**FAST))
        with refused(StageError, "too little memory: lower batch_size, which is 32"):
            images.evaluate(records)


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Let every write beyond so many bytes of a file fail, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))  # Python ignores the signal that comes with it
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Room for nothing, for nothing but the plan, for the weights but not for the optimizer's.
@pytest.mark.parametrize("most", [10, 10_000, 150_000])
def test_a_disk_that_is_full_in_a_checkpoint_leaves_the_previous_save(base: str, tmp_path: Path, most: int) -> None:
    output = tmp_path / "ner"
    EntityExtractor.from_base(base, ["Drug"]).save(output)
    before = files(output)
    ner = EntityExtractor.from_base(base, ["Drug"])
    with small_files(most), refused(TrainingError, "cannot write checkpoints in ner.checkpoints: ", "make room"):
        ner.fit(TRAIN, DEV, FitConfig(**FAST, output=str(output)))
    assert files(output) == before
    weights, _ = run("unjudged", base, output=str(tmp_path / "two"))
    config = FitConfig(**CONFIGS["unjudged"], output=str(output))
    ner.fit(TRAIN, None, config)
    assert EntityExtractor.from_pretrained(output).state_dict().keys() == weights.keys()


def test_a_disk_that_fills_up_leaves_the_checkpoint_before_to_go_on_from(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = str(tmp_path / "ner")
    save = TaskTrainer.save_model

    def save_model(self: TaskTrainer, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        if self.state.global_step == 6:  # the weights are written, and the rest is not
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))

    with monkeypatch.context() as patch, small_files(resource.RLIM_INFINITY):
        patch.setattr(TaskTrainer, "save_model", save_model)
        with refused(TrainingError, "make room, then go on with resume=True; the weights are those of step 3"):
            run("alone", base, output=output)
    weights, _ = run("alone", base, output=output, resume=True)
    unbroken, _ = run("alone", base)
    assert all(torch.equal(weights[name], own) for name, own in unbroken.items())


@pytest.mark.parametrize("most", [1_000, 50_000])
def test_a_disk_that_is_full_when_all_is_saved_leaves_checkpoints_to_go_on_from(
    base: str, tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "ner"
    EntityExtractor.from_base(base, ["Drug"]).save(output)
    before = files(output)
    save = EntityExtractor.save

    def full(self: EntityExtractor, folder: Path) -> Path:
        with small_files(most):
            return save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(EntityExtractor, "save", full)
        with refused(CheckpointError, "cannot save in ", "File too large", "what was there stays"):
            run("unjudged", base, output=str(output))
    assert files(output) == before
    steps: list[int] = []
    step = TaskTrainer.training_step
    monkeypatch.setattr(TaskTrainer, "training_step", lambda self, *args: (steps.append(1), step(self, *args))[1])
    weights, _ = run("unjudged", base, output=str(output), resume=True)
    assert not steps
    opened = EntityExtractor.from_pretrained(output).state_dict()
    assert all(torch.equal(opened[name], own) for name, own in weights.items())


def test_an_output_that_cannot_be_a_folder_is_refused_before_training(base: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    with refused(ClinNLPError, "ner.checkpoints", "name another output"):
        EntityExtractor.from_base(base, ["Drug"]).fit(TRAIN, None, FitConfig(**FAST, output=f"{tmp_path}/file/ner"))


def test_gold_that_leaves_the_text_names_the_record(base: str) -> None:
    record = Record(f"took {SECRET}", id="r7", entities=[Entity(5, 13, "Drug")])
    rows = [record.to_dict()]
    rows[0]["entities"] = [{"start": 5, "end": 99, "label": "Drug"}]
    ner = EntityExtractor.from_base(base, ["Drug"])
    with refused(RecordError, "'r7'", "99"):
        ner.fit(rows, None, FitConfig(**FAST))
    with refused(RecordError, "'r7'", "99"):
        ner.fit(Dataset.from_list(rows), None, FitConfig(**FAST))
    record.entities.append(Entity(7, 99, "Drug"))
    with refused(RecordError, "'r7'", "99"):
        ner.fit([record], None, FitConfig(**FAST))
    with refused(RecordError, "'r7'", "99"):
        ner.fit(TRAIN, [record], FitConfig(**FAST))


def test_gold_that_crosses_other_gold_is_counted(base: str) -> None:
    gold = [
        Record("took aspirin daily", entities=[Entity(0, 12, "Drug"), Entity(5, 18, "Drug")]),
        Record("took aspirin daily", entities=[Entity(5, 12, "Drug"), Entity(8, 18, "Drug"), Entity(0, 4, "Drug")]),
    ]
    report = EntityExtractor.from_base(base, ["Drug"]).fit(gold, None, FitConfig(**FAST))
    assert report.notes == ["2 gold entities lie on others or on no word, and were not learned"]


@pytest.mark.parametrize("gold", [[], [Record(SECRET, id="1")]])
def test_a_training_set_without_gold_is_refused_by_every_stage(base: str, gold: list[Record]) -> None:
    with refused(TrainingError, "stage 'entities': none of the", "has gold entities"):
        EntityExtractor.from_base(base, ["Drug"]).fit(gold)
    with refused(TrainingError, "stage 'reports': no record has gold under labels['reports']"):
        reports(base).fit(gold)
    with refused(TrainingError, "stage 'x': no record has images and gold under labels['x']"):
        classifier().fit(gold)
    shared = EntityExtractor.from_base(base, ["Drug"])
    with refused(TrainingError, "no stage of pipeline on a text encoder has gold"):
        Pipeline([shared]).fit(gold)


def test_a_pipeline_whose_pictures_alone_have_gold_says_how_they_are_fitted() -> None:
    seen = ImageClassifier.from_base(labels=["none", "mass"], name="finding", image_size=8)
    record = Record(images=[Image(np.zeros((8, 8), dtype=np.uint8), labels={"finding": ["mass"]})])
    with refused(TrainingError, "'finding' is on none, and is fitted by itself: nlp['finding'].fit"):
        Pipeline([seen]).fit([record])


def test_development_records_without_gold_are_refused_or_give_zeros(base: str) -> None:
    train = [Record("took", labels={"reports": [name]}) for name in ("few", "many")]
    with refused(TrainingError, "no record has gold under labels['reports']"):
        reports(base).fit(train, [Record(SECRET)], FitConfig(**FAST))
    with refused(TrainingError, "no record has images and gold under labels['x']"):
        classifier().fit(pictures("few", "many"), [Record(SECRET)], FitConfig(**FAST))
    report = EntityExtractor.from_base(base, ["Drug"]).fit(TRAIN, [Record("took")], FitConfig(**FAST))
    assert report.best_score == 0


def test_a_single_class_is_refused_by_classifiers_and_learned_by_entities(base: str) -> None:
    same = [Record(f"took {SECRET}", labels={"reports": ["few"]}) for _ in range(3)]
    with refused(TrainingError, "all 3 training examples have the gold ['few']"):
        reports(base).fit(same)
    several = [Record(f"took {SECRET}", labels={"reports": []}) for _ in range(3)]
    with refused(TrainingError, "all 3 training examples have the gold []"):
        reports(base, multi_label=True).fit(several)
    with refused(TrainingError, "all 2 training examples have the gold ['many']"):
        classifier().fit(pictures("many", "many"))
    whole = [Record("aspirin heparin", entities=[Entity(0, 7, "Drug"), Entity(8, 15, "Drug")])] * 8
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.fit(whole, None, FitConfig(epochs=10, learning_rate=1e-2, class_weights="balanced"))
    assert len(ner("aspirin heparin").entities) == 2


def test_a_label_that_the_head_does_not_know_is_refused_by_every_stage(base: str) -> None:
    with refused(TrainingError, "type 'Gene', which the head does not know: its labels are Drug"):
        EntityExtractor.from_base(base, ["Drug"]).fit([Record(SECRET, entities=[Entity(0, 2, "Gene")])])
    gold = [Record(SECRET, id=str(i), labels={"reports": [name]}) for i, name in enumerate(["few", "some"])]
    with refused(TrainingError, "record '1' has the gold label 'some'", "its labels are few, many"):
        reports(base).fit(gold)
    with refused(TrainingError, "record '1' has the gold label 'some'", "its labels are few, many"):
        classifier().fit(pictures("few", "some"))
    two = [Record(SECRET, id="0", labels={"reports": ["few", "many"]}), *gold]
    with refused(TrainingError, "record '0' has 2 gold labels"):
        reports(base).fit(two)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"optimizer": "adam_of_no_one"}, "adam_of_no_one"),
        ({"optimizer": "adamw_bnb_8bit"}, "adamw_bnb_8bit"),
        ({"schedule": "spiral"}, "spiral"),
        ({"schedule": "warmup_stable_decay"}, "warmup_stable_decay"),
        ({"report_to": "nowhere"}, "nowhere"),
        ({"report_to": "wandb"}, "wandb"),
    ],
)
def test_names_that_the_trainer_does_not_know_or_cannot_use_are_told_in_a_line(
    base: str, settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    before = {name: own.clone() for name, own in ner.state_dict().items()}
    with refused(ClinNLPError, told):
        ner.fit(TRAIN, None, FitConfig(**FAST, **settings, output=str(tmp_path / "ner")))
    assert all(torch.equal(own, ner.state_dict()[name]) for name, own in before.items())
    ner.fit(TRAIN, None, FitConfig(**FAST, output=str(tmp_path / "ner")))


def test_classes_that_there_are_not_are_refused_in_their_weights(base: str) -> None:
    with refused(ConfigError, "class_weights names 'Gene', and the labels are"):
        EntityExtractor.from_base(base, ["Drug"]).fit(TRAIN, None, FitConfig(class_weights={"Gene": 2.0}))


def test_names_that_a_pipeline_does_not_have_are_refused(base: str) -> None:
    nlp = Pipeline([EntityExtractor.from_base(base, ["Drug"]), reports(base)])
    with refused(TrainingError, "mixing names 'sections': fitted are entities, reports"):
        nlp.fit(TRAIN, None, FitConfig(**FAST, mixing={"sections": 2.0}))
    with refused(TrainingError, "train is given for 'sections': the stages that learn are entities, reports"):
        nlp.fit({"sections": TRAIN}, None, FitConfig(**FAST))
    with refused(TrainingError, "dev is given for 'sections': the stages that learn are entities, reports"):
        nlp.fit(TRAIN, {"sections": DEV}, FitConfig(**FAST))
    with refused(TrainingError, "mixing names 'reports': fitted are entities"):
        nlp["entities"].fit(TRAIN, None, FitConfig(**FAST, mixing={"reports": 2.0}))


def test_heads_that_do_not_share_an_encoder_are_refused(base: str) -> None:
    nlp = Pipeline([EntityExtractor.from_base(base, ["Drug"]), reports(base, window=64, overlap=8)])
    with refused(TrainingError, "'entities' and 'reports' do not share an encoder: make both from the same base"):
        nlp.fit(TRAIN, None, FitConfig(**FAST))


def test_gold_that_is_refused_leaves_a_shared_encoder_shared(base: str) -> None:
    nlp = Pipeline([EntityExtractor.from_base(base, ["Drug"]), reports(base)])
    with pytest.raises(TrainingError):
        nlp["entities"].fit([Record("took")])
    assert nlp["entities"].encoder is nlp["reports"].encoder


def test_a_fit_that_comes_to_nothing_leaves_the_transitions_and_figures_of_the_head(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.fit(TRAIN, DEV, FitConfig(**FAST))
    ner = EntityExtractor.from_pretrained(ner.save(tmp_path / "ner"))
    own = ner.transitions
    assert own is not None
    ner.fitted = report = FitReport(FitConfig())
    (tmp_path / "file").write_text("")
    with refused(TrainingError, "cannot write checkpoints"):
        ner.fit(TRAIN, DEV, FitConfig(**FAST, crf=False, output=str(tmp_path / "file" / "ner")))
    at_step(1, monkeypatch, lambda loss: loss * float("nan"))
    with refused(TrainingError, "those before training"):
        ner.fit(TRAIN, DEV, FitConfig(**FAST, crf=False))
    assert np.array_equal(ner.transitions, own)
    assert ner.fitted is report
    assert not ner.weights_changed
    monkeypatch.undo()
    ner.fit(TRAIN, DEV, FitConfig(**FAST, crf=False))
    assert ner.transitions is None


def test_too_little_memory_after_a_checkpoint_does_not_promise_to_go_on_with_other_batches(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(8, monkeypatch, fail_with(MemoryError()))
    ner = EntityExtractor.from_base(base, ["Drug"])
    with pytest.raises(StageError, match=r"too little memory: lower batch_tokens.*the weights are those of step 6$"):
        ner.fit(TRAIN, DEV, FitConfig(**CONFIGS["alone"], output=str(tmp_path / "ner")))


def test_a_head_without_its_encoder_says_where_that_is(base: str, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    place = ner.save_head(tmp_path / "head")
    told = f"the folder {place} has a head without its encoder: give the folder of the pipeline around it"
    with refused(CheckpointError, told):
        EntityExtractor.from_pretrained(place)
    with refused(CheckpointError, told):
        EntityExtractor.from_base(place, ["Drug"])


@pytest.mark.parametrize("labels", [[["few"], "many"], [{}, "many"], [1, 2], "few", 3, ["few", ""], []])
def test_labels_that_are_no_list_of_names_are_refused(base: str, labels: Any) -> None:
    for stage in (EntityExtractor, ReportClassifier):
        with refused(ConfigError, "label"):
            stage.from_base(base, labels)
    with refused(ConfigError, "label"):
        ImageClassifier.from_base(labels=labels)
