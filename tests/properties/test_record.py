from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinnlp import Answer, Assertion, Entity, Failure, Image, Label, Record, Section, Sentence, Token, Value
from clinnlp.alignment import EditedText
from properties.edited import any_text, edits_of, spans_of

names = st.text(st.characters(codec="utf-8"), max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
scores = st.floats(0, 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(names, json_values, max_size=3)
label_sets = st.dictionaries(names, st.lists(st.builds(Label, names, scores), max_size=3), max_size=3)
images = st.one_of(
    st.builds(Image, path=names, name=names, labels=label_sets),
    st.builds(Image, data=st.binary(max_size=5), labels=label_sets),
    st.builds(
        Image, array=st.sampled_from([np.zeros((2, 3), np.uint8), np.array([[0.5, np.nan]]), np.ones((1, 1, 3))])
    ),
)


@st.composite
def sections(draw: st.DrawFn, length: int) -> Section:
    start, end = draw(spans_of(length))
    return Section(start, end, draw(names), draw(names), draw(st.integers(start, end)))


@st.composite
def entities(draw: st.DrawFn, length: int) -> Entity:
    flags = st.builds(Assertion, st.booleans(), st.booleans(), st.booleans(), st.booleans())
    return Entity(
        *draw(spans_of(length)),
        draw(names),
        score=draw(scores),
        assertion=draw(st.none() | flags),
        attributes=draw(json_objects),
        source=draw(names),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records that hold any of what a record can."""
    text = draw(any_text.filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)))
    length = len(text)
    spans = spans_of(length)

    def some(items: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(items, max_size=3))

    def edited() -> EditedText | None:
        return EditedText.of(text, draw(edits_of(length))) if draw(st.booleans()) else None

    number = st.none() | numbers
    values = st.builds(
        lambda s, n, h, u, c: Value(*s, number=n, high=h, unit=u, comparator=c), spans, number, number, names, names
    )
    return Record(
        text,
        draw(names | st.integers()),  # type: ignore[arg-type]
        images=some(images),
        metadata=draw(json_objects),
        cleaned=edited(),
        deidentified=edited(),
        tokens=some(spans.map(lambda s: Token(*s))),
        sentences=some(spans.map(lambda s: Sentence(*s))),
        sections=some(sections(length)),
        entities=some(entities(length)),
        identifiers=some(entities(length)),
        values=some(values),
        labels=draw(label_sets),
        questions=some(names),
        answers=some(st.builds(Answer, names, st.integers(-1, 9), st.integers(-1, 9), names, scores, names)),
        errors=some(st.builds(Failure, names, names, names)),
        found=set(some(st.sampled_from(["tokens", "entities", "labels", "answers", "metadata"]))),
    )


def change(record: Record) -> None:
    """Change all that can be changed in place."""
    for name in ("tokens", "sentences", "sections", "entities", "identifiers", "values"):
        for span in getattr(record, name):
            span.text += "changed"
    for entity in (*record.entities, *record.identifiers):
        entity.attributes["changed"] = True
        if entity.assertion:
            entity.assertion.negated = not entity.assertion.negated
    for labelled in (record, *record.images):
        for given_labels in labelled.labels.values():
            given_labels.append(Label("changed"))
    for name in ("tokens", "images", "questions", "answers", "errors"):
        getattr(record, name).append("changed")
    record.metadata["changed"] = True
    record.found.add("changed")


@given(records())
def test_plain_dictionaries_hold_a_record_without_loss(record: Record) -> None:
    plain = record.to_dict()
    back = Record.from_dict(json.loads(json.dumps(plain, allow_nan=False)))
    assert back == record
    assert back.found == record.found & set(plain)
    assert back.to_dict() == plain


@given(records())
def test_every_span_of_a_record_carries_its_text(record: Record) -> None:
    for name in ("tokens", "sentences", "sections", "entities", "identifiers", "values"):
        assert all(record.text[span.start : span.end] == span.text for span in getattr(record, name))


@given(records())
def test_a_copy_is_equal_and_changing_it_leaves_the_record_as_it_was(record: Record) -> None:
    plain = record.to_dict()
    copy = record.copy()
    assert copy == record
    assert copy.found == record.found
    change(copy)
    assert record.to_dict() == plain


@given(records())
def test_pickling_keeps_a_record(record: Record) -> None:
    back = pickle.loads(pickle.dumps(record))
    assert back == record
    assert back.found == record.found


@given(records())
def test_repr_holds_no_text_of_the_record(record: Record) -> None:
    marked = Record(f"Zebulon Quarry {record.text}", "1", metadata={"patient": "Zebulon"}, labels={"name": ["Zebulon"]})
    assert "Zebulon" not in repr(marked)
