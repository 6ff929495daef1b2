"""What a head found and is none: too unsure, or without the form of its kind."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
import torch
from tiny import lexicon_classifier

from clinnlp import Pipeline, Record
from clinnlp.encoders.bio import bio_labels
from clinnlp.errors import ConfigError
from clinnlp.rules import load_rules
from clinnlp.stages import Deidentifier
from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.sparing import has_form, is_spared


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("DATE", "March 5"), ("DATE", "Sept. 2019"), ("DATE", "3/5"), ("DATE", "12-31-24"), ("DATE", "2024-03-05"),
        ("DATE", "31/12/1999"), ("DATE", "20240305"), ("DATE", "last Tuesday"), ("DATE", "Christmas"),
        ("DATE", "5 Mar"),
        ("PHONE", "x4455"), ("PHONE", "555-0111"), ("MRN", "A-123"), ("ID", "X991"), ("SSN", "6789"),
        ("EMAIL", "a@b.org"), ("EMAIL", "a at b dot org"), ("URL", "b.org"), ("IP", "10.0.0.1"), ("IP", "fe80::1"),
        ("PERSON", "bean"), ("ADDRESS", "ward 3"),
    ],
)  # fmt: skip
def test_what_has_the_form_of_its_kind_counts(label: str, text: str) -> None:
    assert has_form(text, label)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("DATE", "122/66"), ("DATE", "Ten"), ("DATE", "12:25"), ("DATE", "10"), ("DATE", "148"), ("DATE", "13/14"),
        ("DATE", "marching"), ("DATE", "0/5"), ("DATE", "20249905"), ("DATE", ""),
        ("PHONE", "x3"), ("MRN", "q12h"), ("ID", "B12"), ("SSN", "678"),
        ("EMAIL", "lidocaine"), ("URL", "site"), ("IP", "258"), ("IP", "1.5"),
    ],
)  # fmt: skip
def test_what_does_not_is_left(label: str, text: str) -> None:
    assert not has_form(text, label)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_disease_is_spared_however_its_letters_are_encoded(form: Literal["NFC", "NFD"]) -> None:
    text = unicodedata.normalize(form, "Sjögren")
    assert is_spared(Found(0, len(text), "PERSON"), text, [])


def test_every_word_of_a_day_makes_a_date() -> None:
    words = load_rules("identifiers", "en")["days"].split()
    assert len(words) > 20
    assert all(has_form(f"on {word.title()}", "DATE") for word in words)


def test_a_threshold_leaves_what_is_less_sure(tmp_path: Path) -> None:
    words = {"xanthe": "B-PERSON", "12": "B-DATE"}
    checkpoint = lexicon_classifier(tmp_path, words, bio_labels(["PERSON", "DATE"]))
    record = Record("xanthe has 12")
    stage = Deidentifier(checkpoint)
    with torch.no_grad():  # less sure of all that it knows
        stage.head.classifier.weight.div_(4)
        stage.head.classifier.bias.div_(4)
    (found,) = stage.find([record])[0]
    assert (found.start, found.end) == (0, 6)  # and the number is no day
    assert found.score is not None
    assert 0.5 < found.score < 1
    stage.threshold = (1 + found.score) / 2
    assert stage.find([record]) == [[]]
    assert stage.config()["threshold"] == stage.threshold
    assert Pipeline([stage])(record).deidentified.text == "xanthe has 12"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="threshold is a probability"):
        Deidentifier(threshold=2)
