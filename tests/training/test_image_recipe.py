"""Recipes of pipelines that read pictures, on the encoder of a shipped pipeline."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml
from tiny import tiny_base

import clinnlp
from clinnlp import Image, Pipeline, Record
from clinnlp.errors import ClinNLPError, ConfigError
from clinnlp.formats import jsonl
from clinnlp.stages import EntityExtractor, ImageClassifier, MultimodalClassifier, Tokenizer
from clinnlp.training.recipe import run

WORDS = ["node", "felt", "no", "was"]


def pixels(seed: int, bright: bool) -> np.ndarray:
    made = np.random.default_rng(seed).integers(0, 60, (16, 16)).astype(np.uint8)
    made[4:10, 4:10] += 150 * np.uint8(bright)
    return made


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of shipped pipelines, with one, and beside it a table of pictures and records with both."""
    base = tiny_base(tmp_path / "base", WORDS)
    Pipeline([Tokenizer(), EntityExtractor.from_base(base, labels=["Sign"])], "tiny-en").save(tmp_path / "tiny-en")
    monkeypatch.setattr("clinnlp.shipped.pipelines_folder", lambda: tmp_path)
    rows, records = [], []
    for i in range(64):
        PIL.Image.fromarray(pixels(i, i % 2 == 0)).save(tmp_path / f"{i}.png")
        rows.append({"no": i, "file": f"{i}.png", "look": ["dark", "bright"][i % 2 == 0]})
        label = ["neither", "node", "mass", "both"][2 * (i % 2 == 0) + (i % 4 < 2)]
        text = "node was felt" if i % 4 < 2 else "no node"
        records.append(Record(text, str(i), images=[Image(tmp_path / f"{i}.png")], labels={"kind": [label]}))
    for name, some in (("pictures", rows[:48]), ("more", rows[48:])):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["no", "file", "look"])
            writer.writeheader()
            writer.writerows(some)
    jsonl.write(records, tmp_path / "records.jsonl")
    return tmp_path


def recipe(shipped: Path, **changes: Any) -> Path:
    table = {"file": "../pictures.csv", "id_column": "no", "images_column": "file", "label_columns": ["look"]}
    document = {
        "name": "seen-en",
        "dtype": "float16",
        "encoder": {"base": "tiny-en", "save": "reference"},
        "stages": [
            {"stage": "tokenization"},
            {"stage": "entities", "from": "tiny-en"},
            {
                "stage": "images",
                "name": "look",
                "labels": ["dark", "bright"],
                "config": {"image_size": 16, "width": 8},
                "train": table,
                "dev": {**table, "file": "../more.csv"},
                "fit": {"epochs": 8, "batch_tokens": 512, "learning_rate": 3.0e-3, "progress": False},
            },
            {
                "stage": "fusion",
                "name": "kind",
                "labels": ["neither", "node", "mass", "both"],
                "config": {"image_size": 16, "image_width": 8},
                "train": {"file": "../records.jsonl"},
                "fit": {"epochs": 30, "learning_rate": 3.0e-3, "head_learning_rate": 3.0e-3, "progress": False},
            },
        ],
        **changes,
    }
    folder = shipped / "seen-en"
    folder.mkdir(exist_ok=True)
    (folder / "train.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "train.yaml"


def test_a_recipe_fits_pictures_and_their_fusion_beside_the_encoder_of_another_pipeline(shipped: Path) -> None:
    folder = run(recipe(shipped)).folder
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*.safetensors")) == [
        "entities/head.safetensors",
        "kind/head.safetensors",
        "look/model.safetensors",
    ]
    nlp = clinnlp.load("seen-en")
    assert list(nlp.stages) == ["tokenization", "entities", "look", "kind"]
    assert nlp["entities"].encoder is nlp["kind"].encoder
    record = nlp(Record("node was felt", images=[Image(pixels(99, True))]))
    assert record.labels["look"][0].name == "bright"
    assert record.labels["kind"][0].name == "both"
    head = clinnlp.load("tiny-en")["entities"].state_dict()
    for name, tensor in nlp["entities"].state_dict().items():
        assert tensor.numpy() == pytest.approx(head[name].numpy(), abs=1e-3)  # the head is written as float16
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "On 16 development items" in card


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        (1, {"from": "seen-fr"}, "there is no pipeline 'seen-fr'|no shipped pipeline|seen-fr"),
        (1, {"stage": "reports"}, r"stage 'reports': tiny-en has no such stage: it has tokenization \(tokenization\)"),
        (1, {"labels": ["a"]}, "it is taken from a pipeline as it is there: leave labels out"),
        (1, {"from": 3}, "from is the name or folder of a pipeline"),
        (2, {"labels": ["dark"]}, "labels"),
        (2, {"train": {"file": "../pictures.csv", "label_columns": "look"}}, "label_columns is a list of names"),
        (2, {"train": {"file": "../pictures.csv", "columns": "look"}}, "train is a corpus and a part of it"),
        (
            3,
            {"stage": "reports", "fit": None, "config": {}},
            "save: reference leaves it as it is, and kind would train",
        ),
    ],
)
def test_a_recipe_that_cannot_be_run_says_why(shipped: Path, place: int, changes: dict[str, Any], message: str) -> None:
    path = recipe(shipped)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["stages"][place].update(changes)
    if document["stages"][place].get("fit", "") is None:
        del document["stages"][place]["fit"]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ClinNLPError, match=message) as caught:
        run(path)
    assert "\n" not in str(caught.value)
    assert not (path.parent / "pipeline.yaml").exists()


def test_a_reference_is_to_a_shipped_pipeline(shipped: Path) -> None:
    with pytest.raises(ConfigError, match="save: reference is for a recipe without pipelines beside it"):
        run(recipe(shipped, encoder={"base": str(shipped / "base"), "save": "reference"}))


def test_stages_of_one_kind_are_told_apart_by_their_names(shipped: Path) -> None:
    path = recipe(shipped)
    run(path)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    stages = [{"stage": "images", "from": "seen-en"}, {"stage": "fusion", "from": "seen-en", "name": "kind"}]
    again = shipped / "again-en" / "train.yaml"
    again.parent.mkdir()
    again.write_text(yaml.safe_dump({**document, "name": "again-en", "stages": stages}), encoding="utf-8")
    nlp = clinnlp.load(run(again).folder)
    assert [type(stage) for stage in nlp.stages.values()] == [ImageClassifier, MultimodalClassifier]
    stages[1]["name"] = "look"
    again.write_text(yaml.safe_dump({**document, "name": "again-en", "stages": stages}), encoding="utf-8")
    with pytest.raises(ConfigError, match="stage 'fusion': seen-en has no such stage"):
        run(again)
