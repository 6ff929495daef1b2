"""Heads that are fitted together on one encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from heads import Negation
from tiny import tiny_base

import clinnlp
from clinnlp import Assertion, Entity, FitConfig, Label, Pipeline, Record, Stage, as_stage
from clinnlp.errors import PipelineError, TrainingError
from clinnlp.stages import EntityExtractor, ReportClassifier, Tokenizer

WORDS = ["took", "aspirin", "fever", "today", "no", "and", "the"]
SIZES: dict[str, Any] = {"window": 32, "overlap": 8}
FAST: dict[str, Any] = {
    "epochs": 12,
    "learning_rate": 5e-3,
    "head_learning_rate": 5e-3,
    "batch_tokens": 128,
    "warmup": 0.0,
    "allow_shared": True,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), WORDS)


def notes() -> list[Record]:
    made = []
    for i in range(24):
        negated = i % 2 == 0
        text = f"{'the ' * (i % 4)}{'no' if negated else 'and'} fever today"
        start = text.index("fever")
        entity = Entity(start, start + 5, "Symptom", assertion=Assertion(negated))
        made.append(Record(text, id=str(i), entities=[entity], labels={"kind": "ill" if not negated else "well"}))
    return made


def three(base: Path) -> Pipeline:
    return Pipeline(
        [
            Tokenizer(),
            EntityExtractor.from_base(base, ["Symptom"], **SIZES),
            Negation(str(base), new=True, **SIZES),
            ReportClassifier.from_base(base, ["ill", "well"], name="kind", **SIZES),
        ]
    )


def test_three_heads_learn_together_and_the_report_tells_of_each(base: Path, tmp_path: Path) -> None:
    nlp = three(base)
    report = nlp.fit(notes(), notes(), FitConfig(**FAST, output=str(tmp_path / "made")))
    assert report.metric == "primary"
    assert {"entities.f1", "test_negation.accuracy", "kind.macro_f1", "primary"} <= set(report.history[-1])
    assert report.records == {"entities": 24, "test_negation": 24, "kind": 24}
    assert min(scores.best for scores in report.scores.values()) > 0.9
    assert len({id(stage.encoder) for stage in nlp.stages.values() if stage.encoder is not None}) == 1
    again = clinnlp.load(report.folder)
    record = again("the the no fever today")
    assert [(e.text, e.assertion) for e in record.entities] == [("fever", Assertion(negated=True))]
    assert record.labels["kind"][0].name == "well"
    assert (tmp_path / "made" / "learning_curve.png").is_file()


def test_a_mapping_gives_each_head_its_own_records_and_rates_how_often(base: Path) -> None:
    seen: list[int] = []
    nlp = three(base)
    nlp["kind"].head.register_forward_hook(lambda *_: seen.append(1))
    gold = notes()
    counts = []
    for rate in (0.5, 2.0):
        seen.clear()
        nlp.fit({"entities": gold, "kind": gold}, None, FitConfig(**{**FAST, "epochs": 2}, mixing={"kind": rate}))
        counts.append(len(seen))
    assert counts[1] >= 2.5 * counts[0]


def test_a_head_that_was_given_nothing_is_told_of_and_its_figures_are_gone(base: Path) -> None:
    nlp = three(base)
    nlp.fit(notes(), notes(), FitConfig(**FAST))
    report = nlp.without("kind").fit(notes(), None, FitConfig(**{**FAST, "epochs": 1}))
    assert any("nothing was given for kind" in note for note in report.notes)
    assert nlp["kind"].fitted is None
    assert nlp["entities"].fitted is report


def test_one_stage_alone_gets_a_copy_and_a_frozen_one_goes_on_sharing(base: Path) -> None:
    nlp = three(base)
    nlp.warm_up()
    shared = nlp["entities"].encoder
    before = {name: tensor.clone() for name, tensor in shared.model.state_dict().items()}
    report = nlp["kind"].fit(notes(), None, FitConfig(**FAST, freeze="encoder"))
    assert nlp["kind"].encoder is shared
    assert report.notes == []
    assert report.history[-1]["loss"] < report.history[0]["loss"]
    report = nlp["kind"].fit(notes(), None, FitConfig(**FAST))
    assert nlp["kind"].encoder is not shared
    assert any("has a copy of its own now" in note for note in report.notes)
    assert all(torch.equal(before[name], tensor) for name, tensor in shared.model.state_dict().items())


def test_a_frozen_encoder_reads_each_window_once(base: Path) -> None:
    nlp = three(base)
    nlp.warm_up()
    windows = [0]
    nlp["kind"].encoder.model.register_forward_hook(
        lambda _, args, kwargs, out: windows.__setitem__(0, windows[0] + len(kwargs["input_ids"])), with_kwargs=True
    )
    nlp["kind"].fit(notes(), None, FitConfig(**FAST, freeze="encoder"))
    assert windows[0] <= 24


def test_low_rank_updates_change_the_encoder_and_are_merged_into_it(base: Path, tmp_path: Path) -> None:
    nlp = three(base)
    nlp.warm_up()
    encoder = nlp["entities"].encoder
    names = list(encoder.model.state_dict())
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    nlp.fit(notes(), None, FitConfig(**FAST, lora=4))
    after = encoder.model.state_dict()
    assert list(after) == names
    moved = [name for name in names if not torch.equal(before[name], after[name])]
    assert moved
    assert all(name.endswith("weight") for name in moved)
    again = clinnlp.load(nlp.save(tmp_path / "saved"))
    assert again("no fever today").labels["kind"][0].score == pytest.approx(
        nlp("no fever today").labels["kind"][0].score, abs=1e-5
    )


def test_records_that_say_there_is_nothing_are_learned_from_and_judged(base: Path) -> None:
    nothing = [Record.from_dict({"id": f"n{i}", "text": "the today", "entities": []}) for i in range(4)]
    nlp = Pipeline([EntityExtractor.from_base(base, ["Symptom"], **SIZES)])
    report = nlp.fit([*notes(), *nothing], [*notes(), *nothing], FitConfig(**{**FAST, "epochs": 1}))
    assert report.records == {"entities": 28}
    assert len(report.scores["entities"].counts) == 28


def test_two_extractors_take_entities_of_their_own_types_from_one_list(base: Path) -> None:
    gold = [
        Record("took aspirin and fever today", entities=[Entity(5, 12, "Drug"), Entity(17, 22, "Symptom")])
        for _ in range(8)
    ]
    nlp = Pipeline(
        [
            EntityExtractor.from_base(base, ["Drug"], **SIZES),
            EntityExtractor.from_base(base, ["Symptom"], name="symptoms", **SIZES),
        ]
    )
    report = nlp.fit(gold, gold, FitConfig(**{**FAST, "epochs": 12}))
    assert {name: scores["f1"] for name, scores in report.scores.items()} == {"entities": 1.0, "symptoms": 1.0}
    assert len(gold[0].entities) == 2


@pytest.mark.parametrize("dev", [[], [Record("the today")]])
def test_development_records_without_gold_for_any_head_are_refused(base: Path, dev: list[Record]) -> None:
    with pytest.raises(TrainingError, match="no development record has gold"):
        three(base).fit(notes(), dev, FitConfig(**FAST))


def test_a_pipeline_that_could_not_be_saved_is_refused_before_it_is_trained(base: Path, tmp_path: Path) -> None:
    nlp = Pipeline([*three(base).stages.values(), as_stage(name="mine")(lambda record: None)])
    with pytest.raises(PipelineError, match="'mine' cannot be saved"):
        nlp.fit(notes(), None, FitConfig(**FAST, output=str(tmp_path / "made")))
    assert not nlp["entities"].encoder.changed


def test_heads_that_do_not_share_an_encoder_and_gold_for_no_stage_are_refused(base: Path) -> None:
    apart = Pipeline(
        [
            EntityExtractor.from_base(base, ["Symptom"], **SIZES),
            ReportClassifier.from_base(base, ["ill", "well"], name="kind", window=24, overlap=4),
        ]
    )
    with pytest.raises(TrainingError, match="do not share an encoder"):
        apart.fit(notes())
    for gold, message in (([Record("the")], "has gold"), ({"nobody": notes()}, "given for 'nobody'")):
        with pytest.raises(TrainingError, match=message):
            three(base).fit(gold)


class AfterEntities(Stage):
    """A rule that needs entities, and stands before a head."""

    requires = ("entities",)
    assigns = ("labels",)

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            record.labels["rule"] = [Label("some" if record.entities else "none")]


def test_a_rule_that_needs_what_a_head_finds_does_not_hinder_the_heads_after_it(base: Path) -> None:
    nlp = three(base)
    stages = list(nlp.stages.values())
    nlp = Pipeline([*stages[:2], AfterEntities("rule"), stages[3]])
    gold = [Record(note.text, id=note.id, labels={"kind": note.labels["kind"]}) for note in notes()]
    report = nlp.fit(gold, gold, FitConfig(**FAST))
    assert report.scores["kind"]["accuracy"] == 1
    assert [label.name for label in nlp("no fever today").labels["kind"]][:1] == ["well"]
