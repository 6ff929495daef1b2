"""SpacyComponent."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, Span

from clinnlp import Assertion, Entity, Label, Pipeline, Record, Sentence, Token, load
from clinnlp.alignment import EditedText, replace
from clinnlp.errors import ConfigError
from clinnlp.stages import SpacyComponent


def ruler(**options: Any) -> Any:
    nlp = spacy.blank("en")
    component = nlp.add_pipe("entity_ruler", config=options)
    component.add_patterns([{"label": "Symptom", "pattern": [{"LOWER": "chest"}, {"LOWER": "pain"}]}])  # type: ignore[attr-defined]
    return component


def test_a_component_finds_entities_with_raw_offsets() -> None:
    record = Pipeline([SpacyComponent(ruler())])("Pt denies Chest pain.")
    assert record.entities == [Entity(10, 20, "Symptom", "Chest pain", source="entity_ruler")]
    assert record.has("entities")


def test_a_component_reads_the_cleaned_text_and_offsets_are_of_the_raw_one() -> None:
    raw = "Pt denies chest\r\npain, __fever."
    record = Record(raw, cleaned=EditedText.of(raw, [replace(15, 17, " "), replace(23, 25, "")]))
    record.entities = [Entity(25, 30, "Symptom", score=0.5, assertion=Assertion(negated=True))]
    Pipeline([SpacyComponent(ruler())])(record)
    assert [(e.text, e.score) for e in record.entities] == [("chest\r\npain", 1.0), ("fever", 0.5)]
    assert record.entities[1].assertion == Assertion(negated=True)


def test_entities_that_were_there_keep_what_they_had_and_a_second_run_adds_nothing() -> None:
    record = Record("chest pain", entities=[Entity(0, 5, "Anatomy", score=0.25, attributes={"a": 1}, source="x")])
    stage = SpacyComponent(ruler(overwrite_ents=False))
    Pipeline([stage])(record)
    Pipeline([stage])(record)
    assert record.entities == [Entity(0, 5, "Anatomy", "chest", 0.25, attributes={"a": 1}, source="x")]


def test_entities_that_a_component_takes_away_are_gone() -> None:
    def forget(doc: Doc) -> Doc:
        doc.ents = [Span(doc, 0, 1, label="New", kb_id="C9")]
        return doc

    record = Pipeline([SpacyComponent(forget, name="forget")])(Record("chest pain", entities=[Entity(6, 10, "Old")]))
    assert record.entities == [Entity(0, 5, "New", "chest", attributes={"kb_id": "C9"}, source="forget")]


def test_sentences_and_tokens_are_taken_over_where_they_are_assigned() -> None:
    text = "No fever. Mild  cough."
    record = SpacyComponent("sentencizer", assigns="sentences")(text)
    assert [s.text for s in record.sentences] == ["No fever.", "Mild  cough."]
    cut = Record(text, tokens=[Token(0, 2), Token(3, 8), Token(8, 9), Token(10, 14), Token(16, 21), Token(21, 22)])
    SpacyComponent("sentencizer", assigns=["sentences", "tokens"])(cut)
    assert cut.sentences == [Sentence(0, 9, "No fever."), Sentence(10, 22, "Mild  cough.")]
    assert [t.text for t in cut.tokens] == ["No", "fever", ".", "Mild", "cough", "."]


def test_categories_become_a_label_set() -> None:
    def classify(doc: Doc) -> Doc:
        doc.cats = {"calm": 0.25, "urgent": 0.75}
        return doc

    record = SpacyComponent(classify, assigns=["labels"], name="urgency")("chest pain")
    assert record.labels == {"urgency": [Label("urgent", 0.75), Label("calm", 0.25)]}


def test_a_span_group_is_read_with_its_scores() -> None:
    def spans(doc: Doc) -> Doc:
        doc.spans["sc"] = [Span(doc, 0, 1, label="A"), Span(doc, 0, 2, label="B")]
        doc.spans["sc"].attrs["scores"] = [0.5, 0.25]
        return doc

    record = SpacyComponent(spans, spans=["sc"], name="sc")("chest pain")
    assert [(e.text, e.label, e.score) for e in record.entities] == [("chest", "A", 0.5), ("chest pain", "B", 0.25)]


def test_a_whole_spacy_pipeline_is_a_component() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "Symptom", "pattern": "fever"}])  # type: ignore[attr-defined]
    record = Pipeline([SpacyComponent(nlp, name="rules")])("No fever today.")
    assert [e.text for e in record.entities] == ["fever"]


def test_the_vocabulary_does_not_grow_with_the_texts() -> None:
    component = ruler()
    stage = SpacyComponent(component)
    stage("warm up")
    before = len(component.nlp.vocab.strings)
    for i in range(50):
        stage(f"word{i} other{i}")
    assert len(component.nlp.vocab.strings) == before


def test_one_bad_record_does_not_cost_the_others() -> None:
    def picky(doc: Doc) -> Doc:
        if "bad" in doc.text:
            raise ValueError(doc.text)
        return doc

    records = list(Pipeline([SpacyComponent(picky, name="p")]).pipe(["good", "bad Zebulon", "good"], on_error="keep"))
    assert [bool(r.errors) for r in records] == [False, True, False]
    assert "Zebulon" not in records[1].errors[0].message


def test_settings_make_the_stage_again_and_pickling_drops_what_was_made() -> None:
    stage = SpacyComponent("sentencizer", config={"punct_chars": ["!"]}, assigns=["sentences"], name="cut")
    again = SpacyComponent.load(stage.config())
    text = Record("No. Yes! No", tokens=[Token(0, 2), Token(2, 3), Token(4, 7), Token(7, 8), Token(9, 11)])
    for one in (stage, again, pickle.loads(pickle.dumps(stage))):
        assert [s.text for s in one(text.copy()).sentences] == ["No. Yes!", "No"]
    assert stage.name == "cut"
    assert pickle.loads(pickle.dumps(stage))._ready is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpacyComponent("sentencizer", assigns=["sections"]), "stage 'sentencizer' cannot assign 'sections'"),
        (lambda: SpacyComponent(5), "give a callable component"),
        (lambda: SpacyComponent("nothing_of_this_name").warm_up(), "spaCy cannot make the component"),
        (lambda: SpacyComponent("sentencizer", config={"odd": 1}).warm_up(), "spaCy cannot make the component"),
        (lambda: SpacyComponent(ruler()).config(), "holds a component of your own"),
    ],
)
def test_what_cannot_work_is_one_error(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_pipeline_with_a_named_component_is_saved_and_loaded(tmp_path: Path) -> None:
    stage = SpacyComponent("sentencizer", config={"punct_chars": [";"]}, assigns=["sentences"])
    folder = Pipeline([stage]).save(tmp_path / "saved")
    assert [s.text for s in load(folder)("a; b").sentences] == ["a;", "b"]
