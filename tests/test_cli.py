"""The command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pyarrow.parquet as pq
import pytest
from engines.registered import WordFinder, pipeline
from tiny import tiny_base

from clinnlp import Image, Pipeline, Record, Stage, cli, corpora
from clinnlp.formats import jsonl
from clinnlp.stage import register
from clinnlp.stages import Deidentifier
from clinnlp.training.scores import Scores


class Judged(Stage):
    """A stage that can be evaluated, and needs tokens."""

    kind = "test_judged"
    requires = ("tokens",)
    assigns = ("entities",)

    def process(self, records: Any) -> None:
        pass

    def evaluate(self, records: list[Record]) -> Scores:
        assert all(record.tokens for record in records)
        return Scores({"f1": 0.5}, {"Symptom": {"f1": 0.5, "support": len(records)}})


register("test_judged", Judged)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved pipeline."""
    return pipeline().save(tmp_path / "words")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.csv"
    path.write_text("mrn,note\n7,Zebulon has a cough.\n7,No.\n8,bad Zebulon\n")
    return path


COLUMNS = ["--text-column", "note", "--id-column", "mrn"]


def run(*arguments: str | Path) -> int:
    return cli._status([str(argument) for argument in arguments])


def test_process_writes_a_folder_and_shows_what_was_found(
    tmp_path: Path, folder: Path, notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "note.html"
    assert run("process", notes, tmp_path / "out", "--pipeline", folder, *COLUMNS, "--html", page) == 0
    out, err = capsys.readouterr()
    assert "3 notes" in out
    for shown in ("Symptom", "note", "test_words: ValueError", "1 notes with errors, 1 duplicate ids"):
        assert shown in out
    assert "Zebulon" not in out + err
    assert "3/" in err
    found = pq.read_table(tmp_path / "out" / "part-00000.parquet").to_pylist()
    assert [(row["row"], row["id"], len(row["entities"] or ())) for row in found] == [
        (0, "7", 1),
        (1, "7", 0),
        (2, "8", 0),
    ]
    assert "cough" in page.read_text()
    page.unlink()
    assert run("process", notes, tmp_path / "out", "--pipeline", folder, *COLUMNS, "--html", page, "--quiet") == 0
    out, err = capsys.readouterr()
    assert "1 parts, 1 of an earlier run" in out
    assert err == ""
    assert "cough" in page.read_text()


def test_the_page_of_a_deidentified_note_has_nothing_of_the_raw_record(tmp_path: Path) -> None:
    PIL.Image.new("L", (4, 4), 7).save(tmp_path / "Quarry.png")
    record = Record(
        "Seen by Dr. Zebulon Quarry on 3/4/2021, phone 555-123-4567.",
        "Zebulon-7",
        images=[Image(tmp_path / "Quarry.png", labels={"finding": ["benign"]})],
        metadata={"name": "Zebulon Quarry"},
    )
    jsonl.write([record], tmp_path / "notes.jsonl")
    nlp = Pipeline([Deidentifier()]).save(tmp_path / "deid")
    given = ["process", tmp_path / "notes.jsonl", tmp_path / "out", "--pipeline", nlp, "--text", "deidentified"]
    for _ in range(2):  # the second time the record is read again
        assert run(*given, "--html", tmp_path / "note.html", "--quiet") == 0
        page = (tmp_path / "note.html").read_text(encoding="utf-8")
        assert "Seen by Dr." in page
        for hidden in ("Zebulon", "Quarry", "555-123", "2021", "data:image", str(tmp_path)):
            assert hidden not in page


def test_process_prints_one_json_object(
    tmp_path: Path, folder: Path, notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("process", notes, tmp_path / "out.jsonl", "--pipeline", folder, *COLUMNS, "--json", "--limit", "2") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["records"] == 2
    assert report["duplicate_ids"] == 1
    assert report["entities"] == {"Symptom": 1}
    assert [record.text for record in jsonl.read(tmp_path / "out.jsonl")] == ["Zebulon has a cough.", "No."]


def test_process_takes_its_options(tmp_path: Path, folder: Path, notes: Path) -> None:
    options = ["--format", "jsonl", "--part-size", "2", "--batch-size", "1", "--text", "none", "--fields", "entities"]
    assert run("process", notes, tmp_path / "out", "--pipeline", folder, *COLUMNS, *options, "--quiet") == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"row", "id", "entities"}] * 2
    assert (tmp_path / "out" / "part-00001.jsonl").exists()
    assert run("process", notes, tmp_path / "out", "--pipeline", folder, *COLUMNS, "--quiet") == 1
    assert run("process", notes, tmp_path / "out", "--pipeline", folder, *COLUMNS, "--quiet", "--no-resume") == 0
    assert (
        run("process", notes, tmp_path / "new", "--pipeline", folder, *COLUMNS, "--quiet", "--on-error", "raise") == 1
    )


def test_process_reads_and_writes_standard_streams(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Fièvre, cough.\n".encode())))
    assert run("process", "-", "-", "--pipeline", folder, "--quiet") == 0
    out, err = capfdbinary.readouterr()
    (line,) = out.splitlines()
    assert json.loads(line)["text"] == "Fièvre, cough.\n"
    assert b"1 notes" in err


def test_a_reader_that_has_enough_ends_the_run_quietly(tmp_path: Path) -> None:
    saved = save_tokens(tmp_path)
    many = tmp_path / "many.jsonl"
    many.write_text('{"text": "Some words of a note."}\n' * 5000)
    command = f"{sys.executable} -m clinnlp.cli process {many} - --pipeline {saved} --quiet | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["row"] == 0
    assert done.stderr == ""


def save_tokens(tmp_path: Path) -> Path:
    from clinnlp.stages import Tokenizer

    return Pipeline([Tokenizer()]).save(tmp_path / "tokens")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["process", "none.csv", "out", "--pipeline", "FOLDER"], "no file or folder 'none.csv'"),
        (
            ["process", "NOTES", "out", "--pipeline", "FOLDER"],
            "notes.csv has no column 'text': its columns are mrn, note",
        ),
        (["process", "NOTES", "out", "--pipeline", "no_such"], "no pipeline 'no_such'"),
        (["process", "NOTES", "out", "--pipeline", "FOLDER", "--text", "deidentified"], "needs a stage that assigns"),
        (["process", "NOTES", "out", "--pipeline", "FOLDER", "--fields", "odd"], "a record has no field 'odd'"),
        (["process", "NOTES", "-", "--pipeline", "FOLDER", "--json"], "leave one out"),
        (["process", "NOTES", "o", "--pipeline", "FOLDER", "--text", "none", "--html", "a"], "leave one out"),
        (["evaluate", "JUDGED", "no_such_corpus"], "no corpus 'no_such_corpus'"),
        (["evaluate", "FOLDER", "NOTES", "--stage", "odd"], "no stage 'odd'"),
        (["evaluate", "FOLDER", "NOTES", "--stage", "test_words"], "cannot be evaluated"),
        (["train", "none.yaml"], "no recipe 'none.yaml'"),
        (["corpora", "no_such_corpus"], "no corpus 'no_such_corpus'"),
        (["corpora", "--download"], "needs the name of a corpus"),
        (["info", "no_such"], "no pipeline 'no_such'"),
    ],
)
def test_a_failure_is_one_plain_line_and_a_status(
    tmp_path: Path,
    folder: Path,
    notes: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    judged = Pipeline([Judged(name="entities")]).save(tmp_path / "judged")
    places = {"FOLDER": str(folder), "NOTES": str(notes), "JUDGED": str(judged)}
    quiet = ["--quiet"] if arguments[0] == "process" else []
    assert run(*[places.get(one, one) for one in arguments], *quiet) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("clinnlp: ")
    assert message in err
    assert err.count("\n") == 1


def test_wrong_options_and_commands_are_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["process"], ["odd"], ["info", "--odd"], ["process", "a", "b", "--limit", "x"]):
        assert run(*arguments) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("clinnlp: ")


def test_an_unexpected_error_tells_its_class_and_place_and_nothing_of_the_notes(
    tmp_path: Path, folder: Path, notes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("Zebulon")

    monkeypatch.setattr(WordFinder, "config", fail)
    assert run("process", notes, tmp_path / "out", "--pipeline", folder, *COLUMNS, "--quiet") == 1
    err = capsys.readouterr().err
    assert err.startswith("clinnlp: unexpected KeyError at test_cli.py:")
    assert "Zebulon" not in err


def test_evaluate_runs_the_earlier_stages_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clinnlp.stages import Tokenizer

    saved = Pipeline([Tokenizer(), Judged(name="entities")], name="judged").save(tmp_path / "judged")
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"text": "A cough.", "entities": [{"start": 2, "end": 7, "label": "Symptom"}]}\n' * 3)
    assert run("evaluate", saved, gold, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"] == {"f1": 0.5}
    assert found["per_label"] == {"Symptom": {"f1": 0.5, "support": 3}}
    assert found["records"] == 3
    assert run("evaluate", saved, gold, "--limit", "2") == 0
    out = capsys.readouterr().out
    assert "2 records" in out
    assert "0.500" in out
    gold.write_text('{"text": "A cough.", "entities": [{"start": 2, "end": 99}]}\n')
    assert run("evaluate", saved, gold) == 1
    assert "record '0' of the gold cannot be read" in capsys.readouterr().err


SHOWN = ["no, [b]finding[/b]", "肺炎 |\nred \x1b[31m"]


def reports(folder: Path, name: str, first: int, count: int) -> Path:
    """A file of notes, each with the label that its words say."""
    words = ("clear normal", "opacity")
    rows = [
        {"id": f"r{i}", "text": f"Zebulon {words[i % 2]} {i}", "labels": {"chest": [SHOWN[i % 2]]}}
        for i in range(first, first + count)
    ]
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    return folder / name


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    """A saved pipeline with a classifier that has learned nothing."""
    from clinnlp.stages import ReportClassifier, Tokenizer

    base = tiny_base(tmp_path / "base")
    return Pipeline([Tokenizer(), ReportClassifier.from_base(base, SHOWN, "chest")]).save(tmp_path / "chest")


def test_evaluate_compares_a_classifier_with_a_bag_of_words(
    tmp_path: Path, chest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    train, test = reports(tmp_path, "train.jsonl", 0, 40), reports(tmp_path, "test.jsonl", 100, 24)
    options = ["--stage", "chest", "--baseline", "--baseline-part", train, "--plots", tmp_path / "plots"]
    assert run("evaluate", chest, test, *options, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    compared = found["comparison"]
    assert compared["baseline"]["scores"]["macro_f1"] == 1.0
    assert compared["better"] == "baseline"
    assert compared["difference"]["value"] == found["scores"]["macro_f1"] - 1.0
    assert compared["difference"]["low"] <= compared["difference"]["value"] <= compared["difference"]["high"] < 0
    assert compared["baseline"]["confusion"] == [[12, 0], [0, 12]]
    assert found["labels"] == SHOWN
    assert sum(map(sum, found["confusion"])) == 24
    assert [Path(path).read_bytes()[1:4] for path in found["plots"]] == [b"PNG", b"PNG"]
    assert [Path(path).name for path in found["plots"]] == ["confusion.png", "reliability.png"]
    assert run("evaluate", chest, test, *options) == 0
    out, err = capsys.readouterr()
    assert "The bag of words is better than stage 'chest'" in out
    assert f"{compared['difference']['low']:.3f} to {compared['difference']['high']:.3f}" in out
    (row,) = [line for line in out.splitlines() if "micro_f1" in line]
    assert "1.000 to 1.000" in row
    assert f"{compared['intervals']['micro_f1'][0]:.3f} to" in row
    # Names of labels have no meaning to the terminal, and stay in their row.
    assert "no, [b]finding[/b]" in out
    assert "肺炎 | red \\x1b[31m" in out
    assert "Zebulon" not in out + err


def test_evaluate_refuses_texts_that_the_bag_of_words_has_seen(
    tmp_path: Path, chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = reports(tmp_path, "train.jsonl", 0, 20), reports(tmp_path, "test.jsonl", 18, 20)
    options = ["--stage", "chest", "--baseline", "--baseline-part", train]
    assert run("evaluate", chest, test, *options) == 1
    err = capsys.readouterr().err
    assert "2 of 20 test records have the text of a training record, such as record 'r18'" in err
    assert "--allow-shared" in err
    assert "Zebulon" not in err
    assert run("evaluate", chest, test, *options, "--allow-shared") == 0
    assert "Note: 2 of 20 test records have the text of a training record." in capsys.readouterr().out
    assert run("evaluate", chest, test, "--stage", "chest", "--baseline") == 1
    assert "name with --baseline-part the file of training records" in capsys.readouterr().err


def test_what_is_for_classifiers_is_refused_for_entities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clinnlp.stages import EntityExtractor

    saved = Pipeline([EntityExtractor.from_base(tiny_base(tmp_path / "base"), ["Drug"])]).save(tmp_path / "ner")
    gold = reports(tmp_path, "gold.jsonl", 0, 2)
    assert run("evaluate", saved, gold, "--baseline") == 1
    assert "stage 'entities' does not classify texts: a bag of words is a baseline of a" in capsys.readouterr().err
    assert run("evaluate", saved, gold, "--plots", tmp_path / "plots") == 1
    assert "pictures are of classified items" in capsys.readouterr().err
    assert not (tmp_path / "plots").exists()


def test_evaluate_reads_a_part_of_a_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def load(name: str, part: str) -> dict[str, list[Record]]:
        asked.append((name, part))
        return {part: [Record("A cough.")]}

    monkeypatch.setattr(corpora, "load", load)
    from clinnlp.stages import Tokenizer

    saved = Pipeline([Tokenizer(), Judged(name="mine")]).save(tmp_path / "judged")
    assert run("evaluate", saved, "maccrobat", "--part", "train", "--stage", "mine", "--json") == 0
    assert asked == [("maccrobat", "train")]
    assert json.loads(capsys.readouterr().out)["part"] == "train"


def test_train_hands_over_to_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clinnlp.training import recipe

    fitted = SimpleNamespace(
        stage=WordFinder(name="entities"),
        train_records=160,
        dev=[Record()] * 40,
        report=SimpleNamespace(best_epoch=3.0, seconds=61.0),
        scores=Scores({"f1": 0.625}),
    )
    asked: list[Any] = []

    def fake(path: str, output: str | None, seed: int | None, resume: bool) -> Any:
        asked.append((path, output, seed, resume))
        return SimpleNamespace(folder=Path("made"), fitted=[fitted], seconds=75.0)

    monkeypatch.setattr(recipe, "run", fake)
    path = tmp_path / "train.yaml"
    path.write_text("stages: []\n")
    assert run("train", path, "--output", "made", "--seed", "3", "--resume", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["folder"] == "made"
    assert made["stages"][0]["scores"] == {"f1": 0.625}
    assert made["stages"][0]["dev_records"] == 40
    assert run("train", path) == 0
    assert asked == [(str(path), "made", 3, True), (str(path), None, None, False)]
    assert "0.625" in capsys.readouterr().out


def test_corpora_lists_the_catalogue_and_tells_about_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("corpora", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["corpora"]
    assert [one["name"] for one in listed] == corpora.names()
    assert run("corpora") == 0
    assert "maccrobat" in capsys.readouterr().out
    assert run("corpora", "maccrobat", "--json") == 0
    assert json.loads(capsys.readouterr().out)["licence"] == corpora.info("maccrobat").licence
    assert run("corpora", "maccrobat") == 0
    assert "licence" in capsys.readouterr().out


def test_info_tells_versions_and_the_stages_of_a_pipeline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {"clinnlp", "packages", "pipelines", "stages"} <= set(told)
    assert run("info") == 0
    assert told["packages"]["torch"] in capsys.readouterr().out
    assert run("info", folder, "--json") == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert (stage["stage"], stage["config"]["word"]) == ("test_words", "cough")
    assert run("info", folder) == 0
    assert "test_words" in capsys.readouterr().out


def test_help_and_start_are_quick_and_load_nothing_heavy() -> None:
    program = """
import sys, clinnlp.cli
try:
    clinnlp.cli.main(["--help"])
finally:
    heavy = {"torch", "spacy", "transformers", "pyarrow", "datasets"} & set(sys.modules)
    print("HEAVY", sorted(heavy))
"""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    seconds = time.perf_counter() - started
    assert "process" in done.stdout
    assert "HEAVY []" in done.stdout
    assert seconds < 5  # 0.5 on a quiet machine


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "evaluate" in capsys.readouterr().out


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A cough.")
    command = [sys.executable, "-m", "clinnlp.cli", "process", str(note), "-", "--pipeline", str(save_tokens(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0
    assert json.loads(done.stdout)["text"] == "A cough."
