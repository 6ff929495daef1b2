"""Fusion of modalities, any of which may be missing."""

from __future__ import annotations

import pytest
import torch

from clinnlp.encoders.fusion import Fusion, image_features, image_width, new_image_network
from clinnlp.encoders.images import small_network
from clinnlp.errors import CheckpointError

WIDTHS = {"text": 5, "images": 3}


def made(way: str) -> tuple[Fusion, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return Fusion(WIDTHS, 4, way).eval(), {name: torch.randn(6, width) for name, width in WIDTHS.items()}


@pytest.mark.parametrize("way", ["gated", "late"])
def test_what_modalities_add_sums_up_to_the_logits(way: str) -> None:
    fusion, vectors = made(way)
    present = torch.tensor([[True, True]] * 4 + [[True, False], [False, True]])
    logits, parts = fusion.parts(present, **vectors)
    assert torch.allclose(parts.sum(dim=1) + fusion.classifier.bias, logits, atol=1e-6)
    assert torch.allclose(fusion(present, **vectors).logits, logits, atol=1e-6)
    assert not parts[4, 1].any()
    assert not parts[5, 0].any()


@pytest.mark.parametrize("way", ["gated", "late"])
def test_what_is_missing_does_not_matter_even_where_it_is_no_number(way: str) -> None:
    fusion, vectors = made(way)
    present = torch.tensor([[True, False]] * 6)
    broken = {**vectors, "images": torch.full((6, 3), float("nan"))}
    assert torch.equal(fusion.parts(present, **vectors)[0], fusion.parts(present, **broken)[0])


def test_a_gate_weighs_its_modality_between_nothing_and_twice() -> None:
    fusion, vectors = made("gated")
    late, _ = made("late")
    late.load_state_dict(fusion.state_dict(), strict=False)
    present = torch.tensor([[True, True]] * 6)
    for bias, factor in ((-1e4, 0.0), (0.0, 1.0), (1e4, 2.0)):
        assert fusion.gates is not None
        for gate in fusion.gates:
            torch.nn.init.zeros_(gate.weight)
            torch.nn.init.constant_(gate.bias, bias)
        assert torch.allclose(
            fusion.parts(present, **vectors)[1], factor * late.parts(present, **vectors)[1], atol=1e-5
        )


def test_modalities_are_hidden_while_training_and_never_all_of_a_record() -> None:
    fusion, vectors = made("late")
    fusion.dropout.p = 0.0
    present = torch.tensor([[True, True]] * 6)
    whole = fusion(present, **vectors).logits
    fusion.train()
    bias = fusion.classifier.bias
    runs = [fusion(present, **vectors).logits for _ in range(30)]
    assert any(not torch.allclose(run[:6], whole) for run in runs)
    assert not any(torch.allclose(row, bias, atol=1e-6) for run in runs for row in run)


def test_while_it_is_trained_each_modality_is_shown_alone_too() -> None:
    fusion, vectors = made("late")
    fusion.dropout.p = 0.0
    with torch.no_grad():
        for layer in fusion.lone:  # what a modality says alone is not what it adds to others
            layer.bias.fill_(1.0)
    present = torch.tensor([[True, True], [True, False], [False, True]] * 2)
    first, second = (fusion.alone(name, vectors[name]) for name in fusion.modalities)
    fusion.train()
    shown = fusion(present, **vectors).logits.split(6)
    assert len(shown) == 3
    lacks_first, lacks_second = ~present[:, 0], ~present[:, 1]
    assert torch.allclose(shown[1], torch.where(lacks_first[:, None], second, first), atol=1e-6)
    assert torch.allclose(shown[2], torch.where(lacks_second[:, None], first, second), atol=1e-6)
    fusion.eval()
    parts = fusion.parts(torch.tensor([[True, False]] * 6), **vectors)[1]
    assert torch.allclose(parts[:, 0] + fusion.classifier.bias, first, atol=1e-6)


def test_the_vector_of_a_picture_is_what_its_classifier_reads_last() -> None:
    config = small_network(16)
    config.num_labels = 3
    network = new_image_network(config.to_dict())
    pixels = torch.randn(2, 3, 16, 16)
    features = image_features(network, pixels)
    assert features.shape == (2, image_width(network))
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    assert torch.allclose(last(features), network(pixel_values=pixels).logits, atol=1e-5)


def test_a_network_that_transformers_does_not_know_is_refused() -> None:
    with pytest.raises(CheckpointError, match="cannot be made"):
        new_image_network({"model_type": "nonsense"})
