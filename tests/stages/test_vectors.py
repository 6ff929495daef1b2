from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stages.test_reports import FILLER, LABELS, WORDS, note, notes
from tiny import tiny_config, tiny_tokenizer
from transformers import BertModel

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.encoders.encoder import TextEncoder
from clinnlp.errors import ConfigError, TrainingError
from clinnlp.stages import EntityExtractor, ReportClassifier, SectionDetector, VectorClassifier

TRAIN, DEV = notes(0, 60), notes(1000, 30)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*[word for some in WORDS.values() for word in some], *FILLER])
    BertModel(tiny_config(tokenizer, initializer_range=0.1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def made(base: object, **options: object) -> VectorClassifier:
    """Make a classifier by vectors alone."""
    return VectorClassifier.from_base(base, labels=LABELS, name="organ", **{"bag_of_words": False, **options})


def test_a_regression_on_vectors_learns_in_one_pass_and_leaves_the_encoder(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = made(base)
    read: list[int] = []
    states = TextEncoder.states

    def counted(self: TextEncoder, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        read.append(len(inputs["input_ids"]))
        return states(self, inputs)

    before = {name: own.clone() for name, own in stage.encoder.model.state_dict().items()}
    monkeypatch.setattr(TextEncoder, "states", counted)
    report = stage.fit(TRAIN)
    assert sum(read) == len(TRAIN)
    assert report.config.method == "linear"
    assert report.records == {"organ": len(TRAIN)}
    assert all(torch.equal(own, before[name]) for name, own in stage.encoder.model.state_dict().items())
    assert not stage.encoder.changed
    assert stage.evaluate(DEV)["accuracy"] > 0.9


def test_the_vector_of_a_note_is_the_mean_of_its_states_whatever_its_length(base: Path) -> None:
    stage = made(base, window=24, overlap=6)
    (vector,), _ = stage.vectors(["took the murmur"])
    inputs = stage.windows.tokenizer("took the murmur", return_tensors="pt")
    with torch.inference_mode():
        mean = stage.encoder.model(**inputs)[0][0].mean(dim=0).numpy()
    assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    (long, empty), lost = stage.vectors(["took the murmur and " * 40, "\n"])
    assert np.linalg.norm(long) == pytest.approx(1)
    assert list(lost) == [False, True]
    assert not empty.any()
    assert stage(" ").labels["organ"] == []


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_nearest_class_is_that_of_the_mean_of_few_examples(base: Path, multi_label: bool) -> None:
    some = TRAIN[:9]
    stage = made(base, multi_label=multi_label)
    stage.fit(some, None, FitConfig(method="nearest"))
    vectors, _ = stage.vectors([record.text for record in some])
    means = np.stack([vectors[i::3].mean(axis=0) for i in range(3)])  # record i is of label i % 3
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    others, _ = stage.vectors([record.text for record in DEV])
    near = others @ means.T
    for record, row in zip(DEV, near, strict=True):
        found = [label.name for label in stage(record.text).labels["organ"]]
        if multi_label:
            edges = [
                (vectors[i::3] @ means[i]).mean() / 2 + (np.delete(vectors, np.s_[i::3], 0) @ means[i]).mean() / 2
                for i in range(3)
            ]
            assert set(found) == {LABELS[i] for i in range(3) if row[i] > edges[i]}
        else:
            assert found == [LABELS[i] for i in np.argsort(-row)]


def test_pairs_bring_the_vectors_of_a_class_together(base: Path) -> None:
    def closeness(stage: VectorClassifier) -> float:
        vectors, _ = stage.vectors([record.text for record in DEV])
        same = np.equal.outer(np.arange(len(DEV)) % 3, np.arange(len(DEV)) % 3)
        cosines = vectors @ vectors.T
        return float(cosines[same].mean() - cosines[~same].mean())

    stage = made(base)
    before = closeness(stage)
    config = FitConfig(method="contrastive", epochs=8, learning_rate=3e-3, batch_tokens=1024, warmup=0.0)
    report = stage.fit(TRAIN[:24], DEV, config)
    assert closeness(stage) > before + 0.3
    assert stage.encoder.changed
    assert report.scores["organ"]["accuracy"] == stage.evaluate(DEV)["accuracy"] > 0.9
    assert report.best_score == report.scores["organ"]["macro_f1"]
    with pytest.raises(TrainingError, match="no pairs to learn from"):
        made(base).fit([note(0, "heart"), note(1, "skin")], None, config)


def test_a_tuned_classifier_goes_on_from_the_regression(base: Path) -> None:
    linear, tuned = made(base), made(base)
    linear.fit(TRAIN, None, FitConfig(method="linear"))
    barely = FitConfig(method="tuned", epochs=1, learning_rate=1e-9, head_learning_rate=1e-9)
    assert tuned.fit(TRAIN, DEV, barely).metric == "macro_f1"
    texts = [record.text for record in DEV]
    assert tuned.predict(texts)[0] == pytest.approx(linear.predict(texts)[0], abs=1e-3)
    report = tuned.fit(TRAIN, DEV, FitConfig(method="tuned", epochs=3, learning_rate=3e-3, warmup=0.0))
    assert len(report.history) == 3
    assert tuned.encoder.changed
    assert report.best_score == tuned.evaluate(DEV)["macro_f1"]


def test_a_shared_encoder_stays_with_the_others_when_pairs_change_it(base: Path) -> None:
    stage = made(base)
    other = ReportClassifier.from_base(stage.encoder, labels=LABELS, name="other")
    config = FitConfig(method="contrastive", epochs=1, pairs=2, learning_rate=3e-3)
    report = stage.fit(TRAIN[:12], None, config)
    assert stage.encoder is not other.encoder
    assert not other.encoder.changed
    assert any("a copy of its own" in note for note in report.notes)


def test_several_labels_one_without_an_example_and_one_that_all_have(base: Path) -> None:
    stage = VectorClassifier.from_base(base, labels=[*LABELS, "all", "none"], name="organ", multi_label=True)
    train = [note(seed, *[label for i, label in enumerate(LABELS) if seed >> i & 1]) for seed in range(64)]
    for record in train:
        record.labels["organ"].append(clinnlp.Label("all"))
    stage.fit(train, train, FitConfig(method="linear", calibrate=True, tune_thresholds=True, allow_shared=True))
    found = {label.name for label in stage(note(500, "heart", "skin").text).labels["organ"]}
    assert found == {"heart", "skin", "all"}


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_a_class_without_an_example_and_two_classes_alone(base: Path, method: str) -> None:
    two = [record for record in TRAIN if int(record.id) % 3 < 2]
    stage = made(base)
    stage.fit(two, None, FitConfig(method=method, class_weights="balanced"))
    found = stage(TRAIN[2].text).labels["organ"]
    assert found[-1].name == "skin"
    assert found[-1].score < 1e-3
    judged = [record for record in DEV if int(record.id) % 3 < 2]
    assert stage.evaluate(judged)["accuracy"] > (0.8 if method == "linear" else 0.5)
    assert stage(two[0].text).labels["organ"][0].name == "heart"


def test_it_is_saved_alone_and_in_a_pipeline_and_learns_from_a_teacher(base: Path, tmp_path: Path) -> None:
    stage = made(base)
    report = stage.fit(TRAIN, DEV, FitConfig(method="linear", output=str(tmp_path / "out")))
    assert report.folder == tmp_path / "out"
    want = stage(DEV[0].text).labels["organ"]
    alone = VectorClassifier.from_pretrained(tmp_path / "out")
    assert alone(DEV[0].text).labels["organ"] == want
    assert "macro_f1" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    entities = EntityExtractor.from_base(stage.encoder, ["Drug"])
    loaded = clinnlp.load(Pipeline([entities, stage]).save(tmp_path / "both"))
    assert loaded["organ"].encoder is loaded["entities"].encoder
    assert loaded(DEV[0].text).labels["organ"] == want
    fast = FitConfig(method="tuned", epochs=4, learning_rate=3e-3, batch_tokens=768, warmup=0.0)
    trained = made(base)
    trained.fit(TRAIN, DEV, fast)
    assert trained.evaluate(DEV)["accuracy"] > 0.8
    student = made(base)
    student.fit(TRAIN, None, fast, teacher=trained)
    assert student.evaluate(DEV)["accuracy"] > 0.8


def test_methods_are_refused_where_they_do_not_belong(base: Path) -> None:
    linear = FitConfig(method="linear")
    with pytest.raises(ConfigError, match="is for a VectorClassifier"):
        ReportClassifier.from_base(base, labels=LABELS, name="organ").fit(TRAIN, None, linear)
    with pytest.raises(ConfigError, match="is for a VectorClassifier"):
        Pipeline([made(base)]).fit(TRAIN, None, linear)
    with pytest.raises(ConfigError, match="a teacher is for method='tuned'"):
        made(base).fit(TRAIN, None, linear, teacher=made(base))
    with pytest.raises(ConfigError, match="leave freeze out"):
        made(base).fit(TRAIN, None, FitConfig(method="contrastive", freeze="encoder"))
    with pytest.raises(ConfigError, match="method is"):
        FitConfig(method="magic")
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        made(base).fit([Record("the", labels={"organ": "skin"})] * 3)


def test_a_label_by_vectors_is_explained_by_its_words(base: Path) -> None:
    stage = made(base, window=24, overlap=6)
    stage.fit(TRAIN, None, FitConfig(method="tuned", epochs=4, learning_rate=3e-3, warmup=0.0))
    text = "took the daily and " * 12 + "murmur " + "took the daily and " * 6
    (why,) = stage.explain(text, label="heart")
    assert why.probability == pytest.approx(stage.predict([text])[0][0][0])
    assert why.top(1)[0].text == "murmur"
    assert all(text[word.start : word.end] == word.text for word in why.words)


def test_only_what_is_read_is_explained(base: Path) -> None:
    stage = made(base, sections=["plan"])
    stage.fit([SectionDetector()(Record(f"PLAN: {r.text}", labels=r.labels)) for r in TRAIN])
    record = SectionDetector()("HISTORY: rash rash\n\nPLAN: took the murmur")
    (why,) = stage.explain(record)
    assert [word.text for word in why.words] == ["PLAN", ":", "took", "the", "murmur"]
    assert all(record.text[word.start : word.end] == word.text for word in why.words)


def test_a_fit_that_comes_to_nothing_keeps_what_is_shared_and_no_figures(base: Path) -> None:
    stage = made(base)
    other = ReportClassifier.from_base(stage.encoder, labels=LABELS, name="other")
    with pytest.raises(TrainingError, match="no pairs to learn from"):
        stage.fit([note(0, "heart"), note(1, "skin")], None, FitConfig(method="contrastive"))
    assert stage.encoder is other.encoder
    stage.fit(TRAIN)
    silent = [Record(" ", id="silent", labels={"organ": "skin"})]
    with pytest.raises(TrainingError, match="no development example"):
        stage.fit(TRAIN[:6], silent, FitConfig(calibrate=True))
    assert stage.fitted is None
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        stage.fit([note(0, "heart"), note(3, "heart"), *silent])
    with pytest.raises(ConfigError, match="pairs must be at least 2"):
        FitConfig(pairs=1)
    with pytest.raises(ConfigError, match="method is"):
        FitConfig(method={"a": 1})  # type: ignore[arg-type]


def test_classes_weigh_the_same_where_a_note_may_have_several(base: Path) -> None:
    rare = [note(seed, *(["skin"] if seed % 15 == 0 else []), "heart") for seed in range(60)]
    found = {}
    for config in (None, FitConfig(method="linear")):
        stage = made(base, multi_label=True)
        assert stage.fit(rare, None, config).config.class_weights == ("balanced" if config is None else None)
        found[config is None] = stage.predict([record.text for record in rare])[0][:, LABELS.index("skin")].mean()
    assert found[True] > 2 * found[False]
    assert made(base).default_fit_config() == FitConfig(method="linear")


def test_settings_without_a_method_learn_from_the_encoder_as_it_is(base: Path) -> None:
    stage = made(base)
    report = stage.fit(TRAIN, DEV, FitConfig(seed=3, calibrate=True))
    assert report.config.method == "linear"
    assert not stage.encoder.changed
    assert stage.evaluate(DEV)["accuracy"] > 0.9
