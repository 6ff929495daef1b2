"""MultimodalClassifier: text, images and metadata together, and each of them alone."""

from __future__ import annotations

import datetime
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_base

import clinnlp
from clinnlp import FitConfig, Image, Pipeline, Record
from clinnlp.errors import ConfigError, ImageError, TrainingError
from clinnlp.stages import ImageClassifier, MultimodalClassifier, ReportClassifier

LABELS = ["neither", "text", "image", "both"]
WORDS = ["the", "node", "is", "palpable", "no", "was", "felt"]


def cases(count: int, seed: int) -> list[Record]:
    """Records whose label depends half on the text, half on the picture; the age says nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        said, seen = rng.integers(0, 2, 2)
        pixels = rng.integers(0, 60, (16, 16)).astype(np.uint8)
        pixels[4:10, 4:10] += 150 * np.uint8(seen)
        made.append(
            Record(
                "the node is palpable" if said else "no node was felt",
                f"{seed}-{i}",
                images=[Image(pixels)],
                metadata={"age": int(rng.integers(30, 80)), "sex": "F" if i % 2 else "M"},
                labels={"kind": [LABELS[2 * seen + said]]},
            )
        )
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), WORDS)


@pytest.fixture(scope="module")
def fitted(base: Path) -> MultimodalClassifier:
    stage = MultimodalClassifier.from_base(base, LABELS, "kind", metadata=["age", "sex"], image_size=16)
    report = stage.fit(cases(120, 1), cases(40, 2))
    assert report.best_score is not None
    assert report.best_score > 0.95
    return stage


def without(record: Record, *fields: str) -> Record:
    images = [] if "images" in fields else record.images
    return Record("" if "text" in fields else record.text, record.id, images=images)


def test_halves_of_an_answer_are_put_together(fitted: MultimodalClassifier) -> None:
    test = cases(40, 3)
    assert fitted.evaluate(test)["accuracy"] > 0.9
    record = fitted(test[0])
    assert record.labels["kind"][0].name == test[0].labels["kind"][0].name
    shares = {label.name: label.score for label in record.labels["kind.modalities"]}
    assert set(shares) == {"text", "images", "metadata"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["metadata"] < 0.3


def test_one_half_alone_leaves_two_answers_open(fitted: MultimodalClassifier) -> None:
    for record in cases(12, 4):
        label = record.labels["kind"][0].name
        said, seen = label in ("text", "both"), label in ("image", "both")
        by_text, by_image = fitted(without(record, "images")), fitted(without(record, "text"))
        assert {one.name for one in by_text.labels["kind"][:2]} == ({"text", "both"} if said else {"neither", "image"})
        assert {one.name for one in by_image.labels["kind"][:2]} == ({"image", "both"} if seen else {"neither", "text"})
        assert [one.name for one in by_text.labels["kind.modalities"]] == ["text"]
        assert [one.name for one in by_image.labels["kind.modalities"]] == ["images"]


def test_a_record_without_anything_to_read_has_no_label(fitted: MultimodalClassifier) -> None:
    record = fitted(Record("", metadata={"age": None, "city": "x"}))
    assert record.labels == {"kind": [], "kind.modalities": []}


def test_batches_of_records_with_and_without_images_are_as_single_ones(fitted: MultimodalClassifier) -> None:
    records = cases(5, 5)
    records[1] = without(records[1], "images")
    records[3] = Record(records[3].text, "two", images=[*records[3].images, *records[0].images])
    together = list(Pipeline([fitted], batch_size=5).pipe(record.copy() for record in records))
    alone = [fitted(record.copy()) for record in records]
    for one, other in zip(together, alone, strict=True):
        assert [label.name for label in one.labels["kind"]] == [label.name for label in other.labels["kind"]]
        assert one.labels["kind"][0].score == pytest.approx(other.labels["kind"][0].score, abs=1e-4)


def test_it_is_saved_alone_and_in_a_pipeline_with_its_image_network(
    fitted: MultimodalClassifier, tmp_path: Path
) -> None:
    record = cases(1, 6)[0]
    wanted = fitted(record.copy()).labels
    loaded = MultimodalClassifier.from_pretrained(fitted.save(tmp_path / "alone"))
    assert (loaded.name, loaded.metadata) == ("kind", ["age", "sex"])
    nlp = clinnlp.load(Pipeline([fitted]).save(tmp_path / "pipeline", "float16"))
    for stage, within in ((loaded, 1e-5), (nlp["kind"], 2e-2), (pickle.loads(pickle.dumps(fitted)), 1e-5)):
        found = stage(record.copy()).labels
        for name in ("kind", "kind.modalities"):
            assert [one.name for one in found[name]] == [one.name for one in wanted[name]]
            assert found[name][0].score == pytest.approx(wanted[name][0].score, abs=within)


def test_it_shares_the_pass_of_other_heads(base: Path, fitted: MultimodalClassifier) -> None:
    other = ReportClassifier.from_base(base, ["a", "b"], name="other")
    nlp = Pipeline([other, fitted])
    assert nlp["kind"].encoder is nlp["other"].encoder


def test_the_network_of_a_fitted_classifier_stays_as_it_is(base: Path) -> None:
    images = ImageClassifier.from_base(labels=["dark", "bright"], name="look", image_size=16)
    looks = [
        Record(
            images=record.images, labels={"look": ["bright" if record.labels["kind"][0].name in LABELS[2:] else "dark"]}
        )
        for record in cases(60, 7)
    ]
    images.fit(looks, config=FitConfig(epochs=6))
    before = {name: tensor.clone() for name, tensor in images.model.state_dict().items()}
    stage = MultimodalClassifier.from_base(base, LABELS, "kind", images=images)
    stage.fit(cases(80, 1), config=FitConfig(epochs=40, learning_rate=5e-3))
    assert stage.evaluate(cases(30, 8))["accuracy"] > 0.9
    for name, tensor in stage.head.images.state_dict().items():
        assert (tensor == before[name]).all()
        assert (images.model.state_dict()[name] == before[name]).all()


def test_a_small_network_that_nobody_has_fitted_is_fitted_with_the_fusion(base: Path) -> None:
    images = ImageClassifier.from_base(labels=["a", "b"], image_size=16, width=8)
    stage = MultimodalClassifier.from_base(base, LABELS, "kind", images=images)
    assert stage.fits_images
    assert stage.default_fit_config().epochs == 30
    stage.fit(cases(120, 1))
    assert stage.head.images.config.hidden_sizes == [8, 16]
    assert stage.evaluate(cases(30, 8))["accuracy"] > 0.9


def test_a_saved_head_is_fitted_again_on_what_it_had(base: Path, tmp_path: Path) -> None:
    new = MultimodalClassifier.from_base(base, LABELS, "kind", images=False, metadata=["age"])
    new.fit(cases(20, 1), config=FitConfig(epochs=1))
    stage = MultimodalClassifier.from_pretrained(new.save(tmp_path / "head"))
    assert (stage.images, stage.fits_images) == (False, False)
    for _ in range(2):
        stage.fit(cases(20, 1), config=FitConfig(epochs=1))
        assert stage.modalities == ["text", "metadata"]
        assert stage.metadata == ["age"]


def test_the_network_of_a_saved_head_stays_as_it_is_where_it_is_fitted_again(base: Path, tmp_path: Path) -> None:
    new = MultimodalClassifier.from_base(base, LABELS, "kind", image_size=16, image_width=4)
    new.fit(cases(20, 1), config=FitConfig(epochs=1))
    stage = MultimodalClassifier.from_pretrained(new.save(tmp_path / "head"))
    assert (new.fits_images, stage.fits_images) == (True, False)
    before = {name: tensor.clone() for name, tensor in stage.head.images.state_dict().items()}
    for _ in range(2):
        stage.fit(cases(20, 1), config=FitConfig(epochs=1))
        assert (stage.images, stage.fits_images) == (True, False)
        assert stage.processor.size == {"height": 16, "width": 16}
        for name, tensor in stage.head.images.state_dict().items():
            assert (tensor == before[name]).all()


def test_several_labels_a_record(base: Path) -> None:
    def relabelled(seed: int, count: int) -> list[Record]:
        names = {"neither": [], "text": ["said"], "image": ["seen"], "both": ["said", "seen"]}
        found = cases(count, seed)
        for record in found:
            record.labels = {"kind": [clinnlp.Label(one) for one in names[record.labels["kind"][0].name]]}
        return found

    stage = MultimodalClassifier.from_base(base, ["said", "seen"], "kind", multi_label=True, image_size=16)
    stage.fit(relabelled(1, 160))
    assert stage.evaluate(relabelled(2, 40))["macro_f1"] > 0.9


def test_of_an_ensemble_probabilities_and_shares_are_the_mean(base: Path, fitted: MultimodalClassifier) -> None:
    other = MultimodalClassifier.from_base(base, LABELS, "kind", metadata=["age", "sex"], image_size=16)
    other.fit(cases(60, 11), config=FitConfig(epochs=2, seed=5))
    records = cases(4, 12)
    both = MultimodalClassifier.ensemble([fitted, other])
    for found, one, two in zip(both.predict(records), fitted.predict(records), other.predict(records), strict=True):
        assert np.allclose(found, (one + two) / 2, atol=1e-6)
        assert not np.allclose(one, two, atol=1e-3)


def test_an_ensemble_explains_what_only_one_of_its_models_knows(base: Path) -> None:
    def other_sex(record: Record) -> Record:
        return Record(record.text, record.id, metadata={"sex": "X", "past": ["fever"] * 2}, labels=record.labels)

    stages = []
    for train in (cases(20, 1), [*map(other_sex, cases(20, 2)), *cases(20, 1)]):
        stage = MultimodalClassifier.from_base(base, LABELS, "kind", images=False, metadata=["sex"], events="past")
        stage.fit(train, config=FitConfig(epochs=1))
        stages.append(stage)
    record = other_sex(cases(1, 3)[0])
    both, one, two = (each.explain(record, "both")[0] for each in (MultimodalClassifier.ensemble(stages), *stages))
    assert sorted(found.modality for found in one.findings) == ["course", "course", "text"]
    weights = [sum(found.weight for found in why.findings if found.modality == "course") for why in (both, one, two)]
    assert weights[0] == pytest.approx((weights[1] + weights[2]) / 2)
    (sex,) = (found.weight for found in two.findings if found.modality == "metadata")
    assert [found.weight for found in both.findings if found.modality == "metadata"] == [pytest.approx(sex / 2)]
    stages[1]._events = "before"
    with pytest.raises(ConfigError, match="has not the same modalities"):
        MultimodalClassifier.ensemble(stages)


def test_a_number_beyond_all_measure_leaves_the_weights_numbers(fitted: MultimodalClassifier) -> None:
    (found,) = fitted.explain(Record("no node", metadata={"age": 1e300, "sex": "F"}))
    assert len(found.findings) == 3
    assert all(np.isfinite(one.weight) for one in found.findings)


def test_what_speaks_for_a_label_is_found_in_sentence_picture_and_variable(fitted: MultimodalClassifier) -> None:
    record = next(one for one in cases(20, 13) if one.labels["kind"][0].name == "both")
    text = "was felt.\n\n  the node is palpable"
    record = Record(text, "two lines", images=record.images, metadata={"age": 51, "sex": None})
    (found,) = fitted.explain(record)
    assert (found.record_id, found.label) == ("two lines", "both")
    assert found.probability == pytest.approx(fitted(record.copy()).labels["kind"][0].score, abs=1e-6)
    assert [one.name for one in found.modalities] == [
        one.name for one in fitted(record.copy()).labels["kind.modalities"]
    ]
    assert {(one.modality, one.name) for one in found.findings} == {("text", ""), ("images", ""), ("metadata", "age")}
    weights = {(one.modality, one.text): one.weight for one in found.findings}
    assert weights["text", "the node is palpable"] > weights["text", "was felt."]
    assert weights["images", ""] > 1 > abs(weights["metadata", "51"])
    assert [one.weight for one in found.findings] == sorted((one.weight for one in found.findings), reverse=True)
    for one in found.findings:
        assert one.start is None or record.text[one.start : one.end] == one.text
    (other,) = fitted.explain(record, "text")  # which a bright picture speaks against
    against = other.speaking_against()
    assert "images" in [one.modality for one in against]
    assert [one.weight for one in against] == sorted(one.weight for one in against)
    assert found.speaking_for(1)[0].weight == max(one.weight for one in found.findings)
    assert record.labels == {}


def test_a_weight_is_what_is_lost_without_it_and_what_it_brings_alone(fitted: MultimodalClassifier) -> None:
    record = cases(1, 14)[0]
    (found,) = fitted.explain(record, "both")

    def logit(**changes: Any) -> float:
        given = {"text": record.text, "images": record.images, "metadata": record.metadata, **changes}
        logits, _ = fitted.fused(fitted.read([Record(**given)]))
        return float(logits[0, LABELS.index("both")] - logits[0].mean())

    sex, age = ({name: record.metadata[name]} for name in ("sex", "age"))
    ways = {
        "": ({"images": []}, {}, {"images": []}),
        str(age["age"]): ({"metadata": sex}, {"metadata": age}, {"metadata": {}}),
        sex["sex"]: ({"metadata": age}, {"metadata": sex}, {"metadata": {}}),
    }
    others = {one.text: one.weight for one in found.findings if one.modality != "text"}
    assert others.keys() == ways.keys()
    for name, weight in others.items():
        rest, alone, absent = (logit(**changes) for changes in ways[name])
        assert weight == pytest.approx((logit() - rest + alone - absent) / 2, abs=1e-3)


def test_what_sentences_weigh_is_what_the_text_says_against_the_mean_of_all_texts(fitted: MultimodalClassifier) -> None:
    text = "\n\n".join(["no node was felt", "the node is palpable"] * 20)  # in several windows
    (found,) = fitted.explain(Record(text), "both")
    assert len(found.findings) == 40
    vector = torch.from_numpy(fitted.read([Record(text)]).vectors["text"])
    logits = fitted.head.fusion.alone("text", torch.cat([vector, fitted.head.fusion.norms[0].mean[None]])).detach()
    wanted = logits[:, LABELS.index("both")] - logits.mean(dim=1)
    assert sum(one.weight for one in found.findings) == pytest.approx(float(wanted[0] - wanted[1]), abs=1e-3)


def test_of_several_pictures_each_has_a_weight_and_a_heat_map(fitted: MultimodalClassifier) -> None:
    dark, bright = (next(r for r in cases(20, 17) if r.labels["kind"][0].name == name) for name in ("neither", "image"))
    record = Record(images=[*dark.images, *bright.images])
    (found,) = fitted.explain(record, "image")
    weights = {one.image: one.weight for one in found.findings}
    assert weights[1] > 0 > weights[0]
    assert [heat.image for heat in found.heat_maps] == [0, 1]


def test_the_heat_map_of_the_fused_answer_lies_where_the_picture_shows_it(fitted: MultimodalClassifier) -> None:
    record = next(one for one in cases(20, 15) if one.labels["kind"][0].name == "image")
    (found,) = fitted.explain(record)
    (heat,) = found.heat_maps
    row, column = heat.peak()
    assert 2 <= row < 12
    assert 2 <= column < 12
    assert heat.values.shape == (16, 16)


def test_explaining_what_cannot_be_is_refused_and_nothing_has_no_findings(fitted: MultimodalClassifier) -> None:
    with pytest.raises(ConfigError, match="has no label 'mass': its labels are neither, text"):
        fitted.explain(cases(1, 16), "mass")
    (found,) = fitted.explain(Record(""))
    assert (found.label, found.probability, found.findings, found.heat_maps) == ("", 0.0, [], [])


def test_an_image_that_cannot_be_decoded_is_its_records_error(fitted: MultimodalClassifier) -> None:
    records = cases(3, 9)
    records[1].images = [Image(data=b"no picture")]
    with pytest.raises(ImageError, match="image 0"):
        fitted.read(records)
    found = list(Pipeline([fitted]).pipe(records, on_error="keep"))
    assert [bool(record.errors) for record in found] == [False, True, False]
    assert found[2].labels["kind"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "early"}, "fusion is one of late, gated, not 'early'"),
        ({"metadata": "age"}, "metadata is a list of keys"),
        ({"metadata": [3]}, "metadata is a list of keys"),
        ({"images": "folder"}, "images is an ImageClassifier, True or False"),
        ({"events": ""}, "events is the key of the metadata"),
        ({"image_size": 7}, "image_size must be at least 8, not 7"),
        ({"image_width": "8"}, "image_width must be a whole number, not '8'"),
    ],
)
def test_settings_that_cannot_be_are_refused(base: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MultimodalClassifier.from_base(base, LABELS, **options)


def test_gold_that_teaches_nothing_is_refused(base: Path) -> None:
    stage = MultimodalClassifier.from_base(base, LABELS, "kind", images=False)
    with pytest.raises(TrainingError, match="no record has gold"):
        stage.fit([Record("fever")])
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        stage.fit([Record("fever", labels={"kind": ["both"]}), Record("cough", labels={"kind": ["both"]})])
    with pytest.raises(TrainingError, match="'weight'"):
        MultimodalClassifier.from_base(base, LABELS, "kind", metadata=["weight"]).fit(cases(8, 1))


def test_pictures_on_both_sides_of_a_split_are_refused_unless_they_are_allowed(base: Path) -> None:
    train, dev = cases(20, 1), cases(10, 2)
    for ours, theirs in zip(train[:3], dev, strict=False):
        theirs.images = ours.images
    stage = MultimodalClassifier.from_base(base, LABELS, "kind", image_size=16, image_width=4)
    with pytest.raises(TrainingError, match=r"3 of 10 development records have a picture .* such as record '1-0'"):
        stage.fit(train, dev, FitConfig(epochs=1))
    assert "3 of 10" in stage.fit(train, dev, FitConfig(epochs=1, allow_shared=True)).notes[-1]
    blind = MultimodalClassifier.from_base(base, LABELS, "kind", images=False)
    assert not any("picture" in note for note in blind.fit(train, dev, FitConfig(epochs=1)).notes)


def test_pictures_are_seen_in_other_views_where_their_network_is_fitted(base: Path) -> None:
    states = []
    for augment in ((), ("brightness",)):
        stage = MultimodalClassifier.from_base(base, LABELS, "kind", image_size=16)
        stage.fit(cases(16, 1), config=FitConfig(epochs=1, augment=augment))
        states.append(stage.head.images.state_dict())
    assert any((states[0][name] != states[1][name]).any() for name in states[0])
    with pytest.raises(ConfigError, match="augment is for a network of images that is fitted"):
        MultimodalClassifier.from_base(base, LABELS, "kind", images=False).fit(
            cases(16, 1), config=FitConfig(epochs=1, augment=["shift"])
        )


def test_without_a_picture_anywhere_the_fusion_reads_none_and_says_so(base: Path) -> None:
    stage = MultimodalClassifier.from_base(base, LABELS, "kind")
    bare = [Record(record.text, record.id, labels=record.labels) for record in cases(20, 1)]
    report = stage.fit(bare, config=FitConfig(epochs=2))
    assert stage.modalities == ["text"]
    assert any("no training record has an image" in note for note in report.notes)


def course(seed: int, count: int) -> list[Record]:
    """Patients who get gout later if they had a fever in the last year, but not if it was longer ago."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        days = int(rng.choice([30, 60, 90, 2000, 2500, 3000]))
        start = datetime.date(2020, 1, 1) - datetime.timedelta(days=days)
        past = [{"text": "fever", "time": start.isoformat()}, {"text": "the cough", "time": "2015-01-01"}]
        gold = ["gout" if days < 365 else "none"]
        made.append(Record("", f"{i}", metadata={"past": past, "time": "2020-01-01"}, labels={"risk": gold}))
    return made


def test_what_happened_and_when_is_read_in_order_of_time(base: Path, tmp_path: Path) -> None:
    stage = MultimodalClassifier.from_base(base, ["none", "gout"], "risk", images=False, events="past")
    stage.fit(course(1, 100), config=FitConfig(epochs=20, learning_rate=3e-3))
    assert stage.evaluate(course(2, 40))["accuracy"] > 0.9
    record = stage(course(3, 1)[0])
    assert [label.name for label in record.labels["risk.modalities"]] == ["course"]
    ill = next(one for one in course(3, 10) if one.labels["risk"][0].name == "gout")
    (found,) = stage.explain(ill, "gout")
    assert [one.text for one in found.findings] == ["fever", "the cough"]
    assert found.findings[0].weight > 0
    loaded = MultimodalClassifier.from_pretrained(stage.save(tmp_path / "risk"))
    assert (loaded.events, loaded.modalities) == ("past", ["text", "course"])
    again = loaded(course(3, 1)[0]).labels["risk"][0]
    assert again.name == record.labels["risk"][0].name
    assert again.score == pytest.approx(record.labels["risk"][0].score, abs=1e-5)
