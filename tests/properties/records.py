"""Random records with anything in them, for the property tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from clinnlp import Answer, Assertion, Entity, Failure, Image, Label, Record, Section, Sentence, Token, Value
from clinnlp.alignment import EditedText
from clinnlp.record import FIELDS
from properties.edited import any_text, edits_of, spans_of

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=5)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FINITE, NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
LABELS = st.dictionaries(NAMES, st.lists(st.builds(Label, NAMES, FINITE), max_size=3), max_size=3)
FLAGS = st.sampled_from(["negated", "hypothetical", "historical", "family"])


def assertions_of(length: int) -> st.SearchStrategy[Assertion | None]:
    """Assertions with any scores, and cues in a text of this length."""
    scores = st.dictionaries(FLAGS, FINITE, max_size=2)
    cues = st.dictionaries(FLAGS, spans_of(length).map(list), max_size=2)
    return st.one_of(st.none(), st.builds(Assertion, *[st.booleans()] * 4, scores, cues))


IMAGES = st.one_of(
    st.builds(lambda path, labels: Image(path=path, labels=labels), NAMES, LABELS),
    st.builds(lambda data, name, labels: Image(data=data, name=name, labels=labels), st.binary(), NAMES, LABELS),
    st.builds(lambda kind: Image(array=np.arange(6).reshape(2, 3).astype(kind)), st.sampled_from(["u1", "<f4", ">i2"])),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record with anything in it."""
    text = draw(any_text)
    spans = spans_of(len(text))

    def many(make: Any) -> Any:
        return draw(st.lists(spans.flatmap(lambda span: make(*span)), max_size=3))

    def entity(start: int, end: int) -> st.SearchStrategy[Entity]:
        assertions = assertions_of(len(text))
        attributes = st.dictionaries(NAMES, JSON, max_size=2)
        return st.builds(
            Entity, st.just(start), st.just(end), NAMES, st.just(""), FINITE, assertions, attributes, NAMES
        )

    def section(start: int, end: int) -> st.SearchStrategy[Section]:
        return st.builds(Section, st.just(start), st.just(end), NAMES, NAMES, st.integers(start, end))

    def value(start: int, end: int) -> st.SearchStrategy[Value]:
        number = st.one_of(st.none(), FINITE)
        fields = (
            number,
            number,
            NAMES,
            NAMES,
            NAMES,
            NAMES,
            st.lists(FINITE, max_size=3),
            number,
            number,
            NAMES,
            NAMES,
        )
        target = st.just((-1, -1)) | spans
        made = st.builds(Value, st.just(start), st.just(end), st.just(""), *fields)
        return st.tuples(made, target).map(
            lambda pair: replace(pair[0], target_start=pair[1][0], target_end=pair[1][1])
        )

    def edited() -> EditedText | None:
        return draw(st.one_of(st.none(), edits_of(len(text)).map(lambda edits: EditedText.of(text, edits))))

    answers = st.builds(Answer, NAMES, st.integers(-1, 9), st.integers(-1, 9), NAMES, FINITE, NAMES)
    return Record(
        text,
        draw(NAMES),
        images=draw(st.lists(IMAGES, max_size=2)),
        metadata=draw(st.dictionaries(NAMES, JSON, max_size=3)),
        cleaned=edited(),
        tokens=many(lambda s, e: st.just(Token(s, e))),
        sentences=many(lambda s, e: st.builds(Sentence, st.just(s), st.just(e), labels=LABELS)),
        sections=many(section),
        entities=many(entity),
        labels=draw(LABELS),
        values=many(value),
        identifiers=many(entity),
        deidentified=edited(),
        questions=draw(st.lists(any_text, max_size=2)),
        answers=draw(st.lists(answers, max_size=2)),
        errors=draw(st.lists(st.builds(Failure, NAMES, NAMES, NAMES), max_size=2)),
        found=set(draw(st.lists(st.sampled_from(FIELDS), max_size=5))),
    )
