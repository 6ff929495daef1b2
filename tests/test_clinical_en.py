"""The shipped pipeline, on the notes that this project writes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import clinnlp
from clinnlp import Pipeline, Record
from clinnlp.shipped import shipped_pipeline

TYPES = {"Disease", "Symptom", "Medication", "Dosage", "Procedure", "Test", "LabValue", "Anatomy"}


@pytest.fixture(scope="module")
def nlp() -> Pipeline:
    return clinnlp.load("clinical-en")


@pytest.fixture(scope="module")
def notes() -> list[Record]:
    return clinnlp.corpora.load("notes")["all"]


def found(record: Record) -> list[tuple[int, int, str]]:
    return [(e.start, e.end, e.label) for e in record.entities]


def test_a_note_is_annotated_with_exact_offsets(nlp: Pipeline) -> None:
    record = nlp("HPI: Pt denies chest pain.\n\nPLAN: Started metformin 500mg BID.")
    # MACCROBAT marks the place and the symptom apart: "chest" is Anatomy.
    assert {(e.text, e.label) for e in record.entities} >= {("pain", "Symptom"), ("metformin", "Medication")}
    assert [section.name for section in record.sections] == ["history_of_present_illness", "plan"]
    assert len(record.sentences) == 2
    assert [t.text for t in record.tokens][:4] == ["HPI", ":", "Pt", "denies"]


def test_every_span_of_every_note_is_exact_and_of_a_known_type(nlp: Pipeline, notes: list[Record]) -> None:
    count = 0
    for record in nlp.pipe(note.text for note in notes[:12]):
        for spans in (record.tokens, record.sentences, record.sections, record.entities):
            assert all(record.text[s.start : s.end] == s.text and s.start < s.end for s in spans)
            count += len(spans)
        assert {e.label for e in record.entities} <= TYPES
        assert all(0 < e.score <= 1 for e in record.entities)
    assert count > 1000


def test_annotations_are_the_same_for_every_batch_size_and_order(nlp: Pipeline, notes: list[Record]) -> None:
    texts = [note.text for note in notes[:10]]
    whole = [found(record) for record in nlp.pipe(texts, batch_size=64)]
    order = random.Random(5).sample(range(len(texts)), len(texts))
    for size in (1, 7):
        again = dict(zip(order, nlp.pipe([texts[i] for i in order], batch_size=size), strict=True))
        assert [found(again[i]) for i in range(len(texts))] == whole


def test_an_entity_is_found_wherever_it_stands_in_a_long_note_without_sentence_ends(nlp: Pipeline) -> None:
    filler = "the patient was seen again in the clinic and went home and came back later that day with her husband "
    words = (filler * 30).split()
    for position in range(3, len(words), 61):
        text = " ".join([*words[:position], "and was given intravenous vancomycin", *words[position:]])
        record = nlp.without("sections")(text)
        start = text.index("vancomycin")
        assert (start, start + 10, "Medication") in found(record), position


def test_notes_that_the_model_never_saw_are_read_about_as_well_as_the_card_says(
    nlp: Pipeline, notes: list[Record]
) -> None:
    """Synthetic notes say little of real ones; a break in loading, windows or decoding would show here all the same."""
    prepared = list(nlp.without("entities", "assertion").pipe(Record(n.text, id=n.id) for n in notes[:12]))
    gold = [Record(p.text, tokens=p.tokens, entities=n.entities) for p, n in zip(prepared, notes[:12], strict=True)]
    scores = nlp["entities"].evaluate(gold)  # type: ignore[attr-defined]
    assert scores["f1"] > 0.45


def test_the_card_tells_data_licence_figures_and_limits() -> None:
    folder = shipped_pipeline("clinical-en")
    assert folder is not None
    card = (folder / "README.md").read_text(encoding="utf-8")
    for wanted in ("CC BY 4.0", "Apache-2.0", "| f1 |", "| Disease |", "## Limits", "95% interval"):
        assert wanted in card


def test_the_weights_are_sixteen_bit_and_small() -> None:
    folder = shipped_pipeline("clinical-en")
    assert folder is not None
    assert sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors")) < 50_000_000


def test_the_pipeline_for_literature_reads_the_encoder_of_the_one_for_notes() -> None:
    folder = shipped_pipeline("biomedical-en")
    assert folder is not None
    assert [path.name for path in Path(folder).rglob("*.safetensors")] == ["head.safetensors"]
    papers = clinnlp.load("biomedical-en")
    record = papers("Naloxone reverses the antihypertensive effect of clonidine in hypertensive rats.")
    assert {(e.text, e.label) for e in record.entities} >= {
        ("Naloxone", "Chemical"),
        ("clonidine", "Chemical"),
        ("hypertensive", "Disease"),
    }
    assert all(record.text[e.start : e.end] == e.text for e in record.entities)
    assert "of clinical-en" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_pipeline_that_takes_identifiers_out_has_an_update_to_the_encoder_of_the_one_for_notes() -> None:
    folder = shipped_pipeline("deid-en")
    assert folder is not None
    assert {path.name for path in Path(folder).rglob("*.safetensors")} == {"head.safetensors", "update.safetensors"}
    every = list(Path(folder).parent.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in every) < 50_000_000
    nlp = clinnlp.load("deid-en")
    nlp["deidentification"].threshold = 0.0  # type: ignore[attr-defined]
    text = "Mrs. Okonkwo was seen on 3/5/2024. Xanthe Achterberg, her daughter, lives in Springfield with him."
    text += " Lungs clear."
    record = nlp(text)
    assert record.deidentified is not None
    for secret in ("Okonkwo", "3/5/2024", "Xanthe", "Achterberg", "Springfield"):
        assert secret not in record.deidentified.text
    assert record.deidentified.text.endswith("Lungs clear.")
    assert all(record.text[e.start : e.end] == e.text for e in record.identifiers)
    assert {e.attributes["by"] for e in record.identifiers} >= {"pattern", "model"}
