"""Values: offsets, targets, dates against the record's, given values, bad input, and time."""

from __future__ import annotations

import json
import pickle
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.edited import any_text, edits_of

import clinnlp
from clinnlp import Entity, Pipeline, Record
from clinnlp.alignment import Edit, EditedText
from clinnlp.errors import ConfigError
from clinnlp.record import Sentence, Value
from clinnlp.stages import TextCleaner, Tokenizer, ValueExtractor
from clinnlp.stages.values import normalize

ENGLISH, CHINESE = ValueExtractor(), ValueExtractor("zh")

PIECES = [
    "5 mg", "BP 120/80 mmHg", "3 x 4 cm", "2 tablets", "PO", "q6h", "for 7 days", "March 5, 2024", "3/5", "14:30",
    "yesterday", "63-year-old", "血压", "38.5℃", "每日两次", "<", "½", "10^9/L", "１２",
    "\u00a0", "—", "aspirin", "2 weeks ago",
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from([*PIECES, " ", "\n", "."]), any_text), max_size=8).map(" ".join)


def values(text: str, stage: ValueExtractor = ENGLISH, **fields: Any) -> list[Value]:
    record = Record(text, **fields)
    stage.process([record])
    return record.values


def at(text: str, now: object = "2024-03-10", **options: Any) -> list[str]:
    stage = ValueExtractor(**options) if options else ENGLISH
    return [value.time for value in values(text, stage, metadata={"time": now})]


def check_invariants(record: Record) -> None:
    """Values are in order, not empty, do not overlap, and their offsets and targets are of the raw text."""
    end = 0
    for value in record.values:
        assert end <= value.start < value.end <= len(record.text)
        assert value.text == record.text[value.start : value.end] == value.text.strip()
        assert (value.target_start < 0) == (value.target_end < 0)
        assert value.target_start < value.target_end <= len(record.text) or value.target_start == -1
        end = value.end
    json.dumps(record.to_dict(), allow_nan=False)
    record.bind()


@st.composite
def records(draw: st.DrawFn) -> Record:
    text = draw(texts)
    cleaned = EditedText.of(text, draw(edits_of(len(text)))) if draw(st.booleans()) else None
    spans = st.integers(0, max(0, len(text) - 1)).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start, len(text)))
    )
    labels = st.sampled_from(["Medication", "Test", "LabValue", "Disease"])
    entities = [Entity(*draw(spans), label=draw(labels)) for _ in range(draw(st.integers(0, 3)))]
    return Record(text, cleaned=cleaned, entities=entities, metadata={"time": "2024-03-10"})


@settings(deadline=None)
@given(records(), st.sampled_from([ENGLISH, CHINESE]))
def test_values_of_any_text_have_exact_raw_offsets_and_do_not_overlap(record: Record, stage: ValueExtractor) -> None:
    stage.process([record])
    check_invariants(record)


def test_offsets_lead_back_through_cleaning() -> None:
    text = "Given&nbsp;metformin&nbsp;500&nbsp;mg\r\nBP&nbsp;120/80"
    record = Record(text, entities=[Entity(text.index("met"), text.index("met") + 9, "Medication")])
    Pipeline([TextCleaner(), Tokenizer(), ENGLISH])(record)
    assert [(v.kind, v.text) for v in record.values] == [("strength", "500&nbsp;mg"), ("quantity", "120/80")]
    assert [text[v.target_start : v.target_end] for v in record.values] == ["metformin", "BP"]
    check_invariants(record)


def test_of_two_values_in_one_replaced_stretch_one_is_kept() -> None:
    record = Record("xx", cleaned=EditedText.of("xx", [Edit(0, 2, "5 mg, 7 mg")]))
    ENGLISH.process([record])
    assert [value.text for value in record.values] == ["xx"]


def test_values_that_a_record_brings_are_kept_also_none() -> None:
    record = Record("5 mg and 7 mg", values=[Value(0, 4, kind="dose")])
    ENGLISH.process([record])
    assert [(value.text, value.kind) for value in record.values] == [("5 mg", "dose")]
    looked = Record.from_dict({"text": "5 mg", "values": []})
    ENGLISH.process([looked])
    assert looked.values == []


# Drugs


def linked(text: str, *drugs: str, **fields: Any) -> list[tuple[str, str, str]]:
    entities = [Entity(text.index(drug), text.index(drug) + len(drug), "Medication") for drug in drugs]
    found = values(text, entities=entities, **fields)
    return [(v.kind, v.text, text[v.target_start : v.target_end] if v.target_start >= 0 else "") for v in found]


def test_a_value_belongs_to_the_nearest_drug_before_it_in_its_sentence() -> None:
    text = "aspirin 81 mg and heparin 5000 units BID. Then 10 mg PO."
    assert linked(text, "aspirin", "heparin") == [
        ("strength", "81 mg", "aspirin"),
        ("strength", "5000 units", "heparin"),
        ("frequency", "BID", "heparin"),
        ("quantity", "10 mg", ""),
        ("route", "PO", ""),
    ]


def test_sentences_of_the_record_count_where_there_are_some() -> None:
    text = "aspirin 81 mg. then PO"
    assert linked(text, "aspirin")[1] == ("route", "PO", "aspirin")
    assert linked(text, "aspirin", sentences=[Sentence(0, 14), Sentence(15, 22)])[1] == ("route", "PO", "")


def test_without_a_drug_an_amount_is_a_quantity() -> None:
    assert [(v.kind, v.number, v.unit) for v in values("gave 500 mg")] == [("quantity", 500, "mg")]


def test_words_that_are_not_always_about_drugs_need_one_beside_them() -> None:
    assert values("Oral mucosa moist, IV site clean, daily living, stage IV, topical issue, 2 patches of hair") == []
    assert [v.name for v in values("500 mg IV daily")] == ["", "intravenous", "1/day"]


# Measurements


def test_a_test_entity_is_the_target_and_gives_a_bare_number_its_name() -> None:
    text = "Interleukin six level was 40"
    assert values(text) == []
    (value,) = values(text, entities=[Entity(0, 15, "Test")])
    assert (value.name, value.number, value.target_start, value.target_end) == ("Interleukin six", 40, 0, 15)
    (value,) = values("It was 40 then", entities=[Entity(7, 9, "LabValue")])
    assert (value.number, value.target_start, value.target_end) == (40, 7, 9)


def test_units_are_normalised_to_one_of_each_dimension() -> None:
    found = {
        v.text: (v.normal, v.normal_unit)
        for v in values("98.6 F, 150 lbs, 7.2 mg/dL, 2-4 mcg/kg/min, 5 mmol/L, 90 mL/h")
    }
    assert found == {
        "98.6 F": (37.0, "°C"), "150 lbs": (68038.8555, "g"), "7.2 mg/dL": (0.072, "g/L"),
        "2-4 mcg/kg/min": (0.00288, "g/kg/day"), "5 mmol/L": (0.005, "mol/L"), "90 mL/h": (0.0015, "L/min"),
    }  # fmt: skip
    assert values("2-4 mcg/kg/min")[0].normal_high == 0.00576
    assert normalize(120, "mmHg") == (120.0, "mmHg")
    with pytest.raises(ConfigError, match=r"no unit has the symbol 'furlong'"):
        normalize(1, "furlong")


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("5\u00a0mg", 5, "mg"), ("5½ mg", 5.5, "mg"), ("½ mg", 0.5, "mg"), ("1 1/2 mg", 1.5, "mg"), ("٥ mg", 5, "mg"),
        ("５mg", 5, "mg"), ("5 µg", 5, "µg"), ("5 μg", 5, "µg"), ("5 MG", 5, "mg"), (".5 mg", 0.5, "mg"),
        ("1,200 mg", 1200, "mg"), ("1,200.5 mg", 1200.5, "mg"), ("0,125 mg", 0.125, "mg"),
        ("3,5 mmol/L", 3.5, "mmol/L"),
        ("1\u2009500 mg", 1500, "mg"), ("1\u00a0500 mg", 1500, "mg"), ("1\u202f500 mg", 1500, "mg"),
        ("1'500 mg", 1500, "mg"), ("1’500 mg", 1500, "mg"), ("1 234 567 IU", 1234567, "IU"),
        ("1 500,5 mg", 1500.5, "mg"),
        ("1.500,5 mg", 1500.5, "mg"), ("1.234.567 IU", 1234567, "IU"), ("1.500 mg", 1.5, "mg"), ("5\nmg", 5, "mg"),
        ("4.5 × 10⁹/L", 4.5, "10^9/L"), ("4.5x10*9/L", 4.5, "10^9/L"), ("4.5 x 109/L", 4.5, "10^9/L"),
        ("4.5e3 mg", 4500, "mg"),
        ("2 x 10^5 copies/mL", 200000, "copies/mL"),
    ],
)  # fmt: skip
def test_numbers_are_read_however_they_are_written(text: str, number: float, unit: str) -> None:
    (value,) = values(text)
    assert (value.text, value.number, value.unit) == (text, number, unit)


@pytest.mark.parametrize(
    "text", ["1e400 mg", "9" * 400 + " mg", "5 x 10^999 mg", "1" * 17 + " mg", "1.2.3.4 mg", "1,2,3,4 mgs"]
)
def test_what_is_no_number_gives_none_that_is_not_finite(text: str) -> None:
    for value in values(text):
        assert value.number is not None
        assert value.number < 1e6


# Dates


def test_day_first_is_an_option_where_both_are_possible() -> None:
    assert at("03/05/2024, 25/12/2023 and 12/25/2023") == ["2024-03-05", "2023-12-25", "2023-12-25"]
    assert at("03/05/2024, 25/12/2023 and 12/25/2023", day_first=True) == ["2024-05-03", "2023-12-25", "2023-12-25"]


@pytest.mark.parametrize("now", ["yesterday", None, "", 5, ["2024-03-10"], "2024-13-40", {"a": 1}])
def test_a_record_without_a_valid_date_resolves_absolute_dates_alone(now: object) -> None:
    assert at("on 2024-03-05, yesterday, 5 Mar, last week, 3 days ago", now) == ["2024-03-05", "", "--03-05", "", ""]


@pytest.mark.parametrize("text", ["2024-02-30", "02/30/2024", "February 30", "30 Feb 2023", "Feb 29, 2023"])
def test_a_date_of_no_calendar_stays_unresolved(text: str) -> None:
    assert at(text) == [""]


def test_a_date_without_a_year_is_of_the_year_before_where_it_would_lie_far_ahead() -> None:
    assert at("Dec 28", "2024-01-10") == ["2023-12-28"]
    assert at("5 May", "2024-01-10") == ["2024-05-05"]
    assert at("Feb 29", "2024-03-10") == ["2024-02-29"]


def test_relative_dates_are_counted_from_the_records_date() -> None:
    assert at("today yesterday tomorrow") == ["2024-03-10", "2024-03-09", "2024-03-11"]
    assert at("3 days ago, 2 weeks ago, 3 months ago, 2 years ago") == ["2024-03-07", "2024-02-25", "2023-12", "2022"]
    assert at("last week, this month, next year, last Sunday, next Sunday") == [
        "2024-W09", "2024-03", "2025", "2024-03-03", "2024-03-17",
    ]  # fmt: skip
    assert at("3 hours ago", "2024-03-10T01:30:00") == ["2024-03-09T22:30"]
    assert at("3 hours ago") == [""]
    assert at("9999 years ago, 12345678 days ago") == ["", ""]


def test_days_after_surgery_and_of_the_stay_need_their_dates() -> None:
    metadata = {"surgery_date": "2024-03-08", "admission_date": "2024-03-07"}
    assert [v.time for v in values("POD 2, HD 3", metadata=metadata)] == ["2024-03-10", "2024-03-09"]
    assert [v.time for v in values("POD 2, HD 3", metadata={"surgery_date": "unknown"})] == ["", ""]


def test_the_afternoon_is_counted_to_24() -> None:
    assert at("2pm, 12 am, 12:15 PM, 2:30 p.m., 23:59") == ["14:00", "00:00", "12:15", "14:30", "23:59"]


# Rules of one's own, and saving


def test_units_of_ones_own_are_found_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "definitions: ['wood = 80 * dyne * second / centimeter**5']\nnormal: {resistance: wood}\n"
        "units: {resistance: {wood: {words: [wood units]}}}\nroutes: {oral: {words: [per gob]}}\nnames: [pvr]\n"
    )
    stage = ValueExtractor(rules=path)
    (value, route) = values("PVR 3 Wood units, per gob", stage)
    assert (value.number, value.unit, value.normal, value.normal_unit, route.name) == (3, "wood", 3, "wood", "oral")
    assert json.loads(json.dumps(stage.config()))
    again = Pipeline([ValueExtractor.load(stage.config())])
    again.save(tmp_path / "saved")
    loaded = clinnlp.load(tmp_path / "saved")
    assert loaded("PVR 3 Wood units, per gob").values == [value, route]
    assert values("PVR 3 Wood units, per gob") != [value, route]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("units: 3", r"units in the rules of values is a mapping, not int"),
        ("unit: {}", r"have no field 'unit': give some of definitions"),
        ("units: {mass: {stone: {word: [st]}}}", r"units: mass: 'stone' has no field 'word': give some of words"),
        ("units: {mass: {stone: {words: st}}}", r"'stone': words cannot be of type str"),
        ("units: {mass: {stone: {words: [5]}}}", r"is not a list of texts: quote numbers"),
        ("units: {mass: [stone]}", r"units: mass in the rules of values is a mapping, not list"),
        ("units: {mass: {stone: st}}", r"'stone' in the rules of values is a mapping with `words`"),
        ("names: [on]", r"names in the rules of values is not a list of texts"),
        ("[1]", r"are a mapping, not list"),
        ("a: [", r"the file of rules of values, line 2 is not valid YAML \(ParserError\)"),
        (
            "names: [a]\nnames: [b]",
            r"line 2 is not valid YAML \(ConstructorError\): it has the key 'names' twice: take",
        ),
        ("definitions: [wood]", r"the definition 'wood' defines no unit: write `name = 5 milliliter`"),
        ("definitions: ['@import wood']", r"the definition '@import wood' defines no unit"),
        ("definitions: ['gram = 5 gram']", r"the definition 'gram = 5 gram' names itself"),
        (
            "definitions: ['wood = 9**9**9 m']",
            r"the definition 'wood = 9\*\*9\*\*9 m' has powers that pint is not given",
        ),
        (
            "units: {length: {rod: {pint: 9**9**9 m}}}",
            r"units: length: 'rod' has powers that pint is not given: write at",
        ),
        ("units: {length: {rod: {pint: 9^(9) m}}}", r"units: length: 'rod' has powers"),
        ("units: {length: {rod: {pint: 9⁹⁹⁹⁹⁹⁹⁹ m}}}", r"units: length: 'rod' has powers"),
        ("units: {length: {rod: {pint: 9 ** 16}}}", r"units: length: 'rod' has powers"),
        ("units: {length: {9**9**9: {words: [rod]}}}", r"units: length: '9\*\*9\*\*9' has powers"),
    ],
)
def test_rules_of_another_form_are_refused_in_one_line(rules: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(rules)
    with pytest.raises(ConfigError, match=message) as error:
        ValueExtractor(rules=path)
    assert "\n" not in str(error.value)


def test_a_unit_that_pint_does_not_know_is_named_when_it_is_met() -> None:
    stage = ValueExtractor(rules={"units": {"mass": {"blorb": {"words": ["blorb"]}}}})
    with pytest.raises(ConfigError, match=r"pint cannot turn 'blorb' into 'g' \(UndefinedUnitError\): mend its `pint`"):
        values("5 blorb", stage)
    for definition in ("wood = 80 * zorble", "gram = 3 * zorble", "wood = 3 ) m"):
        with pytest.raises(ConfigError, match=f"pint cannot use the definition {re.escape(repr(definition))} "):
            values("5 mg", ValueExtractor(rules={"definitions": ["rod = 5 meter", definition]}))
    with pytest.raises(ConfigError, match=r"no unit has the symbol 'nothing'"):
        values("5 mg", ValueExtractor(rules={"exact": {"N": "nothing"}}))


def test_a_language_without_rules_or_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no rules for values in the language 'fr': give one of en, zh"):
        ValueExtractor("fr")
    with pytest.raises(ConfigError, match=r"cannot be read \(FileNotFoundError\): give a YAML file"):
        ValueExtractor(rules="/nowhere/rules.yaml")


def test_a_stage_is_registered_and_travels() -> None:
    stage = ValueExtractor(day_first=True)
    values("5 mg", stage)
    other = pickle.loads(pickle.dumps(stage))
    assert at("03/05/2024", day_first=True) == [v.time for v in values("03/05/2024", other)] == ["2024-05-03"]
    assert other.config() == stage.config() == {"lang": "en", "day_first": True}
    assert clinnlp.stage.resolve("values") is ValueExtractor


# Time


RUNS = [
    "1",
    "a",
    " ",
    "/",
    "1/",
    "1-",
    "1 ",
    "1 x ",
    "5 mg ",
    "1. ",
    "1 to ",
    "q ",
    "BP ",
    "2024-",
    "1 day ",
    "po ",
    "½",
    "< ",
    "一",
    "每日",
    "a-",
    "1\n",
    "1 000 ",
    "1 500 mg ",
    "1 500 mg-",
    "1.000",
    "take 1 ",
    "1 aa ",
    "1\n            ",
    "for ",
]


@pytest.mark.parametrize("stage", [ENGLISH, CHINESE], ids=["en", "zh"])
@pytest.mark.parametrize("run", RUNS)
def test_long_runs_take_no_longer_than_their_length_asks(run: str, stage: ValueExtractor) -> None:
    values("5 mg", stage)
    # A busy machine may need more than one try.
    assert any(_seconds(Record((run * 100_000)[:100_000]), stage) < 2 for _ in range(4))


def _seconds(record: Record, stage: ValueExtractor) -> float:
    start = time.process_time()
    stage.process([record])
    return time.process_time() - start
