"""Sections: the forms of headings, what only looks like one, and offsets that tile the note."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.edited import any_text, edits_of

from clinnlp.alignment import Edit, EditedText
from clinnlp.errors import ConfigError
from clinnlp.record import Record, Section
from clinnlp.rules import load_rules
from clinnlp.stages import SectionDetector
from clinnlp.stages._headings import title_key

ENGLISH = SectionDetector()
CHINESE = SectionDetector("zh")


def names(text: str, stage: SectionDetector = ENGLISH) -> list[str]:
    return [section.name for section in stage(text).sections]


def parts(text: str, stage: SectionDetector = ENGLISH) -> list[tuple[str, str, str]]:
    record = stage(text)
    return [(s.name, s.heading, record.text[s.body_start : s.end].strip()) for s in record.sections]


def check_invariants(record: Record) -> None:
    """Sections follow each other from the start of the text to its end; blank texts have none."""
    assert bool(record.sections) == bool(record.text.strip())
    end = 0
    for section in record.sections:
        assert section.start == end
        assert section.start < section.end
        assert section.start <= section.body_start <= section.end
        assert section.text == record.text[section.start : section.end]
        assert section.heading in record.text[section.start : section.body_start]
        assert bool(section.name) == bool(section.heading)
        end = section.end
    assert end == (len(record.text) if record.sections else 0)
    assert all(section.name for section in record.sections[1:])


LINES = [
    *(
        "PLAN:",
        "Impression -",
        "1. PLAN",
        "## Plan",
        "HEENT: normal.",
        "BP: 120/80",
        "DEVICE CHECK: good",
        "plan:",
        "# X",
    ),
    *(
        "Stable. PLAN: Rest.",
        "ASSESSMENT/PLAN",
        "现病史：",
        "OLD LETTER",
        "text",
        "",
        " ",
        "**Plan:** rest",
        "a:",
        "A:",
        ".",
    ),
]
notes = st.lists(st.one_of(st.sampled_from(LINES), any_text)).map("\n".join)


@settings(deadline=None)
@given(notes, st.sampled_from([ENGLISH, CHINESE]))
def test_sections_tile_the_note(text: str, stage: SectionDetector) -> None:
    check_invariants(stage(text))


@st.composite
def cleaned_notes(draw: st.DrawFn) -> Record:
    text = draw(notes)
    return Record(text, cleaned=EditedText.of(text, draw(edits_of(len(text)))))


@settings(deadline=None)
@given(cleaned_notes())
def test_sections_of_a_cleaned_note_tile_the_raw_one(record: Record) -> None:
    ENGLISH.process([record])
    check_invariants(record)


@pytest.mark.parametrize(
    ("heading", "title", "name"),
    [
        ("HISTORY OF PRESENT ILLNESS:", "HISTORY OF PRESENT ILLNESS", "history_of_present_illness"),
        ("Past Medical History:", "Past Medical History", "past_medical_history"),
        ("Impression -", "Impression", "impression"),
        ("Impression –", "Impression", "impression"),
        ("FINDINGS --", "FINDINGS", "findings"),
        ("1. PLAN\n", "PLAN", "plan"),
        ("2) Physical Exam:", "Physical Exam", "physical_exam"),
        ("III. FINDINGS:", "FINDINGS", "findings"),
        ("B. Assessment:", "Assessment", "assessment"),
        ("FAMILY HISTORY\n", "FAMILY HISTORY", "family_history"),
        ("Medications\n", "Medications", "medications"),
        ("## Plan\n", "Plan", "plan"),
        ("# Assessment and Plan\n", "Assessment and Plan", "assessment_and_plan"),
        ("**Plan:**", "Plan", "plan"),
        ("**Allergies**\n", "Allergies", "allergies"),
        ("__PLAN__\n", "PLAN", "plan"),
        ("=== FINDINGS ===\n", "FINDINGS", "findings"),
        ("FINDINGS\n--------\n", "FINDINGS", "findings"),
        ("[PLAN]\n", "PLAN", "plan"),
        ("A/P:", "A/P", "assessment_and_plan"),
        ("ASSESSMENT & PLAN:", "ASSESSMENT & PLAN", "assessment_and_plan"),
        ("PRE-OP DIAGNOSIS:", "PRE-OP DIAGNOSIS", "preoperative_diagnosis"),
        ("PREOPERATIVE DIAGNOSIS (ES):", "PREOPERATIVE DIAGNOSIS (ES)", "preoperative_diagnosis"),
        ("INDICATIONS FOR THE PROCEDURE:", "INDICATIONS FOR THE PROCEDURE", "indications"),
        ("PERTINENT LABORATORY DATA:", "PERTINENT LABORATORY DATA", "laboratory_data"),
        ("PROCEDURE #2:", "PROCEDURE #2", "procedures"),
        ("ALLERGIES/INTOLERANCES NOTED:", "ALLERGIES/INTOLERANCES NOTED", "allergies"),
        ("PLAN :", "PLAN", "plan"),
        ("PLAN：", "PLAN", "plan"),
        ("   PLAN:", "PLAN", "plan"),
        ("PHYSICAL EXAMINATION.", "PHYSICAL EXAMINATION", "physical_exam"),
        ("plan:", "plan", "plan"),
    ],
)
def test_a_known_heading_starts_a_section(heading: str, title: str, name: str) -> None:
    assert parts(f"Seen today.\n\n{heading} The body.\n") == [("", "", "Seen today."), (name, title, "The body.")]
    assert parts(f"{heading} The body.") == [(name, title, "The body.")]
    assert parts(f"{heading} The body.".replace("\n", "\r\n")) == [(name, title, "The body.")]


def test_a_whole_note() -> None:
    text = (
        "Seen by Dr. Marlow.\n"
        "CHIEF COMPLAINT: Cough.\n"
        "PMH:\n1. Asthma.\n2. Gout.\n"
        "\nPHYSICAL EXAM\nVITAL SIGNS: BP 120/80.\nHEENT: Normal.\nLUNGS: Clear.\n"
        "\nASSESSMENT:\n1. Bronchitis.\n"
        "\nPLAN: Rest. FOLLOW-UP: In a week.\n"
    )
    assert parts(text) == [
        ("", "", "Seen by Dr. Marlow."),
        ("chief_complaint", "CHIEF COMPLAINT", "Cough."),
        ("past_medical_history", "PMH", "1. Asthma.\n2. Gout."),
        ("physical_exam", "PHYSICAL EXAM", "VITAL SIGNS: BP 120/80.\nHEENT: Normal.\nLUNGS: Clear."),
        ("assessment", "ASSESSMENT", "1. Bronchitis."),
        ("plan", "PLAN", "Rest."),
        ("follow_up", "FOLLOW-UP", "In a week."),
    ]


def test_headings_inside_a_line_are_known_titles_in_capitals_behind_the_end_of_a_sentence() -> None:
    assert names("The patient is stable. PLAN: We will wait.") == ["", "plan"]
    assert names("FINDINGS: Clear lungs.  IMPRESSION: Normal. RECOMMENDATION: None.") == [
        *("findings", "impression", "recommendations")
    ]
    assert names("We made an Assessment: of pain, and our PLAN: to rest. Plan: go on. DEVICE CHECK: good.") == [""]
    assert names("She rested. NOTE: call her. BP: low. A: well.") == [""]


@pytest.mark.parametrize(
    "line",
    [
        "Plan was discussed.",
        "PLAN WAS DISCUSSED WITH HER.",
        "history of present illness was reviewed",
        "The impression: none.",
        "BP: 120/80",
        "WBC: 9.0",
        "PULSE: 72",
        "T: 98.6",
        "P: 72",
        "WEIGHT: 80 kg",
        "DOSAGE GIVEN: 40 mg",
        "Wife's name: Ann",
        "Dear Dr. Marlow:",
        "Note: she called.",
        "10:30 Plan",
        "Medications, allergies.",
        "1. Tobacco use.",
        "- Plan: the visit.",
        "ASPIRIN",
        "Medication -free interval",
        "OPERATIVE REPORT",
    ],
)
def test_what_only_looks_like_a_heading_starts_no_section(line: str) -> None:
    assert names(f"HPI: She came in.\n{line}\nShe left.") == ["history_of_present_illness"]


def test_a_lower_case_title_needs_a_finished_line_before_it() -> None:
    assert names("She said that her\nplan: was to go.") == [""]
    assert names("She went.\nplan: rest") == ["", "plan"]


def test_unknown_headings_in_capitals_are_named_after_their_words() -> None:
    assert parts("HPI: Ok.\nDEVICE CHECK & PACING: Good.\nMore.") == [
        ("history_of_present_illness", "HPI", "Ok."),
        ("device_check_pacing", "DEVICE CHECK & PACING", "Good.\nMore."),
    ]
    assert names("HPI: Ok.\n\nSPIRITUAL CARE\nShe prays.") == ["history_of_present_illness", "spiritual_care"]
    assert names("HPI: Ok.\n\n## Spiritual care\nShe prays.") == ["history_of_present_illness", "spiritual_care"]


def test_problems_marked_like_headings_stay_in_the_plan() -> None:
    assert names("PLAN:\n# Asthma: inhaler.\n# Gout\nColchicine.\n# of visits: 3") == ["plan"]
    assert names("PLAN:\n# Asthma: inhaler.\n## Spiritual care\nShe prays.") == ["plan", "spiritual_care"]


def test_a_line_in_capitals_needs_a_body_and_a_blank_line_to_be_a_heading() -> None:
    assert names("HPI: Ok.\nSPIRITUAL CARE\nShe prays.") == ["history_of_present_illness"]
    assert names("HPI: Ok.\n\nSPIRITUAL CARE\n\nPLAN: Rest.\n\nJANE MARLOW") == [
        *("history_of_present_illness", "spiritual_care", "plan")
    ]
    assert names("HPI: Ok.\n\nASPIRIN\n\nLASIX\n\nThe rest.") == ["history_of_present_illness", "lasix"]


def test_in_a_note_in_capitals_only_known_titles_are_headings() -> None:
    text = "HPI: SHE CAME IN.\n\nHER DOG: BIT HER.\n\nNO FEVER\n\nSHE LEFT. PLAN: REST."
    assert names(text) == ["history_of_present_illness", "plan"]


def test_parts_of_an_examination_start_no_section_in_one_and_one_elsewhere() -> None:
    assert names("ROS: As said.\nHEENT: No pain.\nSKIN: No rash.\nPE:\nGENERAL: Well.\nNeck: Soft.") == [
        *("review_of_systems", "physical_exam")
    ]
    assert names("ALLERGIES: None.\nHEENT: Normal.\nNECK: Soft.") == ["allergies", "physical_exam"]
    assert names("HPI: Ok.\nNeck: Soft.") == ["history_of_present_illness"]
    assert names("SOCIAL HISTORY:\nTobacco: none.\nOccupation: smith.") == ["social_history"]
    assert names("VITAL SIGNS: Stable.\nPLAN: Rest.") == ["vital_signs", "plan"]


def test_problems_in_capitals_stay_in_their_list_unless_a_blank_line_comes_before() -> None:
    assert names("PLAN:\nCHEST PAIN: Watch.\nANEMIA: Iron.") == ["plan"]
    assert names("PLAN:\nCHEST PAIN: Watch.\n\nSPECIAL NEEDS: A ramp.") == ["plan", "special_needs"]


def test_numbered_items_of_a_list_are_no_headings_but_a_numbered_note_has_them() -> None:
    assert names("PLAN:\n1. Diet: low salt.\n2. Medications: none.\n3. Follow-up: in May.") == ["plan"]
    assert names("1. History: Cough.\n2. Exam: Clear.\n3. Assessment: Cold.\n4. Plan: Rest.") == [
        *("history", "physical_exam", "assessment", "plan")
    ]
    assert names("ASSESSMENT:\n1. Cold.\n1. PLAN\nRest.") == ["assessment", "plan"]


def test_letters_of_soap_notes() -> None:
    assert names("S: Cough.\nO: Clear.\nA: Cold.\nP: Rest.") == ["subjective", "objective", "assessment", "plan"]
    assert names("S: Cough.\nP: 1. Rest.\nA: 80 kg") == ["subjective", "plan"]


def test_a_section_starts_with_its_number_and_the_body_with_its_text() -> None:
    text = "Seen.\n 1. PLAN:\n  Rest."
    section = ENGLISH(text).sections[1]
    assert text[section.start :].startswith("1. PLAN")
    assert text[section.body_start :] == "Rest."
    assert ENGLISH("\n\n PLAN: Rest.").sections[0].start == 0
    empty = ENGLISH("PLAN:\nALLERGIES: None").sections[0]
    assert (empty.body_start, empty.end) == (6, 6)


def test_offsets_are_of_the_raw_text_where_the_cleaned_one_was_read() -> None:
    raw = "Seen.<br>PLAN&#58; Rest.<br>ALLERGIES: None"
    edits = [Edit(5, 9, "\n"), Edit(13, 18, ":"), Edit(24, 28, "\n")]
    record = Record(raw, cleaned=EditedText.of(raw, edits))
    found = ENGLISH(record).sections
    assert [(s.name, s.heading, raw[s.body_start : s.end]) for s in found] == [
        ("", "", "Seen.<br>"),
        ("plan", "PLAN", "Rest.<br>"),
        ("allergies", "ALLERGIES", "None"),
    ]


def test_headings_that_replace_one_stretch_of_the_raw_text_are_one_section() -> None:
    raw = "Seen. XXXX Rest."
    record = Record(raw, cleaned=EditedText.of(raw, [Edit(6, 10, "\nPLAN: x\nALLERGIES:")]))
    assert [(s.name, s.start, s.end) for s in ENGLISH(record).sections] == [("", 0, 6), ("plan", 6, 16)]


def test_a_heading_that_begins_inside_the_title_before_is_none() -> None:
    raw = "\n\nHEENT: normal."
    record = Record(raw, cleaned=EditedText.of(raw, [Edit(5, 6, "B\nXXXX")]))
    assert [(s.name, s.heading) for s in ENGLISH(record).sections] == [("heeb", "HEEN")]


def test_notes_without_headings_are_one_section_and_blank_ones_none() -> None:
    assert [(s.name, s.start, s.end) for s in ENGLISH("Just a letter.").sections] == [("", 0, 14)]
    for blank in ("", " \n\t\r\n"):
        record = ENGLISH(blank)
        assert record.sections == []
        assert record.has("sections")


def test_given_sections_are_kept() -> None:
    record = ENGLISH(Record("PLAN: Rest.", sections=[Section(0, 4, "mine")]))
    assert [(s.name, s.end) for s in record.sections] == [("mine", 4)]


def test_chinese_headings() -> None:
    text = "姓名:李某\n主诉：咳嗽3天\n现病史: 患者咳嗽。\n一、既往史：体健\n【诊断】肺炎\n处理\n休息"
    assert parts(text, CHINESE) == [
        ("", "", "姓名:李某"),
        ("chief_complaint", "主诉", "咳嗽3天"),
        ("history_of_present_illness", "现病史", "患者咳嗽。"),
        ("past_medical_history", "既往史", "体健"),
        ("diagnosis", "诊断", "肺炎"),
        ("plan", "处理", "休息"),
    ]


@pytest.mark.parametrize(
    "unit",
    ["a", "A", "PLAN: ", "A: ", ". PLAN:", "A ", " ", "\n", "PLAN\n", "PLAN - ", "#", "1. ", "A.\n", "X" * 70 + "\n"],
)
def test_long_texts_take_time_in_proportion(unit: str) -> None:
    finder = ENGLISH._ready()
    times = []
    for length in (20_000, 160_000):
        text = unit * (length // len(unit))
        start = time.process_time()
        finder.find(text)
        times.append(time.process_time() - start)
    # Eight times the text: quadratic time would be sixty-four times as long.
    assert times[1] < 24 * max(times[0], 0.01)


def test_a_note_of_ten_million_characters_in_one_line() -> None:
    line = "The lungs are clear and the heart is normal without a murmur. PLAN: Rest. " * 140_000
    record = Record(line)
    ENGLISH.process([record])
    assert len(record.sections) == 140_001
    assert record.sections[-1].end == len(line) > 10_000_000


def test_titles_are_texts_and_each_has_one_name() -> None:
    for lang in ("en", "zh"):
        rules = load_rules("sections", lang)
        found: dict[str, str] = {}
        for name, titles in rules["titles"].items():
            for title in titles:
                assert isinstance(title, str)
                assert found.setdefault(title_key(title), name) == name, title
        known = set(rules["titles"])
        assert set(rules.get("lists", ())) <= known
        for group in rules.get("parts", ()):
            assert {group["opens"], *group["within"]} <= known
            assert all(isinstance(title, str) for title in group["titles"])
    titles = load_rules("sections", "en")["titles"]
    assert len(titles) > 100
    assert sum(map(len, titles.values())) > 1000


def test_an_unknown_language_is_refused_when_the_stage_is_built() -> None:
    with pytest.raises(ConfigError, match=r"sections.*'xx'"):
        SectionDetector("xx")
    assert SectionDetector.load(CHINESE.config()).lang == "zh"


def test_most_real_notes_have_sections(corpora: Path) -> None:
    path = corpora / "mtsamples" / "notes.jsonl"
    with path.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file][::10]
    records = [ENGLISH(text) for text in texts]
    for record in records:
        check_invariants(record)
    assert sum(any(s.name for s in record.sections) for record in records) > 0.95 * len(records)
