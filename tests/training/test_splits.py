from __future__ import annotations

import time
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinnlp import Record
from clinnlp.errors import TrainingError
from clinnlp.training.splits import (
    Contradiction,
    MissingLabels,
    SharedText,
    contradictions,
    folds,
    missing_labels,
    shared_texts,
    split,
)

SECRET = "Zebulon"


def note(text: str, *labels: str, patient: str | None = None, gold: bool = True) -> Record:
    metadata = {} if patient is None else {"patient": patient}
    return Record(text, metadata=metadata, labels={"x": list(labels)} if gold else {})


def folded(record: Record) -> str:
    return " ".join(record.text.casefold().split())


def test_texts_are_the_same_but_for_case_and_white_space() -> None:
    train = [note("No fever."), note("Straße\n\nGut "), note(""), note("No fever"), note(" NO  FEVER.")]
    dev = [note("Cough."), note("no\tfever."), note(" "), note("STRASSE gut"), note("no fever.")]
    assert shared_texts(train, dev) == [SharedText((0, 4), (1, 4)), SharedText((1,), (3,))]
    assert shared_texts(train, dev[:1]) == shared_texts([], dev) == []


def test_many_records_take_a_time_that_goes_with_their_number() -> None:
    records = [note(f"note number {i % 5_000}", "a") for i in range(10_000)]
    started = time.process_time()
    assert len(shared_texts(records[:5_000], records[5_000:])) == 5_000
    assert contradictions(records, "x") == []
    assert len(split(records, 0.5, name="x")[0]) == 5_000
    assert time.process_time() - started < 10  # 1 on a quiet machine


def test_texts_with_different_gold_are_told_with_their_places() -> None:
    records = [
        note("a", "p"),
        note("A ", "q"),
        note("b", "p", "q"),
        note("b", "q", "p"),
        note("c", gold=False),
        note("c", "p"),
        note("d"),
        note("d", "p"),
        note("a", "p"),
    ]
    first = Contradiction((0, 1, 8), (("p",), ("q",), ("p",)))
    assert contradictions(records, "x") == [first]
    # Of several labels an empty list says that the text has none of them; of one it is no gold.
    assert contradictions(records, "x", multi_label=True) == [first, Contradiction((6, 7), ((), ("p",)))]
    assert contradictions(records, "y") == []


def test_labels_without_an_example_are_told_by_side() -> None:
    train, dev = [note("1", "a"), note("2", "b", "c")], [note("3", "a"), note("4", "d"), note("5", gold=False)]
    missing = missing_labels(train, dev, ["a", "b", "c", "d", "e"], "x")
    assert missing == MissingLabels(train=("d", "e"), dev=("b", "c", "e"))
    assert missing
    assert not missing_labels(train, dev, ["a"], "x")


def test_a_split_has_each_label_in_proportion() -> None:
    records = [note(f"text {i}", "common" if i % 10 else "rare") for i in range(200)]
    train, dev = split(records, 0.25, name="x")
    assert Counter(record.labels["x"][0].name for record in dev) == {"common": 45, "rare": 5}
    assert len(train) == 150
    assert [id(record) for record in train + dev] != [id(record) for record in records]
    order = {id(record): i for i, record in enumerate(records)}
    assert all(sorted(places) == places for side in (train, dev) if (places := [order[id(r)] for r in side]))
    again, other = split(records, 0.25, name="x")[1], split(records, 0.25, name="x", seed=1)[1]
    assert [id(r) for r in again] == [id(r) for r in dev] != [id(r) for r in other]


def test_a_label_with_one_or_two_examples_is_kept_for_training() -> None:
    records = [note(f"text {i}", "common") for i in range(40)] + [
        note("one", "once"),
        note("a", "twice"),
        note("b", "twice"),
    ]
    _, dev = split(records, 0.2, name="x")
    assert {record.labels["x"][0].name for record in dev} == {"common"}


RECORDS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("123456789"), st.sets(st.sampled_from("pqr"))),
    min_size=1,
    max_size=40,
)


@given(RECORDS, st.sampled_from([None, "patient"]), st.integers(0, 3))
def test_one_text_and_one_patient_are_on_one_side_and_no_record_is_lost(
    items: list[tuple[str, str, set[str]]], by: str | None, seed: int
) -> None:
    records = [note(text, *labels, patient=patient) for text, patient, labels in items]
    numbers = folds(records, 3, by=by, name="x", seed=seed)
    sides: dict[str, set[int]] = defaultdict(set)
    for record, number in zip(records, numbers, strict=True):
        assert 0 <= number < 3
        sides["text " + folded(record)].add(number)
        sides["patient " + record.metadata["patient"]].add(number)
    together = ("text", "patient") if by else ("text",)
    assert all(len(some) == 1 for key, some in sides.items() if key.startswith(together))
    try:
        train, dev = split(records, 0.3, by=by, name="x", seed=seed)
    except TrainingError:
        assert len(records) < 8 or len(set(numbers)) < 3
        return
    assert train
    assert dev
    assert sorted(map(id, train + dev)) == sorted(map(id, records))
    assert shared_texts(train, dev) == []
    if by:
        assert {r.metadata["patient"] for r in train}.isdisjoint(r.metadata["patient"] for r in dev)


def test_what_cannot_be_split_is_told_in_a_line_without_text() -> None:
    same = [note(SECRET, "a", patient="1"), note(SECRET.upper(), "b", patient="2")]
    for call, told in (
        (lambda: split(same, 0.5, name="x"), "2 records of 1 different texts cannot be split with a share of 0.5"),
        (lambda: split(same, 0.5, by="patient", name="x"), "1 groups by patient and text"),
        (lambda: split(same, 1.0, name="x"), "share is 1.0"),
        (lambda: split([*same, Record(SECRET, id="r3")], 0.5, by="patient", name="x"), "'r3' has no metadata"),
        (lambda: folds(same, 1, name="x"), "count is 1"),
        (lambda: split([], 0.5, name="x"), "0 records"),
    ):
        with pytest.raises(TrainingError) as caught:
            call()
        assert told in str(caught.value)
        assert SECRET.casefold() not in str(caught.value).casefold()
        assert "\n" not in str(caught.value)
