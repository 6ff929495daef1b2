"""Broken files, runs that are cut off, and the command line tell nothing of the notes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from planted import ALL, BUILDERS, TEXT, Ear, asked, assert_silent, fail, leaks, planted, told_in

from clinnlp import Pipeline, cli
from clinnlp.formats import jsonl
from clinnlp.stages import Deidentifier, Tokenizer

FILES: dict[str, bytes] = {
    "no_header.csv": b"Zanzibarov,Kilimanjarev came\nZanzibarov,Ouagadougova\n",
    "twice.csv": b"Zanzibarov,Zanzibarov,text\n1,2,3\n",
    "quotes.csv": b'id,text\n1,"Zanzibarov" and Kilimanjarev\n2,"Zanzibarov\n',
    "fields.csv": b"id,text\n1,Zanzibarov,Kilimanjarev\n",
    "latin.csv": "id,text\n1,Zanzibarov é\n".encode("latin-1"),
    "entities.csv": b'id,text,entities,metadata\n1,Zanzibarov,"[Zanzibarov","{Zanzibarov"\n',
    "nulls.tsv": b"id\ttext\n1\tZanzibarov\0\n",
    "broken.jsonl": b'{"text": "Zanzibarov\n{"text": "Kilimanjarev"} Ouagadougova\n["Zanzibarov"]\n{"Zanzibarov": 1}\n',
    "first_key.jsonl": b'{"Zanzibarov": "Kilimanjarev"}\n',
    "array.jsonl": b'[{"text": "Zanzibarov"}]',
    "types.jsonl": b'{"text": 7, "entities": "Zanzibarov"}\n{"text": ["Zanzibarov"]}\n'
    b'{"text": "x", "entities": [{"start": "Zanzibarov", "end": 3}], "images": [{"Montblancky": 1}]}\n'
    b'{"text": "x", "labels": [["Zanzibarov"]], "metadata": ["Zanzibarov"], "sentences": [{"labels": "Zanzibarov"}]}\n'
    b'{"text": "x", "entities": [{"start": 0, "end": 99, "label": "Zanzibarov"}]}\n',
    "surrogate.jsonl": b'{"text": "Zanzibarov \\ud800"}\n',
    "image.jsonl": b'{"text": "x", "images": ["/nowhere/Montblancky.png"]}\n{"images": ["Montblancky.dcm"]}\n',
    "no.parquet": b"PAR1 Zanzibarov",
    "none.xyz": b"Zanzibarov",
    "empty.csv": b"",
}


@pytest.fixture(scope="module")
def saved(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline in a folder, with heads on an encoder, one of images, and stages by rules."""
    kinds = ["cleaning", "tokenization", "sections", "assertion", "values", "deidentification", "reports", "images"]
    stages = [BUILDERS[kind](base) for kind in kinds]
    return Pipeline([*stages[:3], BUILDERS["entities"](base), *stages[3:]]).save(
        tmp_path_factory.mktemp("saved") / "nlp"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_told_without_what_stands_in_it(name: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    nlp = Pipeline([Tokenizer(), BUILDERS["images"](saved)])
    out = tmp_path / "out"
    for on_error in ("raise", "keep"):
        assert_silent(asked(partial(nlp.process, path, out, on_error=on_error, resume=False, progress=True)))  # type: ignore[arg-type]
    if out.is_dir():
        assert_silent(told_in(out))
    arguments = ["process", path, tmp_path / "told", "--pipeline", saved, "--no-resume"]
    assert_silent(told_by_command(*arguments))
    if name.startswith(("no_header", "types")):
        assert_silent(told_by_command(*arguments, "--json", "--on-error", "raise"))
        assert_silent(told_by_command("evaluate", saved, path))
        baseline = ["--stage", "reports", "--baseline", "--baseline-part", path]
        assert_silent(told_by_command("evaluate", saved, path, *baseline))


def told_by_command(*arguments: object) -> Ear:
    return asked(lambda: cli._status([str(one) for one in arguments]))


def test_a_folder_of_texts_with_one_that_cannot_be_read_is_told_by_its_id(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "n1.txt").write_bytes(f"{TEXT} é".encode("latin-1"))
    (tmp_path / "notes" / "n2.txt").write_text(TEXT)
    for on_error in ("raise", "keep"):
        arguments = [tmp_path / "notes", tmp_path / "out", "--pipeline", saved, "--on-error", on_error, "--no-resume"]
        assert_silent(told_by_command("process", *arguments))
    assert_silent(told_in(tmp_path / "out"))


def test_the_command_line_tells_nothing_of_a_run_that_is_cut_off_goes_on_and_is_changed(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes.jsonl"
    jsonl.write([planted(images=[], id=f"n{i}") for i in range(5)], notes)
    process = ["process", notes, tmp_path / "out", "--pipeline", saved, "--part-size", "2"]
    calls = iter(range(100))
    find = Deidentifier._find

    def cut(stage: Deidentifier, records: Any) -> Any:
        return fail() if next(calls) == 1 else find(stage, records)

    with monkeypatch.context() as patch:
        patch.setattr(Deidentifier, "_find", cut)
        assert_silent(told_by_command(*process, "--on-error", "raise", "--batch-size", "2"))
    for more in (
        [],
        ["--json"],
        ["--batch-size", "2"],
        ["--text", "deidentified"],
        ["--no-resume", "--html", "n.html"],
    ):
        monkeypatch.chdir(tmp_path)
        assert_silent(told_by_command(*process, *more))
        assert_silent(told_in(tmp_path / "out"))
    (tmp_path / "out" / "part-00000.parquet").write_bytes(ALL.encode())
    assert_silent(told_by_command(*process, "--no-gold"))
    (tmp_path / "out" / "journal.jsonl").write_text(ALL)
    assert_silent(told_by_command(*process))
    assert_silent(told_by_command("process", notes, tmp_path / "none.jsonl", "--pipeline", saved, "--text", "none"))
    # What stands beside a note, such as its metadata, is given out as it came.
    in_notes = {"text", "doctor", "text near its end", "telephone", "finding"}
    assert in_notes.isdisjoint(leaks((tmp_path / "none.jsonl").read_text()))
