"""Surrogates: the same for the same person, day and number, in the form of what they stand for."""

from __future__ import annotations

import datetime
import itertools
import re

import pytest

from clinnlp import Pipeline, Record
from clinnlp.rules import load_rules
from clinnlp.stages import Deidentifier
from clinnlp.stages._identifiers.days import shifted
from clinnlp.stages._identifiers.keyed import Keyed
from clinnlp.stages._identifiers.surrogates import Surrogates

NAMES = load_rules("surrogates", "en")


def surrogates(patient: str = "p1", key: bytes = b"key") -> Surrogates:
    return Surrogates(Keyed(key, patient))


def test_parts_of_a_name_agree_and_keep_their_form() -> None:
    make = surrogates().person
    first, last = make("John Smith").split()
    assert make("Smith, John") == f"{last}, {first}"
    assert make("SMITH") == last.upper()
    assert make("john smith") == f"{first} {last}".lower()
    assert make("John\nSmith's") == f"{first}\n{last}'s"
    assert re.fullmatch(rf"{first} [A-Z]\. {last} Jr", make("John Q. Smith Jr"))
    assert {first, last}.isdisjoint({"John", "Smith"})


def test_the_first_name_tells_the_sex() -> None:
    for number in range(30):
        make = surrogates(f"p{number}").person
        assert make("Mary") in NAMES["female"]
        assert make("Robert") in NAMES["male"]
        assert make("Okonkwo") in NAMES["last"]


def test_a_profession_becomes_another_the_same_everywhere() -> None:
    make = surrogates().profession
    assert make("truck driver") in NAMES["professions"]
    assert make("TRUCK DRIVER") == make("truck  driver").upper()
    assert all(surrogates(f"p{number}").profession("potter") != "potter" for number in range(60))


def test_another_patient_or_key_gives_others() -> None:
    def all_of(one: Surrogates) -> tuple[object, ...]:
        return (one.person("John Smith"), one.phone("555-867-5309"), one.days, one.number("MR1234567"))

    assert all_of(surrogates()) == all_of(surrogates())
    assert all_of(surrogates()) != all_of(surrogates("p2"))
    assert all_of(surrogates()) != all_of(surrogates(key=b"other"))


def test_what_is_known_of_the_patient_is_no_surrogate() -> None:
    every = {name.lower() for name in NAMES["last"]}
    made = Surrogates(Keyed(b"key", "p"), avoid=every - {"yardley"}).person("Okonkwo Smith Jones")
    assert made == "Yardley Yardley Yardley"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("March 5, 2024", "March 22, 2024"),
        ("3/5/24", "3/22/24"),
        ("03/05/2024", "03/22/2024"),
        ("2024-03-05", "2024-03-22"),
        ("20240305", "20240322"),
        ("05-Mar-2024", "22-Mar-2024"),
        ("05MAR2024", "22MAR2024"),
        ("March 3rd", "March 20th"),
        ("5th of March, 2024", "22nd of March, 2024"),
        ("MARCH\n5, 2024", "MARCH\n22, 2024"),
        ("12/31/99", "1/17/00"),
        ("25.12.2023", "11.1.2024"),
        ("March 2024", "April 2024"),
        ("03/2019", "04/2019"),
        ("2024年3月5日", "2024年3月22日"),
        ("2024-03-05T10:11:12Z", "2024-03-22T10:11:12Z"),
        ("Feb 12, 2023", "Mar 1, 2023"),
        ("13/45/2024", None),
        ("Feb 30, 2024", None),
        ("March 5-9, 2024", None),
        ("12/31/9999", None),
        ("soon", None),
    ],
)
def test_dates_move_by_days_in_their_own_form(text: str, wanted: str | None) -> None:
    assert shifted(text, 17, 2024) == wanted


def test_the_day_comes_first_where_the_note_says_so() -> None:
    assert shifted("03/05/2024", 17, 2024, day_first=True) == "20/05/2024"
    record = Deidentifier(mode="surrogate", key="k")("Seen 25/12/2023, then 03/01/2024.")
    assert record.deidentified is not None
    one, other = re.findall(r"(\d+)/(\d+)/(\d+)", record.deidentified.text)
    days = [datetime.date(int(y), int(m), int(d)) for d, m, y in (one, other)]
    assert (days[1] - days[0]).days == 9


def test_numbers_keep_their_form_and_agree_in_another() -> None:
    make = surrogates()
    phone = make.phone("555-867-5309")
    assert re.fullmatch(r"\d{3}-\d{3}-\d{4}", phone)
    assert phone != "555-867-5309"
    digits = phone.replace("-", "")
    assert re.sub(r"\D", "", make.phone("(555) 867-5309")) == digits
    assert re.sub(r"\D", "", make.phone("+1 555 867 5309"))[1:] == digits
    assert re.fullmatch(r"[A-K]{2}\d{2}-\d{4}", make.number("MR12-3456"))
    assert make.number("mr 123456").replace(" ", "").upper() == make.number("MR12-3456").replace("-", "")
    assert re.fullmatch(r"[a-z]+\d\d@example\.org", make.email("zeb@mail.example.com"))
    assert make.url("https://x.org/zeb").startswith("https://www.example.org/")
    assert make.ip("10.0.0.1").startswith("192.0.2.")


def test_a_label_stands_for_what_has_no_surrogate() -> None:
    record = Deidentifier(mode="surrogate", key="k")("Born 13/45/2024, aged 93 years old.")
    assert record.deidentified is not None
    assert record.deidentified.text == "Born [DATE], aged 90+ years old."


def test_a_thousand_notes_of_one_patient_agree() -> None:
    first = datetime.date(2020, 1, 1)
    ways = ("John Smith", "Mr. Smith", "Smith, John", "SMITH, JOHN", "john")
    records = []
    for number in range(1000):
        day = first + datetime.timedelta(days=number)
        text = f"{day.isoformat()}: {ways[number % 5]} called 555-867-5309."
        records.append(Record(text, id=str(number), metadata={"patient": "John Smith", "time": day.isoformat()}))
    found = [
        record.deidentified.text
        for record in Pipeline([Deidentifier(mode="surrogate", key="k")]).pipe(records)
        if record.deidentified is not None
    ]
    assert len(found) == 1000
    days = [datetime.date.fromisoformat(text[:10]) for text in found]
    assert {(later - day).days for day, later in itertools.pairwise(days)} == {1}
    names = {tuple(sorted(re.findall(r"[a-z]+", text[11:].lower().split(" called")[0]))) for text in found}
    given, family = (word for word in re.findall(r"[A-Z]\w+", found[0]))
    assert names == {
        tuple(sorted(words)) for words in ([given.lower(), family.lower()], ["mr", family.lower()], [given.lower()])
    }
    assert len({text.rsplit(" ", 1)[1] for text in found}) == 1
