"""Readers of corpora of images, whose parts share no picture and no patient."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinnlp._corpus_files import Parts, existing, table
from clinnlp.errors import CorpusError, FormatError, TrainingError
from clinnlp.formats import jsonl
from clinnlp.formats.columns import is_failed
from clinnlp.record import Image, Label, Record

__all__ = ["read_busi", "read_covid_cxr", "read_pneumoniamnist", "read_ultrasound"]

# Bits in which the hashes of two of its pictures may differ: in 120 or more where the two were looked at and differ.
_BUSI_DISTANCE = 110

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_CREDITS = ("case courtesy", "credit to")
_UNLABELLED = ("", "todo", "?")
_YES_OR_NO = {"Y": True, "N": False}
_OUTCOMES = (
    "survival", "intubated", "intubation_present", "went_icu", "in_icu", "needed_supplemental_O2", "extubated",
)  # fmt: skip
_NUMBERS = (
    "offset", "age", "temperature", "pO2_saturation", "leukocyte_count", "neutrophil_count", "lymphocyte_count",
)  # fmt: skip
_TEXTS = {"sex": "sex", "view": "view", "modality": "modality", "date": "date", "location": "location"}
_SOURCES = {"license": "licence", "doi": "doi", "url": "url"}


def read_busi(folder: Path) -> Parts:
    """Read the pictures of the folders of its classes.

    `metadata["group"]` is the id of the first of the pictures that are nearly the same, and `metadata["contradicts"]`
    lists those of them that have another class, where there are any.
    """
    records = [
        Record(id=path.stem, images=[Image(path, labels={"finding": [label]})])
        for label in ("benign", "malignant", "normal")
        for path in sorted((folder / label).glob("*.png"))
        if "_mask" not in path.stem
    ]
    if not records:
        raise CorpusError("corpus 'busi': no PNG files in its folders benign, malignant and normal: get it again")
    groups = _picture_groups(records, "busi", _BUSI_DISTANCE)
    members: dict[int, list[Record]] = defaultdict(list)
    for record, group in zip(records, groups, strict=True):
        record.metadata["group"] = records[group].id
        members[group].append(record)
    for some in members.values():
        for record in some:
            if others := [other.id for other in some if _finding(other) != _finding(record)]:
                record.metadata["contradicts"] = others
    return _parts(records, groups)


def read_covid_cxr(folder: Path) -> Parts:
    """Read `metadata.csv`: a record a picture, with what was noted of it; a patient's are in one part.

    The credit of a picture, which stands among the notes of the file, is metadata.
    """
    path = existing(folder, "metadata.csv")
    wanted = ("patientid", "finding", "license", "clinical_notes", "other_notes", "filename", "image")
    records = [_x_ray(row, folder) for row in table(path, wanted)]
    groups = _picture_groups(records, "covid_cxr")  # some patients are there under two numbers
    return _parts(records, groups, "patient")


def read_pneumoniamnist(folder: Path) -> Parts:
    """Read the arrays of `pneumoniamnist.npz`."""
    import numpy as np

    path = existing(folder, "pneumoniamnist.npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data = {
                part: (arrays[f"{prefix}_images"], arrays[f"{prefix}_labels"].reshape(-1).tolist())
                for part, prefix in (("train", "train"), ("devel", "val"))
            }
    except Exception as error:
        raise FormatError(f"{path.name} cannot be read ({type(error).__name__}): get the corpus again") from None
    names = ("normal", "pneumonia")
    return {
        part: [
            Record(id=f"{part}-{i}", images=[Image(array=image, labels={"finding": [names[label]]})])
            for i, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
        for part, (images, labels) in data.items()
    }


def read_ultrasound(folder: Path) -> Parts:
    """Read the file of each mode of the corpus that comes with clinnlp; pictures are beside it."""
    found: Parts = {}
    for mode in ("matching", "contradicting", "halves"):
        found[mode] = list(jsonl.read(existing(folder, f"{mode}.jsonl")))
        if bad := [record for record in found[mode] if is_failed(record)]:
            raise FormatError(f"{mode}.jsonl: record {bad[0].id!r}: {bad[0].errors[0].message}")
    return found


def _x_ray(row: dict[str, str], folder: Path) -> Record:
    findings = [name.strip() for name in row["finding"].split(",") if name.strip() not in _UNLABELLED]
    notes = [text for name in ("clinical_notes", "other_notes") if (text := row[name].strip())]
    credit = [text for text in notes if text.lower().startswith(_CREDITS)]
    metadata: dict[str, Any] = {"patient": row["patientid"]}
    for names in (_TEXTS, _SOURCES):
        metadata.update({ours: value for name, ours in names.items() if (value := row.get(name, "")) not in ("", "?")})
    metadata.update({name: _YES_OR_NO[row[name]] for name in _OUTCOMES if row.get(name) in _YES_OR_NO})
    metadata.update({name: _number(row[name]) for name in _NUMBERS if _NUMBER.fullmatch(row.get(name, ""))})
    if credit:
        metadata["credit"] = " ".join(credit)
    if len(findings) > 1:
        metadata["findings"] = findings
    return Record(
        "\n\n".join(text for text in notes if text not in credit),
        id=row["filename"],
        images=[Image(folder / row["image"])],
        metadata=metadata,
        labels={"finding": [Label(name) for name in findings[:1]]} if findings else {},
    )


def _number(cell: str) -> int | float:
    return float(cell) if "." in cell else int(cell)


def _finding(record: Record) -> str:
    return record.images[0].labels["finding"][0].name


def _picture_groups(records: Sequence[Record], corpus: str, distance: int | None = None) -> list[int]:
    from clinnlp.training.image_groups import DISTANCE, image_groups

    try:
        return image_groups(records, DISTANCE if distance is None else distance)
    except TrainingError as error:
        raise CorpusError(f"corpus {corpus!r}: {error}: get the corpus again") from None


def _parts(records: Sequence[Record], groups: Sequence[int], by: str | None = None) -> Parts:
    from clinnlp.training.splits import split

    train, devel = split(records, 0.2, by=by, groups=groups, name="finding")
    return {"train": train, "devel": devel}
