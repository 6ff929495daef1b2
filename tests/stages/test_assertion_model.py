"""AssertionClassifier: a head that learns what no rule says, alone and with the rules."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from assertions import flags, marked
from tiny import tiny_config, tiny_tokenizer
from transformers import BertModel

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.errors import CheckpointError, ConfigError, TrainingError
from clinnlp.record import Assertion
from clinnlp.stages import (
    AssertionClassifier,
    AssertionDetector,
    EntityExtractor,
    SentenceClassifier,
)
from clinnlp.stages._cues import FLAGS

# The model, on a random encoder: what it learns is a word in front of the entity.
MADE = {"negated": "sans", "hypothetical": "peut", "historical": "jadis", "family": "soeur", "": "avec"}
FINDINGS = ["gout", "rash", "flu", "mumps"]
FILLER = ["alors", "donc", "ici", "encore", "depuis"]
DEV = [place for place in range(100) if place % 7 == 3]
TRAIN = [place for place in range(100) if place % 7 != 3]
SIZES: dict[str, Any] = {"window": 64, "overlap": 8}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder whose attention is not near zero, as that of BERT's own initialization is."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*MADE.values(), *FINDINGS, *FILLER])
    BertModel(tiny_config(tokenizer, initializer_range=0.1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def gold(places: Sequence[int]) -> list[Record]:
    """Make a record for each number, which gives its words."""
    made, words = [], list(MADE.items())
    for place in places:
        flag, word = words[place % 5]
        record = marked(f"{FILLER[(place // 5) % 5]} {word} {{{FINDINGS[place // 25]}}}", id=str(place))
        record.entities[0].assertion = Assertion(**({flag: True} if flag else {}))  # type: ignore[arg-type]
        made.append(record)
    return made


@pytest.fixture(scope="module")
def model(base: Path) -> AssertionClassifier:
    stage = AssertionDetector.from_base(base, method="learned", **SIZES)
    stage.fit(gold(TRAIN), None, FitConfig(epochs=40, learning_rate=5e-3, batch_tokens=256, seed=1))
    return stage


def bare(record: Record) -> Record:
    made = record.copy()
    for entity in made.entities:
        entity.assertion = None
    return made


def test_a_head_learns_what_no_rule_says(model: AssertionClassifier) -> None:
    dev = gold(DEV)
    scores = model.evaluate(dev)
    assert scores["macro_f1"] > 0.9
    assert set(scores.per_label) == set(FLAGS)
    assert AssertionDetector().evaluate(dev)["micro_f1"] == 0
    found = [model(bare(record)) for record in dev]
    right = [a == b for a, b in zip(map(flags, found), map(flags, dev), strict=True)]
    assert sum(right) > 0.8 * len(dev)
    for entity in found[0].entities:
        assert entity.assertion is not None
        assert {flag for flag, score in entity.assertion.scores.items() if score >= 0.5} == {
            flag for flag in FLAGS if getattr(entity.assertion, flag)
        }


def test_both_takes_what_the_rules_find_with_its_cue_and_what_the_head_is_sure_of(model: AssertionClassifier) -> None:
    record = marked("avec {gout}. no {rash}.")
    alone = model(bare(record)).entities
    try:
        model.method = "both"
        mixed = model(bare(record)).entities
    finally:
        model.method = "learned"
    for own, both in zip(alone, mixed, strict=True):
        assert own.assertion is not None
        assert both.assertion is not None
        head, verdict = own.assertion.scores["negated"], both.text == "rash"
        assert both.assertion.scores["negated"] == pytest.approx((1 + head) / 2 if verdict else 0.625 * head)
        assert both.assertion.negated == (verdict or head >= 0.8)
        if verdict:
            assert record.text[slice(*both.assertion.cues["negated"])] == "no"
    kept = marked("no {rash}")
    kept.entities[0].assertion = Assertion(family=True)
    assert flags(model(kept)) == ["f"]


def test_the_results_of_a_head_do_not_depend_on_batches(model: AssertionClassifier) -> None:
    def scores(size: int) -> list[float]:
        records = Pipeline([model]).pipe([bare(record) for record in gold(range(20))], batch_size=size)
        return [e.assertion.scores[flag] for r in records for e in r.entities for flag in FLAGS if e.assertion]

    assert scores(1) == pytest.approx(scores(20), abs=1e-4)


def test_a_model_is_saved_alone_and_in_a_pipeline(model: AssertionClassifier, base: Path, tmp_path: Path) -> None:
    record = gold([7])[0]
    wanted = [e.assertion.scores for e in model(bare(record)).entities if e.assertion]
    own = AssertionDetector.from_base(model.encoder, method="both", rules={"pseudo": ["free of"]})
    entities = EntityExtractor.from_base(model.encoder, ["X"])
    folder = model.save(tmp_path / "alone")
    for again in (
        AssertionDetector.from_pretrained(folder, **SIZES),
        clinnlp.load(Pipeline([model]).save(tmp_path / "one"))["assertion"],
        clinnlp.load(Pipeline([entities, model]).save(tmp_path / "two"))["assertion"],
        pickle.loads(pickle.dumps(model)),
    ):
        assert isinstance(again, AssertionClassifier)
        assert (again.name, again.method, again.rules) == ("assertion", "learned", None)
        found = [e.assertion.scores for e in again(bare(record)).entities if e.assertion]
        assert [list(one.values()) for one in found] == [pytest.approx(list(one.values()), abs=1e-5) for one in wanted]
    saved = AssertionDetector.from_pretrained(own.save(tmp_path / "own"))
    assert (saved.method, saved.rules, saved.lang) == ("both", {"pseudo": ["free of"]}, "en")


def test_settings_and_checkpoints_that_do_not_fit_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method is one of learned, both, not 'rules'"):
        AssertionDetector.from_base(base, method="rules")
    with pytest.raises(ConfigError, match="no field cue"):
        AssertionDetector.from_base(base, rules={"cue": []})
    other = SentenceClassifier.from_base(base, ["good", "bad"], **SIZES).save(tmp_path / "other")
    with pytest.raises(CheckpointError, match="'good', which is no assertion"):
        AssertionDetector.from_pretrained(other)(marked("no {gout}"))
    stage = AssertionDetector.from_base(base, **SIZES)
    with pytest.raises(TrainingError, match="no record has gold"):
        stage.fit([marked("no {gout}")])


def test_records_without_gold_are_no_figures(model: AssertionClassifier) -> None:
    for stage in (model, AssertionDetector()):
        with pytest.raises(TrainingError, match="stage 'assertion': no entity has an assertion"):
            stage.evaluate([bare(record) for record in gold(DEV[:3])])
