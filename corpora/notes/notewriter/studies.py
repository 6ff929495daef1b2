"""What reports are about: a radiology study, an operation or a specimen, with the sentences it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from notewriter.chance import Chance
from notewriter.data import read

__all__ = ["Study", "make_study"]


@dataclass(frozen=True)
class Study:
    """The service that sends the patient, who the patient may be, and rules of the report alone."""

    service: str
    sex: str
    ages: tuple[int, int] | None
    rules: dict[str, list[str]]


def make_study(kind: str, chance: Chance) -> Study | None:
    """Make what a report of this kind is about; None for notes that are about the patient."""
    if kind == "radiology_report":
        return _imaging(chance)
    if kind == "pathology_report":
        return _specimen(chance)
    if kind in ("operation_note", "procedure_note"):
        wanted = kind.removesuffix("_note")
        return _operation(chance.pick([o for o in read("operations").values() if o["kind"] == wanted]), chance)
    return None


def _imaging(chance: Chance) -> Study:
    study = chance.pick(list(read("imaging").values()))
    found = chance.sample(study["abnormal"], chance.weighted([(0, 2), (1, 5), (2, 2)]))
    normal = chance.sample(study["normal"], chance.number(3, 5))
    well = ["No acute abnormality", "Normal study", "Unremarkable examination", "No acute findings"]
    rules = {
        "study": [chance.pick(study["study"])],
        "technique": [chance.pick(study["technique"])],
        "study_finding": chance.shuffled([finding for finding, _ in found]) + normal,
        "study_impression": [impression for _, impression in found] or [chance.pick(well)],
    }
    return Study(chance.pick(study["services"]), study.get("sex", ""), None, rules)


def _specimen(chance: Chance) -> Study:
    specimen = chance.pick(read("pathology"))
    rules = {
        "specimen": [specimen["specimen"]],
        "gross": chance.sample(specimen["gross"], chance.number(1, 2)),
        "micro": chance.sample(specimen["micro"], chance.number(1, 2)),
        "pathdx": [chance.pick(specimen["diagnosis"])],
    }
    return Study(specimen["service"], specimen.get("sex", ""), None, rules)


def _operation(operation: dict[str, Any], chance: Chance) -> Study:
    name, why = _named(chance.pick(operation["name"]), "P"), _named(chance.pick(operation["why"]), "D")
    steps = operation["steps"]
    left_out = chance.number(0, len(steps) - 1)
    rules = {
        "opname": [name],
        "opwhy": [why],
        "opsame": [chance.pick(["Same", why, "Same as preoperative"])],
        "opanesthesia": [chance.pick(operation["anesthesia"])],
        "opfinding": chance.sample(operation["findings"], chance.number(1, 3)),
        "opspecimen": [chance.pick(operation["specimen"]).replace("none", "None")],
        "opstep": [step for i, step in enumerate(steps) if i != left_out],
        "surgeon": ["{attending}, MD", "Dr. {attending}", "{attending}"][:: chance.pick([1, -1])][:1],
    }
    ages = operation.get("ages")
    return Study(operation["service"], operation.get("sex", ""), (ages[0], ages[1]) if ages else None, rules)


def _named(term: str, label: str) -> str:
    """Give a term as a template: marked already, plain after "=", else an entity of this label."""
    if "<" in term:
        return term
    return term[1:] if term.startswith("=") else f"<[{term}]|{label}>"
