"""Where records come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clinnlp import Record
from clinnlp.errors import FormatError
from clinnlp.formats.sources import open_source


@pytest.mark.parametrize(
    "name", ["n.csv", "n.CSV", "n.tsv", "n.jsonl", "n.ndjson", "n.json", "n.parquet", "n.txt", "n"]
)
def test_a_file_is_read_by_its_suffix_and_a_folder_as_texts(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "n":
        path.mkdir()
        (path / "a.txt").write_text("Cough.")
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"text": ["Cough."]}), path)
    elif "json" in name:
        path.write_text('{"text": "Cough."}\n')
    else:
        path.write_text("Cough." if name == "n.txt" else "text\nCough.\n")
    source = open_source(path)
    assert [[r.text for r in source] for _ in range(2)] == [["Cough."], ["Cough."]]


def test_columns_are_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("note,mrn,scan\nCough.,7,a.png\n")
    (record,) = open_source(path, "note", "mrn", "scan")
    assert (record.text, record.id, record.images[0].path) == ("Cough.", "7", str(tmp_path / "a.png"))


def test_records_texts_and_rows_at_hand_are_read() -> None:
    records = list(open_source([Record("a", "x"), "b", {"text": "c", "ward": 3}, 5]))  # type: ignore[list-item]
    assert [(r.id, r.text) for r in records] == [("x", "a"), ("1", "b"), ("2", "c"), ("3", "")]
    assert records[2].metadata == {"ward": 3}
    assert records[3].errors[0].stage == "input"


def test_a_limit_reads_no_further() -> None:
    taken = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(1)
            yield "note"

    assert len(list(open_source(endless(), limit=3))) == 3
    assert len(taken) == 3
    assert list(open_source(["a"], limit=0)) == []


def test_the_identity_is_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("text\na\n")
    first = open_source(path).identity()
    copy = tmp_path / "copy.csv"
    copy.write_text("text\na\n")
    assert open_source(copy).identity() == first
    assert open_source(path, limit=1).identity() != first
    path.write_text("text\nb\n")
    assert open_source(path).identity() != first


def test_the_identity_of_a_folder_tells_where_each_file_ends(tmp_path: Path) -> None:
    seen = []
    for number, files in enumerate([{"a": "xy", "b": ""}, {"a": "x", "b": "y"}, {"a": "xy", "c": ""}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.txt").write_text(text)
        seen.append(open_source(folder).identity()["sha256"])
    assert len(set(seen)) == 3


def test_the_number_of_records_is_told_where_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({"text": ["a"] * 5}), path)
    assert open_source(path).count() == 5
    assert open_source(path, limit=3).count() == 3
    assert open_source(["a"]).count() is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "no file or folder 'none.csv'"),
        ("n.doc", r"n\.doc is of no known format"),
        ("empty", "has no .txt"),
    ],
)
def test_what_cannot_be_read_is_one_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "n.doc").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=message):
        list(open_source(tmp_path / name))


def test_what_is_no_source_is_one_error(tmp_path: Path) -> None:
    for given in (5, b"x", Record("x"), None):
        with pytest.raises(FormatError, match="an iterable of them"):
            open_source(given)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="limit"):
        open_source(["a"], limit=-1)
