"""Corpora of images: their gold and metadata, and parts that share no picture and no patient."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from clinnlp import Record
from clinnlp import corpora as catalogue
from clinnlp.errors import CorpusError, FormatError

COLUMNS = (
    "patientid", "offset", "sex", "age", "finding", "survival", "went_icu", "temperature", "view", "modality", "date",
    "location", "filename", "license", "clinical_notes", "other_notes", "image",
)  # fmt: skip


def scene(seed: int, side: int = 48) -> PIL.Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((side, side), PIL.Image.Resampling.BICUBIC)


def finding(record: Record) -> str:
    return record.images[0].labels["finding"][0].name


@pytest.fixture
def busi(own: Callable[[str], Path]) -> Path:
    """Ten pictures of each class; benign (8) and (9) are nearly the same, and so are benign (7) and malignant (3)."""
    folder = own("busi")
    for number, label in enumerate(("benign", "malignant", "normal")):
        (folder / label).mkdir()
        for i in range(10):
            scene(100 * number + i).save(folder / label / f"{label} ({i}).png")
        scene(5).save(folder / label / f"{label} (1)_mask.png")
    scene(8, 61).save(folder / "benign" / "benign (9).png")
    scene(7, 55).save(folder / "malignant" / "malignant (3).png")
    return folder


def test_images_of_busi_carry_their_class_and_masks_are_left_out(busi: Path) -> None:
    found = catalogue.load("busi")
    records = [*found["train"], *found["devel"]]
    assert {part: len(some) for part, some in found.items()} == {"train": 24, "devel": 6}
    assert sorted(record.id for record in records) == sorted(
        f"{label} ({i})" for label in ("benign", "malignant", "normal") for i in range(10)
    )
    assert all(record.id.split()[0] == finding(record) for record in records)
    assert sorted(map(finding, found["devel"])) == sorted(["benign", "malignant", "normal"] * 2)
    assert Path(records[0].images[0].path or "").is_absolute()
    assert catalogue.load("busi") == found


def test_pictures_of_busi_that_are_nearly_the_same_are_one_group_and_two_classes_are_told(busi: Path) -> None:
    found = catalogue.load("busi")
    sides: dict[str, set[str]] = defaultdict(set)
    for part, records in found.items():
        for record in records:
            sides[record.metadata["group"]].add(part)
    assert len(sides) == 28
    assert all(len(some) == 1 for some in sides.values())
    metadata = {record.id: record.metadata for records in found.values() for record in records}
    assert metadata["benign (9)"] == {"group": "benign (8)"}
    assert metadata["malignant (3)"] == {"group": "benign (7)", "contradicts": ["benign (7)"]}
    assert metadata["benign (7)"]["contradicts"] == ["malignant (3)"]


def test_busi_without_pictures_or_with_a_damaged_one_says_so(busi: Path) -> None:
    (busi / "normal" / "normal (2).png").write_bytes(b"cut off")
    with pytest.raises(CorpusError, match=r"'busi': record 'normal \(2\)': not an image .*: get the corpus again$"):
        catalogue.load("busi")
    for path in busi.rglob("*.png"):
        path.unlink()
    with pytest.raises(CorpusError, match="no PNG files"):
        catalogue.load("busi")


@pytest.fixture
def covid(own: Callable[[str], Path]) -> Path:
    """Six patients with two pictures each and one with a copy of a picture of the first."""
    folder = own("covid_cxr")
    (folder / "images").mkdir()
    rows = [
        dict.fromkeys(COLUMNS, "")
        | {
            "patientid": str(i // 2),
            "finding": "todo" if i == 11 else "COVID-19, ARDS" if i == 1 else "Varicella",
            "filename": f"{i}.png",
            "license": "CC BY-SA",
            "image": f"images/{i}.jpg",
        }
        for i in range(13)
    ]
    rows[0] |= {
        "offset": "-3", "sex": "F", "age": "?", "survival": "N", "went_icu": "Would have been stated", "view": "AP",
        "temperature": "37.5", "modality": "X-ray", "date": "2017", "location": "?", "clinical_notes": " Cough. ",
        "other_notes": "Case courtesy of Dr A B, rID: 1",
    }  # fmt: skip
    rows[1] |= {"clinical_notes": "Cough, day 4.", "other_notes": "Line in place."}
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    for i in range(13):
        scene(i % 12).convert("RGB").save(folder / "images" / f"{i}.jpg")
    return folder


def test_x_rays_of_covid_carry_their_notes_findings_and_licence(covid: Path) -> None:
    records = {record.id: record for some in catalogue.load("covid_cxr").values() for record in some}
    first, second, unlabelled = records["0.png"], records["1.png"], records["11.png"]
    assert (first.text, second.text) == ("Cough.", "Cough, day 4.\n\nLine in place.")
    assert first.metadata == {
        "patient": "0", "offset": -3, "sex": "F", "survival": False, "view": "AP", "temperature": 37.5,
        "modality": "X-ray", "date": "2017", "licence": "CC BY-SA", "credit": "Case courtesy of Dr A B, rID: 1",
    }  # fmt: skip
    assert [label.name for label in second.labels["finding"]] == ["COVID-19"]
    assert second.metadata["findings"] == ["COVID-19", "ARDS"]
    assert unlabelled.labels == {}
    assert first.images[0].pixels().shape == (48, 48, 3)


def test_a_patient_of_covid_and_one_picture_under_two_numbers_are_in_one_part(covid: Path) -> None:
    sides: dict[str, set[str]] = defaultdict(set)
    for part, some in catalogue.load("covid_cxr").items():
        assert some
        for record in some:
            sides[record.metadata["patient"]].add(part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert sides["6"] == sides["0"]  # its picture is the first one's


def test_a_broken_table_of_covid_says_where_and_quotes_nothing(covid: Path) -> None:
    path = covid / "metadata.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "9,secret\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"metadata\.csv, row 14: 2 cells, not 17$"):
        catalogue.load("covid_cxr")
    path.write_text(text.replace("finding", "label", 1), encoding="utf-8")
    with pytest.raises(FormatError, match=r"metadata\.csv has no column 'finding'"):
        catalogue.load("covid_cxr")
    path.write_text(text, encoding="utf-8")
    (covid / "images" / "3.jpg").unlink()
    with pytest.raises(CorpusError, match=r"record '3\.png': the file of an image is missing"):
        catalogue.load("covid_cxr")


def test_pneumoniamnist_gives_arrays_with_their_class(own: Callable[[str], Path]) -> None:
    path = own("pneumoniamnist") / "pneumoniamnist.npz"
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    labels = np.array([[0], [1], [1]], dtype=np.uint8)
    np.savez(path, train_images=images, train_labels=labels, val_images=images[:1], val_labels=labels[:1])
    found = catalogue.load("pneumoniamnist")
    assert [record.images[0].labels["finding"][0].name for record in found["train"]] == [
        "normal",
        "pneumonia",
        "pneumonia",
    ]
    assert np.array_equal(found["train"][2].images[0].array, images[2])
    assert [record.id for record in found["devel"]] == ["devel-0"]
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(FormatError, match=r"pneumoniamnist\.npz cannot be read"):
        catalogue.load("pneumoniamnist")


def test_the_public_images_have_no_picture_and_no_patient_in_two_parts(
    corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINNLP_CORPORA", str(corpora))
    busi, covid = catalogue.load("busi"), catalogue.load("covid_cxr")
    for found, key in ((busi, "group"), (covid, "patient")):
        train, devel = ({record.metadata[key] for record in found[part]} for part in ("train", "devel"))
        assert train.isdisjoint(devel)
        assert 0.15 < len(found["devel"]) / sum(map(len, found.values())) < 0.25
    # Pairs that were looked at: of one class, and of two.
    told = {record.id: record.metadata for part in busi.values() for record in part}
    assert told["benign (18)"]["group"] == told["benign (152)"]["group"]
    assert told["malignant (51)"]["contradicts"] == ["benign (42)"]
    assert sum("contradicts" in metadata for metadata in told.values()) < 20
    sides = {record.metadata["patient"]: part for part, some in covid.items() for record in some}
    assert sides["97"] == sides["178"]  # one patient under two numbers
    labels = {label.name for part in covid.values() for r in part for label in r.labels.get("finding", [])}
    assert labels == set(catalogue.info("covid_cxr").labels)
    assert not any("ourtesy" in record.text for part in covid.values() for record in part)
