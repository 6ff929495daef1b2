"""Tiny models built on the spot, and the text they are tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForTokenClassification, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)]


def tiny_tokenizer(words: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A BERT-like tokenizer of single letters and the given words."""
    marks = list("!\"#$%&'()*+,-./:;<=>?@[]^_{|}~\\")
    vocabulary = [*SPECIAL, *LETTERS, *[f"##{c}" for c in LETTERS], *marks, *words]
    backend = RustTokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )


def tiny_config(tokenizer: PreTrainedTokenizerFast, **changes: object) -> BertConfig:
    settings: dict[str, object] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 512,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**{**settings, **changes})


def tiny_base(folder: Path, words: Sequence[str] = (), seed: int = 0) -> Path:
    """Save a random encoder without a head."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(words)
    BertModel(tiny_config(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_classifier(folder: Path, labels: Sequence[str], words: Sequence[str] = (), seed: int = 0) -> Path:
    """Save a random token classifier with the given labels."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(words)
    names = dict(enumerate(labels))
    config = tiny_config(tokenizer, id2label=names, label2id={name: i for i, name in names.items()})
    BertForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def lexicon_classifier(folder: Path, words: Mapping[str, str], labels: Sequence[str]) -> Path:
    """Save a token classifier that gives every known word its label, and all else O, wherever it stands.

    Position and attention are switched off, so what is found depends on the word alone.
    """
    tokenizer = tiny_tokenizer(list(words))
    names = dict(enumerate(labels))
    config = tiny_config(
        tokenizer,
        hidden_size=64,
        num_attention_heads=2,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.bert.embeddings.LayerNorm.weight.fill_(1.0)
        for layer in model.bert.encoder.layer:
            layer.attention.output.LayerNorm.weight.fill_(1.0)
            layer.output.LayerNorm.weight.fill_(1.0)
        table = model.bert.embeddings.word_embeddings.weight
        for i in range(len(tokenizer)):
            table[i, labels.index("O")] = 10.0
        for word, label in words.items():
            number = tokenizer.convert_tokens_to_ids(word)
            table[number].zero_()
            table[number, labels.index(label)] = 10.0
        for i in range(len(labels)):
            model.classifier.weight[i, i] = 5.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
