from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny import save_classifier, tiny_base
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from clinnlp.encoders.loading import load_config, load_onto_base, quiet
from clinnlp.errors import CheckpointError
from clinnlp.stages import ImageClassifier


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
