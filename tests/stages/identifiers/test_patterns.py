"""Identifiers that have a form: every one is found, and what only looks like one is left."""

from __future__ import annotations

import time

import pytest

from clinnlp.stages._identifiers.found import Found, merged
from clinnlp.stages._identifiers.patterns import PatternFinder, _crossing

FINDER = PatternFinder(["en", "zh"])


def found(text: str) -> list[tuple[str, str]]:
    return [(one.label, text[one.start : one.end]) for one in merged(FINDER.find(text), text)]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("DATE", "Seen <03/05/2024> again."),
        ("DATE", "Seen <3/5/24> again."),
        ("DATE", "Seen <3-5-2024> again."),
        ("DATE", "Seen <05.03.2024> again."),
        ("DATE", "Seen <2024-03-05> again."),
        ("DATE", "At <2024-03-05T10:11:12Z> again."),
        ("DATE", "On <March 5, 2024> again."),
        ("DATE", "On <March  5,\n2024> again."),
        ("DATE", "On <MARCH 5TH, 2024> again."),
        ("DATE", "On <5 March 2024> again."),
        ("DATE", "On the <5th of March> again."),
        ("DATE", "On <05-Mar-2024> again."),
        ("DATE", "On <Mar 5> again."),
        ("DATE", "In <March 2024> again."),
        ("DATE", "In <03/2019> again."),
        ("DATE", "Seen on <3/5> again."),
        ("DATE", "Ill since <January>."),
        ("DATE", "Stay <March 5-9, 2024>."),
        ("AGE", "a <93>-year-old man"),
        ("AGE", "a <101> yo man"),
        ("AGE", "Age: <94>."),
        ("AGE", "in her <90s>"),
        ("AGE", "this <nonagenarian> was"),
        ("AGE", "a <ninety-three>-year-old"),
        ("PHONE", "Call <555-123-4567>."),
        ("PHONE", "Call <(555) 123-4567>."),
        ("PHONE", "Call <(555) 123-4567 ext. 12>."),
        ("PHONE", "Call <555.123.4567>."),
        ("PHONE", "Call <+1 555 123 4567>."),
        ("PHONE", "Call <555-\n123-4567>."),
        ("PHONE", "Call <+44 20 7946 0958>."),
        ("PHONE", "Call <555-0199>."),
        ("PHONE", "pager <3987>"),
        ("PHONE", "Fax: <5551234567>"),
        ("EMAIL", "Write to <ann.smith+x@mail.example.com>."),
        ("EMAIL", "Write to <ANN@EXAMPLE.ORG>."),
        ("EMAIL", "Write to <ann [at] example [dot] org> now"),
        ("URL", "See <https://example.org/a?b=c>."),
        ("URL", "See <www.example.org/a>."),
        ("URL", "See <portal.example.org> now"),
        ("IP", "From <10.0.0.12> today"),
        ("IP", "From <2001:db8:0:0:0:0:0:1> today"),
        ("ID", "From <00:1A:2B:3C:4D:5E> today"),
        ("SSN", "SSN <123-45-6789>."),
        ("SSN", "SSN <123-45-\n6789>."),
        ("MRN", "MRN: <1234567>"),
        ("MRN", "MRN <AB-12345>"),
        ("MRN", "Medical Record Number: <895838-15>"),
        ("MRN", "Accession No. <S24-1234>"),
        ("ID", "Account #: <C95338809>"),
        ("ID", "Lic. no. <A12345>"),
        ("ID", "Policy number <XYZ-99812>"),
        ("ID", "Serial No: <SN-88123-A>"),
        ("ID", "Card <4111 1111 1111 1111>"),
        ("ID", "IBAN <DE89 3704 0044 0532 0130 00>"),
        ("ID", "VIN <1HGCM82633A004352>"),
        ("PHONE", "number <943 476 5919> here"),
        ("ID", "code <83629175> here"),
        ("ADDRESS", "Lives at <12 Elm Street, Springfield, IL 62704>."),
        ("ADDRESS", "Lives at <5795 Quarry St., Ravensport, TX 71127>."),
        ("ADDRESS", "Box: <P.O. Box 123>."),
        ("ADDRESS", "zip code <62704>"),
        ("INSTITUTION", "went to <Oakhollow Community Hospital> today"),
        ("INSTITUTION", "went to <St. Brannoc Hospital> today"),
        ("INSTITUTION", "from the <University of Ravensport> today"),
        ("INSTITUTION", "WENT TO <OAKHOLLOW HOSPITAL> TODAY"),
        ("DOCTOR", "seen by Dr. <Achterberg>."),
        ("DOCTOR", "seen by Dr. <Jane van der Berg>."),
        ("DOCTOR", "SEEN BY DR. <ACHTERBERG>."),
        ("DOCTOR", "seen by dr <achterberg>."),
        ("DOCTOR", "Signed: <Zainab Babatunde>, DO"),
        ("DOCTOR", "<Zainab Babatunde>, MD"),
        ("DOCTOR", "Dictated by: <Zainab Babatunde>"),
        ("PERSON", "Mrs. <O'Brien-Smith> said"),
        ("PERSON", "Patient: <Smith, John A>. Seen"),
        ("PERSON", "Name: <Zebulon Quarry>\nAge: 44"),
        ("PERSON", "his wife <Xanthe> said"),
        ("PERSON", "Then <Susan Achterberg> came."),
        ("PROFESSION", "Works as a <truck driver> and lives alone."),
        ("PROFESSION", "Occupation: retired <high school teacher>."),
        ("PROFESSION", "Occupation: <glass blower>\nMarried"),
        ("PROFESSION", "She is a retired <nurse>."),
        ("PROFESSION", "HE IS A FORMER <POLICE OFFICER> WHO"),
        ("DATE", "于<2024年3月5日>就诊"),
        ("PHONE", "电话<13812345678>。"),
        ("ID", "身份证<11010519491231002X>。"),
        ("MRN", "住院号：<A123456>。"),
        ("INSTITUTION", "就诊于<北京大学第一医院>，"),
        ("ADDRESS", "家住<北京市海淀区中关村大街27号>。"),
        ("PERSON", "姓名：<王小明>，男"),
        ("DOCTOR", "由<张伟>医生接诊"),
        ("AGE", "患者<93>岁"),
    ],
)
def test_an_identifier_is_found_whole(label: str, text: str) -> None:
    start, end = text.index("<"), text.index(">") - 1
    plain = text.replace("<", "").replace(">", "")
    assert (label, plain[start:end]) in found(plain)


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, HR 72, 5/5 strength, 2/6 murmur, SpO2 98% on 2 L.",
        "WBC 10.2, platelets 250000, Na 140, K 4.1, glucose 103 mg/dL.",
        "Metformin 500 mg 1/2 tablet, heparin 5000 units, 200-1000 mg.",
        "Temp 98.6 F, then 99 F; 64-year-old man, pain 3/10.",
        "Surgery in 2019. Parkinson disease, Gaucher disease, Foley catheter.",
        "She may 5 times a day march in place. The doctor will see the patient.",
        "Seen in the cardiology clinic of the hospital, then in Surgery Clinic.",
        "L4-L5, T12, C5-6, CD20, HER2, B12, O2, pH 7.35, INR 2.1, EF 55-60%.",
        "2 mm ST elevation; 3 view chest CT; walk 5 days on the road.",
        "ASSESSMENT: PATIENT HAS COPD. MD TO FOLLOW. NAME OF DRUG: ASPIRIN 81 MG.",
        "He is a former smoker. Occupation: retired. She is a poor historian. The nurse saw a worker.",
        "It was a difficult airway operator-dependent exam. Occupation: none.",
        "患者，男，45岁，因发热3天入院，既往高血压，于外院治疗。",
    ],
)
def test_what_is_no_identifier_is_left(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "1" * 300_000,
        "1 " * 150_000,
        "1\n" * 150_000,
        "a." * 150_000,
        "dr " * 50_000,
        "\n" * 300_000,
        " " * 300_000,
        "A " * 150_000,
        "St " * 100_000,
        "市" * 100_000,
        "1-" * 100_000,
        "Mr. A. B. C. " * 20_000,
        "drs Ann, " * 40_000,
        "Drs Ann and " * 30_000,
        "Dr. Ach-\n" * 30_000,
        "Ach-\n" * 60_000 + ", MD",
        "a\u0301" * 150_000,
        "\u0301\u200b" * 150_000,
        "O1/" * 100_000,
        "94F, " * 60_000,
        "03 05 2024 " * 30_000,
    ],
)
def test_no_text_makes_it_run_away(text: str) -> None:
    began = time.process_time()
    FINDER.find(text[: len(text) // 4])
    quarter = time.process_time() - began
    began = time.process_time()
    FINDER.find(text)
    assert time.process_time() - began < 8 * quarter + 1


def test_offsets_are_code_points_behind_signs_of_several_bytes() -> None:
    text = "é患者😀 2024-03-05 \u200bDr.\u00a0Achterberg ２０２４-０３-０６"
    assert found(text) == [("DATE", "2024-03-05"), ("DOCTOR", "Achterberg"), ("DATE", "２０２４-０３-０６")]


def test_invisible_signs_inside_hide_nothing() -> None:
    assert found("Call 555-\u200b123-45\u00ad67") == [("PHONE", "555-\u200b123-45\u00ad67")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("We saw Mary Stone.", ["Mary Stone"]),
        ("We saw Anne-Mary Stone, O'Mary Stone and éMary Stone.", []),
        ("We saw 3Mary Stone and -Mary Stone, with 'Mary Stone.", ["Mary Stone"] * 3),
        ("We saw john Mary Stone and MaryMary Stone.", ["Mary Stone"]),
        ("We saw mary Stone and Mary stone.", []),
    ],
)
def test_an_ordinary_first_name_is_a_word_by_itself(text: str, names: list[str]) -> None:
    assert [one for label, one in found(text) if label == "PERSON"] == names


def test_of_what_joined_lines_show_that_is_kept_which_a_line_end_cut() -> None:
    text = "3/5/ \n2024 x\n"

    def kept(label: str, *others: tuple[int, int], of: str = "") -> list[tuple[int, int]]:
        crossing = [Found(0, 10, label), Found(0, 4, label)]
        return [(one.start, one.end) for one in _crossing(crossing, text, [Found(*at, of or label) for at in others])]

    for label in ("DATE", "EMAIL"):
        assert kept(label) == [(0, 10)]
        assert kept(label, (0, 4)) == kept(label, (3, 4), (11, 12)) == kept(label, (3, 4), (0, 12)) == []
        assert kept(label, (0, 4), of="PHONE") == kept(label, (6, 12), (11, 12)) == [(0, 10)]
    # What stands in a line says that a line's end cut nothing there, only where it is an address of the net.
    assert kept("EMAIL", (6, 9)) == kept("EMAIL", (6, 10)) == kept("EMAIL", (2, 8), (5, 11)) == []
    assert kept("DATE", (6, 9)) == kept("DATE", (6, 10)) == kept("DATE", (2, 8), (5, 11)) == [(0, 10)]
    assert [*_crossing([Found(0, 12, "DATE")], text, [Found(11, 12, "DATE")])] == [Found(0, 12, "DATE")]
