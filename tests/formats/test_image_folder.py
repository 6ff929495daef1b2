"""Folders of pictures, and what their folders say of them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from clinnlp import Pipeline, Record
from clinnlp.errors import FormatError, ImageError
from clinnlp.formats import image_folder
from clinnlp.formats.columns import is_failed
from clinnlp.formats.sources import open_source, read_all
from clinnlp.stages import ImageClassifier

SECRET = "Zebulon"


def make(folder: Path, *names: str) -> Path:
    """Write a grey picture under each name that is one's, and a line under others."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in image_folder.SUFFIXES:
            PIL.Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(path, "PNG")
        else:
            path.write_text("About it.", encoding="utf-8")
    return folder


def labels(records: list[Record]) -> dict[str, list[str]]:
    return {r.id: [label.name for label in r.images[0].labels.get("finding", [])] for r in records}


def test_a_folder_of_classes_is_gold_in_the_order_of_names(tmp_path: Path) -> None:
    make(tmp_path, "malignant/2.png", "benign/b.JPG", "benign/left/1.tif", "malignant/10.png", "SOURCE.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        records = read_all(tmp_path)
    assert labels(records) == {
        "benign/b.JPG": ["benign"],
        "benign/left/1.tif": ["benign"],
        "malignant/10.png": ["malignant"],
        "malignant/2.png": ["malignant"],
    }
    assert [r.id for r in records] == sorted(r.id for r in records)
    assert all(r.text == "" and r.labels == {} for r in records)
    assert records[0].images[0].path == os.path.abspath(tmp_path / "benign" / "b.JPG")  # noqa: PTH100
    assert records[0].images[0].pixels().shape == (8, 8, 3)
    assert labels(read_all(tmp_path, 2)) == dict(list(labels(records).items())[:2])
    assert set(read_all(tmp_path, label_set="kind")[0].images[0].labels) == {"kind"}


def test_listing_decodes_nothing_and_a_damaged_picture_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (tmp_path / "b" / "1.png").write_bytes(b"cut off")
    with monkeypatch.context() as patched:
        patched.setattr("clinnlp.encoders.pixels.decode", lambda image: pytest.fail("a picture was decoded"))
        patched.setattr(PIL.Image, "open", lambda *given, **more: pytest.fail("a picture was opened"))
        records = read_all(tmp_path)
        assert open_source(tmp_path).count() == 4 == len(records)
    stage = ImageClassifier.from_base(labels=["a", "b"], name="finding", image_size=28)
    found = list(Pipeline([stage]).pipe(records, on_error="keep"))
    assert [bool(record.errors) for record in found] == [False, False, True, False]
    assert [len(record.labels.get("finding", [])) for record in found] == [2, 2, 0, 2]
    with pytest.raises(ImageError):
        records[2].images[0].pixels()


def test_a_run_over_a_folder_takes_no_labels_from_its_names(tmp_path: Path) -> None:
    """The folders may be those of patients."""
    make(tmp_path / "in", f"{SECRET}/1.png", "Other/1.png", "3.png")
    stage = ImageClassifier.from_base(labels=["a", "b"], name="finding", image_size=28)
    report = Pipeline([stage]).process(tmp_path / "in", tmp_path / "out.jsonl")
    assert (report.records, report.errors) == (3, 0)
    written = read_all(tmp_path / "out.jsonl")
    assert [r.id for r in written] == ["3.png", "Other/1.png", f"{SECRET}/1.png"]
    assert {label.name for r in written for label in r.images[0].labels["finding"]} == {"a", "b"}
    assert [r.images[0].labels for r in open_source(tmp_path / "in")] == [{}, {}, {}]


def test_the_identity_of_a_folder_of_pictures_is_that_of_their_bytes_and_names(tmp_path: Path) -> None:
    first = open_source(make(tmp_path / "1", "a/1.png", "a/2.png")).identity()
    assert open_source(make(tmp_path / "2", "a/1.png", "a/2.png", "a/note.md")).identity() == first
    assert open_source(make(tmp_path / "3", "a/1.png", "b/2.png")).identity() != first
    assert open_source(make(tmp_path / "4", "a/2.png", "a/1.png")).identity() != first
    assert first["format"] == "images"


def test_a_folder_with_texts_and_pictures_is_read_as_what_it_is_of(tmp_path: Path) -> None:
    described = make(tmp_path / "1", "a/1.png", "b/1.png", "SOURCE.txt")
    assert [r.id for r in open_source(described)] == ["a/1.png", "b/1.png"]
    mixed = make(tmp_path / "2", "a.txt", "a.png", "b/c.txt")
    with pytest.warns(UserWarning, match="2 has 2 .txt files and 1 pictures, and the texts alone are read") as told:
        assert [r.id for r in open_source(mixed)] == ["a", "b/c"]
    assert Path(told[0].filename) == Path(__file__)
    assert [r.id for r in open_source(mixed, format="images")] == ["a.png"]
    assert [r.id for r in open_source(described, format="folder")] == ["SOURCE"]
    with pytest.raises(FormatError, match="as csv, give one of its files"):
        open_source(mixed, format="csv")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "2.png"], "has no folder with pictures in it: for gold give a folder for each class"),
        (["benign/1.png", "benign/2.png"], "has one folder with pictures in it"),
        (["train/a/1.png", "TEST/a/1.png"], "are parts of a corpus: read each of them alone"),
        (["a/1.png", "b/1.png", f"{SECRET}/notes.md"], "1 of the 3 folders of gold have no picture"),
        (["a/notes.md"], r"has no \.txt file"),
    ],
)
def test_folders_that_are_no_gold_say_why_and_name_no_folder_inside(
    tmp_path: Path, names: list[str], message: str
) -> None:
    folder = make(tmp_path / "gold", *names)
    with pytest.raises(FormatError, match=message) as caught:
        read_all(folder)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_of_a_class_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png", ".hidden/x.png")
    (tmp_path / "c").mkdir()
    with pytest.raises(FormatError, match="1 of the 3 folders of"):
        read_all(tmp_path)
    with pytest.raises(FormatError, match=r"c has no picture: give a folder of files that end with \.bmp"):
        list(open_source(tmp_path / "c", format="images"))


def test_what_is_left_out_or_hard_to_learn_is_counted_in_a_warning(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/2.png", "b/1.png", "top.png", "a/notes.pdf", f"a/{SECRET}.db", "a/.DS_Store", "x.md")
    with pytest.warns(UserWarning, match="left out") as told:
        records = read_all(tmp_path)
    assert len(told) == 1
    assert str(told[0].message) == (
        f"{tmp_path.name}: 2 files in the folders are no pictures by their names, and are left out; 1 pictures are in"
        " no folder, and have no label; 1 folders have one picture each, which cannot both teach and judge"
    )
    assert labels(records) == {"a/1.png": ["a"], "a/2.png": ["a"], "b/1.png": ["b"], "top.png": []}


def test_a_name_that_is_not_utf8_fails_alone(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png")
    try:
        os.rename(tmp_path / "a" / "1.png", os.path.join(os.fsencode(tmp_path), b"a", b"n\xe9.png"))  # noqa: PTH104, PTH118
    except OSError:
        pytest.skip("this file system has no such names")
    (record,) = open_source(tmp_path)
    assert (record.id, is_failed(record)) == ("a/n\\udce9.png", True)
