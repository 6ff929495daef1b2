"""AssertionDetector: gold inline, in which {fever} is the entity and the letters are the flags that are true."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from assertions import flags, marked
from hypothesis import given, settings
from hypothesis import strategies as st

import clinnlp
from clinnlp import Entity, Pipeline, Record
from clinnlp.errors import StageError
from clinnlp.record import Assertion, Section, Sentence
from clinnlp.stages import (
    AssertionDetector,
    SectionDetector,
    TextCleaner,
    Tokenizer,
)
from clinnlp.stages._cues import FLAGS

DETECTORS = {lang: AssertionDetector(lang) for lang in ("en", "zh")}


def judged(text: str, lang: str = "en", **fields: Any) -> list[str]:
    return flags(DETECTORS[lang](marked(text, **fields)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # Absent
        ("The child is without {fever}.", "n"),
        ("No {rash}, {itching}, or {swelling} was seen.", "n n n"),
        ("No {rash} but {itching} at night.", "n "),
        ("Denies any {cough}.", "n"),
        ("CARDIAC: Denies {syncope}.", "n"),
        ("There was no radiographic evidence of {fracture}.", "n"),
        ("Swab negative for {streptococcus}.", "n"),
        ("{Stroke} has been ruled out.", "n"),
        ("She does not have any complaints of {chest pain}.", "n"),
        ("He has not had {melena} or {hematemesis}.", "n n"),
        ("{Murmur}: none.", "n"),
        ("{Malignancy} was not identified.", "n"),
        ("{Hallucinations} denied", "n"),
        ("No {fever}. {Cough} for two days.", "n "),
        ("No history of {epilepsy}.", "np"),
        ("No acute {ischemia} or {infarct}.", "n n"),
        ("None {effusion}", "n"),
        # What looks so
        ("Gram negative {pneumonia}.", ""),
        ("No increase in {swelling}.", ""),
        ("No significant change in the {nodule}.", ""),
        ("Not only {gout} but also {arthritis}.", " "),
        ("{Hypertension} without complications.", ""),
        ("She could not sleep because of {pruritus}.", ""),
        ("The {ulcer} did not respond to therapy.", ""),
        # Possible
        ("Rule out {embolism}.", "h"),
        ("{Embolism} could not be excluded.", "h"),
        ("{Tuberculosis} has not been ruled out.", "h"),
        ("Possible {sepsis} due to {pyelonephritis}.", "h "),
        ("Come back if you have {fever}, {vomiting} or {bleeding}.", "h h h"),
        ("Should {wheezing} recur, use the inhaler.", "h"),
        ("On heparin for prophylaxis of {thrombosis}.", "h"),
        ("{Lymphadenitis} vs {abscess}.", "h h"),
        ("{Colitis} is unlikely.", "h"),
        ("{Gallstones}?", "h"),
        ("She came in May with {hives}.", ""),
        ("Seen on may 7 for {hives}.", ""),
        ("It may be {viral}.", "h"),
        ("Likely {cystitis}", "h"),
        # Past
        ("History of {measles}.", "p"),
        ("S/p {nephrectomy}, now with {pain}.", "p "),
        ("Hx of {asthma}, presents with {dyspnea}.", "p "),
        ("He had {hepatitis} ten years ago.", "p"),
        ("PMH: {gout}, {psoriasis}", "p p"),
        ("{Sarcoidosis} in 1994.", "p"),
        ("Previously healthy, now with {cough}.", ""),
        ("History of present illness: {cough}.", ""),
        ("A two-day history of {diarrhea}.", ""),
        ("No change since the prior study: {nodule}.", ""),
        ("Discontinued: {warfarin}", "p"),
        ("{Swelling}, resolved", "p"),
        # Somebody else
        ("Mother with {glaucoma}.", "f"),
        ("Family history of {melanoma} and {gout}.", "f f"),
        ("No family history of {stroke}.", "nf"),
        ("{Epilepsy} in his sister.", "f"),
        ("FH: {diabetes}", "f"),
        ("His mother reports {fever}.", ""),
        ("Lives with her husband and has {migraine}.", ""),
        ("History is obtained from his grandmother, who reported {wheezing}.", ""),
        ("Father died of {stroke}; the patient has {hypertension}.", "f "),
        ("Father had {stroke} in 1990.", "f"),
        # A cue does not reach an entity that it overlaps, and "no acute" is "no" before one that begins with "acute".
        ("{No known drug allergies}", ""),
        ("No {acute abdomen}", "n"),
    ],
)
def test_flags_of_english_sentences(text: str, wanted: str) -> None:
    assert judged(text) == wanted.split(" ")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("患者否认{头痛}、{头晕}。", "n n"),
        ("双肺未闻及{干湿性啰音}。", "n"),
        ("无{发热}，有{咳嗽}。", "n "),
        ("{乙肝表面抗原}阴性。", "n"),
        ("双下肢{水肿}不明显。", "n"),
        ("患者全身无力伴{发热}。", ""),
        ("{咳嗽}无明显缓解。", ""),
        ("非小细胞{肺癌}", ""),
        ("考虑{肺炎}可能。", "h"),
        ("{肺栓塞}不能排除。", "h"),
        ("疑似{阑尾炎}。", "h"),
        ("如出现{发热}，请及时就诊。", "h"),
        ("既往有{高血压}病史10年。", "p"),
        ("10年前患{肺结核}。", "p"),
        ("{糖尿病}病史5年", "p"),
        ("家族史：{糖尿病}", "f"),
        ("父亲患有{高血压}。", "f"),
        ("其母代诉{发热}3天。", ""),
        ("否认家族{遗传病}史。", "nf"),
        ("主因{胸痛}入院。", ""),
    ],
)
def test_flags_of_chinese_sentences(text: str, wanted: str) -> None:
    assert judged(text, "zh") == wanted.split(" ")


def test_cues_and_scores_say_why() -> None:
    record = DETECTORS["en"](marked("The mother denies any {fever}; {gout} is possible."))
    fever, gout = (entity.assertion for entity in record.entities)
    assert fever is not None
    assert gout is not None
    assert record.text[slice(*gout.cues["hypothetical"])] == "is possible"
    assert gout.scores == {"negated": 0.0, "hypothetical": 1.0, "historical": 0.0, "family": 0.0}
    assert set(fever.cues) == {flag for flag in FLAGS if getattr(fever, flag)}


def test_sections_decide_where_they_are_known() -> None:
    text = "Family History:\n{Gout}. No {asthma}.\nPast Medical History:\n{Migraine}\nExam:\n{Rash}"
    nlp = Pipeline([SectionDetector(), AssertionDetector()])
    record = nlp(marked(text))
    assert flags(record) == ["f", "nf", "p", ""]
    cues = [entity.assertion.cues for entity in record.entities if entity.assertion]
    assert record.text[slice(*cues[0]["family"])] == "Family History"
    assert record.text[slice(*cues[1]["negated"])] == "No"
    brought = marked("{Gout}", sections=[Section(0, 4, "family_history")])
    assert flags(AssertionDetector()(brought)) == ["f"]
    assert brought.entities[0].assertion is not None
    assert brought.entities[0].assertion.cues == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{Hypertension}.", "p"),
        ("1. {TYPE 2 DIABETES}.", "p"),
        ("{Chronic airway obstruction}", "p"),
        ("{High cholesterol}.\n{Pneumonia}.", "p,"),  # the second is no chronic one
        ("{Hypertension} today.", ""),
        ("{Hypertension}, {gout}.", ","),  # nor is either alone
        ("No {hypertension}.", "n"),
    ],
)
def test_a_chronic_disease_alone_in_its_sentence_is_an_old_one(text: str, wanted: str) -> None:
    assert flags(DETECTORS["en"](marked(text))) == wanted.split(",")


def test_a_chronic_disease_alone_in_a_section_is_what_the_section_says() -> None:
    for name, wanted in (("assessment", ""), ("family_history", "f"), ("", "p")):
        record = marked("{Gout}.", sections=[Section(0, 5, name)])
        assert flags(DETECTORS["en"](record)) == [wanted]
        (entity,) = record.entities
        assert entity.assertion is not None
        assert entity.assertion.cues == {}


def test_gold_is_kept_unless_asked_otherwise() -> None:
    record = marked("No {fever}.")
    record.entities[0].assertion = Assertion(historical=True)
    assert flags(AssertionDetector()(record)) == ["p"]
    assert flags(AssertionDetector(overwrite=True)(record)) == ["n"]


def test_sentences_are_found_and_not_kept_where_there_are_none() -> None:
    record = AssertionDetector()(marked("No {fever}. {Cough} is new."))
    assert flags(record) == ["n", ""]
    assert not record.has("sentences")
    assert not record.has("tokens")
    brought = marked("No {fever}. {Cough} is new.", sentences=[Sentence(0, 23)])
    assert flags(AssertionDetector()(brought)) == ["n", "n"]
    with pytest.raises(StageError, match="entities"):
        Pipeline([AssertionDetector()])("fever")


def test_a_cleaned_text_is_read_and_cues_are_in_the_raw_one() -> None:
    raw = "Pt d&#101;nies f&#101;ver."
    record = Record(raw, entities=[Entity(raw.index("f&"), len(raw) - 1)])
    Pipeline([TextCleaner(), Tokenizer(), AssertionDetector()])(record)
    assertion = record.entities[0].assertion
    assert assertion is not None
    assert raw[slice(*assertion.cues["negated"])] == "d&#101;nies"


FRAGMENTS = [
    "no", "denies", "fever", "cough,", "history of", "mother", "reports", "but", "possible", "was ruled out", ".",
    "\n",
    "gram negative", "if", "3", "years ago", "PMH:", "😀", "no known", "not", "vs", "the patient", "has", "?",
    "in 1999",
]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25), st.data())
def test_entities_stay_cues_are_inside_and_batches_make_no_difference(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    edges = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    spans = [tuple(sorted(pair)) for pair in data.draw(st.lists(edges, max_size=6))]

    def made() -> Record:
        return Record(text, entities=[Entity(start, end, "X") for start, end in spans], found={"entities"})

    alone, others = made(), [marked("No {fever}"), made(), marked("Mother had {gout}")]
    stage = AssertionDetector()
    stage.process([alone])
    stage.process(others)
    assert [(e.start, e.end) for e in alone.entities] == spans
    assert alone.text == text
    assert alone.entities == others[1].entities
    backwards = made()
    backwards.entities.reverse()
    stage.process([backwards])
    assert backwards.entities[::-1] == alone.entities
    for entity in alone.entities:
        assert entity.assertion is not None
        for flag, (start, end) in entity.assertion.cues.items():
            assert 0 <= start < end <= len(text)
            assert getattr(entity.assertion, flag)
        assert set(entity.assertion.scores) == set(FLAGS)


def test_capitals_make_no_difference() -> None:
    note = (
        "History of {gout}. Denies {fever} but has {cough}. Mother had {stroke}. {Rash} was ruled out. "
        "May be {zoster}.\nPMH: {asthma}\nNo acute {bleeding}. Return if {vomiting} starts."
    )
    assert judged(note) == judged(note.upper()) == judged(note.lower())
    assert "".join(judged(note)) == "pnfnhpnh"


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Python's garbage collector looks at all objects again as they grow in number, which is not the stage's time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_time_is_linear_in_the_note() -> None:
    part = "No {fever}, {chills} or {rash} but {cough} and {pain} in 1999; mother has {gout}, possible {flu}. "

    def seconds(copies: int) -> float:
        record = marked(part * copies)
        Tokenizer().process([record])
        best = []
        for _ in range(3):
            for entity in record.entities:
                entity.assertion = None
            started = time.process_time()
            DETECTORS["en"].process([record])
            best.append(time.process_time() - started)
        return min(best)

    seconds(10)
    assert seconds(1000) < 15 * seconds(100)


@pytest.mark.usefixtures("uncollected")
def test_one_sentence_without_an_end_is_linear_too() -> None:
    def seconds(copies: int) -> float:
        record = marked("no {fever} and {chills} " * copies, sentences=[Sentence(0, 1)])
        best = []
        for _ in range(3):
            started = time.process_time()
            DETECTORS["en"].cues(record, record.entities)
            best.append(time.process_time() - started)
        return min(best)

    seconds(10)
    assert seconds(5000) < 20 * seconds(500)


def test_it_is_judged_against_gold_by_flag() -> None:
    records = [marked("No {fever}"), marked("{Cough}"), marked("Possible {gout}")]
    for record, gold in zip(records, (Assertion(negated=True), Assertion(negated=True), Assertion()), strict=True):
        record.entities[0].assertion = gold
    scores = AssertionDetector().evaluate(records)
    assert scores.per_label["negated"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2.0,
                                           "auroc": 0.75}  # fmt: skip
    assert scores.per_label["hypothetical"]["f1"] == 0
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert records[1].entities[0].assertion == Assertion(negated=True)


def test_rules_load_neither_torch_nor_spacy() -> None:
    code = (
        "import sys; from clinnlp.stages import AssertionDetector; s = AssertionDetector(); s.warm_up();"
        "print([m for m in ('torch', 'spacy', 'transformers', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_written_sentences_stay_as_good_as_they_were() -> None:
    scores = AssertionDetector().evaluate(clinnlp.corpora.load("assertion")["test"])
    assert all(figures["f1"] > 0.93 for figures in scores.per_label.values())


def test_negation_and_history_of_negex() -> None:
    if clinnlp.corpora.folder("negex") is None:
        pytest.skip("the corpus negex is not on this machine")
    scores = AssertionDetector().evaluate(clinnlp.corpora.load("negex")["devel"])
    assert scores.per_label["negated"]["f1"] > 0.95
    assert scores.per_label["historical"]["f1"] > 0.68
