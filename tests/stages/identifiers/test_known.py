"""What a record's metadata knows is found, however the text writes it."""

from __future__ import annotations

from typing import Any

import pytest

from clinnlp import Record
from clinnlp.stages import Deidentifier
from clinnlp.stages._identifiers.found import merged
from clinnlp.stages._identifiers.known import KnownStrings
from clinnlp.stages._identifiers.metadata import further_keys, known_values

METADATA = {
    "patient": "Zebulon Quarry",
    "doctor": ["Xanthe O'Brien-Achterberg", "Dr. Will Hope"],
    "mrn": "MR12-3456",
    "phone": "+1 (555) 867-5309",
    "contact": {"name": "王小明", "telephone": 5558675310},
    "address": "12 Elm Way, Ravensport, TX 71127",
    "birth_date": "1944-03-05",
    "time": "2024-01-01",
    "ward": "Larkspur",
}
KNOWN = KnownStrings(known_values(METADATA))


def found(text: str, known: KnownStrings = KNOWN) -> list[str]:
    return [text[one.start : one.end] for one in merged(known.find(text), text)]


@pytest.mark.parametrize(
    "text",
    [
        "Zebulon Quarry",
        "ZEBULON QUARRY",
        "zebulon quarry",
        "Quarry, Zebulon",
        "Zebulon",
        "quarry",
        "Zebulon\nQuarry",
        "Zebulon\r\n   Quarry",
        "Zebu-\nlon",
        "Qua\nrry",
        "Zeb u lon",
        "ZebulonQuarry",
        "Zebulon_Quarry",
        "Z. Quarry",
        "Zebul0n",
        "Qu4rry",
        "Zébulon",
        "Ｚｅｂｕｌｏｎ",
        "Zebu\u00adlon",
        "O'Brien",
        "obrien",
        "O'BRIEN-ACHTERBERG",
        "Will Hope",
        "MR12-3456",
        "mr 123456",
        "555.867.5309",
        "867-5309",
        "555) 867-\n5309",
        "5558675310",
        "王小明",
        "小明",
        "12 Elm\nWay",
        "Ravensport",
        "71127",
        "1944-03-05",
    ],
)
def test_each_way_of_writing_what_is_known_is_found_whole(text: str) -> None:
    for before, after in (("", ""), ("x ", " y"), ("(", ")"), ("\n", "'s"), ("于", "来")):
        whole = before + text + after
        assert found(whole) == [text] or (after == "'s" and found(whole) == [text + after])


@pytest.mark.parametrize(
    "text",
    ["Quarrying", "Larkspur", "She will", "hope", "WILL RETURN", "Will return", "2024", "the ban an a", "MR 12", ""],
)
def test_other_words_are_left(text: str) -> None:
    assert found(text) == []


def test_a_common_short_word_is_a_name_where_it_is_written_like_one() -> None:
    assert found("I saw Will today, and will again. WILL HOPE came.") == ["Will", "WILL HOPE"]


def test_a_name_that_is_a_disease_is_found_where_it_is_known() -> None:
    known = KnownStrings(known_values({"patient": "Ann Parkinson"}))
    assert found("Parkinson disease, ANN", known) == ["Parkinson", "ANN"]


@pytest.mark.parametrize("value", ["patient", "unknown", "N/A", "", "7", 12, None, True, "Dr.", {"x": 1}, [[]], "X"])
def test_values_that_name_nobody_remove_nothing(value: object) -> None:
    known = KnownStrings(known_values({"patient": value, "name": [value]}))
    assert found("The patient, unknown to Dr. X, is 7 or 12; name: true, x 1. Na 140, n/a.", known) == []


def test_other_keys_can_be_named() -> None:
    known = KnownStrings(known_values(METADATA, further_keys(["Ward"])))
    assert found("Zebulon on Larkspur", known) == ["Zebulon", "Larkspur"]
    assert known_values({"visit": {"Patient-Name": "Zeb"}}) == [("Zeb", "PERSON")]


def test_a_sign_that_stands_for_several_letters_moves_no_offset() -> None:
    known = KnownStrings(known_values({"patient": "Eﬃe Groß", "doctor": "Kohl"}))
    text = "½ ß ﬃ: Effie GROSS or EFFIE groß or Eﬃe and Kohl-ß; 😀 Kohl"
    assert found(text, known) == ["Effie GROSS", "EFFIE groß", "Eﬃe", "Kohl", "Kohl"]


@pytest.mark.parametrize(
    ("text", "metadata", "wanted"),
    [
        ("Then Li Wei improved", {"patient": "Li Wei (李伟)"}, "Then [NAME] improved"),
        ("患者李伟好转", {"patient": "Li Wei 李伟"}, "患者[姓名]好转"),
        ("Quarry slept, said Zebulon", {"patient": "Zebulon Quarry 2nd"}, "[NAME] slept, said [NAME]"),
        ("Quarry slept, said Zebulon", {"patient": "Zebulon Quarry (1956)"}, "[NAME] slept, said [NAME]"),
        ("Code 123456", {"mrn": 123456.0}, "Code [MRN]"),
        ("Code 123456", {"mrn": "123456.0"}, "Code [MRN]"),
    ],
)
def test_names_beside_another_script_or_numbers_and_numbers_of_a_column_with_gaps(
    text: str, metadata: dict[str, Any], wanted: str
) -> None:
    record = Deidentifier()(Record(text, metadata=metadata))
    assert record.deidentified is not None
    assert record.deidentified.text == wanted
