"""AssertionDetector: gold inline, in which {fever} is the entity and the letters are the flags that are true."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinnlp
from clinnlp import Entity, Pipeline, Record
from clinnlp.errors import ConfigError, StageError
from clinnlp.record import Assertion, Section, Sentence
from clinnlp.rules import load_rules
from clinnlp.stages import AssertionDetector, SectionDetector, TextCleaner, Tokenizer
from clinnlp.stages._cues import FLAGS, Meaning, meanings_of
from clinnlp.stages._phrases import Choice, parse

LETTERS = dict(zip("nhpf", FLAGS, strict=True))
DETECTORS = {lang: AssertionDetector(lang) for lang in ("en", "zh")}


def marked(text: str, **fields: Any) -> Record:
    """Make a record of a text whose entities stand in braces."""
    plain, entities = "", []
    for i, part in enumerate(re.split(r"[{}]", text)):
        if i % 2:
            entities.append(Entity(len(plain), len(plain) + len(part), "Finding"))
        plain += part
    return Record(plain, entities=entities, **fields)


def flags(record: Record) -> list[str]:
    """Give the letters of the flags of each entity."""
    return ["".join(x for x, flag in LETTERS.items() if getattr(e.assertion, flag)) for e in record.entities]


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


def samples(lang: str) -> Iterator[tuple[str, Meaning]]:
    """Give phrases of each pattern of a language, so that each option of each choice is in one."""
    rules = load_rules("assertion", lang)
    for pattern, meaning, _ in meanings_of(rules):
        sequence = parse(pattern, rules["words"])
        for number in range(max([1, *(len(part.options) for part in choices(sequence))])):
            yield (" " if lang == "en" else "").join(option(sequence, number)), meaning


def choices(sequence: Sequence[str | Choice]) -> Iterator[Choice]:
    for part in sequence:
        if isinstance(part, Choice):
            yield part
            for inner in part.options:
                yield from choices(inner)


def option(sequence: Sequence[str | Choice], number: int) -> Iterator[str]:
    places = {"#": "3", "#year": "1997", "#end": ""}
    for part in sequence:
        if isinstance(part, str):
            if places.get(part, part):
                yield places.get(part, part)
        else:
            yield from option(part.options[number % len(part.options)], number)


STRONG = {
    "en": {"negated": "denies", "hypothetical": "suspected", "historical": "hx of", "family": "fhx of"},
    "zh": {"negated": "否认", "hypothetical": "疑似", "historical": "既往有", "family": "家族性"},
}
NAMES = {"en": "zoonosis", "zh": "甲癣"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_each_phrase_of_the_rules_does_what_its_group_says(lang: str) -> None:
    name, gap, wrong, seen = NAMES[lang], " " if lang == "en" else "", [], 0

    def cues(text: str) -> tuple[Record, dict[str, list[int]]]:
        record = Record(
            text, entities=[Entity(text.index(name), text.index(name) + len(name))], sentences=[Sentence(0, 1)]
        )
        return record, DETECTORS[lang].cues(record, record.entities)[0]

    for phrase, meaning in samples(lang):
        seen += 1
        if meaning.flags and (meaning.forward or meaning.backward):
            text = f"{phrase}{gap}{name}" if meaning.forward else f"{name}{gap}{phrase}"
            record, found = cues(text)
            hidden = {silent for flag in found for silent in DETECTORS[lang]._ready().silences.get(flag, ())}
            for flag in meaning.flags:
                if flag in hidden:
                    continue
                if flag not in found or record.text[slice(*found[flag])] != phrase:
                    wrong.append((phrase, flag, found))
        elif meaning.ends:
            for flag in meaning.ends:
                _, found = cues(f"{STRONG[lang][flag]}{gap}甲{gap}{phrase}{gap}{name}")
                cue = STRONG[lang][flag]
                if flag in found and found[flag] == [0, len(cue)]:
                    wrong.append((phrase, flag, found))
        else:
            _, found = cues(f"{phrase}{gap}{name}")
            if found:
                wrong.append((phrase, "pseudo", found))
    assert seen > (200 if lang == "zh" else 1500)
    assert wrong == []


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


def test_rules_of_ones_own_are_added_and_win(tmp_path: Path) -> None:
    own = {
        "words": {"relative": ["godmother"], "team": ["team", "staff"]},
        "cues": [{"flag": "negated", "scope": "both", "words": 2, "phrases": ["nix [|of] $team"]}],
        "pseudo": ["free of"],
        "ends": [{"flags": ["negated"], "phrases": ["basta"]}],
        "sections": {"hypothetical": ["warnings"]},
        "headings": {"historical": ["old stuff"]},
    }
    stage = AssertionDetector(rules=own)
    assert flags(stage(marked("{a} nix of team {b} and c and {d}"))) == ["n", "n", ""]
    assert flags(stage(marked("Free of {gout}"))) == [""]
    assert flags(stage(marked("No {gout} basta {asthma}"))) == ["n", ""]
    assert flags(stage(marked("Godmother with {gout}"))) == ["f"]
    assert flags(stage(marked("Old stuff: {gout}"))) == ["p"]
    assert flags(stage(marked("{gout}", sections=[Section(0, 4, "warnings")]))) == ["h"]
    path = tmp_path / "mine.yaml"
    path.write_text("pseudo: ['free of']\n", encoding="utf-8")
    assert flags(AssertionDetector(rules=path)(marked("Free of {gout}"))) == [""]
    assert judged("Free of {gout}") == ["n"]
    loaded = clinnlp.load(Pipeline([stage]).save(tmp_path / "saved"))
    assert flags(loaded(marked("Godmother with {gout}"))) == ["f"]
    assert flags(pickle.loads(pickle.dumps(stage))(marked("Godmother with {gout}"))) == ["f"]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"cue": []}, "no field cue: known are words, cues"),
        ({"cues": [{"flag": "negated", "phrase": "x"}]}, r"no field cues\[0\]\.phrase: known are flag"),
        ({"cues": [{"flag": "absent", "phrases": ["x"]}]}, r"cues\[0\]\.flag: 'absent' is no flag"),
        ({"cues": [{"flag": "negated", "scope": "up", "phrases": ["x"]}]}, r"cues\[0\]\.scope is one of forward"),
        ({"cues": [{"flag": "negated", "words": -1, "phrases": ["x"]}]}, r"cues\[0\]\.words is a number"),
        ({"cues": [{"flag": "negated"}]}, r"cues\[0\]\.phrases is a text or a list"),
        ({"cues": "no"}, "cues is a list of mappings"),
        ({"pseudo": ["[a|"]}, "pseudo has a bracket that is not closed"),
        ({"pseudo": ["a]"]}, "outside of brackets"),
        ({"pseudo": ["[a|]"]}, "pseudo has no word, or may have none"),
        ({"pseudo": ["$kin"]}, r"list '\$kin', which `words` does not have"),
        ({"sections": {"old": ["x"]}}, "sections: 'old' is no flag"),
        ({"sections": []}, None),
        ({"headings": ["x"]}, "headings is a mapping"),
        ("absent.yaml", r"absent\.yaml cannot be read: FileNotFoundError"),
        (7, "YAML file or a dictionary, not int"),
    ],
)
def test_rules_that_are_not_right_are_refused_by_name(rules: Any, told: str | None) -> None:
    if told is None:
        AssertionDetector(rules=rules)
        return
    with pytest.raises(ConfigError, match=told):
        AssertionDetector(rules=rules)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="'xx': give one of en, zh"):
        AssertionDetector("xx")


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
