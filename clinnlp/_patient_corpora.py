"""Readers of corpora of patients without notes: what is known of them is the metadata of their records."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from clinnlp._corpus_files import Parts, cut, existing, table
from clinnlp.errors import FormatError
from clinnlp.record import Label, Record

__all__ = ["HEART_VARIABLES", "read_synthea", "read_uci_heart"]

# Column of patients.csv -> key of metadata. Names, numbers and addresses, invented as they are, are left out.
_OF_A_PATIENT = {
    "BIRTHDATE": "birth_date",
    "DEATHDATE": "death_date",
    "GENDER": "sex",
    "RACE": "race",
    "ETHNICITY": "ethnicity",
    "MARITAL": "marital_status",
}

HEART_VARIABLES = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
)  # fmt: skip
_HEART_TARGET = "target"
_SEXES = {0.0: "F", 1.0: "M"}


def read_synthea(folder: Path) -> Parts:
    """Read `conditions.csv` and `patients.csv`: a record a patient, sorted by id.

    `metadata["conditions"]` are its conditions by their start, and within a day in the order of the file.
    """
    conditions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table(existing(folder, "conditions.csv"), ("START", "STOP", "PATIENT", "CODE", "DESCRIPTION")):
        conditions[row["PATIENT"]].append(
            {"start": row["START"], "stop": row["STOP"] or None, "code": row["CODE"], "name": row["DESCRIPTION"]}
        )
    patients: dict[str, dict[str, Any]] = {}
    for row in table(existing(folder, "patients.csv"), ("Id", *_OF_A_PATIENT)):
        patients[row["Id"]] = {ours: row[column] for column, ours in _OF_A_PATIENT.items() if row[column]}
    return cut(
        [
            Record(
                id=patient,
                metadata={
                    "patient": patient,
                    **patients.get(patient, {}),
                    "conditions": sorted(conditions.get(patient, []), key=lambda one: one["start"]),
                },
            )
            for patient in sorted({*patients, *conditions})
        ]
    )


def read_uci_heart(folder: Path) -> Parts:
    """Read `processed.cleveland.data` and `processed.hungarian.data`: a record a patient, a part a site."""
    return {
        site: _heart_records(existing(folder, f"processed.{site}.data"), site) for site in ("cleveland", "hungarian")
    }


def _heart_records(path: Path, site: str) -> list[Record]:
    names = (*HEART_VARIABLES, _HEART_TARGET)
    records = []
    for number, row in enumerate(table(path, names, names), 1):
        try:
            known = {name: float(cell) for name, cell in row.items() if cell.strip() not in ("", "?")}
            disease = known.pop(_HEART_TARGET) > 0
            metadata: dict[str, Any] = {
                name: int(value) if value.is_integer() else value for name, value in known.items() if name != "sex"
            }
            if "sex" in known:
                metadata["sex"] = _SEXES[known["sex"]]
        except (ValueError, KeyError):
            raise FormatError(f"{path.name}, row {number}: not a row of the heart disease data") from None
        records.append(
            Record(
                id=f"{site}-{number}",
                metadata={"site": site, **metadata},
                labels={"disease": [Label("yes" if disease else "no")]},
            )
        )
    return records
