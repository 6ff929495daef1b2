"""Low-rank updates to the encoder of another pipeline."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_base

import clinnlp
from clinnlp import Entity, FitConfig, Pipeline, Record
from clinnlp.encoders.checkpoints import UPDATE_FILE
from clinnlp.encoders.updates import apply_update, save_update
from clinnlp.engines.identity import differences, pipeline_identity
from clinnlp.errors import CheckpointError, ConfigError
from clinnlp.saving import save_pipeline
from clinnlp.stages import EntityExtractor, ReportClassifier

WORDS = ["took", "aspirin", "heparin", "fever"]
TRAIN = [Record(f"took {drug}", entities=[Entity(5, 12, "Drug")]) for drug in ("aspirin", "heparin")] * 8
LORA = FitConfig(epochs=3, lora=4, learning_rate=1e-2)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A pipeline of two heads on one encoder."""
    encoder = tiny_base(tmp_path / "tiny", WORDS)
    heads = [EntityExtractor.from_base(encoder, ["X"]), ReportClassifier.from_base(encoder, ["a", "b"], name="kind")]
    return Pipeline(heads, "base").save(tmp_path / "base")


def fitted(base: Path, config: FitConfig = LORA) -> EntityExtractor:
    stage = EntityExtractor.from_base(base, ["Drug"])
    stage.fit(TRAIN, config=config)
    return stage


def test_a_pipeline_on_the_encoder_of_another_is_saved_as_what_it_has_beyond_it(base: Path, tmp_path: Path) -> None:
    stage = fitted(base)
    folder = save_pipeline(Pipeline([stage]), tmp_path / "drugs", encoder_of="base", as_update=True)
    weights = {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
    assert weights == {"entities/head.safetensors", f"update/{UPDATE_FILE}"}
    parts = load_file(folder / "update" / UPDATE_FILE)
    assert max(tensor.shape[1] for name, tensor in parts.items() if name.endswith(":left")) <= 4
    wanted = stage.encoder.model.state_dict()
    loaded = clinnlp.load(folder)["entities"]
    for one in (loaded, EntityExtractor.from_pretrained(folder), pickle.loads(pickle.dumps(loaded))):
        state = one.encoder.model.state_dict()  # type: ignore[attr-defined]
        assert all(torch.allclose(state[name], tensor, atol=1e-5) for name, tensor in wanted.items())
        found = one(Record("took heparin")).entities
        assert [(e.start, e.end, e.label) for e in found] == [
            (e.start, e.end, e.label) for e in stage(Record("took heparin")).entities
        ]
    # It is another encoder than the one that it is an update to, for other heads on it too.
    other = Pipeline([ReportClassifier.from_base(base, ["a", "b"], name="kind"), loaded])
    assert other["kind"].encoder is not other["entities"].encoder
    beside = ReportClassifier.from_base(folder, ["a", "b"], name="kind")
    assert Pipeline([loaded, beside])["kind"].encoder is loaded.encoder
    again = clinnlp.load(Pipeline([loaded, beside]).save(tmp_path / "whole"))
    state = again["kind"].encoder.model.state_dict()
    assert all(torch.allclose(state[name], tensor, atol=1e-5) for name, tensor in wanted.items())


def test_what_is_no_low_rank_update_is_not_saved_as_one(base: Path, tmp_path: Path) -> None:
    stage = fitted(base, FitConfig(epochs=3, learning_rate=1e-3))
    with pytest.raises(ConfigError, match=r"more than a low-rank update, in .*fit it with FitConfig"):
        save_update(stage.encoder.model, stage.encoder.checkpoint, tmp_path / "update")


def test_weights_that_are_none_or_of_another_encoder_are_not_saved(base: Path, tmp_path: Path) -> None:
    encoder = EntityExtractor.from_base(base, ["Drug"]).encoder
    name = next(name for name, tensor in encoder.model.state_dict().items() if tensor.ndim == 2)

    def refused(model: torch.nn.Module, message: str, dtype: str = "float32") -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            save_update(model, encoder.checkpoint, tmp_path / "update", dtype)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "update").exists()

    for number in (float("nan"), float("inf")):
        model = encoder.copy().model
        model.state_dict()[name][0, 0] = number
        refused(model, f"weights that are no finite numbers, in {name}: fit it anew")
    model = encoder.copy().model
    model.state_dict()[name][0] += 1e30
    refused(model, f"the update of {name} has numbers too large for float16: save it as float32", "float16")
    refused(encoder.copy().model.half(), r" is torch\.float16 and was torch\.float32: save it whole")
    model = encoder.copy().model
    model.resize_token_embeddings(3)
    refused(model, r" is \(3, \d+\) and was \(\d+, \d+\): save it whole")
    model = encoder.copy().model
    model.register_parameter("more", torch.nn.Parameter(torch.ones(2, 2)))
    refused(model, "it alone has the weight more: save it whole")
    model = encoder.copy().model
    del model.embeddings
    refused(model, "it alone lacks the weight embeddings")


def test_a_run_with_another_update_is_another_run(base: Path, tmp_path: Path) -> None:
    folder = save_pipeline(Pipeline([fitted(base)]), tmp_path / "drugs", encoder_of="base", as_update=True)
    before = pipeline_identity(clinnlp.load(folder))
    assert differences(before, pipeline_identity(clinnlp.load(folder))) == []
    file = folder / "update" / UPDATE_FILE
    save_file({name: 2 * tensor for name, tensor in load_file(file).items()}, file)
    assert differences(before, pipeline_identity(clinnlp.load(folder))) != []


def test_a_missing_damaged_or_foreign_update_is_told_in_one_line(base: Path, tmp_path: Path) -> None:
    stage = fitted(base)
    folder = save_pipeline(Pipeline([stage]), tmp_path / "drugs", encoder_of="base", as_update=True)
    file = folder / "update" / UPDATE_FILE
    parts = load_file(file)
    for broken in (
        {name: tensor for name, tensor in parts.items() if not name.endswith(":right")},
        {f"x.{name}": tensor for name, tensor in parts.items()},
        {name: tensor[:3] if name.endswith(":left") else tensor for name, tensor in parts.items()},
    ):
        save_file(broken, file)
        with pytest.raises(CheckpointError, match="it is damaged, or one of another encoder") as caught:
            apply_update(stage.encoder.copy().model, str(folder / "update"))
        assert "\n" not in str(caught.value)
    file.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        clinnlp.load(folder)("took aspirin")
    file.unlink()
    with pytest.raises(
        clinnlp.errors.ClinNLPError, match=f"the update of the encoder 'encoder' is missing: no {UPDATE_FILE}"
    ):
        clinnlp.load(folder)
