"""Invented patients, the people around them, and how a note writes dates, telephones and numbers."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from notewriter.chance import Chance
from notewriter.data import read

__all__ = ["Patient", "make_patient", "show_date", "show_phone"]

MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """A patient who does not exist, and their doctors and places."""

    first: str
    last: str
    sex: str
    age: int
    born: datetime.date
    mrn: str
    account: str
    phone: str
    email: str
    address: str
    town: str
    hospital: str
    clinic: str
    facility: str
    employer: str
    attending: str
    pcp: str
    consultant: str
    nurse: str
    relative: str
    relative_name: str

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"

    @property
    def child(self) -> bool:
        """Tell whether the patient is under 18."""
        return self.age < 18


def make_patient(chance: Chance, sex: str, ages: tuple[int, int], today: datetime.date) -> Patient:
    """Make a patient of that sex and an age of that range on a day."""
    people = read("people")
    firsts = {"F": chance.shuffled(people["female"]), "M": chance.shuffled(people["male"])}
    surnames = chance.shuffled(people["surnames"])
    towns = chance.shuffled(people["towns"])

    def person(of: str | None = None, surname: str | None = None) -> str:
        return f"{firsts[of or chance.pick('FM')].pop()} {surname or surnames.pop()}"

    def place(kind: str) -> str:
        return str(chance.pick(people[kind])).format(town=chance.pick(towns[:2]))

    age = chance.number(*ages)
    first, last = firsts[sex].pop(), surnames.pop()
    relative, relative_sex = _relative(chance, sex, age)
    number = chance.pick(["{}-{:02}-{:02}", "{}{:02}{:02}", "MR{}{:02}{:02}", "{}{:02}-{:02}"])
    mrn = number.format(chance.number(100, 9999), chance.number(0, 99), chance.number(0, 99))
    street = f"{chance.pick(people['streets'])} {chance.pick(people['street_kinds'])}"
    return Patient(
        first=first,
        last=last,
        sex=sex,
        age=age,
        born=today - datetime.timedelta(days=int(age * 365.25) + chance.number(2, 355)),
        mrn=mrn,
        account=f"{chance.pick('ACHV')}{chance.number(10000000, 99999999)}",
        phone=f"{chance.number(201, 989)}-555-01{chance.number(0, 99):02}",
        email=_email(chance, first, last),
        address=f"{chance.number(2, 9800)} {street}, {towns[0]}, {chance.pick(people['states'])}"
        f" {chance.number(10001, 99899)}",
        town=towns[0],
        hospital=place("hospitals"),
        clinic=place("clinics"),
        facility=place("facilities"),
        employer=place("employers"),
        attending=person(),
        pcp=person(),
        consultant=person(),
        nurse=person(),
        relative=relative,
        relative_name=person(relative_sex, last if chance.happens(0.6) else None),
    )


def _relative(chance: Chance, sex: str, age: int) -> tuple[str, str]:
    if age < 18:
        return chance.pick([("mother", "F"), ("father", "M"), ("grandmother", "F")])
    spouse = ("wife", "F") if sex == "M" else ("husband", "M")
    others = [("daughter", "F"), ("son", "M")] if age >= 45 else [("mother", "F"), ("father", "M")]
    return chance.pick([spouse, spouse, *others, ("sister", "F"), ("brother", "M")])


def _email(chance: Chance, first: str, last: str) -> str:
    plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalpha() or c == "."))
    form = chance.pick(["{}", "{}{}", "{}_{}"])
    return form.format(plain, chance.number(1, 99)) + chance.pick(["@example.org", "@mail.example.com", "@example.net"])


def show_date(day: datetime.date, style: int) -> str:
    """Write a day as one of eight kinds of notes do."""
    month, short = MONTHS[day.month - 1], MONTHS[day.month - 1][:3]
    return (
        f"{day.month:02}/{day.day:02}/{day.year}",
        f"{day.month}/{day.day}/{day.year % 100:02}",
        f"{month} {day.day}, {day.year}",
        f"{day.day:02}-{short}-{day.year}",
        f"{day.isoformat()}",
        f"{short} {day.day}, {day.year}",
        f"{day.day} {month} {day.year}",
        f"{day.month}-{day.day}-{day.year}",
    )[style]


def show_phone(phone: str, style: int) -> str:
    """Write a telephone number as one of four kinds of notes do."""
    area, office, line = phone.split("-")
    return (phone, f"({area}) {office}-{line}", f"{area}.{office}.{line}", f"+1 {area} {office} {line}")[style]
