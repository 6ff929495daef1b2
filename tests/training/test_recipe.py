from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny import tiny_base

import clinnlp
from clinnlp import Image, Label, Record, Sentence
from clinnlp.errors import ClinNLPError, ConfigError, CorpusError, TrainingError
from clinnlp.formats import brat, jsonl, parquet
from clinnlp.stages import EntityExtractor
from clinnlp.training.card import bootstrap_interval
from clinnlp.training.recipe import _relabelled, run

WORDS = ["took", "aspirin", "fever", "today"]
LABELS = ["Disease", "Symptom", "Medication", "Dosage", "Procedure", "Test", "LabValue", "Anatomy"]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus in MACCROBAT's form, written on the spot."""
    folder = tmp_path / "corpora" / "maccrobat"
    folder.mkdir(parents=True)
    for i in range(10):
        text = f"He took aspirin.\nNo fever  today, {i}."
        (folder / f"{i}.txt").write_text(text, encoding="utf-8")
        (folder / f"{i}.ann").write_text(
            "T1\tMedication 8 15\taspirin\nT2\tSign_symptom 20 25\tfever\n", encoding="utf-8"
        )
    monkeypatch.setenv("CLINNLP_CORPORA", str(folder.parent))
    return tmp_path


def recipe(folder: Path, **changes: object) -> Path:
    entities = {
        "stage": "entities",
        "base": str(tiny_base(folder / "base", WORDS)),
        "labels": LABELS,
        "config": {"window": 64, "overlap": 16},
        "train": {"corpus": "maccrobat", "part": "train"},
        "dev": {"corpus": "maccrobat", "part": "devel"},
        "fit": {"epochs": 12, "learning_rate": 5.0e-3, "batch_tokens": 64, "progress": False},
        **changes,
    }
    document = {
        "name": "tiny-en",
        "description": "A tiny pipeline.",
        "dtype": "float16",
        "card": {"data_and_licences": "Written on the spot."},
        "stages": [{"stage": "cleaning"}, {"stage": "tokenization"}, entities],
    }
    path = folder / "pipeline" / "train.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_a_recipe_makes_a_pipeline_with_weights_card_and_itself(written: Path) -> None:
    path = recipe(written)
    source = path.read_bytes()
    report = run(path)
    assert report.folder == path.parent
    assert path.read_bytes() == source
    nlp = clinnlp.load(path.parent)
    assert list(nlp.stages) == ["cleaning", "tokenization", "entities"]
    assert [(e.text, e.label) for e in nlp("He took aspirin.").entities] == [("aspirin", "Medication")]
    card = (path.parent / "README.md").read_text(encoding="utf-8")
    assert "Written on the spot." in card
    (fitted,) = report.fitted
    assert fitted.scores is not None
    assert f"| f1 | {fitted.scores['f1']:.3f} |" in card
    assert "| Medication |" in card
    assert "On 2 development records" in card
    assert (path.parent / "entities" / "model.safetensors").stat().st_size < 60_000


def test_another_folder_and_seed_may_be_named(written: Path) -> None:
    path = recipe(written, fit={"epochs": 1, "progress": False})
    report = run(path, written / "elsewhere", seed=7)
    assert report.fitted[0].report.config.seed == 7
    assert (written / "elsewhere" / "train.yaml").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == ["train.yaml"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"corpus": "nowhere", "part": "train"}}, "nowhere"),
        ({"train": {"corpus": "maccrobat", "part": "half"}}, "no part 'half'"),
        ({"train": {"file": "gone.jsonl"}}, "stage 'entities': train names the file 'gone.jsonl', and there is none"),
        ({"dev": [{"file": "train.yaml"}]}, "train.yaml is of no known format"),
        ({"dev": {"file": "a", "part": "b"}}, "dev is a corpus and a part of it"),
        ({"dev": {"corpus": "a", "part": "b", "names": ["c"]}}, "names of dev is a mapping of names to texts"),
        ({"dev": {"corpus": "a", "part": "b", "label_set": 3}}, "dev is a mapping of names to texts"),
        ({"dev": {"corpus": "a", "part": "b", "plant_identifiers": "x"}}, "dev: plant_identifiers is a seed"),
        ({"dev": {"corpus": "a", "part": "b", "names": {"c": "d"}}}, "dev has names, and the stage's gold is no label"),
        ({"fit": {"lr": 1}}, "no setting 'lr'"),
        ({"oops": 1}, "unknown key 'oops'"),
        ({"base": "no-such-base"}, "no checkpoint"),
    ],
)
def test_a_recipe_that_cannot_be_run_says_why(written: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ClinNLPError, match=message) as caught:
        run(recipe(written, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "brat"])
def test_a_recipe_learns_from_files_of_the_users_own(written: Path, kind: str) -> None:
    parts = clinnlp.corpora.load("maccrobat")
    path = recipe(written)
    names = {"jsonl": "gold/{}.jsonl", "parquet": "{}.parquet", "brat": "{}"}
    files = {part: names[kind].format(part) for part in ("train", "devel")}
    (path.parent / "gold").mkdir()
    for part, name in files.items():
        if kind == "brat":
            for record in parts[part]:
                brat.write(record, path.parent / name)
        else:
            (jsonl if kind == "jsonl" else parquet).write(parts[part], path.parent / name)
    settings = {"epochs": 1, "batch_tokens": 64, "progress": False}
    (ours,) = run(recipe(written, fit=settings, train={"file": files["train"]}, dev=[{"file": files["devel"]}])).fitted
    (theirs,) = run(recipe(written, fit=settings)).fitted
    assert (ours.train_records, len(ours.dev)) == (len(parts["train"]), len(parts["devel"]))
    assert ours.scores == theirs.scores


def test_a_recipe_plants_identifiers_into_a_corpus(written: Path) -> None:
    part = {"corpus": "maccrobat", "part": "train", "plant_identifiers": 3}
    changes = {"stage": "deidentification", "labels": ["PERSON", "DOCTOR"], "train": part, "dev": part}
    with pytest.raises(TrainingError, match="gold has entities of type"):  # of the many kinds that are planted
        run(recipe(written, **changes))
    kinds = ["PERSON", "DOCTOR", "ADDRESS", "INSTITUTION", "PROFESSION", "DATE", "AGE", "PHONE", "MRN", "ID"]
    kinds += ["EMAIL", "SSN", "URL"]
    (fitted,) = run(recipe(written, **{**changes, "labels": kinds})).fitted
    assert fitted.dev
    assert all(record.identifiers for record in fitted.dev if "He took" not in record.text)


def test_a_file_of_a_recipe_with_a_row_that_is_no_record_is_refused(written: Path) -> None:
    path = recipe(written, train={"file": "notes.jsonl"})
    row = '{"id": "7", "text": "zanzibar", "entities": [{"start": 0, "end": 99, "label": "Test"}]}'
    (path.parent / "notes.jsonl").write_text(f"{row}\n")
    with pytest.raises(ClinNLPError, match=r"record '7' of the gold cannot be read: .*\[0, 99\)") as caught:
        run(path)
    assert "zanzibar" not in str(caught.value)


def test_an_absent_corpus_is_an_error_and_writes_nothing(
    written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CLINNLP_CORPORA", str(tmp_path / "empty"))
    monkeypatch.setenv("CLINNLP_CACHE", str(tmp_path / "cache"))
    path = recipe(written, train={"corpus": "mts_dialog", "part": "train"})
    with pytest.raises((CorpusError, ClinNLPError)):
        run(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["train.yaml"]


@pytest.mark.parametrize("text", ["stages: [", "a: 1", "stages: []", "stages: [1]", "stages: [{name: x}]"])
def test_a_broken_recipe_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        run(path)
    assert "\n" not in str(caught.value)


def test_the_interval_holds_the_figure_and_narrows_with_documents() -> None:
    few = bootstrap_interval([(5, 10, 10), (9, 10, 10), (2, 10, 10)])
    many = bootstrap_interval([(5, 10, 10), (9, 10, 10), (2, 10, 10)] * 30)
    assert few[0] <= 16 / 30 <= few[1]
    assert few[1] - few[0] > 2 * (many[1] - many[0])


def joint_recipe(folder: Path, **changes: object) -> Path:
    """Two pipelines with a head each on one encoder."""
    head = {
        "stage": "entities",
        "labels": LABELS,
        "train": {"corpus": "maccrobat", "part": "train"},
        "dev": {"corpus": "maccrobat", "part": "devel"},
    }
    document = {
        "name": "tiny-en",
        "encoder": {"base": str(tiny_base(folder / "base", WORDS)), "window": 64, "overlap": 16},
        "fit": {"epochs": 8, "learning_rate": 5.0e-3, "batch_tokens": 64, "progress": False},
        "stages": [{"stage": "cleaning"}, {"stage": "tokenization"}, head],
        "beside": {"other-en": {"description": "Another.", "stages": [{"stage": "tokenization"}, head]}},
        **changes,
    }
    path = folder / "tiny-en" / "train.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_heads_of_two_pipelines_are_fitted_on_one_encoder_that_is_saved_once(written: Path) -> None:
    path = joint_recipe(written)
    report = run(path)
    assert [item.stage.name for item in report.fitted] == ["entities", "entities"]
    assert {"entities.f1", "other-en.entities.f1"} <= set(report.fitted[0].report.history[-1])
    for name in ("tiny-en", "other-en"):
        nlp = clinnlp.load(written / name)
        assert [(e.text, e.label) for e in nlp("He took aspirin.").entities] == [("aspirin", "Medication")]
        card = (written / name / "README.md").read_text(encoding="utf-8")
        other = "other-en" if name == "tiny-en" else "tiny-en"
        assert f"together with `entities` of `{other}`." in card
        assert "| Medication |" in card
        assert f"with the recipe {'beside this file' if name == 'tiny-en' else 'of tiny-en'}." in card
    weights = sorted(str(file.relative_to(written)) for file in written.glob("*-en/**/*.safetensors"))
    assert weights == ["other-en/entities/head.safetensors", "tiny-en/entities/model.safetensors"]
    # Saved elsewhere, the borrowed encoder goes along.
    again = clinnlp.load(clinnlp.load(written / "other-en").save(written / "far" / "away"))
    assert [e.text for e in again("He took aspirin.").entities] == ["aspirin"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, "it needs labels, and a base"),
        ({"encoder": {"window": 3}}, "encoder needs a base"),
        ({"encoder": {"base": "no-such-base"}}, "no checkpoint"),
        ({"encoder": {"base": "x", "oops": 1}}, "unknown key 'oops'"),
        ({"encoder": {"base": "x", "save": "delta"}}, "save is whole or update or reference, not 'delta'"),
        ({"encoder": {"base": "clinical-en", "save": "update"}}, "without pipelines beside it"),
        ({"encoder": {"base": "x", "save": "update"}, "beside": {}}, "on the encoder of a shipped"),
        ({"beside": [1]}, "beside is a mapping"),
        ({"beside": {"other": {"stages": [], "oops": 1}}}, "unknown key 'oops'"),
        ({"fit": {"mixing": {"nothing": 2.0}}}, "mixing names 'nothing'"),
    ],
)
def test_a_joint_recipe_that_cannot_be_run_says_why(written: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ClinNLPError, match=message) as caught:
        run(joint_recipe(written, **changes))
    assert "\n" not in str(caught.value)


def test_a_recipe_on_the_encoder_of_a_shipped_pipeline_saves_what_it_has_beyond_it(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(joint_recipe(written))
    monkeypatch.setattr("clinnlp.shipped.pipelines_folder", lambda: written)
    path = joint_recipe(written)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document.update(name="more-en", encoder={"base": "tiny-en", "save": "update"}, beside={})
    document["fit"].update(lora=4, learning_rate=2.0e-2)
    folder = written / "more-en"
    folder.mkdir()
    (folder / "train.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    run(folder / "train.yaml")
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*.safetensors")) == [
        "entities/head.safetensors",
        "update/update.safetensors",
    ]
    nlp = clinnlp.load("more-en")
    assert [(e.text, e.label) for e in nlp("He took aspirin.").entities] == [("aspirin", "Medication")]
    assert cast("EntityExtractor", nlp["entities"]).encoder.window == 64
    assert "with the recipe beside this file" in (folder / "README.md").read_text(encoding="utf-8")


WRONG: list[Any] = [None, 3, "", [1], {1: 2}, [{}]]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every value inside another, and to itself."""
    yield place
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*place, key))


def test_a_value_of_the_wrong_shape_anywhere_in_a_recipe_is_told_in_one_line(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(*_: Any) -> Any:
        raise TrainingError("this one could be fitted")

    monkeypatch.setattr("clinnlp.training.recipe.fit_tasks", fitted)
    path = joint_recipe(written)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["card"] = {"limits": "Tiny."}
    document["stages"].append({**document["stages"][2], "name": "own", "base": document["encoder"]["base"], "fit": {}})
    fits = set()
    for place in places(document):
        for wrong in WRONG:
            changed = copy.deepcopy({"all": document})
            inner: Any = changed
            for key in ("all", *place[:-1]) if place else ():
                inner = inner[key]
            inner[place[-1] if place else "all"] = wrong
            path.write_text(yaml.safe_dump(changed["all"]), encoding="utf-8")
            with pytest.raises(ClinNLPError) as caught:
                run(path)
            assert "\n" not in str(caught.value), (place, wrong)
            if "could be fitted" in str(caught.value):
                fits.add(place)
    # What may be left out, or be any text or number, and nothing else.
    free = {("name",), ("description",), ("fit",), ("card",), ("beside",), ("card", "limits"), ("encoder", "window")}
    free |= {("beside", "other-en", "description"), ("encoder", "overlap")}
    assert {place for place in fits if "stages" not in place and place[:1] != ("fit",)} <= free | {("fit",)}


def test_a_config_that_a_stage_does_not_have_names_the_stage(written: Path) -> None:
    stages = [{"stage": "tokenization", "config": {"language": "en"}}]
    with pytest.raises(ConfigError, match=r"stage 'tokenization': its config does not fit: .*'language'"):
        run(joint_recipe(written, stages=stages))


def test_stages_that_are_fitted_alone_have_their_own_way_in_a_recipe(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"no": "No fever today", "yes": "He took aspirin"}

    def load(_: str, sets: tuple[str, ...] = ("ill",)) -> dict[str, list[Record]]:
        gold = [
            Record(f"{text}, {i}.", id=f"{name}{i}", labels={one: [name] for one in sets})
            for i in range(8)
            for name, text in texts.items()
        ]
        return {"train": gold[:12], "devel": gold[12:]}

    monkeypatch.setattr("clinnlp.corpora.load", load)
    base = str(tiny_base(written / "base", WORDS))
    gold_parts = {"train": {"corpus": "x", "part": "train"}, "dev": {"corpus": "x", "part": "devel"}}
    fit = {"method": "linear", "calibrate": True}
    vectors = {"stage": "vectors", "name": "ill", "base": base, "labels": ["no", "yes"], "fit": fit, **gold_parts}
    topics = {"stage": "topics", "base": base, "config": {"topics": 2}, "train": gold_parts["train"]}
    sentences = {"stage": "sentences", "name": "ill", "base": base, "labels": ["no", "yes"], "fit": {"epochs": 1}}
    tokens = {"stage": "tokenization"}
    report = run(joint_recipe(written, stages=[tokens, vectors, topics], beside={}))
    made, found = report.fitted
    assert made.report.temperatures["ill"] > 0
    assert made.scores is not None
    assert made.scores["accuracy"] > 0.9
    assert len(found.stage.labels) == 2  # type: ignore[attr-defined]
    nlp = clinnlp.load(report.folder)
    assert nlp("He took aspirin.").labels["ill"][0].name == "yes"
    renamed = {"label_set": "ill", "names": {"yes": "takes drugs"}}
    parts = {part: {**named, **renamed} for part, named in gold_parts.items()}
    known = {**vectors, "name": "drugs", "labels": ["no", "takes drugs"], **parts}
    report = run(joint_recipe(written, stages=[tokens, known], beside={}))
    assert report.fitted[0].report.records == {"drugs": 12}
    assert clinnlp.load(report.folder)("He took aspirin.").labels["drugs"][0].name == "takes drugs"
    report = run(joint_recipe(written, stages=[tokens, {**sentences, **gold_parts}], beside={}))
    assert report.fitted[0].report.records == {"ill": 12}
    # Without a base it is fitted after the others, on the encoder as they leave it.
    after = {name: value for name, value in vectors.items() if name != "base"}
    first = {**sentences, **gold_parts, "name": "one"}
    del first["base"], first["fit"]
    monkeypatch.setattr("clinnlp.corpora.load", lambda name: load(name, ("ill", "one")))
    path = joint_recipe(written, stages=[tokens, after, first], beside={})
    report = run(path)
    nlp = clinnlp.load(report.folder)
    assert nlp["ill"].encoder is nlp["one"].encoder
    assert nlp("He took aspirin.").labels["ill"][0].name == "yes"
    trained = load_file(report.folder / "encoder" / "model.safetensors")
    assert any(not torch.equal(own, trained[name]) for name, own in load_file(Path(base) / "model.safetensors").items())
    assert report.fitted[0].report.config.method == "linear"
    card = (report.folder / "README.md").read_text(encoding="utf-8")
    assert "as a logistic regression on the vectors of `base` as it was after other heads were trained on it" in card
    path = joint_recipe(written, stages=[tokens, {**after, "fit": {"epochs": 1}}, first], beside={})
    with pytest.raises(ConfigError, match="is fitted after the others, and must leave their encoder as it is"):
        run(path)
    own = {name: value for name, value in vectors.items() if name not in ("base", "fit")}
    path = joint_recipe(written, stages=[own, {**own, "name": "other"}], beside={}, fit={"method": "linear"})
    with pytest.raises(ConfigError, match="method is for a stage that is fitted alone"):
        run(path)


def test_what_is_wrong_with_stages_that_are_fitted_later_is_told_before_the_others_are_trained(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clinnlp.training.recipe.fit_tasks", lambda *_: pytest.fail("others were trained"))
    gold = [Record(f"Note {i}.", labels={"ill": ["no" if i % 2 else "yes"]}) for i in range(8)]
    monkeypatch.setattr("clinnlp.corpora.load", lambda _: {"train": gold})
    first: dict[str, Any] = {
        "stage": "reports",
        "name": "ill",
        "labels": ["no", "yes"],
        "train": {"corpus": "x", "part": "train"},
    }
    later = {**first, "name": "later", "fit": {"method": "linear"}}
    with pytest.raises(ConfigError, match="has the method 'linear', which is for a stage of kind 'vectors'"):
        run(joint_recipe(written, stages=[first, later], beside={}))
    for train, message in (
        (first["train"], r"no record has gold under labels\['later'\]"),
        ({**first["train"], "label_set": "ill", "names": {"no": "well"}}, "the gold label 'well'"),
    ):
        stages = [first, {**later, "stage": "vectors", "train": train}]
        with pytest.raises(TrainingError, match=message):
            run(joint_recipe(written, stages=stages, beside={}))


def test_the_gold_of_a_recipe_is_the_label_set_that_it_names_and_no_other() -> None:
    labels = [Label("a"), Label("b"), Label("c")]
    item = {"label_set": "theirs", "names": {"a": "x", "b": "x"}}
    record = Record("Well.", labels={"theirs": labels}, sentences=[Sentence(0, 5, labels={"theirs": labels[1:]})])
    record.images = [Image(np.zeros((2, 2), dtype=np.uint8), labels={"theirs": labels[:1]})]
    made = _relabelled(record, item, "ours")
    assert [label.name for label in made.images[0].labels["ours"]] == ["x"]
    assert "ours" not in record.images[0].labels
    assert [label.name for label in made.labels["ours"]] == ["x", "c"]
    assert [label.name for label in made.sentences[0].labels["ours"]] == ["x", "c"]
    assert "ours" not in record.labels
    assert "ours" not in record.sentences[0].labels
    assert _relabelled(Record("Ill.", labels={"ours": ["a"]}), item, "ours").labels == {}
    assert [label.name for label in _relabelled(record, {"names": {"c": "d"}}, "theirs").labels["theirs"]] == [
        "a",
        "b",
        "d",
    ]
