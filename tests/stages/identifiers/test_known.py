"""What a record's metadata knows is found, however the text writes it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from clinnlp import Record
from clinnlp.errors import ConfigError
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


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        ("mrn", "1005", "1OO5 | lOO5 | I005 | 10O5 | 1 0O5"),
        ("mrn", "l005", "1005 | lOO5 | l005"),
        ("mrn", "lOO5", "1005 | 1OO5"),
        ("mrn", "88417203", "884I7203 | B84172O3"),
        ("mrn", "A12B34", "Al2B34 | A1ZB34 | A12834 | А12В34"),
        ("phone", "555-867-5309", "555-867-53O9 | S55 867 5309 | ５５５-８６７-５３０９"),
        (
            "patient",
            "Anna Smith",
            "Аnnа Smіth | ΑNNA SMITH | ᴀɴɴᴀ | An\u3164na | An\u2062na | A\u0334n\u0334n\u0334a\u0334",
        ),
        ("patient", "Аnnа Smith", "Anna Smith | Аnnа"),
        ("patient", "José Ñandú", "Jose\u0301 | Jose\u0301 N\u0303andu\u0301 | JOSÉ"),
        ("patient", "Jose\u0301 N\u0303andu\u0301", "José | José Ñandú | Jose"),
        ("patient", "Jürgen Müller", "Mueller | Muller | JUERGEN MUELLER"),
        ("patient", "Juergen Mueller", "Müller | Jürgen Muller"),
        ("patient", "Søren Łukasz", "Soren | Soeren | Lukasz | Łukasz"),
        ("patient", "Zebulon Quarry", "Zebu-\n> lon"),
        ("patient", "Pat O'Brien", "O′Brien | O\x92Brien"),
        ("patient", "王小明", "⼩明 | 王 小 明"),
        ("address", "12 Elm Street", "12 elm st | 12 Elm Str. | 12 ELM STREET"),
        ("address", "12 N Elm Ave Apt 4, Ulm", "12 North Elm Avenue | 12 N. Elm Av, apartment 4 | 12 n elm ave"),
        ("address", "1250 Larkspur Rd", "1250 Larkspur | Larkspur Road"),
    ],
)
def test_odd_spelling_hides_nothing_that_is_known(key: str, value: str, texts: str) -> None:
    known = KnownStrings(known_values({key: value}))
    for text in texts.split(" | "):
        assert found(f"then {text}, x", known) == [text.rstrip(".")], text


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        ("mrn", "1005", "loos | LOOS | 71OO5 | 1OO56 | 10 OS | 1 OO 5"),
        ("zip", "71127", "T, 11/27 | 7 I 127 | 7Il273"),
        ("mrn", "8111", "bill | Bill"),
        ("address", "5 High St", "5 high | high ST"),
        ("address", "1 Oak Way, Fort Lee", "Ft Lee"),
        ("patient", "Susan Blue", "blu | Susann"),
    ],
)
def test_what_is_written_nearly_so_is_left(key: str, value: str, texts: str) -> None:
    known = KnownStrings(known_values({key: value}))
    for text in texts.split(" | "):
        assert found(f"then {text}, x", known) == [], text


def test_a_common_word_behind_a_title_is_a_name() -> None:
    known = KnownStrings(known_values({"patient": "Anne Will"}))
    assert found("Mr. Will came. Will return.", known) == ["Will"]


def test_keys_of_the_patient_and_further_keys_identify_and_others_do_not() -> None:
    day = datetime.date(1944, 3, 5)
    assert known_values({"Patient Phone": "5551234", "ptSurname": "Quarry", "patient_sex": "female"}) == [
        ("5551234", "PHONE"),
        ("Quarry", "PERSON"),
    ]
    assert known_values({"birth_date": day, "mrn": {12345}}) == [("1944-03-05", "DATE"), ("12345", "MRN")]
    assert known_values({"drug": "Zebulon"}) == []
    as_list, as_mapping = further_keys("Case Name"), further_keys({"Case Name": "PERSON"})
    metadata = {"case_name": "Zebulon Quarry", "mrn": "88417203"}
    text = "Quarry. So zebulon quarry, 88417203"
    assert found(text, KnownStrings(known_values(metadata, as_list))) == ["zebulon quarry", "88417203"]
    assert found(text, KnownStrings(known_values(metadata, as_mapping))) == ["Quarry", "zebulon quarry", "88417203"]


@pytest.mark.parametrize("known", [5, [5], ["-"], {"ward": "NAME"}, {"ward": 1}, b"ward"])
def test_keys_that_cannot_be_are_refused(known: Any) -> None:
    with pytest.raises(ConfigError, match="known: "):
        Deidentifier(known=known)
