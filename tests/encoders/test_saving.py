from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_base, tiny_config, tiny_tokenizer
from transformers import AutoModel, BertModel

from clinnlp.encoders.saving import save_checkpoint
from clinnlp.errors import ConfigError


@pytest.fixture
def model() -> BertModel:
    torch.manual_seed(1)
    return BertModel(tiny_config(tiny_tokenizer()))


def test_the_weights_of_an_earlier_save_are_never_read_with_the_new_ones(model: BertModel, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    BertModel(tiny_config(tokenizer)).save_pretrained(tmp_path, max_shard_size="10KB")
    for name in ("model-00001-of-00002.safetensors", "pytorch_model.bin", "vocab.txt"):
        (tmp_path / name).write_text("another model")
    (tmp_path / "README.md").write_text("mine")
    save_checkpoint(model, tokenizer, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    back = AutoModel.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(back.state_dict().values(), model.state_dict().values(), strict=True))


def test_a_save_that_fails_leaves_the_earlier_one(model: BertModel, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in tiny_base(tmp_path).iterdir()}
    with pytest.raises(AttributeError):
        save_checkpoint(model, object(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_unknown_dtype_is_refused(model: BertModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float32, float16, bfloat16"):
        save_checkpoint(model, tiny_tokenizer(), tmp_path / "new", "int8")
    assert not (tmp_path / "new").exists()


def test_weights_beyond_the_range_of_a_dtype_are_refused(model: BertModel, tmp_path: Path) -> None:
    weight = model.encoder.layer[0].output.dense.weight
    with torch.no_grad():
        weight[0, 0], weight[1, 0] = 70000.0, float("nan")
    folder = save_checkpoint(model, tiny_tokenizer(), tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    told = (
        "encoder.layer.0.output.dense.weight exceed 65504, the largest number of float16: save as float32 or bfloat16"
    )
    with pytest.raises(ConfigError, match=told):
        save_checkpoint(model, tiny_tokenizer(), folder, "float16")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    save_checkpoint(model, tiny_tokenizer(), folder, "bfloat16")
    assert load_file(folder / "model.safetensors")["encoder.layer.0.output.dense.weight"][0, 0] == 70144
    with torch.no_grad():
        weight[0, 0] = 65510.0  # which rounds to the largest number
    save_checkpoint(model, tiny_tokenizer(), folder, "float16")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_written_as_asked_and_stay_as_they_are_in_memory(
    model: BertModel, dtype: str, tmp_path: Path
) -> None:
    save_checkpoint(model, tiny_tokenizer(), tmp_path, dtype)
    tensors = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {getattr(torch, dtype)}
    assert model.dtype == torch.float32
