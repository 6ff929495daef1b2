"""What a stage, or who gives a record, does wrong to it is told without what stands there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import ALL, TEXT, Odd, asked, assert_silent, planted, told_in

from clinnlp import Entity, Pipeline, Record
from clinnlp.record import Answer, Assertion, Failure, Section, Sentence, Token, Value
from clinnlp.stages import Tokenizer


def deep() -> list[Any]:
    made: list[Any] = [ALL]
    for _ in range(5000):
        made = [made]
    return made


WRONG: dict[str, Callable[[Record], Any]] = {
    "text": lambda r: setattr(r, "text", f"{r.text}!"),
    "no text": lambda r: setattr(r, "text", None),
    "another record": lambda r: planted(),
    "outside": lambda r: r.entities.append(Entity(0, 9999, ALL)),
    "another text": lambda r: r.entities.append(Entity(0, 3, text=ALL)),
    "offsets": lambda r: r.entities.append(Entity(ALL, 3)),  # type: ignore[arg-type]
    "label": lambda r: r.entities.append(Entity(0, 3, Odd())),  # type: ignore[arg-type]
    "score": lambda r: r.entities.append(Entity(0, 3, score=ALL)),  # type: ignore[arg-type]
    "attributes": lambda r: r.entities.append(Entity(0, 3, attributes={ALL: Odd()})),
    "cues": lambda r: r.entities.append(Entity(0, 3, assertion=Assertion(cues={ALL: [0, 1]}))),
    "texts for entities": lambda r: setattr(r, "entities", [ALL]),
    "keys for entities": lambda r: setattr(r, "entities", [{ALL: "PERSON"}]),
    "one text for all entities": lambda r: setattr(r, "entities", ALL),
    "metadata": lambda r: r.metadata.update({ALL: Odd()}),
    "metadata that is text": lambda r: setattr(r, "metadata", ALL),
    "deep metadata": lambda r: r.metadata.update(deep=deep()),
    "a set": lambda r: r.metadata.update({"a": {ALL}}),
    "a lone surrogate": lambda r: r.metadata.update({"a": f"{ALL}\ud800"}),
    "labels": lambda r: r.labels.update({ALL: [Odd()]}),  # type: ignore[list-item]
    "labels that are text": lambda r: setattr(r, "labels", ALL),
    "scores of labels": lambda r: setattr(r, "labels", {"x": [{"name": ALL, "score": ALL}]}),
    "images": lambda r: setattr(r, "images", [Odd()]),
    "keys of images": lambda r: setattr(r, "images", [{ALL: b"x"}]),
    "questions": lambda r: setattr(r, "questions", [Odd()]),
    "cleaned": lambda r: setattr(r, "cleaned", {"text": ALL, "length": 1, "edits": []}),
    "edits": lambda r: setattr(r, "deidentified", ALL),
    "tokens": lambda r: setattr(r, "tokens", [Token(5, 3, ALL)]),
    "sections": lambda r: setattr(r, "sections", [Section(0, 3, ALL, ALL, 99)]),
    "sentences": lambda r: setattr(r, "sentences", [Sentence(0, 3, labels=ALL)]),  # type: ignore[arg-type]
    "values": lambda r: setattr(r, "values", [Value(0, 3, number=ALL)]),  # type: ignore[arg-type]
    "targets": lambda r: setattr(r, "values", [Value(0, 3, name=ALL, target_start=5, target_end=-3)]),
    "answers": lambda r: setattr(r, "answers", [{ALL: 1}]),
    "answers' numbers": lambda r: setattr(r, "answers", [Answer(ALL, start=2**70)]),
    "errors": lambda r: setattr(r, "errors", [Failure(Odd(), ALL, Odd())]),  # type: ignore[arg-type]
    "a field that is gone": lambda r: delattr(r, "entities"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_stage_does_wrong_to_a_record_is_told_without_it(wrong: str, tmp_path: Path) -> None:
    nlp = Pipeline([Tokenizer(), WRONG[wrong]])
    assert_silent(asked(lambda: nlp(planted())))
    assert_silent(asked(lambda: print([record.errors for record in nlp.pipe([planted()] * 2, on_error="keep")])))
    assert_silent(asked(lambda: nlp.process([planted()], tmp_path / "out", on_error="raise", format="jsonl")))
    assert_silent(asked(lambda: nlp.process([planted()], tmp_path / "out", resume=False, progress=True)))
    assert_silent(told_in(tmp_path / "out"))

    def made() -> None:
        record = planted()
        WRONG[wrong](record)
        nlp(record)

    assert_silent(asked(made))
    assert_silent(asked(lambda: Record.from_dict({**planted().to_dict(), ALL: 1})))


@pytest.mark.parametrize("given", [None, 7, TEXT.encode(), [TEXT], {"text": TEXT}, {TEXT: 1}, Odd(), f"{TEXT}\ud800"])
def test_what_is_no_record_is_told_by_its_kind(given: Any, tmp_path: Path) -> None:
    nlp = Pipeline([Tokenizer()])
    for call in (
        lambda: nlp(given),
        lambda: nlp.pipe(given),
        lambda: list(nlp.pipe([given])),
        lambda: list(nlp.pipe([given], on_error="keep")),
        lambda: Record(given),
        lambda: Record.from_dict(given),
        lambda: nlp.process(given if not isinstance(given, str) else [given], tmp_path / "out", on_error="raise"),
        lambda: nlp.process([given], tmp_path / "kept", progress=True),
        lambda: nlp.as_map()(given),
        lambda: nlp.as_map(on_error="raise")({"text": [given]}),
        lambda: nlp.as_map(on_error="raise")({"text": [TEXT], "entities": [given], "metadata": [given]}),
    ):
        assert_silent(asked(call))
