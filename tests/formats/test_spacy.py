"""Records as spaCy documents."""

from __future__ import annotations

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from properties.records import records
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from clinnlp import Assertion, Entity, Label, Record, Section, Sentence, Token
from clinnlp._plain import to_plain
from clinnlp.formats.spacy import from_spacy, to_spacy

TEXT = "Pt denies chest  pain.\r\nTook 5mg salbutamol. "


def note() -> Record:
    return Record(
        TEXT,
        "7",
        tokens=[
            Token(*span)
            for span in [(0, 2), (3, 9), (10, 15), (17, 21), (21, 22), (24, 28), (29, 32), (33, 44), (43, 44)]
        ],
        sentences=[Sentence(0, 22), Sentence(24, 44)],
        sections=[Section(0, 44, "hpi")],
        entities=[
            Entity(10, 15, "Anatomy", score=0.5),
            Entity(10, 21, "Symptom", score=0.25, assertion=Assertion(negated=True), attributes={"cui": ["C1"]}),
            Entity(30, 32, "Unit", source="rules"),
            Entity(33, 43, "Medication"),
        ],
        labels={"specialty": [Label("Pulmonology", 0.1)]},
        metadata={"ward": "3B"},
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(records())
def test_records_come_back_as_they_were(record: Record) -> None:
    doc = to_spacy(record)
    assert doc.text == record.text
    back = from_spacy(doc)
    assert back == record
    assert [to_plain(one) for one in back.entities] == [to_plain(one) for one in record.entities]
    assert back.has("entities") == record.has("entities")
    assert back.has("sentences") == record.has("sentences")
    group = [(span.start_char, span.end_char, span.label_) for span in doc.spans["entities"]]
    assert group == [(e.start, e.end, e.label) for e in record.entities if e.start < e.end]


def test_every_entity_is_exact_even_inside_a_word() -> None:
    doc = to_spacy(note())
    assert [(e.text, e.label_) for e in doc.ents] == [
        ("chest  pain", "Symptom"),
        ("mg", "Unit"),
        ("salbutamol", "Medication"),
    ]
    assert [e.text for e in doc.spans["entities"]] == ["chest", "chest  pain", "mg", "salbutamol"]
    assert [s.text.strip() for s in doc.sents] == ["Pt denies chest  pain.", "Took 5mg salbutamol."]
    assert [t.text for t in doc][:4] == ["Pt", "denies", "chest", " "]
    assert doc[0].whitespace_ == " "


def test_the_record_has_the_same_in_its_methods() -> None:
    assert Record.from_spacy(note().to_spacy()) == note()


def test_entities_that_a_user_changed_are_read_and_the_others_keep_what_they_had() -> None:
    doc = to_spacy(note())
    symptom, _, drug = doc.ents
    doc.ents = [symptom, Span(doc, drug.start, drug.end, label="Drug", kb_id="RX1"), Span(doc, 0, 1, label="Person")]
    back = from_spacy(doc)
    assert [(e.text, e.label) for e in back.entities] == [
        ("Pt", "Person"),
        ("chest", "Anatomy"),
        ("chest  pain", "Symptom"),
        ("salbutamol", "Drug"),
    ]
    assert back.entities[2] == note().entities[1]
    assert back.entities[3].attributes == {"kb_id": "RX1"}
    assert back.sections == note().sections


def test_overlapping_entities_are_added_and_taken_away_in_the_span_group() -> None:
    doc = to_spacy(note())
    group = doc.spans["entities"]
    doc.spans["entities"] = [*list(group)[1:], Span(doc, 1, 3, label="Finding")]
    assert [(e.text, e.label) for e in from_spacy(doc).entities] == [
        ("denies chest", "Finding"),
        ("chest  pain", "Symptom"),
        ("mg", "Unit"),
        ("salbutamol", "Medication"),
    ]


def test_all_entities_can_be_taken_away() -> None:
    doc = to_spacy(Record("a b", entities=[Entity(0, 1, "X")]))
    doc.ents = []
    back = from_spacy(doc)
    assert back.entities == []
    assert back.has("entities")


def test_a_link_that_a_component_gave_becomes_an_attribute() -> None:
    doc = to_spacy(note())
    doc.ents = [Span(doc, e.start, e.end, label=e.label, kb_id="C7") for e in doc.ents]
    back = from_spacy(doc)
    assert back.entities[1].attributes == {"cui": ["C1"], "kb_id": "C7"}
    assert back.entities[1].score == 0.25
    assert to_spacy(back).ents[0].kb_id_ == "C7"


def test_tokens_and_sentences_cut_anew_are_read() -> None:
    doc = to_spacy(note())
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    doc[3].is_sent_start = True
    back = from_spacy(doc)
    assert [t.text for t in back.tokens][:2] == ["Pt denies", "chest"]
    assert [s.text for s in back.sentences] == ["Pt denies chest", "pain.", "Took 5mg salbutamol."]
    assert back.entities == note().entities


def test_a_document_made_by_spacy_is_read() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "Symptom", "pattern": "cough", "id": "C1"}])  # type: ignore[attr-defined]
    record = from_spacy(nlp("A  cough.\n No fever. "))
    assert [t.text for t in record.tokens] == ["A", "cough", ".", "No", "fever", "."]
    assert [s.text for s in record.sentences] == ["A  cough.", "No fever."]
    assert [(e.text, e.label, e.score) for e in record.entities] == [("cough", "Symptom", 1.0)]
    assert not from_spacy(spacy.blank("en")("cough")).has("entities")


def test_a_document_survives_bytes_and_another_vocabulary() -> None:
    doc = Doc(Vocab()).from_bytes(to_spacy(note()).to_bytes())
    assert from_spacy(doc) == note()
    assert from_spacy(to_spacy(note(), Vocab())) == note()


def test_a_long_text_takes_linear_time() -> None:
    import time

    def seconds(copies: int) -> float:
        text = TEXT * copies
        entities = [Entity(i * len(TEXT) + 10, i * len(TEXT) + 21, "Symptom") for i in range(copies)]
        started = time.perf_counter()
        from_spacy(to_spacy(Record(text, entities=entities)))
        return time.perf_counter() - started

    seconds(10)
    assert seconds(8000) < 60 * max(seconds(800), 0.03)


@pytest.mark.parametrize("text", ["", " ", "\0", "a\0b  \n"])
def test_texts_of_little_are_kept(text: str) -> None:
    assert from_spacy(to_spacy(Record(text))) == Record(text)
