"""Heads of transformers' models apart from their encoder, so that several can read one encoder's states.

Every `AutoModelFor...` is an encoder and, behind it, a head. Here the encoder is taken out and its place is held by
`GivenStates`: what remains, called with states instead of ids, is the head, whatever its architecture. A pooler belongs
to the head, because it is fitted with it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from clinnlp.errors import CheckpointError

__all__ = ["GivenStates", "head_logits", "joined_state", "new_head", "split_model"]


class GivenStates(nn.Module):
    """Holds the place of the encoder in a model, and passes on the states that it is given.

    Parameters
    ----------
    pooler : Module, optional
        The encoder's pooler.
    activation : callable, optional
        What follows a pooler that is a bare linear layer, as in ALBERT.
    """

    def __init__(self, pooler: nn.Module | None, activation: Any = None) -> None:
        super().__init__()
        self.pooler = pooler
        self.activation = activation

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> BaseModelOutputWithPooling:
        """Give `inputs_embeds`, shape (windows, pieces, width), as the encoder's states."""
        pooled = None
        if self.pooler is not None:
            linear = isinstance(self.pooler, nn.Linear)
            pooled = self.pooler(inputs_embeds[:, 0] if linear else inputs_embeds)
            pooled = self.activation(pooled) if linear and self.activation is not None else pooled
        return BaseModelOutputWithPooling(last_hidden_state=inputs_embeds, pooler_output=pooled)


def head_logits(head: Any, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Run a head on an encoder's states.

    Parameters
    ----------
    head : PreTrainedModel
        From `split_model` or `new_head`.
    states : Tensor of float, shape (windows, pieces, width)
    mask : Tensor of int64, shape (windows, pieces)
        1 for pieces, 0 for padding.

    Returns
    -------
    Tensor of float, shape (windows, pieces, labels) or (windows, labels)
    """
    return head(inputs_embeds=states, attention_mask=mask).logits  # type: ignore[no-any-return]


def split_model(model: Any, checkpoint: str) -> nn.Module:
    """Take the encoder out of a model, which is then its head alone.

    Parameters
    ----------
    model : PreTrainedModel
        Changed in place.
    checkpoint : str
        For error messages.

    Returns
    -------
    Module
        The encoder, without its pooler.

    Raises
    ------
    CheckpointError
        If the head reads more than the states of the encoder's last layer.
    """
    prefix = model.base_model_prefix
    encoder: Any = getattr(model, prefix, None)
    if encoder is None:
        raise CheckpointError(f"{checkpoint}: {type(model).__name__} has no encoder that could be told from its head")
    whole = _try(lambda: model(**_probe(model)).logits)
    pooler = getattr(encoder, "pooler", None)
    setattr(model, prefix, GivenStates(pooler, getattr(encoder, "pooler_activation", None)))
    if pooler is not None:
        encoder.pooler = None
    inputs = _probe(model)
    apart = _try(lambda: head_logits(model, encoder(**inputs)[0], inputs["attention_mask"]))
    if whole is None or apart is None or not torch.allclose(whole[0], apart[0], atol=1e-4):
        raise CheckpointError(
            f"{checkpoint}: the head of {type(model).__name__} cannot be told from its encoder: take a checkpoint"
            " of an encoder such as BERT, RoBERTa, DeBERTa or DistilBERT"
        )
    return encoder  # type: ignore[no-any-return]


def _probe(model: Any) -> dict[str, torch.Tensor]:
    """Make an input with padding: a head that looks for the last piece by its ids is found out by it."""
    ids = torch.tensor([[3, 4, 3, 3], [3, 4, 3, 4]], device=model.device).clamp(max=model.config.vocab_size - 1)
    ids[0, 2:] = model.config.pad_token_id or 0
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], device=model.device)
    return {"input_ids": ids, "attention_mask": mask}


def _try(run: Any) -> torch.Tensor | None:
    with torch.inference_mode():
        try:
            output: torch.Tensor = run()
        except Exception:  # each architecture fails in its own way
            return None
    # Of token logits, those of pieces that are no padding.
    return output[:, :2]


def new_head(auto_class: Any, config: PretrainedConfig, pooler: nn.Module | None, checkpoint: str) -> PreTrainedModel:
    """Make a head with random weights for an encoder of a given configuration.

    Parameters
    ----------
    auto_class : type
        A class of transformers such as `AutoModelForTokenClassification`.
    config : PretrainedConfig
        With the labels of the head.
    pooler : Module, optional
        Whose weights a pooler of the head begins with.
    checkpoint : str
        For error messages.

    Raises
    ------
    CheckpointError
        As `split_model`, or if the architecture has no such head.
    """
    try:
        model = auto_class.from_config(config, dtype=torch.float32).eval()
    except ValueError:
        raise CheckpointError(f"{checkpoint}: transformers has no {auto_class.__name__} on its architecture") from None
    split_model(model, checkpoint)
    place = getattr(model, model.base_model_prefix)
    if pooler is not None and place.pooler is not None:
        place.pooler.load_state_dict(pooler.state_dict())
    return model


def joined_state(encoder: nn.Module, head: Any) -> dict[str, torch.Tensor]:
    """Give the weights of encoder and head under the names that the whole model has for them."""
    prefix = getattr(head, "base_model_prefix", "encoder")
    return {**{f"{prefix}.{name}": tensor for name, tensor in encoder.state_dict().items()}, **head.state_dict()}
