"""Slots of the patient, the people and places around them, and the days: all that identifies somebody."""

from __future__ import annotations

import datetime

from notewriter.patients import show_date
from notewriter.teller import SLOTS, Teller, slot

__all__: list[str] = []


def _identity(name: str, label: str) -> None:
    def tell(teller: Teller) -> None:
        teller.identifier(getattr(teller.case.patient, name), label)

    SLOTS[name] = tell


for _label, _names in {
    "PERSON": ("name", "relative_name"),
    "DOCTOR": ("attending", "pcp", "consultant", "nurse"),
    "MRN": ("mrn", "account"),
    "EMAIL": ("email",),
    "ADDRESS": ("address", "town"),
    "INSTITUTION": ("hospital", "clinic", "facility", "employer"),
}.items():
    for _name in _names:
        _identity(_name, _label)


def _doctor(attribute: str) -> None:
    def tell(teller: Teller) -> None:
        name = getattr(teller.case.patient, attribute)
        if teller.chance.happens(0.7):
            teller.draft.add("Dr. ")
            teller.identifier(name if teller.chance.happens(0.4) else name.partition(" ")[2], "DOCTOR")
        else:
            teller.identifier(name, "DOCTOR")
            teller.draft.add(", MD" if teller.chance.happens(0.5) else " MD")

    SLOTS[f"dr_{attribute}"] = tell


for _attribute in ("attending", "pcp", "consultant"):
    _doctor(_attribute)


@slot
def _name_last_first(teller: Teller) -> None:
    patient = teller.case.patient
    teller.identifier(f"{patient.last}, {patient.first}", "PERSON")


@slot
def _mr_name(teller: Teller) -> None:
    _title(teller)
    teller.identifier(teller.case.patient.name, "PERSON")


@slot
def _mr_last(teller: Teller) -> None:
    patient = teller.case.patient
    if patient.child:
        teller.identifier(patient.first, "PERSON")
    else:
        _title(teller)
        teller.identifier(patient.last, "PERSON")


def _title(teller: Teller) -> None:
    if not teller.case.patient.child:
        teller.draft.add("Mr. " if teller.case.patient.sex == "M" else teller.chance.pick(["Ms. ", "Mrs. "]))


@slot
def _subject(teller: Teller) -> None:
    if teller.style.terse and teller.chance.happens(0.6):
        teller.draft.add("Pt")
    elif teller.chance.happens(0.3):
        _mr_last(teller)
    else:
        teller.draft.add("the patient")


@slot
def _occupation(teller: Teller) -> None:
    name = teller.draw("occupation")
    retired = name.startswith("retired ")
    teller.draft.add("retired " if retired else "")
    teller.identifier(name.removeprefix("retired "), "PROFESSION")


@slot
def _age(teller: Teller) -> None:
    born, today = teller.case.patient.born, teller.dates.today
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    teller.identifier(str(age), "AGE")


@slot
def _aged(teller: Teller) -> None:
    _age(teller)
    forms = ["yo", " y/o", " y.o.", "-yr-old"] if teller.style.terse else ["-year-old", "-year-old", " year old"]
    teller.draft.add(teller.chance.pick(forms))


@slot
def _n_age(teller: Teller) -> None:
    teller.identifier(str(teller.chance.number(41, 93)), "AGE")


@slot
def _own_age(teller: Teller) -> None:
    age = teller.case.patient.age
    teller.identifier(str(teller.chance.number(min(5, age), max(age - 1, 1))), "AGE")


@slot
def _pager(teller: Teller) -> None:
    teller.identifier(f"{teller.chance.number(1000, 9999)}", "PHONE")


@slot
def _phone(teller: Teller) -> None:
    teller.phone(teller.case.patient.phone)


@slot
def _dob(teller: Teller) -> None:
    teller.identifier(show_date(teller.case.patient.born, teller.style.date), "DATE")


@slot
def _today(teller: Teller) -> None:
    teller.date(0)


@slot
def _recent_date(teller: Teller) -> None:
    teller.date(-teller.chance.number(2, 20))


@slot
def _past_date(teller: Teller) -> None:
    teller.date(-teller.chance.number(30, 700))


@slot
def _future_date(teller: Teller) -> None:
    teller.date(teller.chance.number(5, 60))


@slot
def _mid_date(teller: Teller) -> None:
    since = (teller.dates.today - teller.dates.admitted).days
    teller.date(-teller.chance.number(0, max(since, 1)))


@slot
def _past_year(teller: Teller) -> None:
    teller.identifier(str(_year(teller)), "DATE")


@slot
def _past_month(teller: Teller) -> None:
    year, month = _year(teller), teller.chance.number(1, 12)
    shown = show_date(datetime.date(year, month, 1), 2).replace(" 1,", "")
    teller.identifier(teller.chance.pick([shown, f"{month:02}/{year}"]), "DATE")


def _year(teller: Teller) -> int:
    """Give the year of what was named last; all notes of a patient give it the same."""
    before = teller.dates.today.year - 1
    first = min(max(teller.case.patient.born.year + 1, before - 24), before)
    return teller.case.years.setdefault(teller.last, teller.chance.number(first, before))
