from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from scans import scan
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

import clinnlp
from clinnlp import FitConfig, Image, Label, Pipeline, Record
from clinnlp.encoders.images import small_network
from clinnlp.encoders.views import Views
from clinnlp.errors import CheckpointError, ConfigError, StageError, TrainingError
from clinnlp.stages import ImageClassifier, ImageCleaner

LABELS = ["none", "mass"]
FAST = {"learning_rate": 3e-3, "batch_tokens": 8 * 64, "warmup": 0.0}


def picture(seed: int, mass: bool, side: int = 24) -> np.ndarray:
    """A dark noisy square, with a bright disc somewhere if there is a mass."""
    chance = np.random.default_rng(seed)
    pixels = chance.normal(60, 15, (side, side))
    if mass:
        y, x = chance.integers(6, side - 6, 2)
        rows, columns = np.ogrid[:side, :side]
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < 16] += 140
    return np.clip(pixels, 0, 255).astype(np.uint8)


def records(first: int, count: int) -> list[Record]:
    return [
        Record(id=str(seed), images=[Image(picture(seed, seed % 2 == 1), labels={"finding": LABELS[seed % 2]})])
        for seed in range(first, first + count)
    ]


TRAIN, DEV = records(0, 64), records(1000, 24)


def bare(some: list[Record]) -> list[Record]:
    """The same images without gold."""
    return [Record(id=record.id, images=[Image(image.array) for image in record.images]) for record in some]


@pytest.fixture(scope="module")
def fitted() -> ImageClassifier:
    stage = ImageClassifier.from_base(labels=LABELS, name="finding", image_size=24)
    stage.fit(TRAIN, DEV, FitConfig(epochs=6, **FAST))
    return stage


def found(some: list[Record]) -> list[list[tuple[str, float]]]:
    return [[(label.name, label.score) for label in record.labels["finding"]] for record in some]


def test_a_small_network_learns_and_its_evaluation_agrees_with_what_it_writes(fitted: ImageClassifier) -> None:
    scores = fitted.evaluate(DEV)
    assert set(scores) == {"accuracy", "macro_f1", "micro_f1", "auroc", "ece"}
    assert scores["auroc"] > 0.95
    assert scores["accuracy"] > 0.8
    done = list(Pipeline([fitted]).pipe(bare(DEV)))
    right = [record.labels["finding"][0].name == LABELS[int(record.id) % 2] for record in done]
    assert scores["accuracy"] == sum(right) / len(right)
    assert DEV[0].images[0].labels == {"finding": [Label("none")]}
    assert DEV[0].labels == {}


def test_all_labels_are_given_best_first_and_their_probabilities_sum_to_one(fitted: ImageClassifier) -> None:
    [record] = Pipeline([fitted]).pipe(bare(DEV[:1]))
    labels = record.images[0].labels["finding"]
    assert sorted(label.name for label in labels) == sorted(LABELS)
    assert labels[0].score >= labels[1].score
    assert sum(label.score for label in labels) == pytest.approx(1)
    assert record.labels["finding"] == labels


def test_a_record_gets_the_mean_of_its_images(fitted: ImageClassifier) -> None:
    record = fitted(Record(images=[Image(picture(7, True)), Image(picture(8, False))]))
    by_image = [{label.name: label.score for label in image.labels["finding"]} for image in record.images]
    for label in record.labels["finding"]:
        assert label.score == pytest.approx((by_image[0][label.name] + by_image[1][label.name]) / 2)


def test_a_record_without_images_gets_no_label_and_no_error(fitted: ImageClassifier) -> None:
    record = fitted("Chest film not available.")
    assert record.labels == {"finding": []}
    assert record.errors == []


def test_results_do_not_depend_on_batches_or_order(fitted: ImageClassifier) -> None:
    mixed = [*bare(DEV), Record("no image"), Record(images=[Image(picture(5, True, 60)), Image(picture(6, False, 31))])]
    expected = found(list(Pipeline([fitted]).pipe([record.copy() for record in mixed], batch_size=64)))
    order = list(range(len(mixed)))
    random.Random(0).shuffle(order)
    for records_at_once, images_at_once in ((1, 1), (7, 3), (64, 64)):
        stage = pickle.loads(pickle.dumps(fitted))
        stage.batch_size = images_at_once
        done = list(Pipeline([stage]).pipe([mixed[i].copy() for i in order], batch_size=records_at_once))
        for i, labels in zip(order, found(done), strict=True):
            assert [name for name, _ in labels] == [name for name, _ in expected[i]]
            assert [score for _, score in labels] == pytest.approx([score for _, score in expected[i]], abs=1e-4)


def test_an_image_that_cannot_be_decoded_costs_only_its_record(fitted: ImageClassifier) -> None:
    batch = bare(DEV[:3])
    batch.insert(1, Record(id="bad", images=[Image(picture(1, True)), Image(b"no picture of Zebulon Quarry")]))
    done = list(Pipeline([fitted]).pipe([record.copy() for record in batch], on_error="keep"))
    assert [len(record.labels.get("finding", [])) for record in done] == [2, 0, 2, 2]
    [failure] = done[1].errors
    assert (failure.stage, failure.error) == ("finding", "ImageError")
    assert "image 1" in failure.message
    assert "Quarry" not in failure.message
    assert done[1].images[0].labels == {}
    with pytest.raises(StageError, match="stage 'finding' failed on record 'bad'"):
        list(Pipeline([fitted]).pipe(batch))


def test_a_saved_stage_opens_in_plain_transformers_and_loads_again(fitted: ImageClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "finding")
    model = AutoModelForImageClassification.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    pixels = DEV[0].images[0].pixels()
    with torch.inference_mode():
        logits = model(**processor(pixels, return_tensors="pt", input_data_format="channels_last")).logits
    name = model.config.id2label[int(logits.argmax())]
    loaded = ImageClassifier.from_pretrained(folder)
    assert loaded.name == "finding"
    assert loaded.labels == LABELS
    expected = fitted(bare(DEV[:1])[0])
    assert loaded(bare(DEV[:1])[0]).labels == expected.labels
    assert expected.labels["finding"][0].name == name
    assert expected.labels["finding"][0].score == pytest.approx(float(logits.softmax(dim=1).max()), abs=1e-5)


def test_sixteen_bit_weights_are_half_the_size_and_give_nearly_the_same(
    fitted: ImageClassifier, tmp_path: Path
) -> None:
    full, half = fitted.save(tmp_path / "full"), fitted.save(tmp_path / "half", dtype="float16")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (full, half)]
    assert sizes[1] < 0.55 * sizes[0]
    loaded = ImageClassifier.from_pretrained(half)
    expected = {label.name: label.score for label in fitted(bare(DEV[:1])[0]).labels["finding"]}
    for label in loaded(bare(DEV[:1])[0]).labels["finding"]:
        assert label.score == pytest.approx(expected[label.name], abs=5e-3)


def test_a_pipeline_with_the_stage_saves_and_loads(fitted: ImageClassifier, tmp_path: Path) -> None:
    nlp = clinnlp.load(Pipeline([fitted]).save(tmp_path / "pipeline"))
    assert list(nlp.stages) == ["finding"]
    assert found(list(nlp.pipe(bare(DEV)))) == found(list(Pipeline([fitted]).pipe(bare(DEV))))
    again = clinnlp.load(nlp.save(tmp_path / "again"))
    assert found(list(again.pipe(bare(DEV[:2])))) == found(list(nlp.pipe(bare(DEV[:2]))))


def test_pickling_drops_weights_that_a_folder_holds_and_keeps_those_that_none_does(
    fitted: ImageClassifier, tmp_path: Path
) -> None:
    loaded = ImageClassifier.from_pretrained(fitted.save(tmp_path / "saved"))
    loaded.warm_up()
    assert len(pickle.dumps(loaded)) < 10_000 < len(pickle.dumps(fitted))
    for stage in (loaded, fitted):
        copy = pickle.loads(pickle.dumps(stage))
        assert found([copy(bare(DEV[:1])[0])]) == found([fitted(bare(DEV[:1])[0])])
    loaded.fit(TRAIN[:8], None, FitConfig(epochs=1, **FAST))
    copy = pickle.loads(pickle.dumps(loaded))
    assert found([copy(bare(DEV[:1])[0])]) == found([loaded(bare(DEV[:1])[0])])


def test_gold_may_stand_on_the_record_and_then_the_record_is_judged() -> None:
    train = [
        Record(id=record.id, images=[Image(image.array) for image in record.images], labels=record.images[0].labels)
        for record in TRAIN
    ]
    stage = ImageClassifier.from_base(labels=LABELS, name="finding", image_size=24)
    stage.fit(train, None, FitConfig(epochs=6, **FAST))
    pair = Record(images=[Image(picture(3, True)), Image(picture(5, True))], labels={"finding": ["mass"]})
    scores = stage.evaluate([pair])
    assert scores.per_label["mass"]["support"] == 1
    assert stage.evaluate(DEV)["auroc"] > 0.9


def test_any_checkpoint_of_an_image_classifier_is_taken_and_its_encoder_as_a_base(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    config.update({"num_labels": 3, "id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}})
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    stage = ImageClassifier.from_pretrained(tmp_path)
    assert stage.name == "images"
    assert {label.name for label in stage(bare(DEV[:1])[0]).labels["images"]} == {"a", "b", "c"}
    based = ImageClassifier.from_base(tmp_path, labels=LABELS, name="finding")
    report = based.fit(TRAIN[:16], DEV, FitConfig(epochs=1, output=str(tmp_path / "fitted"), **FAST))
    assert report.folder == tmp_path / "fitted"
    assert ImageClassifier.from_pretrained(report.folder).labels == LABELS
    for size in ({"image_size": 28}, {"width": 8}):
        with pytest.raises(ConfigError, match="a checkpoint has its own image_size and width"):
            ImageClassifier.from_base(tmp_path, labels=LABELS, **size)


def test_random_weights_learn_faster_than_those_that_were_fitted() -> None:
    stage = ImageClassifier.from_base(labels=LABELS, name="finding", image_size=8, width=2)
    assert stage.default_fit_config().learning_rate == 1e-3
    report = stage.fit(TRAIN[:8])
    assert report.config.learning_rate == 1e-3
    assert stage.default_fit_config().learning_rate == FitConfig().learning_rate


def test_the_small_network_is_as_wide_as_it_is_asked_to_be(tmp_path: Path) -> None:
    stage = ImageClassifier.from_base(labels=LABELS, name="finding", image_size=64, width=4)
    assert stage.model.config.hidden_sizes == [4, 8, 16, 32]
    assert ImageClassifier.from_pretrained(stage.save(tmp_path / "narrow")).model.config.hidden_sizes == [4, 8, 16, 32]
    with pytest.raises(ConfigError, match="width must be at least 1, not 0"):
        _ = ImageClassifier.from_base(labels=LABELS, width=0).model


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"width": True}, "width must be a whole number, not True"),
        ({"width": 1.5}, "width must be a whole number, not 1.5"),
        ({"image_size": 7}, "image_size must be at least 8, not 7"),
        ({"image_size": "16"}, "image_size must be a whole number, not '16'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_made(size: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"stage 'images': {message}"):
        ImageClassifier.from_base(labels=LABELS, **size)


def test_construction_reads_nothing(tmp_path: Path) -> None:
    stage = ImageClassifier(tmp_path / "nowhere", name="finding")
    assert "finding" in repr(stage)
    with pytest.raises(CheckpointError):
        stage.warm_up()


@pytest.mark.parametrize("size", [8, 16, 28, 33, 64, 224])
def test_the_small_network_takes_a_single_picture_of_any_size_in_training(size: int) -> None:
    config = small_network(size)
    config.num_labels = 2
    model = AutoModelForImageClassification.from_config(config).train()
    assert model(pixel_values=torch.zeros(1, 3, size, size)).logits.shape == (1, 2)


def test_labels_of_a_new_head_must_be_two_or_more_and_differ() -> None:
    for labels in ([], ["mass"], ["mass", "mass"], "mass"):
        with pytest.raises(ConfigError, match="labels"):
            ImageClassifier.from_base(labels=labels)
    with pytest.raises(ConfigError, match="checkpoint"):
        ImageClassifier()


def test_gold_that_the_head_does_not_know_and_no_gold_at_all_are_refused() -> None:
    stage = ImageClassifier.from_base(labels=LABELS, name="finding")
    odd = Record(id="7", images=[Image(picture(1, True), labels={"finding": "cyst"})])
    with pytest.raises(TrainingError, match="record '7' has the gold label 'cyst'"):
        stage.fit([*TRAIN[:2], odd])
    for nothing in ([], bare(TRAIN[:2]), [Record("text", labels={"finding": "mass"})]):
        with pytest.raises(TrainingError, match="no record has images and gold"):
            stage.fit(nothing)
        with pytest.raises(TrainingError, match="no record has images and gold"):
            stage.evaluate(nothing)
    with pytest.raises(TrainingError, match="record '8': image 0"):
        stage.fit([Record(id="8", images=[Image(b"none")], labels={"finding": "mass"})])


def test_corrupt_weights_and_other_architectures_are_one_line_errors(fitted: ImageClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "corrupt")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    other = fitted.save(tmp_path / "other")
    settings = json.loads((other / "config.json").read_text())
    settings["hidden_sizes"] = [8, 16, 32]
    (other / "config.json").write_text(json.dumps(settings))
    text = fitted.save(tmp_path / "text")
    (text / "config.json").write_text(json.dumps({"model_type": "bert", "id2label": {"0": "a", "1": "b"}}))
    bare_folder = fitted.save(tmp_path / "bare")
    (bare_folder / "preprocessor_config.json").unlink()
    for broken in (folder, other, text, bare_folder):
        with pytest.raises(CheckpointError) as caught:
            ImageClassifier.from_pretrained(broken).warm_up()
        assert "\n" not in str(caught.value)


def test_views_are_averaged_saved_and_told_of_where_they_cannot_be(fitted: ImageClassifier, tmp_path: Path) -> None:
    pictures = list(fitted.read([record.images[0] for record in records(2000, 6)]))
    several = ImageClassifier.from_pretrained(fitted.save(tmp_path / "one"), views=["shift", "brightness"])
    views = [Views([name]) for name in ("shift", "brightness")]
    by_hand = [fitted.predict(pictures)]
    by_hand += [fitted.predict([view(one, seed) for one in pictures]) for view in views for seed in range(2)]
    assert np.allclose(several.predict(pictures), np.mean(by_hand, axis=0), atol=1e-5)
    loaded = clinnlp.load(Pipeline([several]).save(tmp_path / "two"))
    assert cast("ImageClassifier", loaded[several.name]).views == ("shift", "brightness")
    with pytest.raises(ConfigError, match="views has 'x'"):
        ImageClassifier.from_base(labels=["a", "b"], views=["x"])


def test_a_network_is_fitted_on_views_and_its_last_layer_alone_where_it_is_frozen(fitted: ImageClassifier) -> None:
    stage = fitted.frozen_copy()
    stage.frozen = False
    before = {name: tensor.clone() for name, tensor in stage.model.state_dict().items()}
    stage.fit(TRAIN[:24], config=FitConfig(epochs=2, freeze="encoder"))
    moved = {name for name, tensor in stage.model.state_dict().items() if (tensor != before[name]).any()}
    assert moved
    assert all(name.startswith("classifier.") for name in moved)
    ways = []
    for augment in ((), ("shift",), ("shift",)):
        one = ImageClassifier.from_base(labels=LABELS, name="finding", image_size=24)
        report = one.fit(TRAIN[:24], config=FitConfig(epochs=1, augment=augment))
        assert report.config.augment == augment
        ways.append(torch.cat([tensor.flatten().float() for tensor in one.model.state_dict().values()]))
    assert (ways[0] != ways[1]).any()
    assert (ways[1] == ways[2]).all()  # by chance, and the same chance each time
    with pytest.raises(ConfigError, match="leave augment out, or freeze"):
        stage.fit(TRAIN[:24], config=FitConfig(epochs=1, augment=["shift"], freeze="encoder"))
    with pytest.raises(ConfigError, match="augment has 'turn'"):
        FitConfig(augment=["turn"])


def test_the_classifier_reads_the_cleaned_picture() -> None:
    stage = ImageClassifier.from_base(labels=["none", "mass"], name="finding", image_size=24)
    film = scan(0)
    one, other = Record(images=[Image(film)]), Record(images=[Image(film)])
    Pipeline([ImageCleaner(size=100), stage])(one)
    stage(other)
    inner = ImageCleaner(size=100).clean(Image(film)).pixels
    alone = stage(Record(images=[Image(inner)]))
    assert one.labels["finding"][0].score == pytest.approx(alone.labels["finding"][0].score, abs=1e-6)
    assert one.labels["finding"][0].score != pytest.approx(other.labels["finding"][0].score, abs=1e-6)
