"""The corpus of the tone of a patient's course: its generator, its parts and how they are held apart."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

import clinnlp
from clinnlp import Record
from clinnlp.shipped import corpora_folder

FOLDER = corpora_folder() / "tone"
PARTS = {"train": 3900, "devel": 405, "test": 150}
TONES = ("worse", "stable", "better")


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Record]]:
    return clinnlp.corpora.load("tone")


def grams(text: str, size: int) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W\d]+", text.lower())
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def data(part: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / "data" / f"{part}.yaml").read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_files_are_what_the_generator_writes_whatever_the_hash_seed(tmp_path: Path, hash_seed: str) -> None:
    command = [sys.executable, str(FOLDER / "generate_tone.py"), "--seed", "7", "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": hash_seed})
    assert {path.name for path in tmp_path.iterdir()} == {f"{part}.jsonl" for part in PARTS}
    for part in PARTS:
        assert (tmp_path / f"{part}.jsonl").read_bytes() == (FOLDER / f"{part}.jsonl").read_bytes()


def test_each_part_has_as_many_of_each_tone_and_no_text_twice(parts: dict[str, list[Record]]) -> None:
    assert {part: len(records) for part, records in parts.items()} == PARTS
    for part, records in parts.items():
        counts = Counter(label.name for record in records for label in record.labels["tone"])
        assert counts == dict.fromkeys(TONES, PARTS[part] / 3)
        assert all(len(record.labels["tone"]) == 1 for record in records)
        assert [record.id for record in records] == [f"tone-{part}-{i:04}" for i in range(1, PARTS[part] + 1)]
    texts = Counter(re.sub(r"\W+", " ", r.text.lower()).strip() for records in parts.values() for r in records)
    assert max(texts.values()) == 1


def test_parts_share_no_frames_no_words_of_slots_and_no_values(parts: dict[str, list[Record]]) -> None:
    train, devel = data("train"), data("devel")
    assert not set(train["labs"]) & set(devel["labs"])
    known_words = {word for words in train["words"].values() for word in words.strip().lower().splitlines()}
    for words in devel["words"].values():
        assert not set(words.strip().lower().splitlines()) & known_words
    for tone in TONES:
        assert not set(devel["frames"][tone].splitlines()) & set(train["frames"][tone].splitlines()) - {""}
    known = set().union(*(grams(r.text, 3) for r in parts["train"]))
    for part in ("devel", "test"):
        assert not [r.id for r in parts[part] if grams(r.text, 3) & known]
    devel_grams = set().union(*(grams(r.text, 5) for r in parts["devel"]))
    assert not [r.id for r in parts["test"] if grams(r.text, 5) & devel_grams]


def test_moved_values_go_the_way_of_their_tone() -> None:
    for part in ("train", "devel"):
        labs = data(part)["labs"]
        seen: dict[str, int] = defaultdict(int)
        for record in clinnlp.corpora.load("tone", part)[part]:
            lab = next((lab for lab in labs if re.search(rf"\b{lab}\b".lower(), record.text.lower())), None)
            # Forms that write the value from which it came first.
            moved = re.search(r"([\d.]+)(?: -> |, now |, then |/| to )([\d.]*\d)", record.text)
            if lab is None or moved is None:
                continue
            before, now = float(moved[1]), float(moved[2])
            tone = record.labels["tone"][0].name
            if tone == "stable":
                assert abs(now - before) <= 0.02 * (labs[lab][1] - labs[lab][0]) + 0.011, record.id
            else:
                assert (now > before) == ((labs[lab][3] == "up") == (tone == "worse")), record.id
            seen[tone] += 1
        assert min(seen[tone] for tone in TONES) >= 3


def test_sentences_read_as_text_without_traces_of_their_frames(parts: dict[str, list[Record]]) -> None:
    for records in parts.values():
        for record in records:
            assert re.search(r"[{}\[\]|<@]|  | [,;.]|\.\.", record.text) is None, record.id
            assert record.text == record.text.strip()
            assert len(record.text.split()) > 1


def test_single_words_do_not_give_the_tone_away(parts: dict[str, list[Record]]) -> None:
    """Sentences that bags of words get wrong: the same words in another order, negated, or of what should be less."""
    by_words: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for record in parts["test"]:
        words = tuple(sorted(re.findall(r"\w+", record.text.lower())))
        by_words[words].add(record.labels["tone"][0].name)
    assert sum(len(tones) > 1 for tones in by_words.values()) >= 3
    for word in ("increased", "decreased", "no", "now"):
        tones = {r.labels["tone"][0].name for r in parts["train"] if re.search(rf"\b{word}\b", r.text.lower())}
        assert tones >= {"worse", "better"}, word


def test_the_card_counts_what_there_is(parts: dict[str, list[Record]]) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for part, records in parts.items():
        words = sum(len(record.text.split()) for record in records)
        assert f"| {part} | {len(records):,} | {words:,} |" in card
