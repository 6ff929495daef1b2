"""Identifiers that are planted into notes, as gold."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clinnlp import Entity, Record
from clinnlp.errors import ConfigError
from clinnlp.rules import load_rules
from clinnlp.training import planting
from clinnlp.training.planting import plant_identifiers

RULES = load_rules("planted_identifiers", "en")
NOTE = (
    "A 45-year-old woman presented to our hospital with chest pain. She took aspirin on 3/5/2024. The patient denied"
    " fever. Her husband said she fell. The surgeon was called. She was admitted with pneumonia. The patient was well."
)


def planted(text: str = NOTE, seeds: int = 40, density: float = 1.0) -> list[Record]:
    """The note with identifiers of as many seeds."""
    return [made for seed in range(seeds) for made in plant_identifiers([Record(text, "n1")], seed, density)]


def slots(frame: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", frame)


def test_gold_lies_on_what_was_planted_and_the_text_around_it_is_kept() -> None:
    for record in planted():
        assert record.has("identifiers")
        assert all(e.text == record.text[e.start : e.end] and e.text.strip() == e.text for e in record.identifiers)
        assert all(a.end <= b.start for a, b in zip(record.identifiers, record.identifiers[1:], strict=False))
        assert record.id == "n1"
        for kept in ("-year-old woman presented to", "with chest pain.", "took aspirin on", "denied fever."):
            assert kept in record.text


def test_each_kind_is_planted_and_what_the_text_had_is_gold_too() -> None:
    records = planted(seeds=300)
    kinds = Counter(entity.label for record in records for entity in record.identifiers)
    assert set(kinds) == {
        "PERSON", "DOCTOR", "ADDRESS", "INSTITUTION", "PROFESSION", "DATE", "AGE", "PHONE", "MRN", "ID", "EMAIL",
        "SSN", "URL",
    }  # fmt: skip
    assert all(("DATE", "3/5/2024") in {(e.label, e.text) for e in record.identifiers} for record in records)
    assert all(("AGE", "45") in {(e.label, e.text) for e in record.identifiers} for record in records)


def test_the_patient_and_the_house_get_names_where_they_stood() -> None:
    texts = [record.text for record in planted(seeds=100)]
    assert any("The patient was well" not in text for text in texts)
    assert any(re.search(r"[Hh]er husband,? [(A-Z]", text) for text in texts)
    assert any("presented to our hospital" not in text for text in texts)
    female = {*RULES["female"]}
    firsts = {text.split("This is ")[1].split()[0] for text in texts if "This is " in text}
    known = firsts & ({*RULES["female"]} | {*RULES["male"]})
    assert known
    assert known <= female  # she is a woman, in the note


def test_the_same_seed_gives_the_same_and_another_others() -> None:
    assert [r.text for r in planted(seeds=3)] == [r.text for r in planted(seeds=3)]
    assert len({record.text for record in planted(seeds=20)}) == 20


def test_no_identifier_of_the_given_records_is_changed() -> None:
    record = Record(NOTE, "n1", entities=[Entity(0, 1, "X")], metadata={"time": "2024-03-05"})
    (made,) = plant_identifiers([record])
    assert record.text == NOTE
    assert record.entities
    assert not made.entities
    assert made.metadata == {"time": "2024-03-05"}


def test_without_density_only_expressions_are_replaced() -> None:
    plain = "Lungs are clear. Heart is regular. Abdomen is soft."
    assert {record.text for record in planted(plain, density=0.0)} == {plain}
    with pytest.raises(ConfigError, match="density must not be negative"):
        plant_identifiers([], density=-0.5)


@pytest.mark.parametrize("records", ["abc", ["abc"], None, 5, {"a": 1}, [None], Record("abc")])
def test_what_is_no_records_is_refused(records: Any) -> None:
    with pytest.raises(ConfigError, match="give a list of records"):
        plant_identifiers(records)


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("The patient He She our hospital. \n\r3/5 a-é😀"), max_size=200),
    seed=st.integers(0, 9),
)
def test_any_text_can_be_planted_into(text: str, seed: int) -> None:
    for made in plant_identifiers([Record(text, "n")], seed, density=3.0):
        for entity in made.identifiers:
            assert made.text[entity.start : entity.end] == entity.text


def test_every_slot_of_the_rules_is_filled_in() -> None:
    frames = [frame for rule in RULES["replaced"] for frame in rule["frames"]]
    frames += [frame for kind in ("sentences", "headers", "footers", "harmless") for frame in RULES[kind]]
    cast_of = planting._Cast
    assert {name.lower() for frame in frames for name in slots(frame)} - {"match"} == {
        name.removeprefix("_slot_") for name in vars(cast_of) if name.startswith("_slot_")
    }
    assert {name for frame in RULES["harmless"] for name in slots(frame)} <= {"He", "his", "relation"}
    for name in ("male", "female", "surnames", "towns", "professions"):
        assert len(set(RULES[name])) == len(RULES[name]) > 50


def test_nobody_of_the_test_notes_is_planted() -> None:
    """Names of the generated notes, on which heads are judged, stay out of those that are learned."""
    people = yaml.safe_load((Path(__file__).parents[2] / "corpora/notes/data/people.yaml").read_text(encoding="utf-8"))
    judged = {name for kind in ("female", "male", "surnames", "towns") for name in people[kind]}
    learned = {name for kind in ("female", "male", "surnames", "towns") for name in RULES[kind]}
    assert judged.isdisjoint(learned)
