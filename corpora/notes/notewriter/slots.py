"""Slots that are more than a term of a pool: the patient, the people, the days, the drugs."""

from __future__ import annotations

import datetime

from notewriter.data import read
from notewriter.patients import show_date
from notewriter.teller import SLOTS, Conflict, Teller
from notewriter.templates import parse

__all__: list[str] = []


def _identity(name: str, label: str, attribute: str) -> None:
    def tell(teller: Teller, flags: str) -> None:
        teller.identifier(getattr(teller.case.patient, attribute), label)

    SLOTS[name] = tell


for _name, _label, _attribute in [
    ("name", "PERSON", "name"), ("mrn", "MRN", "mrn"), ("account", "MRN", "account"), ("email", "EMAIL", "email"),
    ("address", "ADDRESS", "address"), ("town", "ADDRESS", "town"), ("hospital", "INSTITUTION", "hospital"),
    ("clinic", "INSTITUTION", "clinic"), ("facility", "INSTITUTION", "facility"),
    ("employer", "INSTITUTION", "employer"), ("attending", "DOCTOR", "attending"), ("pcp", "DOCTOR", "pcp"),
    ("consultant", "DOCTOR", "consultant"), ("nurse", "DOCTOR", "nurse"), ("relative_name", "PERSON", "relative_name"),
]:  # fmt: skip
    _identity(_name, _label, _attribute)


def _doctor(attribute: str) -> None:
    def tell(teller: Teller, flags: str) -> None:
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


def _slot(function: object) -> object:
    SLOTS[function.__name__.removeprefix("_")] = function  # type: ignore[attr-defined, assignment]
    return function


@_slot
def _name_last_first(teller: Teller, flags: str) -> None:
    patient = teller.case.patient
    teller.identifier(f"{patient.last}, {patient.first}", "PERSON")


@_slot
def _mr_name(teller: Teller, flags: str) -> None:
    _title(teller)
    teller.identifier(teller.case.patient.name, "PERSON")


@_slot
def _mr_last(teller: Teller, flags: str) -> None:
    patient = teller.case.patient
    if patient.child:
        teller.identifier(patient.first, "PERSON")
    else:
        _title(teller)
        teller.identifier(patient.last, "PERSON")


def _title(teller: Teller) -> None:
    if not teller.case.patient.child:
        teller.draft.add("Mr. " if teller.case.patient.sex == "M" else teller.chance.pick(["Ms. ", "Mrs. "]))


@_slot
def _subject(teller: Teller, flags: str) -> None:
    if teller.style.terse and teller.chance.happens(0.6):
        teller.draft.add("Pt")
    elif teller.chance.happens(0.3):
        _mr_last(teller, flags)
    else:
        teller.draft.add("the patient")


@_slot
def _he(teller: Teller, flags: str) -> None:
    teller.draft.add("he" if teller.case.patient.sex == "M" else "she")


@_slot
def _his(teller: Teller, flags: str) -> None:
    teller.draft.add("his" if teller.case.patient.sex == "M" else "her")


@_slot
def _him(teller: Teller, flags: str) -> None:
    teller.draft.add("him" if teller.case.patient.sex == "M" else "her")


@_slot
def _man(teller: Teller, flags: str) -> None:
    male = teller.case.patient.sex == "M"
    adult = ["man", "male", "gentleman"] if male else ["woman", "female", "lady"]
    child = ["boy", "male"] if male else ["girl", "female"]
    teller.draft.add(teller.chance.pick(child if teller.case.patient.child else adult))


@_slot
def _m(teller: Teller, flags: str) -> None:
    teller.draft.add(teller.case.patient.sex)


@_slot
def _age(teller: Teller, flags: str) -> None:
    born, today = teller.case.patient.born, teller.dates.today
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    teller.identifier(str(age), "AGE")


@_slot
def _aged(teller: Teller, flags: str) -> None:
    _age(teller, flags)
    forms = ["yo", " y/o", " y.o.", "-yr-old"] if teller.style.terse else ["-year-old", "-year-old", " year old"]
    teller.draft.add(teller.chance.pick(forms))


@_slot
def _n_age(teller: Teller, flags: str) -> None:
    teller.identifier(str(teller.chance.number(41, 93)), "AGE")


@_slot
def _a(teller: Teller, flags: str) -> None:
    teller.draft.article()


@_slot
def _newline(teller: Teller, flags: str) -> None:
    teller.draft.add("\n")


@_slot
def _minute(teller: Teller, flags: str) -> None:
    teller.draft.add(f"{teller.chance.number(0, 11) * 5:02}")


@_slot
def _hhmm(teller: Teller, flags: str) -> None:
    colon = ":" if teller.style.date % 2 else ""
    teller.draft.add(f"{teller.chance.number(0, 23):02}{colon}{teller.chance.number(0, 59):02}")


@_slot
def _pager(teller: Teller, flags: str) -> None:
    teller.identifier(f"{teller.chance.number(1000, 9999)}", "PHONE")


@_slot
def _phone(teller: Teller, flags: str) -> None:
    teller.phone(teller.case.patient.phone)


@_slot
def _dob(teller: Teller, flags: str) -> None:
    teller.identifier(show_date(teller.case.patient.born, teller.style.date), "DATE")


@_slot
def _today(teller: Teller, flags: str) -> None:
    teller.date(0)


@_slot
def _recent_date(teller: Teller, flags: str) -> None:
    teller.date(-teller.chance.number(2, 20))


@_slot
def _past_date(teller: Teller, flags: str) -> None:
    teller.date(-teller.chance.number(30, 700))


@_slot
def _future_date(teller: Teller, flags: str) -> None:
    teller.date(teller.chance.number(5, 60))


@_slot
def _mid_date(teller: Teller, flags: str) -> None:
    since = (teller.dates.today - teller.dates.admitted).days
    teller.date(-teller.chance.number(0, max(since, 1)))


@_slot
def _past_year(teller: Teller, flags: str) -> None:
    teller.identifier(str(_year(teller)), "DATE")


@_slot
def _past_month(teller: Teller, flags: str) -> None:
    year, month = _year(teller), teller.chance.number(1, 12)
    shown = show_date(datetime.date(year, month, 1), 2).replace(" 1,", "")
    teller.identifier(teller.chance.pick([shown, f"{month:02}/{year}"]), "DATE")


def _year(teller: Teller) -> int:
    """Give the year of what was named last; all notes of a patient give it the same."""
    before = teller.dates.today.year - 1
    first = min(max(teller.case.patient.born.year + 1, before - 24), before)
    return teller.case.years.setdefault(teller.last, teller.chance.number(first, before))


@_slot
def _duration(teller: Teller, flags: str) -> None:
    teller.tell(parse(teller.chance.pick(read("frames/words")["durations"])))


@_slot
def _dx(teller: Teller, flags: str) -> None:
    teller.entity(teller.term(teller.case.dx), "Disease", flags)


@_slot
def _service(teller: Teller, flags: str) -> None:
    teller.draft.add(teller.case.specialty["service"])


@_slot
def _relative(teller: Teller, flags: str) -> None:
    teller.draft.add(teller.case.patient.relative)


@_slot
def _med_dose(teller: Teller, flags: str) -> None:
    teller.drug(teller.draw("med"), flags)


@_slot
def _newmed_dose(teller: Teller, flags: str) -> None:
    teller.drug(teller.draw("newmed"), flags)


@_slot
def _oldmed_dose(teller: Teller, flags: str) -> None:
    teller.drug(teller.draw("oldmed"), flags)


@_slot
def _itsmed(teller: Teller, flags: str) -> None:
    teller.entity(_drug_of_last(teller), "Medication", flags)


@_slot
def _itsmed_dose(teller: Teller, flags: str) -> None:
    teller.drug(_drug_of_last(teller), flags)


def _drug_of_last(teller: Teller) -> str:
    """Give what the patient takes for the disease named last."""
    drug = teller.case.drug_of.get(teller.last)
    if drug is None:
        raise Conflict(teller.last)
    return drug


@_slot
def _itsdisease(teller: Teller, flags: str) -> None:
    diseases = [disease for disease, drug in teller.case.drug_of.items() if drug == teller.last]
    if not diseases:
        raise Conflict(teller.last)
    teller.entity(teller.term(diseases[0]), "Disease", flags)


@_slot
def _newdose(teller: Teller, flags: str) -> None:
    dose, frequency, _ = teller.case.regimen(teller.last)
    others = [other for other in teller.case.doses(teller.last) if other != dose]
    if not others:
        raise Conflict(teller.last)
    often = teller.chance.pick(read("frames/words")["frequencies"][frequency])
    teller.draft.add(f"{teller.chance.pick(others)} {often}")


@_slot
def _schooling(teller: Teller, flags: str) -> None:
    age = teller.case.patient.age
    ends = {6: "first", 7: "second", 8: "third"}
    teller.draft.add("daycare" if age < 5 else "kindergarten" if age == 5 else f"{ends.get(age, f'{age - 5}th')} grade")


@_slot
def _own_age(teller: Teller, flags: str) -> None:
    age = teller.case.patient.age
    teller.identifier(str(teller.chance.number(min(5, age), max(age - 1, 1))), "AGE")


@_slot
def _is(teller: Teller, flags: str) -> None:
    teller.draft.add("are" if teller.plural else "is")


@_slot
def _has(teller: Teller, flags: str) -> None:
    teller.draft.add("have" if teller.plural else "has")


@_slot
def _side(teller: Teller, flags: str) -> None:
    teller.draft.add(teller.side)
