"""Every alternative of the patterns of identifiers, and every word of the lists beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinnlp.rules import load_rules
from clinnlp.stages import Deidentifier
from clinnlp.stages._identifiers.found import Found, merged
from clinnlp.stages._identifiers.keyed import Keyed
from clinnlp.stages._identifiers.known import KnownStrings
from clinnlp.stages._identifiers.metadata import known_values
from clinnlp.stages._identifiers.patterns import PatternFinder
from clinnlp.stages._identifiers.people import name_after, name_before
from clinnlp.stages._identifiers.sparing import is_spared
from clinnlp.stages._identifiers.surrogates import Surrogates
from rules.tables import read_table, words_in

FINDER = PatternFinder(["en", "zh"])


def found(text: str) -> list[tuple[str, str]]:
    return [(one.label, text[one.start : one.end]) for one in merged(FINDER.find(text), text)]


def examples(lang: str) -> Iterator[tuple[str, str]]:
    """Give each text of the table with its label, `""` where nothing is to be found."""
    for row in read_table(lang, "identifiers"):
        for word in words_in(row["words"]):
            yield row.get("label", ""), row["text"].replace("{}", word).replace(r"\n", "\n").replace(r"\r", "\r")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_form_is_found_whole_and_nothing_else(lang: str) -> None:
    wrong = []
    for label, marked in examples(lang):
        whole = [(label, part) for part in re.findall("<(.*?)>", marked, re.DOTALL)]
        own = found(re.sub("[<>]", "", marked))
        if own != whole:
            wrong.append((marked, own))
    assert wrong == [], "\n".join(map(str, wrong))


# Lists of words


def words(name: str) -> list[str]:
    return words_in(read_table("en", "identifier_words")[name])


def known(value: str, key: str = "patient") -> KnownStrings:
    return KnownStrings(known_values({key: value}))


def test_the_table_of_words_is_complete() -> None:
    rules = load_rules("identifiers", "en")
    table = read_table("en", "identifier_words")
    for name in table:
        if name == "metadata":
            assert {label: sorted(words_in(keys)) for label, keys in table[name].items()} == {
                label: sorted(keys.split()) for label, keys in rules[name].items()
            }
        else:
            given = rules[name].split() if isinstance(rules[name], str) else rules[name]
            assert sorted(given) == words(name), name


def test_keys_of_metadata_say_what_their_values_are() -> None:
    for label, keys in read_table("en", "identifier_words")["metadata"].items():
        for key in words_in(keys):
            assert known_values({key: "Zebulon"}) == known_values({key.upper(): "Zebulon"}) == [("Zebulon", label)]
    assert known_values({"diagnosis": "Zebulon"}) == []


def test_each_key_of_metadata_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "deidentification.md").read_text(encoding="utf-8")
    for label, keys in load_rules("identifiers", "en")["metadata"].items():
        assert f"| {label} | {' '.join(f'`{key}`' for key in keys.split())} |" in page


def test_words_that_are_no_part_of_a_name_end_it() -> None:
    for word in words("not_names"):
        if len(word) == 1:
            continue  # an initial
        assert name_after(f"Zorble {word.title()} Quarry", 0, "mixed") == (0, 6), word
        if word not in words("titles"):
            assert name_after(f"{word.title()} Quarry", 0, "mixed") is None, word
        text = f"{word.title()} Zorble, MD"
        assert name_before(text, text.index(","), "mixed") == (len(word) + 1, len(word) + 7), word
    assert name_after("Zorble Quarry came", 0, "mixed") == (0, 13)


def test_titles_lead_to_a_name_and_are_none() -> None:
    make = Surrogates(Keyed(b"key", "p")).person
    for word in words("titles"):
        assert known(f"{word.title()} Zorble").words == {f"{word}zorble", "zorble"}
        assert make(f"{word.title()} Zorble").startswith(f"{word.title()} ")
        assert name_after(f"Zorble {word.title()} Quarry", 0, "mixed") == (0, 6)
        if word not in ("md", "do", "pa", "np", "rn"):
            assert name_after(f"{word.title()}. Zorble", 0, "mixed") == (len(word) + 2, len(word) + 8), word


def test_what_stands_behind_or_inside_a_name_stays_in_a_surrogate() -> None:
    make = Surrogates(Keyed(b"key", "p")).person
    for word in words("suffixes"):
        assert known(f"Zorble Quarry {word}").find(f"the {word} came") == []
        assert make(f"Zorble {word.upper()}").endswith(f" {word.upper()}")
    for word in words("particles"):
        assert known(f"Zorble {word} Quarry").find(f"the {word} came") == []
        assert f" {word} " in make(f"Zorble {word} Quarry")
        text = f"Zorble {word} Quarry"
        assert name_after(text, 0, "mixed") == name_before(f"{text}, MD", len(text), "mixed") == (0, len(text)), word


def test_short_names_that_are_words_too_count_where_they_are_written_like_names() -> None:
    for word in words("common_words"):
        assert known(f"Zorble {word.title()}").find(f"so {word} it is") == [], word
        assert len(known(f"Zorble {word.title()}").find(f"then {word.title()} came")) == 1, word
    assert len(known("Zorble Frob").find("so frob it is")) == 1


def test_values_that_name_nobody_are_not_looked_for() -> None:
    for word in words("nobody"):
        assert known(word).find(f"the {word} and {word.upper()}") == [], word
        assert known(word, "mrn").find(f"the {word} and {word.upper()}") == [], word
    assert len(known("frobs").find("the frobs")) == 1


def test_general_words_before_a_clinic_make_no_place_of_it() -> None:
    for word in words("generic_places"):
        assert found(f"Sent to the {word.title()} Clinic again") == [], word
    assert found("Sent to the Zorble Clinic again") == [("INSTITUTION", "Zorble Clinic")]


def test_names_that_diseases_and_signs_are_called_by_are_spared_by_a_model() -> None:
    def spared(name: str, behind: str = "") -> bool:
        return is_spared(Found(0, len(name), "PERSON", by="model", sure=False), name + behind, [])

    for word in words("eponyms"):
        assert spared(word.title()), word
    for word in words("eponym_heads"):
        assert spared("Zorble", f" {word}"), word
        assert spared(f"Crohn {word}"), word
    assert not spared("Zorble")
    assert not spared("Zorble", " came")


def test_what_stands_for_work_in_a_form_is_no_profession() -> None:
    for word in words("no_work"):
        assert found(f"Occupation: {word}\nMarried") == [], word
    assert found("Occupation: zorbler\nMarried") == [("PROFESSION", "zorbler")]


# 45 CFR 164.514(b)(2)(i), (A) to (R), in its order.
SAFE_HARBOR = [
    ("names", "PERSON DOCTOR"),
    ("geographic subdivisions smaller than a state", "ADDRESS INSTITUTION"),
    ("dates but the year, and ages over 89", "DATE AGE"),
    ("telephone numbers", "PHONE"),
    ("fax numbers", "PHONE"),
    ("e-mail addresses", "EMAIL"),
    ("social security numbers", "SSN"),
    ("medical record numbers", "MRN"),
    ("health plan beneficiary numbers", "ID"),
    ("account numbers", "ID"),
    ("certificate and licence numbers", "ID"),
    ("vehicle identifiers and serial numbers", "ID"),
    ("device identifiers and serial numbers", "ID"),
    ("web addresses", "URL"),
    ("IP addresses", "IP"),
    ("biometric identifiers", ""),
    ("full-face photographs", ""),
    ("any other unique number, characteristic or code", "ID"),
]


def test_each_kind_of_the_safe_harbor_has_a_label_that_patterns_find() -> None:
    rules = load_rules("identifiers", "en")
    assert [*rules["hipaa"].items()] == [(kind, labels.split()) for kind, labels in SAFE_HARBOR]
    labels = {label for _, some in SAFE_HARBOR for label in some.split()}
    labels.add("PROFESSION")  # which the rule does not name
    assert labels == {entry["label"] for entry in rules["patterns"]} == {label for label, _ in examples("en") if label}


def test_names_have_one_mark_whosever_they_are() -> None:
    note = "Dr. Achterberg saw Mr. Quarry on 3/5/2024."
    record = Deidentifier()(note)
    assert record.deidentified is not None
    assert record.deidentified.text == "Dr. [NAME] saw Mr. [NAME] on [DATE]."


# Chinese


def chinese(name: str) -> list[str]:
    return words_in(read_table("zh", "identifier_words")[name])


def test_every_surname_makes_a_name_of_what_stands_before_a_title() -> None:
    for surname in [*chinese("surnames"), *chinese("double_surnames")]:
        assert found(f"见{surname}女士来") == [("PERSON", surname)], surname
    assert found("见佐女士来") == []
    make = Surrogates(Keyed(b"key", "p")).person
    surnames = load_rules("surrogates", "zh")["surnames"]
    for surname in chinese("double_surnames"):
        assert make(f"{surname}佐布")[0] in surnames
        assert len(make(f"{surname}佐布")) == 3
        assert [one.label for one in known(f"{surname}佐布").find("见佐布来")] == ["PERSON"]


def test_words_that_begin_like_a_name_are_none() -> None:
    for word in chinese("not_names"):
        assert found(f"患者{word}，来诊") == [], word


def test_the_table_of_chinese_words_is_complete() -> None:
    rules = load_rules("identifiers", "zh")
    for name in ("double_surnames", "not_names"):
        assert sorted(rules[name]) == sorted(chinese(name))
    assert set(rules["words"]["surname"]) - set("(?:|[])") == set(
        "".join([*chinese("surnames"), *chinese("double_surnames")])
    )


def test_what_stands_in_a_chinese_note_for_each_label() -> None:
    note = (
        "患者王佐布，93岁，2024年3月5日到云岭医院就诊，病历号：Z20-1234，身份证号：A1234567，电话：13812345678，"
        "住址：梧桐里18号，医师：张佐乐。"
    )
    record = Deidentifier()(note)
    assert record.deidentified is not None
    assert record.deidentified.text == (
        "患者[姓名]，[年龄]岁，[日期]到[机构]就诊，病历号：[病历号]，身份证号：[编号]，电话：[电话]，"
        "住址：[地址]，医师：[姓名]。"
    )
