from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import save_classifier, tiny_base
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from clinnlp.encoders.loading import load_config, load_onto_base, quiet
from clinnlp.errors import CheckpointError
from clinnlp.stages import (
    EntityExtractor,
    ImageClassifier,
    ReportClassifier,
    SentenceClassifier,
    TopicModel,
    VectorClassifier,
)


def test_an_encoder_is_taken_from_under_another_head(tmp_path: Path) -> None:
    folder = str(save_classifier(tmp_path / "tokens", ["O", "B-Drug", "I-Drug"]))
    first, second = (
        load_onto_base(AutoModelForSequenceClassification, folder, load_config(folder, num_labels=2)) for _ in range(2)
    )
    state, other = first.base_model.state_dict(), second.base_model.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state if "pooler" not in name)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


def test_weights_of_another_architecture_are_no_base(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    images = ImageClassifier.from_base(labels=["none", "mass"], image_size=8).save(tmp_path / "images")
    shutil.copy(images / "model.safetensors", base / "model.safetensors")
    with pytest.raises(CheckpointError, match="another architecture"):
        load_onto_base(AutoModelForSequenceClassification, str(base), load_config(str(base)))


def test_reading_weights_prints_nothing_and_leaves_logging_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(save_classifier(tmp_path / "tokens", ["O", "B-Drug", "I-Drug"]))
    capfd.readouterr()
    level = logging.get_verbosity()
    load_onto_base(AutoModelForSequenceClassification, folder, load_config(folder))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError), quiet():
        _ = 1 / 0
    assert logging.get_verbosity() == level
    assert logging.is_progress_bar_enabled()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each kind of stage, and one without a head."""
    folder = tmp_path_factory.mktemp("saved")
    base = tiny_base(folder / "base")
    EntityExtractor.from_base(base, ["Drug"]).save(folder / "EntityExtractor")
    for kind in (ReportClassifier, VectorClassifier, SentenceClassifier):
        kind.from_base(base, ["a", "b"]).save(folder / kind.__name__)
    TopicModel.from_base(base, topics=2).save(folder / "TopicModel")
    ImageClassifier.from_base(labels=["a", "b"], image_size=8).save(folder / "ImageClassifier")
    return folder


@pytest.mark.parametrize(
    "kind", [EntityExtractor, ReportClassifier, VectorClassifier, SentenceClassifier, TopicModel, ImageClassifier]
)
def test_the_checkpoint_of_another_kind_of_stage_is_named_with_the_class_that_reads_it(kind: Any, saved: Path) -> None:
    for folder in saved.iterdir():
        if folder.name == kind.__name__:
            kind.from_pretrained(folder).warm_up()
            continue
        told = f", which {folder.name} reads and {kind.__name__} does not: use {folder.name}.from_pretrained"
        if folder.name == "base":
            told = "from_base" if kind is not ImageClassifier else "image processor"
        with pytest.raises(CheckpointError) as caught:
            kind.from_pretrained(folder).warm_up()
        message = str(caught.value)
        assert told in message
        assert "\n" not in message
        images = {"ImageClassifier", "base"} & {folder.name, kind.__name__}
        assert images or message.endswith(f", or {kind.__name__}.from_base for a new head on its encoder")
        if folder.name != "base" and kind not in (EntityExtractor, ImageClassifier):  # who is made by hand
            with pytest.raises(CheckpointError, match="reads and"):
                _ = kind(folder).head
