"""Deidentifier: what is found is replaced, what fails gives nothing out, and the key stays secret."""

from __future__ import annotations

import gc
import logging
import pickle
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import lexicon_classifier, tiny_base

import clinnlp
from clinnlp import Entity, FitConfig, Pipeline, Record
from clinnlp.encoders.bio import bio_labels
from clinnlp.errors import CheckpointError, ConfigError, PipelineError, StageError, TrainingError
from clinnlp.stages import Deidentifier, EntityExtractor, TextCleaner
from clinnlp.stages._identifiers import patterns as pattern_module
from clinnlp.stages._identifiers.known import KnownStrings

SECRET = "Zebulon"
NOTE = f"Dr. Achterberg saw {SECRET} Quarry on March 5, 2024. Call 555-867-5309. Parkinson disease."
KEY = "correct horse"


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"xanthe": "B-PERSON", "okonkwo": "I-PERSON", "parkinson": "B-PERSON", "ulm": "B-ADDRESS", "44": "B-AGE"}
    return lexicon_classifier(tmp_path_factory.mktemp("lexicon"), words, bio_labels(["PERSON", "ADDRESS", "AGE"]))


def clean(text: str | Record, **options: Any) -> str:
    record = Deidentifier(**options)(text)
    assert record.deidentified is not None
    return record.deidentified.text


def test_what_is_found_becomes_an_entity_with_label_score_and_source() -> None:
    record = Deidentifier()(Record(NOTE, metadata={"patient": f"{SECRET} Quarry"}))
    assert [(e.text, e.label, e.attributes["by"]) for e in record.identifiers] == [
        ("Achterberg", "DOCTOR", "pattern"),
        ("Zebulon Quarry", "PERSON", "metadata"),
        ("March 5, 2024", "DATE", "pattern"),
        ("555-867-5309", "PHONE", "pattern"),
    ]
    assert all(e.score == 1 and e.source == "deidentification" for e in record.identifiers)
    assert record.text == NOTE
    assert record.deidentified is not None
    assert record.deidentified.text == "Dr. [NAME] saw [NAME] on [DATE]. Call [PHONE]. Parkinson disease."
    at = record.deidentified.text.index("Parkinson")
    assert record.deidentified.to_source(at, at + 9) == (NOTE.index("Parkinson"), NOTE.index("Parkinson") + 9)


def test_modes_put_a_label_a_mark_a_hash_or_a_surrogate() -> None:
    text = "Dr. Achterberg, dr. ACHTERBERG and Dr. Okonkwo"
    assert clean(text) == "Dr. [NAME], dr. [NAME] and Dr. [NAME]"
    assert clean(text, mode="redact", mark="___") == "Dr. ___, dr. ___ and Dr. ___"
    first, second, third = re.findall(r"\[NAME:([0-9a-f]{16})\]", clean(text, mode="hash", key=KEY))
    assert first == second != third
    assert first not in clean(text, mode="hash", key="another")
    made = re.fullmatch(r"Dr\. (\w+), dr\. (\w+) and Dr\. (\w+)", clean(text, mode="surrogate", key=KEY))
    assert made is not None
    assert made[1].upper() == made[2] != made[3].upper()
    assert "achterberg" not in made[0].lower()


@pytest.mark.parametrize("text", ["", " ", "\n", "Achterberg", "no identifiers, none"])
def test_a_text_without_identifiers_is_given_as_it_is(text: str) -> None:
    record = Deidentifier()(text)
    assert record.identifiers == []
    assert record.deidentified is not None
    assert record.deidentified.text == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3/5/2024", "[DATE]"),
        ("3/5/2024 555-867-5309", "[DATE] [PHONE]"),
        ("3/5/2024\r\n555-867-5309\r\nDr. Achterberg", "[DATE]\r\n[PHONE]\r\nDr. [NAME]"),
        ("Mail a@b.org,c@d.org", "Mail [EMAIL],[EMAIL]"),
        ("http://x.org/ann@b.org", "[URL]"),
        ("姓名：王小明，男，2024年3月5日就诊于北京大学第一医院。", "姓名：[姓名]，男，[日期]就诊于[机构]。"),
    ],
)
def test_identifiers_at_the_ends_beside_each_other_and_over_each_other(text: str, wanted: str) -> None:
    assert clean(text) == wanted


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda text: text.replace("\n", "\r\n")])
def test_letter_case_and_line_ends_hide_nothing(change: Callable[[str], str]) -> None:
    text = change(
        "Patient: Zebulon Quarry\nMRN: 1234567\nSeen by Dr. Achterberg on March 5, 2024 at Oakhollow Hospital.\n"
        "Call (555) 867-5309 or write zeb@example.org.\nLives at 12 Elm Street, Ravensport, TX 71127."
    )
    left = clean(text).lower()
    for one in (
        "zebulon",
        "quarry",
        "1234567",
        "achterberg",
        "march",
        "oakhollow",
        "867",
        "example",
        "elm",
        "ravensport",
    ):
        assert one not in left
    assert "seen by dr. [name] on [date] at [institution]." in left


def test_cleaning_cannot_hide_an_identifier_and_what_it_mends_is_found_too() -> None:
    text = "Seen by Dr. Achter&shy;berg. Call 555-867-5309.\n\nQuarry, Zebulon    page 1 of 2\n"
    record = Record(text, metadata={"patient": "Zebulon Quarry"})
    found = Pipeline([TextCleaner(), Deidentifier()])(record).deidentified
    assert found is not None
    for one in ("chter", "berg", "867", "Quarry", "Zebulon"):
        assert one not in found.text


def test_a_disease_keeps_its_name_unless_the_metadata_has_it(lexicon: Path) -> None:
    text = "Parkinson disease. Gaucher disease. Xanthe has Parkinson."
    assert clean(text) == text
    known = Record(text, metadata={"patient": "Ann Parkinson"})
    assert clean(known) == "[NAME] disease. Gaucher disease. Xanthe has [NAME]."
    stage = Deidentifier.from_pretrained(lexicon)
    assert clean(text, checkpoint=lexicon) == "Parkinson disease. Gaucher disease. [NAME] has Parkinson."
    covered = Record("Xanthe fever", entities=[Entity(0, 12, "Disease")])
    assert stage(covered).identifiers == []


def test_identifiers_that_a_record_brings_are_kept_and_replaced_and_others_looked_for() -> None:
    record = Record("Vera, 44, came on 3/5/2024.", identifiers=[Entity(0, 4, "PERSON"), Entity(6, 8, "AGE")])
    for _ in range(2):  # a second run finds the same
        Deidentifier()(record)
        assert [(e.text, e.label, e.source) for e in record.identifiers] == [
            ("Vera", "PERSON", ""),
            ("44", "AGE", ""),
            ("3/5/2024", "DATE", "deidentification"),
        ]
        assert record.deidentified is not None
        assert record.deidentified.text == "[NAME], [AGE], came on [DATE]."


def test_a_head_finds_names_without_context_in_the_one_pass(lexicon: Path) -> None:
    record = Deidentifier.from_pretrained(lexicon)("Today Xanthe Okonkwo, 44, came from Ulm on 3/5/2024.")
    assert [(e.text, e.label, e.attributes["by"]) for e in record.identifiers] == [
        ("Xanthe Okonkwo", "PERSON", "model"),
        ("Ulm", "ADDRESS", "model"),
        ("3/5/2024", "DATE", "pattern"),
    ]
    assert clean("word " * 700 + "Xanthe Okonkwo " + "word " * 700, checkpoint=lexicon).count("[NAME]") == 1


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Python's garbage collector looks at all objects again as they grow in number, which is not the stage's time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("part", "copies"),
    [
        (f"{NOTE} BP 120/80, aspirin 81 mg daily for 3 days.\n", 100),
        ("The patient was seen again and felt much better, without pain or fever at rest.\n", 2_000),
        ("Seen on 3/5/\n2024 at St. Mary's Hospital, and called 555-\n867-5309 then. ", 600),
        ("general hospital clinic ", 500),
        ("患者王小明，男，93岁，于2024年3月5日入院。", 200),
        ("JOHN SMITH, MD 12 é 😀\n", 500),
        ("1-", 2_000),
    ],
    ids=["identifiers", "none", "over the ends of lines", "places that are none", "Chinese", "capitals", "refused"],
)
def test_time_is_linear_in_the_length_of_a_note(part: str, copies: int) -> None:
    stage = Deidentifier()

    def seconds(count: int, times: int) -> float:
        best = []
        for _ in range(times):
            record = Record(part * count, metadata={"patient": f"{SECRET} Quarry"})
            began = time.process_time()
            stage.process([record])
            best.append(time.process_time() - began)
        return min(best)

    seconds(10, 1)
    # Were it to grow with the square, it would be some 250 times as long.
    assert seconds(16 * copies, 2) < 50 * seconds(copies, 5)


# Failures


def broken(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    def fail(*args: object, **options: object) -> Any:
        raise ValueError(f"it was about {SECRET}")

    monkeypatch.setattr(place, name, fail)


PARTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "patterns": lambda patch: broken(patch, pattern_module, "_spans"),
    "compiling": lambda patch: broken(patch, pattern_module, "_patterns"),
    "known": lambda patch: broken(patch, KnownStrings, "find"),
    "head": lambda patch: broken(patch, Deidentifier, "read_words"),
    "replacing": lambda patch: broken(patch, clinnlp.stages._identifiers.replacing.Replacer, "replace"),
    "the last check": lambda patch: broken(patch, clinnlp.stages._identifiers.replacing, "_left_over"),
}


@pytest.mark.parametrize("part", PARTS)
def test_where_a_part_fails_nothing_is_given_out_and_nothing_told(
    part: str,
    lexicon: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Deidentifier.from_pretrained(lexicon)
    EntityExtractor.warm_up(stage)
    PARTS[part](monkeypatch)
    if part == "compiling":
        with pytest.raises(StageError) as told:
            stage(Record(NOTE, id="1"))
    else:
        with pytest.raises(StageError, match="record '1'") as told:
            stage(Record(NOTE, id="1"))
        record = Record(NOTE, id="1", metadata={"patient": SECRET})
        (kept,) = Pipeline([stage]).pipe([record], on_error="keep")
        assert kept.deidentified is None
        assert kept.identifiers == []
        assert [failure.error for failure in kept.errors] == ["StageError"]
        assert SECRET not in repr(kept.errors)
        with pytest.raises(StageError):
            stage.process([record])
        assert record.deidentified is None
    printed = capfd.readouterr()
    assert SECRET not in str(told.value) + caplog.text + printed.out + printed.err or part == "compiling"


def test_what_is_left_after_replacing_is_taken_out_and_if_it_stays_the_record_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first_nothing(*args: object) -> list[Any]:
        return []

    monkeypatch.setattr(Deidentifier, "_found_in", first_nothing)
    record = Record(NOTE, id="1", metadata={"patient": f"{SECRET} Quarry"})
    assert clean(record) == "Dr. [NAME] saw [NAME] on [DATE]. Call [PHONE]. Parkinson disease."
    monkeypatch.setattr(clinnlp.stages._identifiers.replacing, "_in_one", lambda one, spans: False)
    always = KnownStrings([("zzzz", "ZZZZ")])
    monkeypatch.setattr(Deidentifier, "_known", lambda self, record: always)
    with pytest.raises(StageError, match="identifiers are still there after replacing twice") as told:
        Deidentifier()(Record(f"{NOTE} zzzz", id="1"))
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("mode", ["label", "redact", "hash", "surrogate"])
def test_the_word_of_a_mark_makes_no_identifier_of_what_follows(mode: Any) -> None:
    text = "MRN A1234 2024 1999 1888"
    assert clean(text, mode=mode, key=KEY, mark="MRN").endswith(" 2024 1999 1888")


def test_a_patient_called_like_a_mark_does_not_stop_it() -> None:
    assert clean(Record("Mr. Date came.", metadata={"patient": "Date Phone"})) == "Mr. [NAME] came."


def test_a_mark_that_names_the_patient_is_not_given_out() -> None:
    stage = Deidentifier(mode="redact", mark="<quarry, Zebulon removed>")
    known = Record(NOTE, id="1", metadata={"patient": f"{SECRET} Quarry"})
    with pytest.raises(StageError, match="the mark has something that the record's metadata knows") as told:
        stage(known)
    assert known.deidentified is None
    assert SECRET not in str(told.value)
    assert "<quarry" in clean(Record(NOTE, metadata={"patient": "Xanthe Ruiz"}), mode="redact", mark=stage.mark)
    assert clean(Record("None.", metadata={"patient": SECRET}), mode="redact", mark=stage.mark) == "None."
    assert clean(Record("Mr. Redacted", metadata={"patient": "REDACTED"}), mode="redact") == "Mr. [REDACTED]"


def test_a_key_of_the_environment_may_be_of_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINNLP_KEY", "caf\udce9")  # as Python reads a byte that is no UTF-8
    assert clean(NOTE, mode="hash") == clean(NOTE, mode="hash", key=b"caf\xe9")


@pytest.mark.parametrize("mode", ["hash", "surrogate"])
def test_a_key_is_asked_for_before_anything_runs(mode: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLINNLP_KEY", raising=False)
    nlp = Pipeline([Deidentifier(mode=mode)])
    for call in (lambda: nlp(NOTE), lambda: list(nlp.pipe([NOTE], on_error="keep")), nlp.warm_up):
        with pytest.raises(ConfigError, match=r"nlp\['deidentification'\]\.key = \.\.\. or .* CLINNLP_KEY") as told:
            call()
        assert SECRET not in str(told.value)
    monkeypatch.setenv("CLINNLP_KEY", KEY)
    by_environment = nlp(NOTE).deidentified
    nlp["deidentification"].key = KEY
    monkeypatch.delenv("CLINNLP_KEY")
    assert nlp(NOTE).deidentified == by_environment


def test_the_key_is_neither_saved_nor_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLINNLP_KEY", raising=False)
    stage = Deidentifier(mode="surrogate", key=KEY, known=["patient"], languages="en")
    nlp = Pipeline([stage], name="safe")
    nlp.save(tmp_path / "safe")
    written = b"".join(path.read_bytes() for path in (tmp_path / "safe").rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in repr(stage) + repr(stage.config()) + repr(nlp)
    again = clinnlp.load(tmp_path / "safe")
    assert again["deidentification"].config() == stage.config()
    with pytest.raises(ConfigError, match="needs a key"):
        again(NOTE)
    again["deidentification"].key = KEY
    assert again(NOTE).deidentified == nlp(NOTE).deidentified
    assert pickle.loads(pickle.dumps(nlp))(NOTE).deidentified == nlp(NOTE).deidentified
    text = (tmp_path / "safe" / "pipeline.yaml").read_text()
    (tmp_path / "safe" / "pipeline.yaml").write_text(
        text.replace("mode: surrogate", f"mode: surrogate\n    key: {KEY}")
    )
    with pytest.raises(PipelineError, match="a key does not belong in a file") as told:
        clinnlp.load(tmp_path / "safe")
    assert KEY not in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "blur"}, "unknown mode 'blur': give one of label, redact, hash, surrogate"),
        ({"languages": ["fr"]}, "no rules for identifiers in the language 'fr'"),
        ({"key": ""}, "must be a text or bytes, and not empty"),
        ({"key": 7}, "must be a text or bytes"),
        ({"key": "\ud800abc"}, "the key has a lone surrogate"),
        ({"mode": "redact", "mark": 5}, "the mark must be a text, but it is of the type int"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Deidentifier(**options)


def test_without_a_head_there_is_nothing_to_fit_or_save(tmp_path: Path) -> None:
    stage = Deidentifier()
    assert stage.labels == []
    with pytest.raises(TrainingError, match=r"no head to fit: make it with Deidentifier\.from_base"):
        stage.fit([Record("Xanthe", identifiers=[Entity(0, 6, "PERSON")])])
    with pytest.raises(CheckpointError, match="no head to save"):
        stage.save(tmp_path / "x")


# Learning


def gold(count: int) -> list[Record]:
    return [
        Record(f"then Xanthe came {i} times", id=str(i), identifiers=[Entity(5, 11, "PERSON")]) for i in range(count)
    ]


def test_a_head_is_fitted_on_identifiers_judged_saved_and_loaded(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", ["then", "xanthe", "came", "times"])
    stage = Deidentifier.from_base(base, labels=["PERSON", "ADDRESS"], mode="redact", threshold=0.0)
    report = stage.fit(gold(24), gold(4), FitConfig(epochs=12, learning_rate=1e-2))
    assert report.best_score == 1.0
    scores = stage.evaluate(gold(4))
    assert (scores["f1"], scores["removed"], scores["needed"]) == (1.0, 1.0, 1.0)
    stage.save(tmp_path / "head")
    again = Deidentifier.from_pretrained(tmp_path / "head")
    assert clean("then Xanthe came", checkpoint=tmp_path / "head", threshold=0.0) == "then [NAME] came"
    assert again.labels == ["PERSON", "ADDRESS"]
    nlp = Pipeline([EntityExtractor.from_base(stage.encoder, labels=["Disease"]), stage])
    nlp.save(tmp_path / "both")
    both = clinnlp.load(tmp_path / "both")
    assert both["entities"].encoder is both["deidentification"].encoder
    found = both("then Xanthe came").deidentified
    assert found is not None
    assert found.text == "then [REDACTED] came"


def test_years_and_ages_under_ninety_do_not_count() -> None:
    record = Record(
        "44 in 2019, 93 years old", identifiers=[Entity(0, 2, "AGE"), Entity(6, 10, "DATE"), Entity(12, 14, "AGE")]
    )
    scores = Deidentifier().evaluate([record])
    assert (scores["removed"], scores.per_label["AGE"]["support"]) == (1.0, 1.0)
    assert [e.text for e in record.identifiers] == ["44", "2019", "93"]


def test_a_run_gives_out_the_new_text_and_nothing_of_the_old(tmp_path: Path) -> None:
    nlp = Pipeline([Deidentifier(mode="surrogate", key=KEY)])
    notes = [Record(NOTE, id=f"{SECRET}-{i}", metadata={"patient": f"{SECRET} Quarry"}) for i in range(3)]
    nlp.process(notes, tmp_path / "out", text="deidentified", format="jsonl")
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for secret in (SECRET, "Quarry", "Achterberg", "March 5", "867-5309", KEY):
        assert secret.encode() not in written
    assert b"Parkinson disease" in written


def test_a_run_does_not_go_on_with_another_key(tmp_path: Path) -> None:
    source = tmp_path / "notes.jsonl"
    source.write_text("".join(f'{{"text": "Seen 3/{day}/24."}}\n' for day in range(1, 5)), encoding="utf-8")
    stage = Deidentifier(mode="surrogate", key="correct horse")
    nlp = Pipeline([stage])
    for _ in range(2):  # with the same key it goes on
        nlp.process(source, tmp_path / "out", part_size=2)
    assert b"correct horse" not in (tmp_path / "out" / "journal.jsonl").read_bytes()
    stage.key = "another"
    with pytest.raises(PipelineError, match=r"stages\.deidentification\.secret"):
        nlp.process(source, tmp_path / "out", part_size=2)


def test_records_without_gold_are_no_figures() -> None:
    with pytest.raises(TrainingError, match="no record has gold identifiers"):
        Deidentifier().evaluate([Record("Seen on March 5, 2024.")])
