"""Slots of diseases and drugs that are more than a term of a pool, and of words that follow from the case."""

from __future__ import annotations

from notewriter.data import read, specialties
from notewriter.teller import FLAGGED_SLOTS, SLOTS, ConflictError, Teller, flagged_slot, slot
from notewriter.templates import parse

__all__: list[str] = []


@flagged_slot
def _dx(teller: Teller, flags: str) -> None:
    teller.entity(teller.term(teller.case.dx), "Disease", flags)


def _dosed(pool: str) -> None:
    def tell(teller: Teller, flags: str) -> None:
        teller.drug(teller.draw(pool), flags)

    FLAGGED_SLOTS[f"{pool}_dose"] = tell


for _pool in ("med", "newmed", "oldmed"):
    _dosed(_pool)


@flagged_slot
def _itsmed(teller: Teller, flags: str) -> None:
    teller.entity(_drug_of_last(teller), "Medication", flags)


@flagged_slot
def _itsmed_dose(teller: Teller, flags: str) -> None:
    teller.drug(_drug_of_last(teller), flags)


def _drug_of_last(teller: Teller) -> str:
    """Give what the patient takes for the disease named last."""
    drug = teller.case.drug_of.get(teller.last)
    if drug is None:
        raise ConflictError(teller.last)
    return drug


@flagged_slot
def _itsdisease(teller: Teller, flags: str) -> None:
    diseases = [disease for disease, drug in teller.case.drug_of.items() if drug == teller.last]
    if not diseases:
        raise ConflictError(teller.last)
    teller.entity(teller.term(diseases[0]), "Disease", flags)


@slot
def _newdose(teller: Teller) -> None:
    dose, frequency, _ = teller.case.regimen(teller.last)
    others = [other for other in teller.case.doses(teller.last) if other != dose]
    if not others:
        raise ConflictError(teller.last)
    often = teller.chance.pick(read("frames/words")["frequencies"][frequency])
    teller.draft.add(f"{teller.chance.pick(others)} {often}")


def _pronoun(name: str, male: str, female: str) -> None:
    def tell(teller: Teller) -> None:
        teller.draft.add(male if teller.case.patient.sex == "M" else female)

    SLOTS[name] = tell


for _name, _male, _female in (("he", "he", "she"), ("his", "his", "her"), ("him", "him", "her"), ("m", "M", "F")):
    _pronoun(_name, _male, _female)


@slot
def _man(teller: Teller) -> None:
    male = teller.case.patient.sex == "M"
    adult = ["man", "male", "gentleman"] if male else ["woman", "female", "lady"]
    child = ["boy", "male"] if male else ["girl", "female"]
    teller.draft.add(teller.chance.pick(child if teller.case.patient.child else adult))


@slot
def _a(teller: Teller) -> None:
    teller.draft.article()


@slot
def _is(teller: Teller) -> None:
    teller.draft.add("are" if teller.plural else "is")


@slot
def _has(teller: Teller) -> None:
    teller.draft.add("have" if teller.plural else "has")


@slot
def _side(teller: Teller) -> None:
    teller.draft.add(teller.side)


@slot
def _newline(teller: Teller) -> None:
    teller.draft.add("\n")


@slot
def _minute(teller: Teller) -> None:
    teller.draft.add(f"{teller.chance.number(0, 11) * 5:02}")


@slot
def _hhmm(teller: Teller) -> None:
    colon = ":" if teller.style.date % 2 else ""
    teller.draft.add(f"{teller.chance.number(0, 23):02}{colon}{teller.chance.number(0, 59):02}")


@slot
def _duration(teller: Teller) -> None:
    teller.tell(parse(teller.chance.pick(read("frames/words")["durations"])))


@slot
def _service(teller: Teller) -> None:
    teller.draft.add(teller.case.specialty["service"])


@slot
def _other_service(teller: Teller) -> None:
    names = [name for name in specialties() if name not in (teller.case.specialty["service"], "Pediatrics")]
    teller.draft.add(teller.chance.pick(names))


@slot
def _relative(teller: Teller) -> None:
    teller.draft.add(teller.case.patient.relative)


@slot
def _schooling(teller: Teller) -> None:
    age = teller.case.patient.age
    ends = {6: "first", 7: "second", 8: "third"}
    teller.draft.add("daycare" if age < 5 else "kindergarten" if age == 5 else f"{ends.get(age, f'{age - 5}th')} grade")
