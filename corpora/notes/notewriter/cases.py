"""The clinical facts of a patient: what is there, what is not, what was, and what is done about it."""

from __future__ import annotations

from typing import Any

from notewriter.chance import Chance, Pool
from notewriter.data import read, rules
from notewriter.patients import Patient
from notewriter.templates import fits

__all__ = ["Case"]


class Case:
    """Facts that all notes of a patient share; pools give them without repetition.

    Parameters
    ----------
    patient : Patient
        Whose facts these are.
    specialty : dict
        An entry of `data/specialties`.
    chance : Chance
        Decides everything.
    """

    def __init__(self, patient: Patient, specialty: dict[str, Any], chance: Chance) -> None:
        self.patient, self.specialty, self._chance = patient, specialty, chance
        common = read("common")
        young = "child_" if patient.child else ""
        self.traits = patient.sex + ("C" if patient.child else "A") + ("O" if patient.age >= 45 else "J")
        self.traits += "R" if patient.age > 65 else "E"
        married = patient.relative in ("wife", "husband")
        self.traits += chance.pick("YYN") + chance.pick("SXX") + ("WP" if married else chance.pick("LW") + "U")
        self.years: dict[str, int] = {}
        conditions = self.fitting(specialty["conditions"])
        self.dx = chance.pick(conditions)
        self.present = chance.sample(self.fitting(specialty["symptoms"]), chance.number(4, 6))
        fitting = {fits(term, self.traits): drugs for term, drugs in common[f"{young}comorbidities"].items()}
        treatments: dict[str, list[str]] = {term: drugs for term, drugs in fitting.items() if term is not None}
        ill = chance.sample(self._unlike(list(treatments), self.dx), chance.number(2, 4))
        self.drug_of: dict[str, str] = {term: chance.pick(treatments[term]) for term in ill if treatments[term]}
        home = list(dict.fromkeys(self.drug_of.values()))
        fresh = chance.shuffled([drug for drug in self.fitting(specialty["meds"]) if drug not in home])
        extra = 3 if len(home) < 3 else 1
        self.pools = {
            "symptom": self.pool(self.present),
            "denied": self.pool([d for d in self._denied(common["denied"]) if not self.is_present(d)]),
            "ddx": self.pool([c for c in conditions if c != self.dx]),
            "comorbid": self.pool(ill),
            "past_disease": self.pool(self._unlike(self.fitting(common[f"{young}past_diseases"]), self.dx, *ill)),
            "past_surgery": self.pool(chance.sample(self.fitting(common[f"{young}surgeries"]), 3)),
            "famdisease": self.pool(chance.sample(common["family_diseases"], 4)),
            "famdenied": self.pool(common["family_denied"]),
            "med": self.pool([*home, *fresh[:extra]]),
            "newmed": self.pool(fresh[extra : extra + 3]),
            "oldmed": self.pool(fresh[extra + 3 : extra + 5]),
            "allergen": self.pool(chance.sample(self._unlike(common["allergens"], *home, *fresh), 2)),
            "reaction": self.pool(common["reactions"]),
            "complication": self.pool(common["complication"]),
            "returns": self.pool(rules()["returns"]),
            "lab": self.pool(self.fitting(specialty["labs"])),
            "occupation": self.pool([chance.pick(self.fitting(common["occupations"]))]),
            "hobby": self.pool(chance.sample(common["hobbies"], 2)),
            **{
                name: self.pool(self.fitting(specialty[f"{name}s"]))
                for name in ("test", "result", "sign", "procedure", "plan", "site")
            },
        }
        self.regimens: dict[str, tuple[str, str, str]] = {}

    def fitting(self, terms: list[str]) -> list[str]:
        """Give the terms that fit the patient's sex and age, without their conditions."""
        found = (fits(term, self.traits) for term in terms)
        return [term for term in found if term is not None]

    def pool(self, items: list[str]) -> Pool:
        """Make a pool that this case's chance decides."""
        return Pool(items, self._chance)

    def is_present(self, term: str) -> bool:
        """Tell whether a term names, or is named in, a symptom that the patient has."""
        return any(_alike(term, symptom) for symptom in self.present)

    def doses(self, drug: str) -> list[str]:
        """Give the doses that a drug is given in."""
        amounts: list[str] = read("medications")[drug][0].split("|")
        unit = amounts[-1].partition(" ")[2]
        return [dose if " " in dose else f"{dose} {unit}" for dose in amounts]

    def regimen(self, drug: str) -> tuple[str, str, str]:
        """Give dose, frequency and route of a drug; the same in all notes of the patient."""
        if drug not in self.regimens:
            _, frequencies, route = read("medications")[drug]
            dose = self._chance.pick(self.doses(drug))
            self.regimens[drug] = (dose, self._chance.pick(frequencies.split("|")), route)
        return self.regimens[drug]

    def _denied(self, common: list[str]) -> list[str]:
        own = [s for s in self.fitting(self.specialty["symptoms"]) if s not in self.present]
        return [*self._chance.sample(common, 16), *self._chance.sample(own, 3)]

    @staticmethod
    def _unlike(terms: list[str], *others: str) -> list[str]:
        return [term for term in terms if not any(_alike(term, other) for other in others)]


def _alike(one: str, other: str) -> bool:
    """Tell whether a name of one term is part of a name of the other."""
    pairs = ((a.lower(), b.lower()) for a in one.split(" @")[0].split("|") for b in other.split(" @")[0].split("|"))
    return any(a == b or (min(len(a), len(b)) > 3 and (a.rstrip("s") in b or b.rstrip("s") in a)) for a, b in pairs)
