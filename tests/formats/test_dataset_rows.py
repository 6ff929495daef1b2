"""Rows of datasets with pictures and classes."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest

from clinnlp import Record
from clinnlp.errors import FormatError
from clinnlp.formats.columns import Columns
from clinnlp.formats.dataset_rows import read_features
from clinnlp.formats.sources import open_source, read_all
from clinnlp.training.fit import read_gold


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for number, path in enumerate(paths):
        PIL.Image.fromarray(np.full((8, 8), 50 * number, np.uint8)).save(path)
    return paths


@pytest.fixture
def dataset(pictures: list[str]) -> datasets.Dataset:
    """As load_dataset("imagefolder") gives one; the last row has no class."""
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["benign", "malignant"])}
    )
    return datasets.Dataset.from_dict({"image": pictures, "label": [1, 0, -1]}, features=features)


def gold(records: list[Record]) -> list[list[str]]:
    return [[label.name for label in record.labels.get("label", [])] for record in records]


def test_a_dataset_of_pictures_is_read_undecoded_with_the_names_of_its_classes(
    dataset: datasets.Dataset, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(PIL.Image, "open", lambda *given, **more: pytest.fail("a picture was opened"))
        records = list(open_source(dataset))
        taught = read_gold(dataset)
    assert gold(records) == gold(taught) == [["malignant"], ["benign"], []]
    assert [r.images[0].path for r in records] == [r.images[0].path for r in taught] == pictures
    assert all("label" not in r.metadata and "image" not in r.metadata for r in records)
    assert records[1].images[0].pixels()[0, 0].tolist() == [50, 50, 50]


def test_a_stream_and_a_list_of_pictures_are_read_too(dataset: datasets.Dataset, pictures: list[str]) -> None:
    assert gold(list(open_source(dataset.to_iterable_dataset()))) == [["malignant"], ["benign"], []]
    features = datasets.Features({"text": datasets.Value("string"), "images": datasets.List(datasets.Image())})
    several = datasets.Dataset.from_dict({"text": ["a", "b"], "images": [pictures[:2], []]}, features=features)
    assert [len(record.images) for record in open_source(several)] == [2, 0]
    assert next(iter(open_source(several))).images[1].path == pictures[1]


def test_bytes_in_a_dataset_become_a_picture_with_a_name(pictures: list[str]) -> None:
    rows = {"image": [{"bytes": Path(path).read_bytes(), "path": "scan.png"} for path in pictures]}
    embedded = datasets.Dataset.from_dict(rows, features=datasets.Features({"image": datasets.Image()}))
    first = next(iter(open_source(embedded))).images[0]
    assert (first.name, first.path, first.pixels().shape) == ("scan.png", None, (8, 8, 3))


def test_rows_without_features_and_columns_that_were_named_are_left_alone(dataset: datasets.Dataset) -> None:
    rows, columns = [{"text": "a"}], Columns()
    assert read_features(rows, columns) == (rows, columns)
    two = dataset.add_column("other", ["x"] * 3).rename_column("image", "images")
    assert read_features(two, columns)[1].images == "images"
    assert read_features(dataset, Columns(images="scan"))[1].images == "scan"


@pytest.mark.parametrize("name", ["scans.csv", "scans.tsv", "scans.jsonl", "scans.parquet"])
def test_a_table_with_a_column_of_pictures_and_one_of_labels_is_gold(
    tmp_path: Path, pictures: list[str], name: str
) -> None:
    path = tmp_path / name
    table = datasets.Dataset.from_dict(
        {"scan": ["0.png", "1.png", "2.png"], "finding": ["mass", "", '["mass", "cyst"]'], "grade": ["3", "4", ""]}
    )
    if name.endswith("parquet"):
        table.to_parquet(path)
    elif name.endswith("jsonl"):
        table.to_json(path)
    else:
        table.to_csv(path, sep="\t" if name.endswith("tsv") else ",", index=False)
    records = read_all(path, images_column="scan", label_columns=["finding", "grade"])
    found = [{key: [label.name for label in some] for key, some in record.labels.items()} for record in records]
    assert found == [{"finding": ["mass"], "grade": ["3"]}, {"grade": ["4"]}, {"finding": ["mass", "cyst"]}]
    assert [record.images[0].path for record in records] == pictures
    assert all(record.metadata == {} for record in records)
    if not name.endswith("jsonl"):  # of which a line without gold may do without the column
        with pytest.raises(FormatError, match="has no column 'side': its columns are finding, 2 more"):
            read_all(path, images_column="scan", label_columns=["side"])
