"""One bad record never costs the others, and nothing of a patient leaves in an error."""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from clinnlp import Assertion, Entity, Failure, Label, Pipeline, Record, Stage, Token, as_stage
from clinnlp.alignment import EditedText
from clinnlp.errors import CheckpointError, ClinNLPError, RecordError, StageError

SECRET = "Zebulon Quarry"
BAD = f"BAD note of {SECRET}"


class Words(Stage):
    """Finds words; does not work on a text that begins with BAD."""

    kind = "words"
    assigns = ("tokens",)

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            at = 0
            for word in record.text.split():
                at = record.text.index(word, at)
                record.tokens.append(Token(at, at + len(word)))
                at += len(word)
            if record.text.startswith("BAD"):
                raise ValueError(f"cannot read {record.text}")


class FirstWord(Stage):
    """Marks the first word, and does what is seen if it is done twice."""

    kind = "first"
    requires = ("tokens",)
    assigns = ("entities",)

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            for entity in record.entities:
                entity.score /= 2
            token = record.tokens[0]
            record.entities.append(Entity(token.start, token.end, "First"))
            if record.text.startswith("WORSE"):
                raise KeyError(record.text)


class Sizes(Stage):
    """Tells how many records it got at once."""

    def __init__(self) -> None:
        super().__init__("sizes")
        self.seen: list[int] = []

    def process(self, records: Sequence[Record]) -> None:
        self.seen.append(len(records))


def run(texts: Sequence[Any], *stages: Any, **options: Any) -> list[Record]:
    return list(Pipeline(stages or [Words(), FirstWord()]).pipe(texts, **options))


@pytest.mark.parametrize("size", [1, 2, 3, 64])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    "bad", [BAD, "WORSE still", 3, "\ud800"], ids=["first stage", "second", "no text", "surrogate"]
)
def test_a_bad_record_costs_no_other_wherever_it_stands(bad: Any, place: int, size: int) -> None:
    def given() -> list[Record]:
        return [Record(t, id=t, entities=[Entity(0, 1, "Given")]) for t in ("One two", "Three", "Four five six")]

    alone = run(given())
    with_bad: list[Any] = given()
    with_bad.insert(place, bad)
    found = run(with_bad, batch_size=size, on_error="keep")
    failed = found.pop(place)
    assert [record.to_dict() for record in found] == [record.to_dict() for record in alone]
    assert len(failed.errors) == 1


def test_a_record_that_fails_stays_as_it_was_and_says_which_stage_failed() -> None:
    record = Record("WORSE one", id="7", entities=[Entity(0, 5, "Given", assertion=Assertion())], labels={"a": ["b"]})
    before = record.copy()
    found = Pipeline([Words(), FirstWord()])(record, on_error="keep")
    assert found is record
    assert [token.text for token in record.tokens] == ["WORSE", "one"]
    assert record.entities == before.entities
    assert record.errors == [Failure("first", "KeyError", record.errors[0].message)]
    assert record.has("errors")


def test_a_failure_names_the_place_in_the_code() -> None:
    [record] = run([BAD], on_error="keep")
    assert record.errors[0].message.startswith("ValueError at test_execution.py:")


def test_later_stages_skip_a_record_without_blaming_it_twice_and_others_go_on() -> None:
    seen: list[str] = []
    labelled = as_stage(name="labelled", assigns=("labels",))(lambda record: seen.append(record.id))
    needs = as_stage(name="needs", requires=("entities",))(lambda record: seen.append(record.id))
    record = Record(BAD, id="1")
    run([record], Words(), FirstWord(), labelled, needs, on_error="keep")
    assert [failure.stage for failure in record.errors] == ["words"]
    assert seen == ["1"]


def test_what_a_record_brought_is_still_read_after_a_stage_that_would_have_added_to_it() -> None:
    record = Record("a b", id="1", entities=[Entity(0, 1)])
    adds = as_stage(name="adds", uses=("entities",), assigns=("entities",))(lambda record: 1 / 0)
    reads = as_stage(name="reads", requires=("entities",), assigns=("labels",))(
        lambda record: record.labels.update(count=[str(len(record.entities))])
    )
    run([record], adds, reads, on_error="keep")
    assert [failure.stage for failure in record.errors] == ["adds"]
    assert record.labels == {"count": [Label("1")]}


def test_a_record_without_what_a_stage_requires_is_an_error_of_that_record() -> None:
    with_tokens = Record("a b", id="1", tokens=[Token(0, 1)])
    without = Record("a b", id="2")
    found = run([with_tokens, without], FirstWord(), on_error="keep")
    assert [len(record.entities) for record in found] == [1, 0]
    assert found[1].errors == [
        Failure(
            "first",
            "RecordError",
            "it has no 'tokens': add a stage that assigns it, bring it, or take 'first' out too, by without()",
        )
    ]
    with pytest.raises(StageError, match="stage 'first' failed on record '2': it has no 'tokens'"):
        run([Record("a b", id="2")], FirstWord())


def test_a_field_that_was_looked_for_in_vain_is_there() -> None:
    needs = as_stage(name="needs", requires=("tokens",))(lambda record: None)
    assert run([""], Words(), needs)[0].errors == []


def test_an_item_that_is_no_record_is_an_error_with_its_place() -> None:
    with pytest.raises(RecordError, match="item 1 is of type dict"):
        run(["one", {"text": SECRET}])
    found = run(["one", {"text": SECRET}, None, "four"], on_error="keep")
    assert [record.id for record in found] == ["0", "1", "2", "3"]
    assert [failure.stage for record in found for failure in record.errors] == ["input", "input"]
    assert [len(record.entities) for record in found] == [1, 0, 0, 1]


def test_a_record_that_a_reader_could_not_read_goes_through_untouched() -> None:
    unread = Record("", id="5", errors=[Failure("input", "FormatError", "row 5 has no text")])
    seen: list[str] = []
    [found] = run([unread], lambda record: seen.append(record.id))
    assert found is unread
    assert seen == []


@pytest.mark.parametrize(
    "error", [MemoryError, StopIteration, RecursionError, AssertionError, StageError, GeneratorExit]
)
def test_whatever_a_stage_raises_is_an_error_of_the_record(error: type[BaseException]) -> None:
    def fails(record: Record) -> None:
        if record.id == "1":
            raise error(SECRET) if not issubclass(error, ClinNLPError) else error("no text here")

    if issubclass(error, Exception):
        with pytest.raises(StageError, match="stage 'fails' failed on record '1'"):
            run(["a", "b", "c"], fails)
        found = run(["a", "b", "c"], fails, on_error="keep")
        assert [len(record.errors) for record in found] == [0, 1, 0]
        assert found[1].errors[0].error == error.__name__
    else:
        with pytest.raises(error):
            run(["a", "b", "c"], fails, on_error="keep")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_stopping_the_program_is_no_error_of_a_record(stop: type[BaseException]) -> None:
    def fails(record: Record) -> None:
        raise stop

    with pytest.raises(stop):
        run(["a"], fails, on_error="keep")


def outside(record: Record) -> None:
    record.entities.append(Entity(0, 999, "Disease"))


def elsewhere(record: Record) -> None:
    record.entities.append(Entity(0, 3, "Disease", text=SECRET))


def emptied(record: Record) -> None:
    record.text = ""


def replaced(record: Record) -> None:
    record.text = record.text.upper()


def nothing(record: Record) -> None:
    record.tokens = None  # type: ignore[assignment]
    record.entities = 5  # type: ignore[assignment]


def unwritable(record: Record) -> None:
    record.metadata["a"] = object()


def not_a_number(record: Record) -> None:
    record.labels["a"] = [Label("b", float("nan"))]


def forged(record: Record) -> None:
    record.cleaned = EditedText("other", record.view.alignment)


def another(record: Record) -> Record:
    return Record(record.text)


WRONG: list[Callable[[Record], Any]] = [
    outside, elsewhere, emptied, replaced, nothing, unwritable, not_a_number, forged, another,
]  # fmt: skip


@pytest.mark.parametrize("function", WRONG, ids=lambda f: f.__name__)
@pytest.mark.parametrize("whole", [True, False], ids=["function", "class"])
def test_a_stage_that_leaves_a_record_invalid_fails_and_the_record_is_put_back(
    function: Callable[[Record], Any], whole: bool
) -> None:
    class Wrong(Stage):
        assigns = ("entities", "labels", "metadata", "cleaned", "tokens")

        def process(self, records: Sequence[Record]) -> None:
            for record in records:
                if (returned := function(record)) is not None:
                    records[0].entities = returned  # a class has no way to give another record back

    records = [Record(f"note {i} of {SECRET}", id=i, metadata={"a": [1]}) for i in range(3)]
    before = [record.to_dict() for record in records]
    found = run(records, function if whole else Wrong("wrong"), on_error="keep")
    for record, plain in zip(found, before, strict=True):
        [failure] = record.errors
        assert SECRET not in failure.message
        record.errors = []
        record.found.discard("errors")
        assert record.to_dict() == plain


def test_the_raw_text_is_the_same_after_every_stage() -> None:
    with pytest.raises(StageError, match="the raw text was changed"):
        run(["Note"], replaced)
    same = run(["Note"], lambda record: setattr(record, "text", "".join(["No", "te"])))
    assert same[0].errors == []


def test_spans_get_their_text_after_a_stage_that_does_not_say_what_it_assigns() -> None:
    [record] = run(["Mild asthma"], lambda record: record.entities.append(Entity(5, 11, "Disease")))
    assert record.entities[0].text == "asthma"


def test_a_function_sees_each_record_once_even_where_another_fails() -> None:
    seen: list[str] = []

    def note(record: Record) -> None:
        seen.append(record.id)
        if record.id == "1":
            raise ValueError

    run(["a", "b", "c"], note, on_error="keep")
    assert seen == ["0", "1", "2"]


def test_spans_get_their_text_also_where_a_stage_did_not_say_that_it_assigns_them() -> None:
    class Silent(Stage):
        assigns = ("labels",)

        def process(self, records: Sequence[Record]) -> None:
            for record in records:
                record.entities.append(Entity(0, len(record.id) * 4, "Disease"))

    found = run([Record("Mild asthma", id="1"), Record("x", id="2")], Silent(), on_error="keep")
    assert [entity.text for entity in found[0].entities] == ["Mild"]
    assert [failure.error for failure in found[1].errors] == ["RecordError"]
    assert found[1].entities == []


async def never_awaited(record: Record) -> None:
    record.labels["a"] = ["b"]  # type: ignore[list-item]


def never_run(record: Record) -> Any:
    record.labels["a"] = ["b"]  # type: ignore[list-item]
    yield record


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", [never_awaited, never_run, another])
def test_what_would_be_lost_is_an_error(function: Callable[[Record], Any]) -> None:
    class Whole(Stage):
        def process(self, records: Sequence[Record]) -> Any:
            returned = [function(record) for record in records]
            return returned if function is another else returned[0]

    for stage in (function, Whole()):
        with pytest.raises(StageError, match="back, which nobody reads: change the records"):
            run(["a"], stage)


def test_a_stage_may_give_back_the_records_that_it_was_given() -> None:
    class Whole(Stage):
        def process(self, records: Sequence[Record]) -> Any:
            return records

    run(["a", "b"], Whole(), lambda record: record)
    run(["a", "b"], lambda record: 3)


def test_a_record_that_was_changed_since_it_was_made_is_checked_before_it_is_read() -> None:
    good, bad = Record("Mild asthma", id="1"), Record("x", id="2")
    for record in (good, bad):
        record.entities.append(Entity(0, 4, "Disease"))
    found = run([good, bad, "Two words"], on_error="keep")
    assert found[0] is good
    assert good.entities[0].text == "Mild"
    assert (found[1].id, found[1].errors[0].stage, found[1].entities) == ("2", "input", [])
    assert [len(record.tokens) for record in found] == [2, 0, 2]
    with pytest.raises(RecordError, match="record '2': entities has a span"):
        run([bad])


def test_a_stage_that_empties_its_list_of_records_takes_nothing_away() -> None:
    class Greedy(Stage):
        assigns = ("labels", "entities")

        def process(self, records: Sequence[Record]) -> None:
            while records:
                records.pop().labels["a"] = ["b"]  # type: ignore[attr-defined]

    found = run(["a", "b"], Greedy())
    assert [record.labels for record in found] == [{"a": [Label("b")]}] * 2
    assert all(record.has("entities") for record in found)


def test_only_a_batch_that_fails_is_run_again_record_by_record() -> None:
    sizes = Sizes()
    run(["a"] * 6, sizes, batch_size=4)
    assert sizes.seen == [4, 2]


def test_a_stage_that_cannot_load_stops_the_run_whatever_on_error_says() -> None:
    class Broken(Stage):
        def warm_up(self) -> None:
            raise self.error

        def process(self, records: Sequence[Record]) -> None:
            raise AssertionError("never reached")

    broken = Broken("broken")
    broken.error = CheckpointError("weights are corrupt")
    with pytest.raises(CheckpointError, match="weights are corrupt"):
        run(["a"], broken, on_error="keep")
    broken.error = OSError("no such\nfile")  # type: ignore[assignment]
    with pytest.raises(StageError, match="stage 'broken' cannot load: OSError: no such file"):
        run(["a"], broken, on_error="keep")


def test_a_stage_that_no_record_reaches_is_not_loaded() -> None:
    class Images(Stage):
        requires = ("images",)

        def warm_up(self) -> None:
            raise AssertionError("loaded for nothing")

        def process(self, records: Sequence[Record]) -> None: ...

    run(["a"], Images(), on_error="keep")


def all_that_is_told(error: BaseException) -> str:
    """All that a traceback or a log would show of an error, and of what hangs on it."""
    told = ["".join(traceback.format_exception(error)), repr(error)]
    chain: BaseException | None = error
    while chain is not None:
        told += [str(chain), repr(chain.args)]
        chain = chain.__cause__ or chain.__context__
    return "\n".join(told)


def raising(make: Callable[[Record], BaseException]) -> Callable[[Record], None]:
    def secretive(record: Record) -> None:
        try:
            raise LookupError(record.text)
        except LookupError as inner:
            raise make(record) from inner

    return secretive


LEAKS: list[Any] = [
    Words(),
    raising(lambda record: ValueError(record.text)),
    raising(lambda record: KeyError(record.text)),
    raising(lambda record: UnicodeEncodeError("utf-8", record.text, 0, 1, record.text)),
    raising(lambda record: MemoryError(record.text)),
    raising(lambda record: StopIteration(record.text)),
    *WRONG,
]


@pytest.mark.parametrize("stage", LEAKS, ids=lambda stage: getattr(stage, "__name__", repr(stage)))
def test_no_error_and_no_log_holds_the_text(
    stage: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StageError) as caught:
        run(["fine"] * (stage is None) + [BAD], stage)
    assert SECRET not in all_that_is_told(caught.value)
    [record] = run([BAD], stage, on_error="keep")
    assert SECRET not in repr(record.errors) + repr(record)
    captured = capfd.readouterr()
    assert SECRET not in caplog.text + captured.out + captured.err


@pytest.mark.parametrize(
    "make",
    [
        lambda: Record(f"{SECRET}\ud800"),
        lambda: Record(SECRET, entities=[Entity(0, 99)]),
        lambda: Record(SECRET, entities=[Entity(0, 3, text=SECRET)]),
        lambda: Record(SECRET, cleaned=EditedText(SECRET + "x", EditedText.of(SECRET).alignment)),
        lambda: Record.from_dict({"text": SECRET, "entities": [{"start": SECRET, "end": 3}]}),
        lambda: Record.from_dict({"text": SECRET, "entities": [{"start": 0, "end": 3, "score": SECRET}]}),
        lambda: Record.from_dict({"text": SECRET, "entities": [SECRET]}),
        lambda: Record.from_dict({"text": SECRET, "cleaned": {"text": SECRET, "length": SECRET, "edits": []}}),
        lambda: Record.from_dict({"text": SECRET, "cleaned": {"text": SECRET, "length": 3, "edits": [SECRET]}}),
        lambda: Record.from_dict({"text": SECRET, "labels": {"a": [{"name": "b", "score": SECRET}]}}),
        lambda: Record.from_dict({"text": SECRET, "images": [{"data": SECRET}]}),
        lambda: Record(SECRET, metadata={"a": {SECRET}}),
        lambda: Record(SECRET, metadata=SECRET),
        lambda: Record(SECRET, metadata={"a": SECRET + "\ud800"}),
        lambda: Record(SECRET, questions=[SECRET + "\ud800"]),
        lambda: Record([SECRET]),
        lambda: Pipeline([])({"text": SECRET}),
        lambda: Pipeline([]).pipe(SECRET),
        lambda: Pipeline([Record(SECRET)]),
        lambda: Pipeline([SECRET]),
    ],
)
def test_no_error_of_a_record_holds_its_text(make: Callable[[], Any]) -> None:
    with pytest.raises(ClinNLPError) as caught:
        make()
    assert SECRET not in all_that_is_told(caught.value)


def test_every_order_and_size_of_batches_gives_the_same() -> None:
    texts = ["One two", BAD, "WORSE", "Three", ""]
    alone = {text: run([Record(text, id="x")], on_error="keep")[0].to_dict() for text in texts}
    for order in itertools.permutations(texts):
        for size in (1, 2, 5):
            found = run([Record(text, id="x") for text in order], batch_size=size, on_error="keep")
            assert [record.to_dict() for record in found] == [alone[text] for text in order]
