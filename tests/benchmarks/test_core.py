"""What the core costs a note, with a wide margin for slow machines: a change of order is what fails here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from clinnlp import Assertion, Entity, Pipeline, Record, Stage, Token, as_stage

TEXT = "word " * 500


def note(i: int = 0) -> Record:
    """A note of 500 tokens and 50 entities."""
    tokens = [Token(5 * k, 5 * k + 4) for k in range(500)]
    entities = [Entity(50 * k, 50 * k + 4, "Disease", score=0.9, assertion=Assertion()) for k in range(50)]
    return Record(TEXT, str(i), tokens=tokens, entities=entities)


def best(function: Callable[[], object]) -> float:
    """The least of ten times, in milliseconds."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


class Nothing(Stage):
    requires = ("tokens",)
    assigns = ("labels",)

    def process(self, records: Sequence[Record]) -> None: ...


@pytest.mark.parametrize(("name", "limit"), [("bind", 0.5), ("to_dict", 4.0), ("copy", 2.0)])
def test_a_note_is_checked_written_and_copied_in_little_time(name: str, limit: float) -> None:
    assert best(getattr(note(), name)) < limit


def test_ten_stages_that_do_nothing_cost_a_note_little() -> None:
    nlp = Pipeline([Nothing(f"n{i}") for i in range(10)])
    records = [note(i) for i in range(50)]
    assert best(lambda: list(nlp.pipe(records))) / 50 < 2.0


def test_ten_functions_that_do_nothing_cost_a_note_little() -> None:
    nlp = Pipeline([as_stage(name=f"n{i}")(lambda record: None) for i in range(10)])
    records = [note(i) for i in range(50)]
    assert best(lambda: list(nlp.pipe(records))) / 50 < 20.0


def test_the_cost_of_a_record_grows_with_its_length_and_no_faster() -> None:
    def cost(length: int) -> float:
        tokens = [Token(5 * k, 5 * k + 4) for k in range(length)]
        return best(lambda: Pipeline([Nothing()])(Record("word " * length, tokens=tokens)).to_dict())

    assert cost(20_000) < 40 * cost(2_000)
