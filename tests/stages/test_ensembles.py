from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import lexicon_classifier, save_classifier, tiny_base
from training.test_fit import DEV, DRUGS, FAST, FILLER, TRAIN

from clinnlp import FitConfig, Image, Pipeline, Record
from clinnlp.encoders.bio import bio_labels
from clinnlp.engines.identity import pipeline_identity
from clinnlp.errors import ConfigError
from clinnlp.stages import EntityExtractor, ImageClassifier, ReportClassifier, Tokenizer

WORDS = [*DRUGS, *FILLER]
LONG = Record(" ".join(["took aspirin daily and heparin"] * 30) + "\n\nno insulin", id="long")


def token_classifiers(folder: Path, count: int = 3) -> list[EntityExtractor]:
    """Random classifiers, each of other weights."""
    return [
        EntityExtractor.from_pretrained(
            save_classifier(folder / str(seed), bio_labels(["Drug", "Dose"]), WORDS, seed), window=32, overlap=8
        )
        for seed in range(count)
    ]


def word_rows(stage: EntityExtractor, records: Sequence[Record]) -> np.ndarray:
    return np.exp(np.concatenate([rows for _, _, rows in stage.read_words(records)]))


def test_an_ensemble_averages_the_probabilities_of_words_over_all_windows(tmp_path: Path) -> None:
    stages = token_classifiers(tmp_path)
    one = EntityExtractor.ensemble(stages)
    alone = [word_rows(stage, [LONG, *DEV]) for stage in stages]
    np.testing.assert_allclose(word_rows(one, [LONG, *DEV]), np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    # An ensemble among them counts with all of its members.
    nested = EntityExtractor.ensemble([EntityExtractor.ensemble(stages[:2]), stages[2]])
    np.testing.assert_allclose(word_rows(nested, [LONG]), word_rows(one, [LONG]), atol=1e-6)


def test_an_ensemble_stands_in_a_pipeline_and_is_evaluated(tmp_path: Path) -> None:
    labels = bio_labels(["Drug"])
    words = dict.fromkeys(["aspirin", "heparin"], "B-Drug")
    stages = [EntityExtractor.from_pretrained(lexicon_classifier(tmp_path / str(i), words, labels)) for i in range(2)]
    ensemble = EntityExtractor.ensemble(stages)
    assert ensemble.evaluate(DEV)["f1"] == stages[0].evaluate(DEV)["f1"]
    other = EntityExtractor.from_pretrained(tmp_path / "0", name="other")
    nlp = Pipeline([Tokenizer("en"), ensemble, other])
    record = nlp("took aspirin and heparin")
    assert [e.text for e in record.entities if e.source == "entities"] == ["aspirin", "heparin"]
    again = pickle.loads(pickle.dumps(nlp))("took aspirin and heparin")
    assert again.to_dict() == record.to_dict()


def test_runs_of_other_members_are_told_apart(tmp_path: Path) -> None:
    a, b, c = token_classifiers(tmp_path)
    found = [pipeline_identity(Pipeline([EntityExtractor.ensemble(pair)])) for pair in ([a, b], [a, c], [a, b])]
    assert found[0] == found[2] != found[1]


def test_a_later_fit_of_a_member_does_not_change_the_ensemble(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", WORDS)
    stages = [EntityExtractor.from_base(base, ["Drug"]) for _ in range(2)]
    for seed, stage in enumerate(stages):
        stage.fit(TRAIN[:5], None, FitConfig(epochs=1, seed=seed, **FAST))
    ensemble = EntityExtractor.ensemble(stages)
    before = word_rows(ensemble, DEV)
    for stage in stages:
        stage.fit(TRAIN, None, FitConfig(epochs=1, **FAST))
    np.testing.assert_array_equal(word_rows(ensemble, DEV), before)


def test_a_later_fit_of_a_pipeline_does_not_change_an_ensemble_on_its_encoder(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", WORDS)
    first, second = (EntityExtractor.from_base(base, ["Drug"]) for _ in range(2))
    nlp = Pipeline([first, ReportClassifier.from_base(base, ["a", "b"], name="kind")])
    assert nlp["kind"].encoder is first.encoder
    second.fit(TRAIN[:5], None, FitConfig(epochs=1, **FAST))
    nlp["entities"].fit(TRAIN[:5], None, FitConfig(epochs=1, freeze="encoder", **FAST))
    ensemble = EntityExtractor.ensemble([first, second])
    beside = Pipeline([ReportClassifier.from_base(first.encoder, ["a", "b"], name="kind"), ensemble])
    before = word_rows(ensemble, DEV)
    told = "an ensemble was on the encoder: it has a copy of its own now, the one from before"
    assert told not in nlp.fit(TRAIN, None, FitConfig(epochs=1, freeze="encoder", **FAST)).notes
    assert first.encoder is ensemble.encoder
    report = nlp.fit(TRAIN, None, FitConfig(epochs=1, **FAST))
    assert first.encoder.changed
    assert [told in note for note in report.notes] == [True, False]
    assert report.notes[1].startswith("nothing was given for kind, kind:")
    np.testing.assert_array_equal(word_rows(ensemble, DEV), before)
    assert ensemble.encoder is not beside["kind"].encoder


def test_a_student_comes_closer_to_the_ensemble_that_teaches_it(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", WORDS)
    stages = token_classifiers(tmp_path, 2)
    teacher = EntityExtractor.ensemble(stages)
    target = word_rows(teacher, DEV)
    far = {}
    for weight, given in ((1.0, teacher), (0.0, None)):
        student = EntityExtractor.from_base(base, ["Drug", "Dose"], window=32, overlap=8)
        student.fit(TRAIN, None, FitConfig(epochs=3, distill=weight, distill_temperature=1.0, **FAST), teacher=given)
        far[weight] = np.abs(word_rows(student, DEV) - target).mean()
    assert far[1.0] < 0.5 * far[0.0]


@pytest.mark.parametrize("kind", ["stage", "head", "pipeline"])
def test_an_ensemble_is_not_saved_or_fitted_but_distilled(tmp_path: Path, kind: str) -> None:
    ensemble = EntityExtractor.ensemble(token_classifiers(tmp_path, 2))
    save = {"stage": ensemble.save, "head": ensemble.save_head, "pipeline": Pipeline([ensemble]).save}[kind]
    with pytest.raises(ConfigError, match=r"ensemble of 2 models.* fit\(\.\.\., teacher=ensemble\)") as caught:
        save(tmp_path / "saved")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "saved").exists()
    for learn in (lambda: ensemble.fit(TRAIN), lambda: ensemble.search(TRAIN, DEV, {"epochs": [1]})):
        with pytest.raises(ConfigError, match="cannot be fitted: distil it"):
            learn()


def test_members_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    a, _, _ = token_classifiers(tmp_path)
    folder = str(tmp_path / "1")
    drug = EntityExtractor.from_pretrained(save_classifier(tmp_path / "x", bio_labels(["Drug"]), WORDS))
    tags = ["O", "I-Drug", "I-Dose", "B-Drug", "B-Dose"]
    for others, message in (
        ([], "two or more stages, not of 1"),
        ([drug], "same labels"),
        ([EntityExtractor.from_pretrained(folder, window=64, overlap=8)], "same windows"),
        (
            [EntityExtractor.from_pretrained(save_classifier(tmp_path / "y", tags, WORDS), window=32, overlap=8)],
            "label",
        ),
        (
            [
                EntityExtractor.from_pretrained(
                    save_classifier(tmp_path / "z", bio_labels(["Drug", "Dose"])), window=32, overlap=8
                )
            ],
            "same vocabulary",
        ),
        ([ReportClassifier.from_base(folder, ["a", "b"])], "no place for ReportClassifier"),
    ):
        with pytest.raises(ConfigError, match=message):
            EntityExtractor.ensemble([a, *others])  # type: ignore[list-item]


@pytest.mark.parametrize("multi_label", [False, True])
def test_reports_are_averaged_whole(tmp_path: Path, multi_label: bool) -> None:
    base = tiny_base(tmp_path, WORDS)
    stages = []
    for seed in range(3):
        torch.manual_seed(seed)
        stage = ReportClassifier.from_base(
            base, ["a", "b", "c"], name="kind", multi_label=multi_label, window=32, overlap=8
        )
        stage.warm_up()
        with torch.no_grad():
            stage.head.classifier.weight.mul_(20)
        stages.append(stage)
    texts = [LONG.text, "took aspirin", ""]
    alone = [stage.predict(texts)[0] for stage in stages]
    scores, empty = ReportClassifier.ensemble(stages).predict(texts)
    np.testing.assert_allclose(scores, np.mean(alone, axis=0), atol=1e-9)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    assert empty.tolist() == [False, False, True]
    other = ReportClassifier.from_base(base, ["a", "b", "c"], multi_label=not multi_label, window=32, overlap=8)
    with pytest.raises(ConfigError, match="one or several"):
        ReportClassifier.ensemble([stages[0], other])


def test_pictures_are_averaged() -> None:
    stages = []
    for seed in range(2):
        torch.manual_seed(seed)
        stages.append(ImageClassifier.from_base(labels=["dark", "light"], name="shade", image_size=8))
        stages[-1].warm_up()
    ensemble = ImageClassifier.ensemble(stages)
    images = [Image(np.full((8, 8), shade, dtype=np.uint8)) for shade in (0, 90, 255)]
    alone = [stage.predict(stage.read(images)) for stage in stages]
    np.testing.assert_allclose(ensemble.predict(ensemble.read(images)), np.mean(alone, axis=0), atol=1e-9)
    record = ensemble(Record("", images=images))
    assert sum(label.score for label in record.labels["shade"]) == pytest.approx(1)
    with pytest.raises(ConfigError, match="same image processor"):
        ImageClassifier.ensemble([stages[0], ImageClassifier.from_base(labels=["dark", "light"], image_size=16)])
