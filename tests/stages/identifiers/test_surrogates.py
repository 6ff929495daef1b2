"""Surrogates: the same for the same person, day and number, in the form of what they stand for."""

from __future__ import annotations

import datetime
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


def test_signs_that_only_look_plain_are_replaced_too_and_give_the_same_surrogate() -> None:
    make = surrogates().of
    assert make("123-45-６７８９", "SSN") == make("123-45-6789", "SSN")
    assert make("Jose\u0301 Smіth", "PERSON") == make("José Smith", "PERSON")
    hashed = [Deidentifier(mode="hash", key="k")(f"Dr. {name}").deidentified for name in ("José", "Jose\u0301")]
    assert len({edited.text for edited in hashed if edited is not None}) == 1


@pytest.mark.parametrize("other", ["a. smith", " A.  Smith ", "A.\tSMITH", "Ａ. Smith", "A.\u00a0Smith"])
def test_letter_case_and_blanks_make_no_other_patient(other: str) -> None:
    one, same = surrogates("A. Smith"), surrogates(other)
    assert (one.days, one.person("Okonkwo"), one.number("123456")) == (
        same.days,
        same.person("Okonkwo"),
        same.number("123456"),
    )


@pytest.mark.parametrize("other", ["A Smith", "A. Smyth", "A.Smith", "A. Smith 2", ""])
def test_what_is_written_otherwise_is_another_patient(other: str) -> None:
    assert surrogates("A. Smith").number("123456") != surrogates(other).number("123456")


def test_a_patient_of_a_column_of_numbers_is_one_and_none_is_none() -> None:
    def given_out(patient: object) -> str:
        record = Deidentifier(mode="surrogate", key="k")(Record("Seen 3/5/2024.", metadata={"patient": patient}))
        assert record.deidentified is not None
        return record.deidentified.text

    assert given_out(123456.0) == given_out("123456") == given_out(123456)
    assert given_out(None) == given_out("")


def test_a_label_stands_for_what_has_no_surrogate() -> None:
    record = Deidentifier(mode="surrogate", key="k")("Born 13/45/2024, aged 93 years old.")
    assert record.deidentified is not None
    assert record.deidentified.text == "Born [DATE], aged 90+ years old."


# A thousand notes of one patient, and a few of another


WRITTEN: list[tuple[str, str]] = [
    ("%Y-%m-%d", r"\d{4}-\d\d-\d\d"),
    ("%m/%d/%Y", r"\d{1,2}/\d{1,2}/\d{4}"),
    ("%m/%d/%y", r"\d{1,2}/\d{1,2}/\d\d"),
    ("%B %d, %Y", r"[A-Z][a-z]+ \d{1,2}, \d{4}"),
    ("%d %b %Y", r"\d{1,2} [A-Z][a-z]{2} \d{4}"),
    ("%d-%b-%Y", r"\d{1,2}-[A-Z][a-z]{2}-\d{4}"),
]
NAMED = ["{0} {1}", "Mr. {1}", "{1}, {0}", "{1:u}, {0:u}", "{0:l} {1:l}", "{0}"]
DOCTORS = ["Dr. {0} {1}", "Dr. {1}", "{0} {1}, MD", "DR. {1:u}", "Dr. {0} {1}"]
PHONES = ["555-867-5309", "(555) 867-5309", "555.867.5309", "+1 555 867 5309"]
NUMBERS = ["AB12-3456", "ab123456", "AB 123456"]


class Name(str):
    """A name that a format may want in capitals or in small letters."""

    def __format__(self, how: str) -> str:
        return {"u": self.upper(), "l": self.lower()}.get(how, str(self))


def notes_of(first: str, last: str, count: int) -> list[Record]:
    """Write notes of one patient: each names patient and doctor in one of their ways, two days, and two numbers."""
    made = []
    for i in range(count):
        day = datetime.date(2019, 1, 1) + datetime.timedelta(days=2 * i)
        written, _ = WRITTEN[i % len(WRITTEN)]
        parts = [
            NAMED[i % len(NAMED)].format(Name(first), Name(last)),
            DOCTORS[i % len(DOCTORS)].format(Name("Xanthe"), Name("Achterberg")),
            day.strftime(written),
            (day + datetime.timedelta(days=14)).strftime(written),
            PHONES[i % len(PHONES)],
            NUMBERS[i % len(NUMBERS)],
        ]
        metadata = {"patient": f"{first} {last}", "mrn": "AB123456", "time": day.isoformat()}
        made.append(Record(" ; ".join(parts), id=str(i), metadata=metadata))
    return made


def given_out(records: list[Record], size: int = 64) -> list[list[str]]:
    """Give the parts of the new text of each note."""
    nlp = Pipeline([Deidentifier(mode="surrogate", key="k")], batch_size=size)
    texts = [record.deidentified.text for record in nlp.pipe(records) if record.deidentified is not None]
    assert len(texts) == len(records)
    return [text.split(" ; ") for text in texts]


def form_of(text: str) -> str:
    """Give how a text is written: letters and digits as what they are."""
    return re.sub(r"\d", "0", re.sub(r"[a-z]+", "a", re.sub(r"[A-Z]{2,}", "AA", re.sub(r"[A-Z](?=[a-z])", "A", text))))


def read(text: str, written: str) -> datetime.date:
    """Read a day; that of a May, which is as long as it is short, may have moved into a month of three letters."""
    long = "%B" in written and len(text.split()[0]) > 3
    return datetime.datetime.strptime(text, written if long else written.replace("%B", "%b")).date()


@pytest.fixture(scope="module")
def thousand() -> list[list[str]]:
    return given_out(notes_of("Zebulon", "Quarry", 1000))


@pytest.mark.parametrize(("place", "ways"), [(0, NAMED), (1, DOCTORS)])
def test_in_a_thousand_notes_a_person_has_one_name_also_by_its_parts(
    place: int, ways: list[str], thousand: list[list[str]]
) -> None:
    first, last = re.findall(r"[A-Z][a-z]+", thousand[0][place].replace("Dr.", ""))
    assert {first, last}.isdisjoint({"Zebulon", "Quarry", "Xanthe", "Achterberg"})
    for number, parts in enumerate(thousand):
        assert parts[place] == ways[number % len(ways)].format(Name(first), Name(last)), number


def test_in_a_thousand_notes_all_days_move_by_one_number_and_keep_their_form_and_intervals(
    thousand: list[list[str]],
) -> None:
    moved, between = set(), set()
    for number, parts in enumerate(thousand):
        written, form = WRITTEN[number % len(WRITTEN)]
        old = (datetime.date(2019, 1, 1) + datetime.timedelta(days=2 * number)).strftime(written)
        assert re.fullmatch(form, parts[2]), parts[2]
        assert re.fullmatch(form, parts[3]), parts[3]
        if re.search(r"\b0", old):  # a day that is written with a zero stays so
            assert re.search(r"\b\d\b", parts[2]) is None, (old, parts[2])
        new, later = (read(part, written) for part in parts[2:4])
        moved.add((new - datetime.date(2019, 1, 1)).days - 2 * number)
        between.add((later - new).days)
    assert between == {14}
    (days,) = moved
    assert -365 <= days <= -1


def test_in_a_thousand_notes_a_number_stays_one_number_in_the_form_of_each(thousand: list[list[str]]) -> None:
    for place, written, kept in ((4, PHONES, 10), (5, NUMBERS, 8)):
        assert len({re.sub(r"\W", "", parts[place]).upper()[-kept:] for parts in thousand}) == 1
        for number, parts in enumerate(thousand):
            assert form_of(parts[place]) == form_of(written[number % len(written)])
            assert parts[place] != written[number % len(written)]


def test_neither_order_nor_batches_nor_other_notes_change_a_surrogate(thousand: list[list[str]]) -> None:
    records = notes_of("Zebulon", "Quarry", 1000)[::-25]
    others = notes_of("Ottoline", "Brisk", 40)
    mixed = [record for pair in zip(records, others, strict=True) for record in pair]
    assert given_out(mixed, size=7)[::2] == thousand[::-25]


def test_another_patient_has_other_names_days_and_numbers(thousand: list[list[str]]) -> None:
    for one, other in zip(thousand[:40], given_out(notes_of("Ottoline", "Brisk", 40)), strict=True):
        assert all(mine != yours for mine, yours in zip(one, other, strict=True))
