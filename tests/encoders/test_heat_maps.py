"""Heat maps: over the place that carries a label, in the coordinates of the picture as it was given."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification
from transformers import ViTImageProcessorPil as Processor
from transformers.modeling_outputs import ImageClassifierOutput

from clinnlp import FitConfig, Image, Pipeline, Record
from clinnlp.encoders.heat_maps import class_activation, to_original
from clinnlp.encoders.images import resize
from clinnlp.errors import CheckpointError, ConfigError
from clinnlp.stages import ImageClassifier, ImageCleaner


def spots(count: int, seed: int, size: tuple[int, int] = (56, 56)) -> tuple[list[Record], list[tuple[int, int]]]:
    """Dark noise, half of it with a bright spot, whose centre is given."""
    rng = np.random.default_rng(seed)
    records, centres = [], []
    for i in range(count):
        pixels = rng.integers(0, 90, size).astype(np.uint8)
        row, column = int(rng.integers(8, size[0] - 8)), int(rng.integers(8, size[1] - 8))
        if i % 2:
            pixels[row - 5 : row + 5, column - 5 : column + 5] = 250
        records.append(Record(id=f"{i}", images=[Image(pixels, labels={"finding": ["spot" if i % 2 else "none"]})]))
        centres.append((row, column))
    return records, centres


@pytest.fixture(scope="module")
def fitted() -> ImageClassifier:
    stage = ImageClassifier.from_base(labels=["none", "spot"], name="finding", image_size=56)
    stage.fit([*spots(100, 0)[0], *spots(100, 5, (80, 120))[0]], config=FitConfig(epochs=6))
    return stage


@pytest.mark.parametrize("size", [(56, 56), (80, 120)])
def test_the_map_is_hot_where_the_finding_is(fitted: ImageClassifier, size: tuple[int, int]) -> None:
    records, centres = spots(20, 1, size)
    hits = []
    for (one,), (row, column) in zip(fitted.explain(records[1::2], "spot"), centres[1::2], strict=True):
        assert one.values.shape == size
        assert one.values.min() >= 0
        assert one.values.max() <= 1
        at = one.peak()
        hits.append(abs(at[0] - row) < size[0] / 7 and abs(at[1] - column) < size[1] / 7)
    assert sum(hits) >= 8, hits


def test_a_map_says_of_what_it_is_and_is_written_as_a_picture(fitted: ImageClassifier, tmp_path: Path) -> None:
    record = spots(2, 2)[0][1]
    ((found,),) = fitted.explain(record)
    assert (found.record_id, found.image, found.label) == (
        "1",
        0,
        fitted(record.copy()).images[0].labels["finding"][0].name,
    )
    path = found.write_png(tmp_path / "heat.png")
    written = np.asarray(PIL.Image.open(path))
    assert (written == found.overlay()).all()
    hot = found.values > 0.9
    assert written[hot][:, 0].mean() > written[hot][:, 2].mean() + 20  # red over the grey
    assert (found.overlay(0.0) == found.pixels).all()
    assert record.images[0].labels == spots(2, 2)[0][1].images[0].labels


def test_a_map_of_a_cleaned_picture_lies_over_the_one_that_was_given(fitted: ImageClassifier) -> None:
    records, centres = spots(12, 3)
    for record in records:
        film = np.zeros((120, 150), dtype=np.uint8)
        film[50:106, 70:126] = record.images[0].array
        record.images = [Image(film)]
    cleaned = list(Pipeline([ImageCleaner(["crop"])]).pipe(records))
    assert all(record.images[0].view().shape[0] < 80 for record in cleaned)
    hits = []
    for (one,), (row, column) in zip(fitted.explain(cleaned[1::2], "spot"), centres[1::2], strict=True):
        assert one.values.shape == (120, 150)
        at = one.peak()
        hits.append(abs(at[0] - row - 50) < 9 and abs(at[1] - column - 70) < 9)
    assert sum(hits) >= 5


def test_a_label_that_there_is_not_is_refused(fitted: ImageClassifier) -> None:
    with pytest.raises(ConfigError, match="no label 'mass': its labels are none, spot"):
        fitted.explain(spots(1, 0)[0], "mass")


@pytest.mark.parametrize("kind", ["convolutional", "transformer"])
def test_maps_of_networks_of_both_kinds(kind: str) -> None:
    torch.manual_seed(0)
    network: torch.nn.Module
    if kind == "convolutional":
        network = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1]))
    else:
        network = ViTForImageClassification(
            ViTConfig(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=16,
                image_size=64,
                patch_size=8,
            )
        )
    values, logit = class_activation(network.eval(), torch.randn(1, 3, 64, 64), 1)
    assert min(values.shape) >= 7
    assert values.max() == pytest.approx(1.0)
    assert np.isfinite(logit)


def test_of_a_logit_that_no_place_moves_the_map_is_empty_and_without_feature_maps_there_is_none() -> None:
    network = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])).eval()
    with torch.no_grad():
        network.classifier[1].weight.zero_()  # as where a fusion cuts off a picture that is unlike all it learned from
    values, _ = class_activation(network, torch.randn(1, 3, 64, 64), 1)
    assert min(values.shape) >= 7
    assert not values.any()

    def bare(pixel_values: torch.Tensor, output_hidden_states: bool) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=network(pixel_values=pixel_values).logits)

    with pytest.raises(CheckpointError, match="gives no feature maps"):
        class_activation(bare, torch.randn(1, 3, 64, 64), 1)


def test_the_map_of_a_large_picture_is_made_in_little_memory() -> None:
    values = np.eye(8, dtype=np.float32)
    processor = Processor(size={"height": 32, "width": 32})
    tracemalloc.start()
    try:
        made = to_original(values, processor, 1500, 2000, (32, 32))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.max() <= 1
    assert peak < 4 * made.nbytes  # a grid of coordinates alone would be four times the map


PROCESSORS = {
    "stretched": {"size": {"height": 32, "width": 32}},
    "enlarged": {"size": {"height": 96, "width": 64}},
}


@pytest.mark.parametrize("name", [*PROCESSORS, "cut"])
@pytest.mark.parametrize("size", [(60, 60), (40, 100)])
def test_a_place_of_what_is_read_is_found_again_in_the_original(name: str, size: tuple[int, int]) -> None:
    if name == "cut":
        from transformers import CLIPImageProcessorPil

        processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    else:
        processor = Processor(**PROCESSORS[name])
    row, column = size[0] // 2 - 6, size[1] // 2 + 7
    picture: NDArray[np.uint8] = np.zeros((*size, 3), dtype=np.uint8)
    picture[row - 2 : row + 3, column - 2 : column + 3] = 255
    read = resize(processor, picture)
    values = read[0].astype(np.float32) / 255
    back = to_original(values, processor, *size, values.shape)  # type: ignore[arg-type]
    places = np.argwhere(back > 0.5 * back.max()).mean(axis=0)
    assert abs(places[0] - row) < 1.5
    assert abs(places[1] - column) < 1.5
    if name == "cut" and size[1] > size[0]:
        assert not back[:, :20].any()  # the network did not look there
