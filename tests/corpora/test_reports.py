"""The corpus of kinds of notes: its generator, its parts and how they are held apart."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import clinnlp
from clinnlp import Record
from clinnlp.shipped import corpora_folder

FOLDER = corpora_folder() / "reports"
PARTS = {"train": 56, "devel": 15, "test": 6}  # notes of each kind
# What notes call the kinds whose names they do not use.
TITLES = {
    "history_and_physical": "admission note",
    "consult_note": "consultation",
    "operation_note": "operative report",
    "clinic_letter": "letter",
}
KINDS = clinnlp.corpora.info("reports").labels
# Fields that tell how to write, not what; specialties are of the patients of both parts.
NOT_TEXT = {"sex", "ages", "spec", "cases", "orders", "styles"}
TRACES = re.compile(r"[{}\[\]|@¶‹]|  | [,;.](?!\d)|\.\.|\ba (8\d?|11|18)-|(?i:\ba (?!one)[aeio])")


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Record]]:
    return clinnlp.corpora.load("reports")


def kind(record: Record) -> str:
    return record.labels["report-type"][0].name


def grams(text: str, size: int) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W\d]+", text.lower())
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def held(part: str) -> list[Any]:
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (FOLDER / "data" / part).glob("*.yaml")]


def texts(data: Any) -> Iterator[str]:
    """Give all frames, headings, titles, words and fields of cases that have a word of their own."""
    if isinstance(data, dict):
        data = [value for key, value in data.items() if key not in NOT_TEXT]
    if isinstance(data, list):
        for value in data:
            yield from texts(value)
    elif isinstance(data, str):
        yield from (line.strip().lower() for line in data.splitlines() if re.search("[a-z]", without_slots(line)))


def without_slots(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "", text.lower())


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_files_are_what_the_generator_writes_whatever_the_hash_seed(tmp_path: Path, hash_seed: str) -> None:
    command = [sys.executable, str(FOLDER / "generate_reports.py"), "--seed", "7", "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": hash_seed})
    assert {path.name for path in tmp_path.iterdir()} == {f"{part}.jsonl" for part in PARTS}
    for part in PARTS:
        assert (tmp_path / f"{part}.jsonl").read_bytes() == (FOLDER / f"{part}.jsonl").read_bytes()


def test_another_seed_writes_other_notes(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "generate_reports.py"), "--seed", "8", "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "train.jsonl").read_bytes() != (FOLDER / "train.jsonl").read_bytes()
    assert (tmp_path / "test.jsonl").read_bytes() == (FOLDER / "test.jsonl").read_bytes()


def test_each_part_has_as_many_of_each_kind_and_no_text_twice(parts: dict[str, list[Record]]) -> None:
    assert len(KINDS) == 12
    for part, records in parts.items():
        counts = Counter(label.name for record in records for label in record.labels["report-type"])
        assert counts == dict.fromkeys(KINDS, PARTS[part])
        assert all(len(record.labels["report-type"]) == 1 for record in records)
        assert [record.id for record in records] == [f"reports-{part}-{i:04}" for i in range(1, len(records) + 1)]
    found = Counter(re.sub(r"\W+", " ", r.text.lower()).strip() for records in parts.values() for r in records)
    assert max(found.values()) == 1


def test_notes_are_of_30_to_250_words_without_traces_of_their_frames(parts: dict[str, list[Record]]) -> None:
    for record in (record for records in parts.values() for record in records):
        assert 30 <= len(record.text.split()) <= 250, record.id
        assert record.text == record.text.strip()
    for record in parts["train"] + parts["devel"]:
        assert TRACES.search(record.text) is None, record.id


def test_parts_share_no_frames_no_headings_no_words_of_slots_and_no_cases(parts: dict[str, list[Record]]) -> None:
    assert not set(texts(held("train"))) & set(texts(held("devel")))
    known = set().union(*(grams(record.text, 5) for record in parts["train"]))
    devel = set().union(*(grams(record.text, 5) for record in parts["devel"]))
    assert not [record.id for record in parts["devel"] if grams(record.text, 5) & known]
    assert not [record.id for record in parts["test"] if grams(record.text, 5) & (known | devel)]


def test_the_name_of_a_kind_does_not_give_it_away(parts: dict[str, list[Record]]) -> None:
    """Most notes of a kind do not name it, and have no title; words of a kind stand in notes of others."""
    for name in KINDS:
        titles = {name.replace("_", " "), TITLES.get(name, name)}
        named = [record for record in parts["train"] if any(title in record.text.lower() for title in titles)]
        assert sum(kind(record) == name for record in named) < 0.35 * PARTS["train"], name
    for word in ("discharge", "admit", "consult", "emergency", "specimen", "impression"):
        kinds = {kind(record) for record in parts["train"] if re.search(rf"\b{word}", record.text.lower())}
        assert len(kinds) > 1, word
    headless = [record for record in parts["train"] if "\n" not in record.text]
    assert {kind(record) for record in headless} >= set(KINDS) - {"clinic_letter", "laboratory_report"}


def test_the_card_counts_what_there_is_and_the_files_are_small(parts: dict[str, list[Record]]) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for part, records in parts.items():
        words = sum(len(record.text.split()) for record in records)
        assert f"| {part} | {len(records):,} | {PARTS[part]} | {words:,} |" in card
    for name in KINDS:
        assert f"| `{name}` |" in card
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 700_000
