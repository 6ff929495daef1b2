"""A bag of words that votes with a head."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stages.test_reports import DEV, FILLER, LABELS, TRAIN, WORDS, note
from tiny import tiny_base
from transformers import AutoModelForSequenceClassification

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.encoders.checkpoints import BAG_FILE
from clinnlp.encoders.heads import probabilities
from clinnlp.engines.identity import _stage_identity
from clinnlp.errors import CheckpointError, ConfigError, TrainingError
from clinnlp.stages import EntityExtractor, ReportClassifier, VectorClassifier
from clinnlp.training.stages import fit_tasks

TEXTS = [record.text for record in DEV]
# Of a head that learns next to nothing: what is right is then the bag's.
BARELY = FitConfig(epochs=1, learning_rate=1e-9, head_learning_rate=1e-9)
KINDS: dict[str, Any] = {"reports": ReportClassifier, "vectors": VectorClassifier}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), [*[word for some in WORDS.values() for word in some], *FILLER])


def made(base: Path, kind: str = "reports", **options: Any) -> Any:
    return KINDS[kind].from_base(base, labels=LABELS, name="organ", **{"bag_of_words": True, **options})


@pytest.fixture(scope="module", params=list(KINDS))
def fitted(base: Path, request: pytest.FixtureRequest) -> Any:
    stage = made(base, request.param)
    stage.fit(TRAIN, None, BARELY if request.param == "reports" else None)
    return stage


def test_it_votes_with_the_head_that_it_is_fitted_with(base: Path, fitted: Any) -> None:
    assert fitted.evaluate(DEV)["accuracy"] > 0.9
    head, _ = fitted._head_logits(TEXTS)
    both = np.sqrt(
        probabilities(head, multi_label=False) * probabilities(fitted.bag.log_odds(TEXTS), multi_label=False)
    )
    assert fitted.predict(TEXTS)[0] == pytest.approx(both / both.sum(axis=1, keepdims=True))
    alone = made(base, bag_of_words=False)
    alone.fit(TRAIN, None, BARELY)
    assert alone.bag is None
    assert alone.evaluate(DEV)["accuracy"] < 0.7


def test_by_default_it_votes_with_vectors_alone(base: Path) -> None:
    for kind, has_bag in (("reports", False), ("vectors", True)):
        stage = made(base, kind, bag_of_words=None)
        assert stage.has_bag is has_bag
        assert stage.bag is None
        assert stage.config() == {}
    with pytest.raises(ConfigError, match="bag_of_words is True or False"):
        made(base, bag_of_words="yes")


def test_of_several_labels_each_is_told_by_both(base: Path) -> None:
    stage = made(base, multi_label=True)
    train = [note(seed, *[label for i, label in enumerate(LABELS) if seed >> i & 1]) for seed in range(64)]
    stage.fit(train, None, BARELY)
    (row,) = stage.predict([note(500, "heart", "skin").text])[0]
    assert [LABELS[i] for i in np.flatnonzero(row > 0.5)] == ["heart", "skin"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_it_is_saved_beside_the_head_and_read_again(fitted: Any, tmp_path: Path, dtype: str) -> None:
    kind, want = type(fitted), fitted.predict(TEXTS)[0]
    folder = fitted.save(tmp_path / "alone", dtype)
    again = kind.from_pretrained(folder)
    assert again._bag is None  # nothing is read before the first use
    again.warm_up()
    assert again._bag is not None
    assert again.predict(TEXTS)[0] == pytest.approx(want, abs=1e-3)
    assert pickle.loads(pickle.dumps(again)).predict(TEXTS)[0] == pytest.approx(want, abs=1e-3)
    if kind.auto_class:
        AutoModelForSequenceClassification.from_pretrained(folder)
    entities = EntityExtractor.from_base(fitted.encoder, ["Drug"])
    loaded = clinnlp.load(Pipeline([entities, fitted]).save(tmp_path / "both", dtype))
    assert (tmp_path / "both" / "organ" / BAG_FILE).is_file()
    assert loaded["organ"].encoder is loaded["entities"].encoder
    assert loaded["organ"].predict(TEXTS)[0] == pytest.approx(want, abs=1e-3)
    head = fitted._head_logits(TEXTS)[0]
    without = kind.from_pretrained(folder, bag_of_words=False)
    assert without.pooled_logits(TEXTS)[0] == pytest.approx(head, abs=0.02)
    assert without.config()["bag_of_words"] is False
    without.save(folder)
    assert not (folder / BAG_FILE).exists()
    assert kind.from_pretrained(folder).bag is None
    (tmp_path / "both" / "organ" / BAG_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*save the stage again"):
        clinnlp.load(tmp_path / "both")(TEXTS[0])


def test_a_copy_that_was_pickled_gives_the_same(fitted: Any) -> None:
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(TEXTS)[0], fitted.predict(TEXTS)[0])


def test_a_run_knows_it_for_another_stage_by_its_bag(base: Path) -> None:
    stage = made(base)
    before = _stage_identity(stage)
    stage.fit(TRAIN, None, BARELY)
    after = _stage_identity(stage)
    assert after["weights"] != before["weights"]
    stage.bag = stage.bag.divided(2.0)
    assert _stage_identity(stage)["weights"] != after["weights"]


def test_both_are_divided_by_the_temperature(base: Path) -> None:
    # Some of the gold is wrong: else there is no best temperature.
    dev = [Record(r.text, labels={"organ": LABELS[(i + (i % 5 == 0)) % 3]}) for i, r in enumerate(DEV)]
    plain, cooled = made(base), made(base)
    plain.fit(TRAIN, dev, BARELY)
    report = cooled.fit(TRAIN, dev, replace(BARELY, calibrate=True))
    heat = report.temperatures["organ"]
    assert abs(heat - 1) > 0.05
    assert cooled.pooled_logits(TEXTS)[0] * heat == pytest.approx(plain.pooled_logits(TEXTS)[0], abs=1e-3)


def test_its_weights_are_part_of_what_explains_a_label(fitted: Any) -> None:
    text = "took the daily and " * 40 + "murmur, seen " + "took the daily and " * 6
    (why,) = fitted.explain(text, label="heart", steps=32)
    assert why.top(1)[0].text == "murmur"
    assert why.method.endswith("bag of words")
    label = LABELS.index("heart")
    bag = fitted.bag.log_odds([text])[0, label] - fitted.bag.bias[label]
    kept, fitted.bag = fitted.bag, None
    try:
        (alone,) = fitted.explain(text, label="heart", steps=32)
    finally:
        fitted.bag = kept
    assert alone.method == "integrated_gradients"
    total = sum(word.weight for word in why.words)
    assert total == pytest.approx((sum(word.weight for word in alone.words) + bag) / 2, abs=1e-3)


def test_an_ensemble_has_the_bag_of_each_member(base: Path) -> None:
    members = [made(base), made(base, bag_of_words=False)]
    for number, member in enumerate(members):
        member.fit(TRAIN[number * 20 :], None, BARELY)
    both = ReportClassifier.ensemble(members)
    want = (members[0].predict(TEXTS)[0] + members[1].predict(TEXTS)[0]) / 2
    assert both.predict(TEXTS)[0] == pytest.approx(want)
    members[0].fit(TRAIN[:9], None, BARELY)
    assert both.predict(TEXTS)[0] == pytest.approx(want)


def test_a_fit_that_comes_to_nothing_leaves_it_as_it_was(base: Path) -> None:
    stage = made(base)
    stage.fit(TRAIN, None, BARELY)
    before = stage.bag
    task = stage.fit_task(TRAIN[:30], None, BARELY)
    task.collate = lambda items, chance: {"parts": 1 / 0}
    with pytest.raises(ZeroDivisionError):
        fit_tasks([task], stage.encoder, BARELY)
    assert stage.bag is before


def test_texts_of_marks_alone_have_no_bag(base: Path) -> None:
    marks = [Record("!!" if i % 2 else "??", labels={"organ": LABELS[i % 2]}) for i in range(8)]
    stage = made(base, "vectors")
    stage.fit(marks)
    assert stage.bag is None
    assert stage.evaluate(marks)["accuracy"] == 1.0
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        stage.fit(marks[::2])


def test_what_was_read_stays_when_its_folder_is_gone_or_another(fitted: Any, tmp_path: Path) -> None:
    again = type(fitted).from_pretrained(fitted.save(tmp_path / "saved"))
    want = again.predict(TEXTS)[0]
    type(fitted).from_pretrained(tmp_path / "saved", bag_of_words=False).save(tmp_path / "saved")
    assert np.array_equal(again.predict(TEXTS)[0], want)
    shutil.rmtree(tmp_path / "saved")
    assert np.array_equal(again.predict(TEXTS)[0], want)


def test_one_that_is_not_fitted_yet_will_have_it_after_it_was_saved(base: Path, tmp_path: Path) -> None:
    again = VectorClassifier.from_pretrained(made(base, "vectors", bag_of_words=None).save(tmp_path / "new"))
    assert again.has_bag
    assert again.bag is None
    again.fit(TRAIN)
    assert again.bag is not None
    assert not VectorClassifier.from_pretrained(
        made(base, "vectors", bag_of_words=False).save(tmp_path / "none")
    ).has_bag


def test_it_is_kept_where_the_head_learned_nothing(base: Path, tmp_path: Path) -> None:
    stage = made(base)
    stage.fit(TRAIN[:20], None, BARELY)
    again = ReportClassifier.from_pretrained(stage.save(tmp_path / "saved"))
    again.fit(TRAIN[20:], None, replace(BARELY, learning_rate=1e-30, head_learning_rate=1e-30))
    assert np.array_equal(pickle.loads(pickle.dumps(again)).predict(TEXTS)[0], again.predict(TEXTS)[0])


def test_notes_without_a_word_are_left_out_of_it_too(base: Path) -> None:
    seen = [record for record in TRAIN if record.labels["organ"][0].name != "skin"]
    stage, other = made(base, "vectors"), made(base, "vectors")
    stage.fit(seen)
    other.fit([*seen, *(Record("  ", labels={"organ": ["skin"]}) for _ in range(30))])
    assert np.array_equal(other.predict(TEXTS)[0], stage.predict(TEXTS)[0])


def test_where_tuning_comes_to_nothing_both_are_of_the_same_notes(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, want = made(base, "vectors"), made(base, "vectors")
    stage.fit(TRAIN[:12])
    want.fit(TRAIN)

    def fail(*_: Any) -> Any:
        raise TrainingError("no")

    monkeypatch.setattr("clinnlp.training.fit._fit", fail)
    with pytest.raises(TrainingError, match="no"):
        stage.fit(TRAIN, None, FitConfig(method="tuned", epochs=1))
    assert np.array_equal(stage.predict(TEXTS)[0], want.predict(TEXTS)[0])


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_bag_of_a_teacher_teaches_too(base: Path, multi_label: bool) -> None:
    teacher, student = (made(base, bag_of_words=bag, multi_label=multi_label) for bag in (True, False))
    teacher.fit(TRAIN, None, BARELY)
    task = student.fit_task(TRAIN, None, replace(BARELY, distill=1.0))
    task.teachers = [teacher]
    batch = task.collate(task.examples[5:9], torch.Generator())
    texts, owners = [record.text for record in TRAIN[5:9]], batch["owners"].numpy()
    head = teacher._head_logits(texts)[0]
    losses = [
        float(task.loss([torch.from_numpy(logits[owners])], batch, [[torch.from_numpy(head[owners])]]))
        for logits in (teacher.pooled_logits(texts)[0], head)
    ]
    assert losses[0] < losses[1]
    if not multi_label:
        assert losses[0] == pytest.approx(0, abs=1e-4)
