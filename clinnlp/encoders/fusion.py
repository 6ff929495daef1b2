"""Fusion of what a record has: the vector of its text, those of its images, and its variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.modeling_outputs import ImageClassifierOutput, TokenClassifierOutput

from clinnlp.encoders.courses import CourseEncoder
from clinnlp.encoders.own_heads import LabelledVectorHead
from clinnlp.encoders.variables import variables_from
from clinnlp.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = [
    "FUSION",
    "FusedPictures",
    "Fusion",
    "FusionHead",
    "FusionWithParts",
    "LastLayer",
    "image_features",
    "image_width",
    "new_image_network",
]

FUSION = "clinnlp_fusion"
"""Where a head's configuration says what is fused."""
# Of training records, how often one of their modalities is hidden: so the fused answer learns to do without.
_HIDDEN = 0.3


class Standard(nn.Module):
    """Brings vectors to mean 0 and deviation 1 in each place, as they had it over the training records.

    Vectors of notes differ little beside what they have in common, so that a network would learn slowly from them.

    Parameters
    ----------
    width : int
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def learn(self, vectors: torch.Tensor) -> None:
        """Take mean and deviation of vectors, shape (records, width)."""
        self.mean.copy_(vectors.mean(dim=0))
        self.deviation.copy_(vectors.std(dim=0, correction=0).clamp(min=1e-6))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Give standard vectors of the same shape; what is further than 10 deviations is cut off there."""
        return ((vectors - self.mean) / self.deviation).clamp(-10, 10)


class Fusion(nn.Module):
    """Labels from the vectors of modalities, any of which may be missing.

    Each modality m is brought to one width, h_m; u = sum of g_m h_m over those that are there; the labels are a linear
    layer on u, so that what each modality adds to a logit is known exactly. "late" fusion has g_m = 1; in "gated"
    fusion g_m is between 0 and 2, a sigmoid of a score of h_m (Arevalo et al., 2017). A modality that is alone goes
    through a linear layer of its own first: what it means by itself is not what it adds to others. While the fusion is
    trained, modalities are hidden by chance (Neverova et al., 2016), and each is also shown alone.

    Parameters
    ----------
    widths : mapping of str to int
        Modality -> length of its vector, in order.
    labels : int
    way : {"late", "gated"}
    width : int
        Of h and u.
    """

    def __init__(self, widths: Mapping[str, int], labels: int, way: str = "late", width: int = 64) -> None:
        super().__init__()
        self.modalities, self.widths, self.way = list(widths), dict(widths), way
        self.norms = nn.ModuleList(Standard(n) for n in widths.values())
        self.dense = nn.ModuleList(nn.Linear(n, width) for n in widths.values())
        self.gates = nn.ModuleList(nn.Linear(width, 1) for _ in widths) if way == "gated" else None
        self.lone = nn.ModuleList(_same(width) for _ in widths)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, labels)

    def forward(self, present: torch.Tensor, **vectors: torch.Tensor) -> TokenClassifierOutput:
        """Give the logits, shape (records, labels).

        While it is trained these are shape (records (1 + modalities), labels): of all records with modalities hidden by
        chance, then of all with the first modality alone, and so on; a record that lacks that one keeps what it has.

        Parameters
        ----------
        present : Tensor of bool, shape (records, modalities)
        **vectors : Tensor of float, shape (records, width of the modality)
            By modality; those of records without it do not matter.
        """
        states = self._states(vectors)
        if self.training:
            ways = [_some_hidden(present), *(_one_shown(present, at) for at in range(present.shape[1]))]
            present, states = torch.cat(ways), states.repeat(len(ways), 1, 1)
        return TokenClassifierOutput(logits=self.classifier(self.dropout(self._weighed(present, states).sum(dim=1))))

    def parts(self, present: torch.Tensor, **vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the logits, and what each modality adds to them but the bias, shape (records, modalities, labels)."""
        weighed = self._weighed(present, self._states(vectors))
        return self.classifier(weighed.sum(dim=1)), nn.functional.linear(weighed, self.classifier.weight)

    def alone(self, modality: str, vectors: torch.Tensor) -> torch.Tensor:
        """Give the logits of records that have one modality only, of vectors of shape (records, width)."""
        given = {
            name: vectors if name == modality else vectors.new_zeros(len(vectors), width)
            for name, width in self.widths.items()
        }
        present = torch.tensor([[name == modality for name in self.modalities]] * len(vectors), device=vectors.device)
        return self.parts(present, **given)[0]

    def last_layer(self) -> nn.Linear:
        """Give the layer that a temperature divides."""
        return self.classifier

    def _states(self, vectors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Bring the vectors of all modalities to one width, shape (records, modalities, width)."""
        given = [vectors[name] for name in self.modalities]
        made = [dense(norm(one)) for dense, norm, one in zip(self.dense, self.norms, given, strict=True)]
        return torch.stack([nn.functional.gelu(one) for one in made], dim=1)

    def _weighed(self, present: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Give what each modality adds to u, shape (records, modalities, width); 0 of those that are not there."""
        shares = present.to(states.dtype)
        if self.gates is not None:
            scores = torch.cat([gate(states[:, i]) for i, gate in enumerate(self.gates)], dim=1)
            shares = 2 * scores.sigmoid() * shares
        is_alone = present & (present.sum(dim=1, keepdim=True) == 1)
        alone = torch.stack([layer(states[:, i]) for i, layer in enumerate(self.lone)], dim=1)
        states = torch.where(is_alone[..., None], alone, states * shares[..., None])
        # What is missing may be anything, also no number.
        return torch.where(present[..., None], states, torch.zeros((), dtype=states.dtype))


def _some_hidden(present: torch.Tensor) -> torch.Tensor:
    """Hide modalities by chance, and of no record all."""
    kept = present & (torch.rand(present.shape, device=present.device) >= _HIDDEN)
    return torch.where(kept.any(dim=1, keepdim=True), kept, present)


def _same(width: int) -> nn.Linear:
    """Make a layer that begins as the identity."""
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _one_shown(present: torch.Tensor, at: int) -> torch.Tensor:
    """Hide all modalities but one, of the records that have it."""
    only = torch.zeros_like(present)
    only[:, at] = present[:, at]
    return torch.where(only.any(dim=1, keepdim=True), only, present)


class FusionWithParts(nn.Module):
    """A fusion and what is fitted with it: the network of its images, and the encoder of courses.

    Parameters
    ----------
    images : PreTrainedModel or None
        Image classifier; None where its vectors stay as they are.
    course : CourseEncoder or None
    fusion : Fusion
    """

    def __init__(self, images: Any, course: CourseEncoder | None, fusion: Fusion) -> None:
        super().__init__()
        self.images, self.course, self.fusion = images, course, fusion

    def forward(
        self,
        present: torch.Tensor,
        pixels: torch.Tensor | None = None,
        owners: torch.Tensor | None = None,
        events: torch.Tensor | None = None,
        days: torch.Tensor | None = None,
        there: torch.Tensor | None = None,
        **vectors: torch.Tensor,
    ) -> TokenClassifierOutput:
        """Give the logits, shape (records, labels).

        Parameters
        ----------
        present : Tensor of bool, shape (records, modalities)
        pixels : Tensor of float, shape (pictures, 3, height, width)
        owners : Tensor of int64, shape (pictures,)
            Whose each picture is.
        events, days, there : Tensor
            As for `CourseEncoder`.
        **vectors : Tensor of float, shape (records, width of the modality)
            Those of the other modalities.
        """
        if pixels is not None and owners is not None:
            made = torch.zeros((len(present), image_width(self.images)), device=present.device)
            if len(pixels):
                found = image_features(self.images, pixels).to(made)
                counts = torch.bincount(owners, minlength=len(present)).clamp(min=1)[:, None]
                made = made.index_add(0, owners, found) / counts
            vectors["images"] = made
        if self.course is not None and events is not None:
            vectors["course"] = self.course(events, days, there)
        return self.fusion(present, **vectors)

    def last_layer(self) -> nn.Linear:
        """Give the layer that a temperature divides."""
        return self.fusion.classifier


class FusedPictures(nn.Module):
    """The labels of a fusion by a picture alone, as an image classifier gives them, for its heat map.

    Parameters
    ----------
    images : PreTrainedModel
        Image classifier.
    fusion : Fusion
    """

    def __init__(self, images: Any, fusion: Fusion) -> None:
        super().__init__()
        self.images, self.fusion = images, fusion

    def forward(self, pixel_values: torch.Tensor, output_hidden_states: bool = False) -> ImageClassifierOutput:
        """Give the logits, shape (pictures, labels), and the network's feature maps."""
        read: list[torch.Tensor] = []
        with _last_layer_read(self.images, read):
            found = self.images(pixel_values=pixel_values, output_hidden_states=output_hidden_states)
        vector = read[-1].flatten(1)
        return ImageClassifierOutput(logits=self.fusion.alone("images", vector), hidden_states=found.hidden_states)


class LastLayer(nn.Module):
    """The last layer of an image classifier, on what it reads: it is fitted alone where the network is frozen.

    Parameters
    ----------
    network : PreTrainedModel
        Image classifier.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.layer, self.config = _last_layer(network), network.config

    def forward(self, features: torch.Tensor) -> TokenClassifierOutput:
        """Give the logits of what `image_features` gave, shape (pictures, labels)."""
        return TokenClassifierOutput(logits=self.layer(features))

    def last_layer(self) -> nn.Linear:
        """Give the layer that a temperature divides."""
        return self.layer  # type: ignore[no-any-return]


class FusionHead(LabelledVectorHead):
    """A `Fusion` with the network of its images and the encoder of courses, on a text encoder.

    The mean of the text encoder's states is the vector of a text, and of an event.

    Parameters
    ----------
    config : PretrainedConfig
        Of the encoder, with the labels of the head, and under `clinnlp_fusion`: `way`, `width`, `variables`, `events`,
        the key of the events of a course or None, and `images`, the configuration and the processor of an image
        classifier or None.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        plan = getattr(config, FUSION)
        widths = {"text": config.hidden_size}
        self.images: Any = None
        if plan["images"] is not None:
            self.images = new_image_network(plan["images"]["config"])
            widths["images"] = image_width(self.images)
        self.course = None
        if plan.get("events"):
            self.course = CourseEncoder(config.hidden_size, plan["width"])
            widths["course"] = 2 * plan["width"]
        if variables := variables_from(plan["variables"]):
            widths["metadata"] = sum(variable.width for variable in variables)
        self.fusion = Fusion(widths, len(config.id2label or {}), plan["way"], plan["width"])

    def last_layer(self) -> nn.Linear:
        """Give the layer that a temperature divides."""
        return self.fusion.classifier


def new_image_network(config: Mapping[str, Any]) -> Any:
    """Make an image classifier with random weights from its configuration as a dictionary.

    Raises
    ------
    CheckpointError
        If it is none that transformers knows.
    """
    from transformers import AutoConfig, AutoModelForImageClassification

    try:
        settings = {name: value for name, value in config.items() if name != "model_type"}
        return AutoModelForImageClassification.from_config(
            AutoConfig.for_model(config["model_type"], **settings)
        ).eval()
    except Exception as error:  # each configuration raises its own
        raise CheckpointError(f"the head has an image network that cannot be made: {type(error).__name__}") from None


def image_width(network: Any) -> int:
    """Give the length of the vectors that `image_features` gives."""
    return int(_last_layer(network).in_features)


def image_features(network: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Give what the last layer of an image classifier reads, shape (pictures, width)."""
    read: list[torch.Tensor] = []
    with _last_layer_read(network, read):
        network(pixel_values=pixels)
    return read[-1].flatten(1)


@contextmanager
def _last_layer_read(network: Any, read: list[torch.Tensor]) -> Iterator[None]:
    """Append what the last layer is given while the network runs."""
    hook = _last_layer(network).register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        yield
    finally:
        hook.remove()


def _last_layer(network: Any) -> Any:
    count = network.config.num_labels
    layers = [one for one in network.modules() if isinstance(one, nn.Linear) and one.out_features == count]
    if not layers:
        raise CheckpointError(f"{type(network).__name__} has no linear layer of labels, before which its vectors stand")
    return layers[-1]
