"""The synthetic notes of corpora/notes: their generator, their data and the sample."""

from __future__ import annotations

import datetime
import importlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import islice, pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import clinnlp
from clinnlp import Record
from clinnlp.rules import load_rules
from clinnlp.shipped import corpora_folder
from clinnlp.stages._headings import title_key

FOLDER = corpora_folder() / "notes"
LABELS = {"Disease", "Symptom", "Medication", "Dosage", "Procedure", "Test", "LabValue", "Anatomy"}
IDENTIFIERS = {"PERSON", "DOCTOR", "DATE", "AGE", "PHONE", "MRN", "ADDRESS", "INSTITUTION", "EMAIL", "PROFESSION"}
ASPECTS = ("negated", "hypothetical", "historical", "family")


@pytest.fixture(scope="module")
def writer() -> Any:
    """Import a module of the generator, which is no package of clinnlp."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def notes(writer: Any) -> list[Record]:
    return list(islice(writer("notewriter.notes").write_notes(11), 300))


@pytest.fixture(scope="module")
def templates(writer: Any) -> ModuleType:
    module: ModuleType = writer("notewriter.templates")
    return module


def generate(output: Path, *arguments: str, **environment: str) -> bytes:
    command = [sys.executable, str(FOLDER / "generate.py"), *arguments, "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True, env=environment or None)
    return output.read_bytes()


def affirmed(entity: clinnlp.Entity) -> bool:
    return entity.assertion is not None and not any(getattr(entity.assertion, aspect) for aspect in ASPECTS)


def test_the_sample_is_what_the_generator_writes_whatever_the_hash_seed(tmp_path: Path) -> None:
    sample = (FOLDER / "sample.jsonl").read_bytes()
    arguments = ("--seed", "7", "--count", "40")
    assert generate(tmp_path / "a.jsonl", *arguments, PYTHONHASHSEED="1") == sample
    assert generate(tmp_path / "b.jsonl", *arguments, PYTHONHASHSEED="2") == sample
    assert len(sample) < 300_000


def test_another_seed_writes_other_notes_and_a_larger_count_begins_with_the_same(tmp_path: Path) -> None:
    sample = (FOLDER / "sample.jsonl").read_bytes().splitlines()
    assert generate(tmp_path / "a.jsonl", "--seed", "7", "--count", "45").splitlines()[:40] == sample
    other = generate(tmp_path / "b.jsonl", "--seed", "8", "--count", "40").splitlines()
    assert not set(other) & set(sample)


def test_the_corpus_notes_is_the_sample() -> None:
    records = clinnlp.corpora.load("notes")["all"]
    assert [record.id for record in records] == [f"note-{i:04}" for i in range(1, 41)]
    assert all(record.has(name) for record in records for name in ("entities", "sections", "identifiers"))


def test_two_patients_of_the_sample_have_several_notes_at_different_times() -> None:
    times = defaultdict(list)
    names = defaultdict(set)
    for record in clinnlp.corpora.load("notes")["all"]:
        patient = record.metadata["patient"]
        times[patient].append(datetime.date.fromisoformat(record.metadata["time"]))
        names[patient] |= {e.text for e in record.identifiers if e.label == "MRN" and not e.text[:1].isalpha()}
    several = {patient: days for patient, days in times.items() if len(days) > 2}
    assert len(several) >= 2
    assert all(before < after for days in several.values() for before, after in pairwise(days))
    assert all(len(found) < 2 for found in names.values())


@pytest.mark.parametrize("source", ["sample", "generated"])
def test_every_label_aspect_identifier_and_section_is_there(source: str, notes: list[Record]) -> None:
    records = notes if source == "generated" else clinnlp.corpora.load("notes")["all"]
    assert {e.label for record in records for e in record.entities} == LABELS
    assert {e.label for record in records for e in record.identifiers} == IDENTIFIERS
    aspects = Counter(
        aspect for r in records for e in r.entities if e.assertion for aspect in ASPECTS if getattr(e.assertion, aspect)
    )
    assert set(aspects) == set(ASPECTS)
    sections = {section.name for record in records for section in record.sections}
    assert sections >= {
        "", "history_of_present_illness", "past_medical_history", "family_history", "social_history", "medications",
        "allergies", "physical_exam", "vital_signs", "laboratory_data", "assessment", "plan", "impression",
        "hospital_course", "chief_complaint", "findings",
    }  # fmt: skip
    kinds = {label.name for record in records for label in record.labels["note_type"]}
    assert len(kinds) >= (14 if source == "generated" else 11)


def test_every_span_holds_whole_words_and_no_entities_overlap(notes: list[Record]) -> None:
    for record in notes:
        for span in [*record.entities, *record.identifiers]:
            assert span.text == record.text[span.start : span.end] == span.text.strip() != ""
            before = record.text[max(span.start - 1, 0) : span.start + 1]
            assert re.fullmatch(r"\w\w", before) is None, (record.id, span.start)
            after = record.text[span.end - 1 : span.end + 1]
            assert span.label == "AGE" or re.fullmatch(r"\w\w", after) is None, (record.id, span.start)
        for found in (record.entities, record.identifiers):
            assert all(one.end <= other.start for one, other in pairwise(found))


def test_spans_stay_on_their_text_in_wrapped_mistyped_and_windows_notes(notes: list[Record]) -> None:
    assert any("\r\n" in record.text for record in notes)
    assert any(record.text.isupper() for record in notes)
    broken = [e for record in notes for e in record.entities if "\n" in e.text]
    assert len(broken) > 20
    dates = [e.text for record in notes for e in record.identifiers if e.label == "DATE"]
    assert len(dates) > 300
    assert all(re.search(r"\d", date) and len(date) <= 20 for date in dates)
    phones = [e.text for record in notes for e in record.identifiers if e.label == "PHONE"]
    assert all(re.sub(r"\D", "", phone)[-7:-2] == "55501" or len(phone) == 4 for phone in phones)


def test_sections_follow_each_other_over_the_whole_note_and_show_their_heading(notes: list[Record]) -> None:
    for record in notes:
        assert [section.start for section in record.sections] == [0, *[s.end for s in record.sections[:-1]]]
        assert record.sections[-1].end == len(record.text)
        for section in record.sections:
            assert section.start <= section.body_start <= section.end
            assert section.heading in record.text[section.start : section.body_start]
            assert bool(section.name) == bool(section.heading)
            assert not record.text[section.body_start : section.body_start + 1].isspace()


def test_names_of_sections_are_those_that_the_rules_give_their_headings(writer: Any) -> None:
    titles = load_rules("sections", "en")["titles"]
    rules = {title_key(title): name for name, given in titles.items() for title in given}
    headings = [
        (name, heading)
        for section in writer("notewriter.data").read("sections").values()
        for name, given in section["headings"].items()
        for heading in given
    ]
    assert {name for name, _ in headings} <= set(titles)
    known = [(name, heading) for name, heading in headings if title_key(heading) in rules]
    assert len(known) > 0.8 * len(headings)
    for name, heading in known:
        assert rules[title_key(heading)] == name, heading


def test_no_note_denies_what_it_affirms(notes: list[Record]) -> None:
    for record in notes:
        problems = [e for e in record.entities if e.label in ("Disease", "Symptom")]
        there = {e.text.lower() for e in problems if affirmed(e)}
        denied = {e.text.lower() for e in problems if e.assertion and e.assertion.negated and not e.assertion.family}
        assert not there & denied, record.id


def test_a_family_has_its_diseases_and_a_denied_one_is_negated(notes: list[Record]) -> None:
    count = 0
    for record in notes:
        end, denied = 0, False
        for entity in record.entities:
            before = re.split(r"[.:;]|\n[-*•\d]|\n\s*\n", record.text[end : entity.start].lower())[-1]
            if before.strip() not in ("or", "and", ","):
                # Slips of the keyboard may be in these words.
                denied = re.search(r"\bn(o|\w*g\w*)\s", before) is not None
            end = entity.end
            if entity.assertion and entity.assertion.family:
                assert entity.assertion.negated == denied, (record.id, entity.start)
                count += 1
    assert count > 50


def test_the_patient_of_a_note_is_one_person(notes: list[Record]) -> None:
    for record in notes:
        text = record.text.lower()
        he, she = (len(re.findall(rf"\b({words})\b", text)) for words in ("he|his|him", "she|her"))
        assert min(he, she) == 0, record.id
        ages = {e.text for e in record.identifiers if e.label == "AGE" and re.match(r"[- ]?(year|y)", text[e.end :])}
        assert len(ages) <= 1, record.id


def test_notes_are_varied(notes: list[Record]) -> None:
    sentences = [
        sentence.strip()
        for record in notes
        for sentence in re.split(r"(?<=[.;])\s+|\n+", record.text)
        if len(sentence.strip()) > 25
    ]
    assert len(set(sentences)) / len(sentences) > 0.85
    assert len({record.text for record in notes}) == len(notes)
    for one, other in pairwise(sorted(notes, key=lambda record: record.text)):
        assert one.text[:200] != other.text[:200]
    entities = Counter(e.text.lower() for record in notes for e in record.entities)
    assert len(entities) > 2500
    assert entities.most_common(1)[0][1] < 0.02 * sum(entities.values())


def test_one_text_is_one_kind_of_thing(notes: list[Record]) -> None:
    kinds = defaultdict(set)
    for record in notes:
        for entity in record.entities:
            kinds[entity.text.lower()].add(entity.label)
    # What a drug and a blood test, a score and a complaint, or two abbreviations share.
    shared = {"albumin", "vitamin d", "pain", "cea", "mg"}
    assert {text for text, labels in kinds.items() if len(labels) > 1} <= shared


def test_notes_read_as_text_without_traces_of_their_templates(notes: list[Record]) -> None:
    for record in notes:
        assert re.search(r"[{}\[\]<>@]", re.sub(r"\S+@\S+", "", record.text)) is None, record.id
        assert (
            re.search(r"\b[Aa] (?:8|11|18)\b|\b[Aa]n (?!hour)[bcdfghjkmpqrstvwxyz][a-z]| [,;.]|\.\.", record.text)
            is None
        )


def test_no_name_of_a_person_or_place_is_a_word_of_medicine() -> None:
    people = yaml.safe_load((FOLDER / "data" / "people.yaml").read_text(encoding="utf-8"))
    groups = [
        people["female"],
        people["male"],
        people["surnames"],
        [w for town in people["towns"] for w in town.split()],
    ]
    names = [set(map(str.lower, group)) for group in groups]
    assert all(len(group) == len(set(group)) for group in groups[:3])
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & names[2]
    words: set[str] = set()
    for path in (FOLDER / "data").rglob("*.yaml"):
        if path.stem != "people":
            words |= set(re.findall(r"[a-z]+", path.read_text(encoding="utf-8").lower()))
    people_words = names[0] | names[1] | names[2]
    assert not people_words & words
    months = {"january", "april", "may", "june", "august"}
    assert not people_words & months


def test_all_frames_are_well_formed_and_name_only_slots_that_there_are(templates: ModuleType, writer: Any) -> None:
    writer("notewriter.notes")
    teller, data = writer("notewriter.teller"), writer("notewriter.data")
    known = {*teller.SLOTS, *teller.FLAGGED_SLOTS, *teller.POOLED, *teller.LISTS, *data.rules(), "n", "w"}
    known |= {name for name in dir(writer("notewriter.measures").Measures) if not name.startswith("_")}
    known |= {"sign", "result", "plan", "occupation", "hobby", "complication", "opwhy"}

    def check(nodes: Any) -> None:
        for node in nodes:
            if isinstance(node, templates.Slot):
                assert {node.name, node.name[0].lower() + node.name[1:]} & known, node
            elif isinstance(node, templates.Choice):
                for option in node.options:
                    check(option)
            elif isinstance(node, templates.Mark):
                check(node.content)
            else:
                assert not set("{}[]<>|") & set(node), node

    count = 0
    for path in sorted((FOLDER / "data").rglob("*.yaml")):
        if path.stem != "people":
            for text in _texts(yaml.safe_load(path.read_text(encoding="utf-8"))):
                if set("{[<") & set(text):
                    check(templates.parse(templates.fits(text, "FMCAOJREYNSXLWPU") or ""))
                    count += 1
    assert count > 800


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [text for item in value for text in _texts(item)] if hasattr(value, "__iter__") else []


def test_there_are_many_hundreds_of_terms_and_every_drug_has_a_dose(writer: Any) -> None:
    data = writer("notewriter.data")
    drugs = data.read("medications")
    terms = {name for term in drugs for name in term.split("|")} | set(data.read("labs"))
    for specialty in data.specialties().values():
        for name in ("conditions", "symptoms", "sites", "anatomy", "tests", "procedures"):
            terms |= {one for term in specialty[name] for one in term.partition(" @")[0].split("|")}
        assert {drug.partition(" @")[0] for drug in specialty["meds"]} <= set(drugs)
        assert {lab.partition(" @")[0] for lab in specialty["labs"]} <= set(data.read("labs"))
    assert len(terms) > 1200
    words = data.read("frames/words")
    for doses, frequencies, route in drugs.values():
        assert re.match(r"[\d.]+|a ", doses)
        assert set(frequencies.split("|")) <= set(words["frequencies"])
        assert route in words["routes"]


@pytest.mark.parametrize("template", ["{name", "[a|b", "<a|Z>", "<a>", "{n:2}", "a ] b {"])
def test_a_template_that_is_not_well_formed_is_refused(templates: ModuleType, template: str) -> None:
    with pytest.raises(ValueError):
        templates.parse(template)


def test_a_draft_writes_articles_capitals_and_marks_as_english_does(writer: Any) -> None:
    def written(*parts: str) -> str:
        draft = writer("notewriter.draft").Draft()
        for part in parts:
            if part == "a":
                draft.article()
            elif part == "^":
                draft.capital()
            else:
                draft.add(part)
        return str(draft.text)

    assert written("^", "a", " ", "MRI of the knee") == "An MRI of the knee"
    assert [written("a", word) for word in ("85-year-old", "18 mm", "81", "19", "UTI", "ulcer", "uterus", "eGFR")] == [
        "an 85-year-old", "an 18 mm", "an 81", "a 19", "a UTI", "an ulcer", "a uterus", "an eGFR",
    ]  # fmt: skip
    assert written("^", "pH 7.31") == "pH 7.31"
    assert written("pain ", " ", ", then b.i.d.", ".") == "pain, then b.i.d."


def test_lines_of_the_sample_are_plain_json_that_a_record_reads(tmp_path: Path) -> None:
    for line in (FOLDER / "sample.jsonl").read_text(encoding="utf-8").splitlines():
        plain = json.loads(line)
        record = Record.from_dict(plain)
        assert Record.from_dict(record.to_dict()) == record
        assert plain["labels"]["note_type"] == [record.labels["note_type"][0].name]


def test_the_card_counts_what_the_sample_holds() -> None:
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \|", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    card = {name: int(count.replace(",", "")) for name, count in rows}
    records = clinnlp.corpora.load("notes")["all"]
    labels = Counter(e.label for record in records for e in record.entities)
    assert card["characters"] == sum(len(record.text) for record in records)
    assert card["patients"] == len({record.metadata["patient"] for record in records})
    assert card["entities"] == sum(labels.values())
    assert card["identifiers"] == sum(len(record.identifiers) for record in records)
    assert {label: card[f"- {label}"] for label in LABELS} == labels
