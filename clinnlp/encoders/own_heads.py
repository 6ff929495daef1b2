"""Heads that transformers has no model for: of spans that are found later, of vectors of passages, and of topics.

All give something for every word piece, so that they run in the one pass over a note before anyone knows which spans
will be asked for: what belongs to a span is put together from its pieces afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import TokenClassifierOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PretrainedConfig

    from clinnlp.encoders.encoder import Encoded

__all__ = [
    "CentreHead",
    "LabelledVectorHead",
    "SpanHead",
    "VectorHead",
    "mean_vectors",
    "span_logits",
    "torch_span_logits",
]


class SpanHead(nn.Module):
    """Labels of spans, by their first, their last and the mean of all their pieces (Lee et al., 2017).

    Each piece gives three parts of logits, of which a span takes the first from its first piece, the second from its
    last one, and the mean of the third over all.

    Parameters
    ----------
    config : PretrainedConfig
        Of the encoder, with the labels of the head.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.classifier = nn.Linear(config.hidden_size, 3 * len(config.id2label or {}))

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> TokenClassifierOutput:
        """Give the parts of each piece, shape (windows, pieces, 3 labels)."""
        return TokenClassifierOutput(logits=self.classifier(self.dropout(self.dense(inputs_embeds).tanh())))

    def last_layer(self) -> nn.Linear:
        """Give the layer that a temperature divides."""
        return self.classifier


class VectorHead(nn.Module):
    """The encoder's states themselves, of which a passage's vector is the mean over its pieces.

    Parameters
    ----------
    config : PretrainedConfig
        Of the encoder.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> TokenClassifierOutput:
        """Give the states back, shape (windows, pieces, width)."""
        return TokenClassifierOutput(logits=inputs_embeds)


class CentreHead(VectorHead):
    """A `VectorHead` that keeps the centres of clusters of vectors.

    Parameters
    ----------
    config : PretrainedConfig
        Of the encoder, with the number of clusters as `topic_count`.
    """

    centres: torch.Tensor
    """Of length 1 each, shape (clusters, width); zeros before a fit."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.register_buffer("centres", torch.zeros(config.topic_count, config.hidden_size))


class LabelledVectorHead(nn.Module):
    """Labels of texts by their vector: the mean of the states, brought to length 1, before a linear layer.

    Parameters
    ----------
    config : PretrainedConfig
        Of the encoder, with the labels of the head.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.classifier = nn.Linear(config.hidden_size, len(config.id2label or {}))

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> TokenClassifierOutput:
        """Give the mean of the states of each window, shape (windows, width)."""
        kept = attention_mask[..., None].to(inputs_embeds.dtype)
        return TokenClassifierOutput(logits=(inputs_embeds * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1))

    def label(self, vectors: torch.Tensor) -> torch.Tensor:
        """Give the logits of vectors of any length, shape (texts, labels)."""
        return self.classifier(nn.functional.normalize(vectors, dim=-1))  # type: ignore[no-any-return]


def span_logits(rows: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
    """Give the logits of a span from what `SpanHead` gave for its paragraph.

    Parameters
    ----------
    rows : ndarray of float32, shape (pieces, 3 labels)
    first, last : int
        Its first piece, and the one after its last.

    Returns
    -------
    ndarray of float32, shape (labels,)
    """
    begins, ends, means = np.split(rows, 3, axis=1)
    return np.asarray(begins[first] + ends[last - 1] + means[first:last].mean(axis=0))


def torch_span_logits(output: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Give the logits of spans in a padded batch, as `span_logits` does, for training.

    Parameters
    ----------
    output : Tensor of float, shape (windows, pieces, 3 labels)
    spans : Tensor of int64, shape (spans, 3)
        Window, first piece and the one after the last; special pieces are counted.

    Returns
    -------
    Tensor of float, shape (spans, labels)
    """
    begins, ends, means = output.chunk(3, dim=-1)
    window, first, last = spans.unbind(dim=1)
    # Sums up to each piece: a span's is the difference of two.
    sums = nn.functional.pad(means.cumsum(dim=1), (0, 0, 1, 0))
    mean = (sums[window, last] - sums[window, first]) / (last - first)[:, None]
    return begins[window, first] + ends[window, last - 1] + mean


def mean_vectors(item: Encoded, stage: Any, spans: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Give the vectors of passages: the mean of the states of their pieces, brought to length 1.

    Parameters
    ----------
    item : Encoded
    stage : Stage
        With a `VectorHead`, whose outputs `item` has.
    spans : sequence of (int, int)
        Offsets in the text that was encoded.

    Returns
    -------
    ndarray of float32, shape (spans, width)
        Zeros for a passage without a piece.
    """
    vectors = np.zeros((len(spans), stage.head.config.hidden_size), dtype=np.float32)
    if not item.paragraphs:
        return vectors
    states = np.concatenate(item.central(stage))
    starts = np.concatenate([paragraph.starts for paragraph in item.paragraphs])
    ends = np.concatenate([paragraph.ends for paragraph in item.paragraphs])
    for i, (start, end) in enumerate(spans):
        low, high = np.searchsorted(ends, start, side="right"), np.searchsorted(starts, end, side="left")
        if low < high:
            mean = states[low:high].mean(axis=0)
            vectors[i] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return vectors
