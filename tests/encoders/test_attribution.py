"""Weights of word pieces, on encoders of several architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_config, tiny_tokenizer
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from clinnlp.encoders.attribution import PieceAttribution
from clinnlp.stages import ReportClassifier

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = "seen the rash and cough daily"
WORDS = TEXT.split()


def model_of(kind: str, size: int) -> Any:
    torch.manual_seed(0)
    if kind == "bert":
        return BertForSequenceClassification(tiny_config(tiny_tokenizer(WORDS), initializer_range=0.3))
    if kind == "roberta":
        config = RobertaConfig(vocab_size=size, pad_token_id=0, initializer_range=0.3, **SMALL)
        return RobertaForSequenceClassification(config)
    if kind == "albert":
        config = AlbertConfig(vocab_size=size, pad_token_id=0, embedding_size=16, initializer_range=0.3, **SMALL)
        return AlbertForSequenceClassification(config)
    config = DistilBertConfig(vocab_size=size, dim=32, n_layers=1, n_heads=2, hidden_dim=32, initializer_range=0.3)
    return DistilBertForSequenceClassification(config)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "albert"])
@pytest.mark.parametrize("masks", [True, False])
def test_weights_sum_up_to_the_logit_above_that_of_the_masked_text(kind: str, masks: bool, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(WORDS)
    blank = tokenizer.mask_token_id if masks else tokenizer.pad_token_id
    if not masks:
        tokenizer.mask_token = None
    model = model_of(kind, len(tokenizer)).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    stage = ReportClassifier.from_pretrained(tmp_path)
    (paragraphs,) = stage.windows.paragraphs([TEXT])
    (found,) = PieceAttribution(stage, 300).weights(TEXT, paragraphs, 1)
    ids = torch.tensor([stage.windows.input_ids(paragraphs[0], stage.windows.windows(paragraphs)[0])])
    table = model.get_input_embeddings().weight

    def logit(embedded: torch.Tensor) -> float:
        hook = model.get_input_embeddings().register_forward_hook(lambda *_: embedded)
        with torch.no_grad():
            made = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 1]
        hook.remove()
        return float(made)

    masked = ids.clone()
    masked[0, 1:-1] = blank
    difference = logit(table[ids]) - logit(table[masked])
    assert abs(difference) > 1e-3
    assert found.sum() == pytest.approx(difference, abs=0.01)
