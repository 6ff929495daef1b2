from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from clinnlp import Pipeline, Record, Stage, Token
from clinnlp.errors import PipelineError, RecordError, StageError


def fake(name: str, requires: str = "", uses: str = "", assigns: str = "") -> Stage:
    """A stage that does nothing, with fields named in a text."""
    made = Counting(name)
    made.requires, made.uses, made.assigns = tuple(requires.split()), tuple(uses.split()), tuple(assigns.split())
    return made


class Counting(Stage):
    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.loaded = 0
        self.seen: list[int] = []

    def warm_up(self) -> None:
        self.loaded += 1

    def process(self, records: Sequence[Record]) -> None:
        self.seen.append(len(records))


def test_stages_are_an_ordered_mapping_that_cannot_be_changed() -> None:
    first, second = fake("b"), fake("a")
    nlp = Pipeline([first, second])
    assert list(nlp.stages.items()) == [("b", first), ("a", second)]
    assert nlp["a"] is second
    assert ("a" in nlp, "c" in nlp, len(nlp)) == (True, False, 2)
    with pytest.raises(TypeError):
        nlp.stages["c"] = first  # type: ignore[index]


def test_a_name_that_is_not_there_is_an_error_that_tells_those_that_are() -> None:
    with pytest.raises(PipelineError, match="no stage 'c' in mine: it has a, b"):
        Pipeline([fake("a"), fake("b")], name="mine")["c"]


def test_without_gives_a_pipeline_that_shares_the_rest() -> None:
    nlp = Pipeline([fake("a"), fake("b"), fake("c")], name="mine", batch_size=7)
    less = nlp.without("a", "c")
    assert list(less.stages) == ["b"]
    assert less["b"] is nlp["b"]
    assert (less.name, less.batch_size) == ("mine", 7)
    assert list(nlp.stages) == ["a", "b", "c"]
    assert list(nlp.without().stages) == ["a", "b", "c"]
    with pytest.raises(PipelineError, match="no stage 'd'"):
        nlp.without("a", "d")


def test_without_may_take_away_what_others_require() -> None:
    nlp = Pipeline([fake("tokens", assigns="tokens"), fake("needs", requires="tokens")]).without("tokens")
    assert nlp(Record("a", tokens=[Token(0, 1)])).errors == []
    with pytest.raises(StageError, match="has no 'tokens'"):
        nlp("a")


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(PipelineError, match="two stages are named 'a'"):
        Pipeline([fake("a"), fake("a")])


def test_an_empty_pipeline_gives_records_back() -> None:
    assert Pipeline([])("text") == Record("text", id="0")


WRONG_ORDERS = {
    "requires": [fake("x", requires="tokens"), fake("y", assigns="tokens")],
    "uses": [fake("x", uses="tokens"), fake("y", assigns="tokens")],
    "far behind": [fake("x", requires="tokens"), fake("other"), fake("y", assigns="tokens")],
    "adds too": [fake("x", requires="entities", assigns="entities"), fake("y", uses="entities", assigns="entities")],
    "changes too": [fake("x", uses="entities", assigns="entities"), fake("y", assigns="entities")],
}


@pytest.mark.parametrize("stages", WRONG_ORDERS.values(), ids=WRONG_ORDERS)
def test_a_stage_before_the_one_that_assigns_what_it_reads_is_refused_and_both_are_named(stages: list[Stage]) -> None:
    with pytest.raises(PipelineError, match=r"stage 'x' comes before 'y', which assigns the '(tokens|entities)'"):
        Pipeline(stages)
    Pipeline([stages[-1], *stages[1:-1], stages[0]])


RIGHT_ORDERS = {
    "the record may bring it": [fake("x", requires="tokens")],
    "assigned before, and again later": [
        fake("a", assigns="tokens"),
        fake("x", requires="tokens"),
        fake("y", assigns="tokens"),
    ],
    "both add": [fake("x", uses="entities", assigns="entities"), fake("y", uses="entities", assigns="entities")],
    "both change": [
        fake("x", requires="entities", assigns="entities"),
        fake("y", requires="entities", assigns="entities"),
    ],
    "one adds, one changes": [
        fake("x", uses="entities", assigns="entities"),
        fake("y", requires="entities", assigns="entities"),
    ],
    "reads what it assigns": [fake("x", requires="entities", assigns="entities")],
    "a name that no field has": [fake("x", assigns="vectors"), fake("y", requires="vectors")],
}


@pytest.mark.parametrize("stages", RIGHT_ORDERS.values(), ids=RIGHT_ORDERS)
def test_an_order_that_can_work_is_taken(stages: list[Stage]) -> None:
    Pipeline(stages)


def test_a_stage_may_require_what_an_earlier_one_names_though_no_field_has_that_name() -> None:
    assert Pipeline(RIGHT_ORDERS["a name that no field has"])("x").errors == []


def test_building_loads_nothing_and_warm_up_loads_everything() -> None:
    stages = [Counting("a"), Counting("b")]
    nlp = Pipeline(stages)
    assert [stage.loaded for stage in stages] == [0, 0]
    assert nlp.warm_up() is nlp
    assert [stage.loaded for stage in stages] == [1, 1]


@pytest.mark.parametrize("given", ["text", None, 3, {"a": fake("a")}, [Counting], ["cleaning"], [None], [3]], ids=str)
def test_what_is_no_list_of_stages_is_refused(given: Any) -> None:
    with pytest.raises(PipelineError) as caught:
        Pipeline(given)
    assert "\n" not in str(caught.value)


def test_a_class_in_the_place_of_a_stage_is_told_how_to_become_one() -> None:
    with pytest.raises(PipelineError, match=r"Counting is a class: give an object of it, such as Counting\(\)"):
        Pipeline([Counting])  # type: ignore[list-item]


def test_any_callable_of_a_record_is_a_stage() -> None:
    def mark(record: Record, key: str) -> None:
        record.metadata[key] = True

    class Marker:
        def __call__(self, record: Record) -> None:
            mark(record, "object")

    nlp = Pipeline([functools.partial(mark, key="partial"), Marker(), lambda record: mark(record, "lambda")])
    assert nlp("x").metadata == {"partial": True, "object": True, "lambda": True}
    assert list(nlp.stages) == ["partial", "Marker", "<lambda>"]


def test_a_pipeline_is_a_stage_of_another() -> None:
    inner = Pipeline([lambda record: record.metadata.update(a=1)])
    assert Pipeline([inner])("x").metadata == {"a": 1}


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", None])
def test_a_batch_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(PipelineError, match="batch_size"):
        Pipeline([], batch_size=size)
    if size is not None:
        with pytest.raises(PipelineError, match="batch_size"):
            Pipeline([]).pipe([], batch_size=size)


def test_a_text_becomes_a_record_and_a_record_is_given_back() -> None:
    nlp = Pipeline([])
    assert nlp("text") == Record("text", id="0")
    record = Record("text", id="7")
    assert nlp(record) is record


def test_pipe_keeps_order_and_names_texts_by_their_place() -> None:
    nlp = Pipeline([], batch_size=2)
    given = ["a", Record("b", id="x"), "c", "", Record("b", id="x")]
    found = list(nlp.pipe(iter(given)))
    assert [(record.id, record.text) for record in found] == [("0", "a"), ("x", "b"), ("2", "c"), ("3", ""), ("x", "b")]


def test_pipe_is_lazy_and_takes_input_that_never_ends() -> None:
    taken = 0

    def notes() -> Iterator[str]:
        nonlocal taken
        for i in itertools.count():
            taken += 1
            yield f"note {i}"

    stage = Counting("a")
    found = Pipeline([stage], batch_size=4).pipe(notes())
    assert (taken, stage.seen) == (0, [])
    assert next(found).text == "note 0"
    assert (taken, stage.seen) == (4, [4])
    assert [record.text for record in itertools.islice(found, 5)] == [f"note {i}" for i in range(1, 6)]
    assert (taken, stage.seen) == (8, [4, 4])


def test_batches_have_the_size_that_was_asked_for() -> None:
    stage = Counting("a")
    list(Pipeline([stage], batch_size=4).pipe(["x"] * 7, batch_size=3))
    assert stage.seen == [3, 3, 1]


@pytest.mark.parametrize("records", ["text", b"text", Record("text"), {"a": "text"}, None, 3], ids=repr)
def test_pipe_refuses_what_is_no_iterable_of_records_at_once(records: Any) -> None:
    with pytest.raises(PipelineError, match="pipe takes an iterable"):
        Pipeline([]).pipe(records)


def test_an_unknown_on_error_is_refused_at_once() -> None:
    with pytest.raises(PipelineError, match="on_error must be 'raise' or 'keep', not 'skip'"):
        Pipeline([]).pipe([], on_error="skip")  # type: ignore[arg-type]


def test_an_error_of_the_input_itself_is_the_callers() -> None:
    def notes() -> Iterator[str]:
        yield "a"
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(Pipeline([]).pipe(notes(), on_error="keep"))


def test_a_stage_runs_over_a_record_again_where_it_is_asked_to() -> None:
    nlp = Pipeline([lambda record: record.metadata.update(times=record.metadata.get("times", 0) + 1)])
    assert nlp(nlp("x")).metadata == {"times": 2}


def test_raise_tells_stage_and_record() -> None:
    def fails(record: Record) -> None:
        if record.text == "b":
            raise ValueError

    with pytest.raises(StageError, match="stage 'fails' failed on record '1'"):
        list(Pipeline([fails]).pipe(["a", "b"]))
    with pytest.raises(RecordError, match="item 0"):
        Pipeline([])(3)  # type: ignore[arg-type]


def test_repr_shows_the_names_in_order() -> None:
    assert repr(Pipeline([fake("a"), fake("b")], name="mine")) == "Pipeline('mine': a -> b)"
