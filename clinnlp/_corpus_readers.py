"""From the files of each corpus to records."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinnlp._assertion_corpora import read_bioscope, read_negex
from clinnlp._corpus_files import Parts, cut, existing
from clinnlp._image_corpora import read_busi, read_covid_cxr, read_pneumoniamnist, read_ultrasound
from clinnlp._patient_corpora import read_synthea, read_uci_heart
from clinnlp.errors import ClinNLPError, FormatError
from clinnlp.formats import brat, iob
from clinnlp.record import Entity, Label, Record

__all__ = ["ALL_TYPES_READERS", "MACCROBAT_LABELS", "READERS"]

MACCROBAT_LABELS = {
    "Disease_disorder": "Disease",
    "Sign_symptom": "Symptom",
    "Medication": "Medication",
    "Dosage": "Dosage",
    "Therapeutic_procedure": "Procedure",
    "Diagnostic_procedure": "Test",
    "Lab_value": "LabValue",
    "Biological_structure": "Anatomy",
}

# Of the labels of deidentification; a name is any person's, and what is no identifier in a note is left out.
PRESIDIO_LABELS = {
    "PERSON": "PERSON",
    "ADDRESS": "ADDRESS",
    "STREET_ADDRESS": "ADDRESS",
    "LOCATION": "ADDRESS",
    "GPE": "ADDRESS",
    "ZIP_CODE": "ADDRESS",
    "ORGANIZATION": "INSTITUTION",
    "CREDIT_CARD": "ID",
    "IBAN_CODE": "ID",
    "US_DRIVER_LICENSE": "ID",
    "PHONE_NUMBER": "PHONE",
    "DATE_TIME": "DATE",
    "EMAIL_ADDRESS": "EMAIL",
    "US_SSN": "SSN",
    "DOMAIN_NAME": "URL",
    "IP_ADDRESS": "IP",
    "AGE": "AGE",
}

Reader = Callable[[Path], Parts]


def _maccrobat(folder: Path) -> Parts:
    return cut(brat.read_folder(folder, labels=MACCROBAT_LABELS, overlaps="longest"))


def _maccrobat_all_types(folder: Path) -> Parts:
    return cut(brat.read_folder(folder, overlaps="longest"))


def _iob(folder: Path) -> Parts:
    return {part: iob.read(existing(folder, f"{part}.tsv")) for part in ("train", "devel")}


def _mtsamples(folder: Path) -> Parts:
    path = existing(folder, "notes.jsonl")
    records = [
        Record(
            row["text"],
            id=row["sample_id"],
            metadata={name: row.get(name, "") for name in ("sample_name", "description")},
            labels={"specialty": [Label(name) for name in row["specialties"]]},
        )
        for row in _json_lines(path, ("sample_id", "text", "specialties"))
    ]
    return {"all": records}


def _ohsumed(folder: Path) -> Parts:
    rows = _json_lines(existing(folder, "train.jsonl"), ("id", "text", "label"))
    return {"train": [Record(row["text"], id=row["id"], labels={"category": [Label(row["label"])]}) for row in rows]}


def _mts_dialog(folder: Path) -> Parts:
    files = {"train": "MTS-Dialog-TrainingSet.csv", "devel": "MTS-Dialog-ValidationSet.csv"}
    found: Parts = {}
    for part, name in files.items():
        path = existing(folder, name)
        with path.open(encoding="utf-8", newline="") as file:
            found[part] = [_section(row, part, path, i) for i, row in enumerate(csv.DictReader(file), 1)]
    return found


def _section(row: Mapping[str, str], part: str, path: Path, number: int) -> Record:
    try:
        return Record(
            row["section_text"],
            id=f"{part}-{row['ID']}",
            metadata={"dialogue": row["dialogue"]},
            labels={"section": [Label(row["section_header"])]},
        )
    except (KeyError, TypeError, ClinNLPError) as error:
        raise FormatError(f"{path.name}, row {number}: {type(error).__name__}: not a row of MTS-Dialog") from None


def _presidio_synth(folder: Path) -> Parts:
    found: Parts = {"train": [], "devel": []}
    for name in ("generated_large.json", "synth_dataset_v2.json"):
        path = existing(folder, name)
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            made = [(int(row["template_id"]), _identified(row, f"{path.stem}-{i}")) for i, row in enumerate(rows)]
        except (ValueError, KeyError, TypeError, ClinNLPError) as error:
            raise FormatError(f"{path.name}: {type(error).__name__}: not a file of presidio-research") from None
        for template, record in made:
            found["devel" if template % 5 == 4 else "train"].append(record)
    return found


def _identified(row: Mapping[str, Any], name: str) -> Record:
    """Make a record of a row, with the longest of identifiers that overlap."""
    spans = [
        Entity(one["start_position"], one["end_position"], PRESIDIO_LABELS[one["entity_type"]])
        for one in row["spans"]
        if one["entity_type"] in PRESIDIO_LABELS
    ]
    kept: list[Entity] = []
    for span in sorted(spans, key=lambda e: (e.start - e.end, e.start)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    kept.sort(key=lambda e: e.start)
    return Record(row["full_text"], id=name, identifiers=kept, found={"identifiers"})


def _notes(folder: Path) -> Parts:
    path = existing(folder, "sample.jsonl")
    return {"all": [Record.from_dict(row) for row in _json_lines(path, ("id", "text"))]}


def _assertion(folder: Path) -> Parts:
    return {
        part: [
            Record.from_dict(row) for row in _json_lines(existing(folder, f"{part}.jsonl"), ("id", "text", "entities"))
        ]
        for part in ("test", "zh_devel", "zh_test")
    }


def _written_parts(folder: Path) -> Parts:
    return {
        part: [
            Record.from_dict(row) for row in _json_lines(existing(folder, f"{part}.jsonl"), ("id", "text", "labels"))
        ]
        for part in ("train", "devel", "test")
    }


def _json_lines(path: Path, required: Sequence[str]) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError:
                raise FormatError(f"{path.name}, line {number}: not JSON") from None
            absent = [name for name in required if not isinstance(row, dict) or name not in row]
            if absent:
                raise FormatError(f"{path.name}, line {number}: no {absent[0]!r}")
            yield row


READERS: dict[str, Reader] = {
    "assertion": _assertion,
    "bc5cdr": _iob,
    "bioscope": read_bioscope,
    "busi": read_busi,
    "covid_cxr": read_covid_cxr,
    "maccrobat": _maccrobat,
    "mts_dialog": _mts_dialog,
    "mtsamples": _mtsamples,
    "ncbi_disease": _iob,
    "negex": read_negex,
    "notes": _notes,
    "ohsumed": _ohsumed,
    "pneumoniamnist": read_pneumoniamnist,
    "presidio_synth": _presidio_synth,
    "reports": _written_parts,
    "synthea": read_synthea,
    "tone": _written_parts,
    "uci_heart": read_uci_heart,
    "ultrasound": read_ultrasound,
}
ALL_TYPES_READERS: dict[str, Reader] = {"maccrobat": _maccrobat_all_types}
