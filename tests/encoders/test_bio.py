from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinnlp.encoders.bio import LabelScheme, bio_labels
from clinnlp.errors import CheckpointError

SCHEMES = {
    "BIO": ["O", "B-Drug", "I-Drug", "B-Test", "I-Test"],
    "IO": ["O", "I-Drug", "I-Test"],
    "bare IO": ["Drug", "O", "Test"],
    "BIOES": ["O", "B-Drug", "I-Drug", "E-Drug", "S-Drug", "S-Test", "B-Test", "I-Test", "E-Test"],
    "BILOU": ["U-Drug", "B-Drug", "I-Drug", "L-Drug", "O"],
}


@pytest.mark.parametrize("labels", SCHEMES.values(), ids=SCHEMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_decoding_finds_the_best_of_all_valid_sequences(labels: list[str], data: st.DataObject) -> None:
    scheme = LabelScheme.read(labels)
    length = data.draw(st.integers(1, 4))
    generator = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    scores = generator.normal(size=(length, len(labels))).astype(np.float32)
    starts, ends, transitions = scheme.starts(), scheme.ends(), scheme.transitions()

    def valid(path: tuple[int, ...]) -> bool:
        steps = all(transitions[a, b] for a, b in pairwise(path))
        return bool(starts[path[0]] and ends[path[-1]] and steps)

    paths = [path for path in product(range(len(labels)), repeat=length) if valid(path)]
    best = max(paths, key=lambda path: sum(scores[t, i] for t, i in enumerate(path)))
    assert tuple(scheme.decode(scores)) == best


def test_bio_may_not_begin_inside_nor_change_type_inside() -> None:
    scheme = LabelScheme.read(SCHEMES["BIO"])
    transitions = scheme.transitions()
    assert scheme.starts().tolist() == [True, True, False, True, False]
    assert transitions[1].tolist() == [True, True, True, True, False]
    assert transitions[0].tolist() == [True, True, False, True, False]
    assert scheme.ends().all()


def test_bioes_must_close_what_it_opens() -> None:
    scheme = LabelScheme.read(SCHEMES["BIOES"])
    names = SCHEMES["BIOES"]
    allowed = {names[j] for j in np.flatnonzero(scheme.transitions()[names.index("B-Drug")])}
    assert allowed == {"I-Drug", "E-Drug"}
    assert [names[i] for i in np.flatnonzero(scheme.ends())] == ["O", "E-Drug", "S-Drug", "S-Test", "E-Test"]


@pytest.mark.parametrize(
    ("labels", "path", "spans"),
    [
        ("BIO", "O B-Drug I-Drug B-Drug O B-Test", [(1, 3, "Drug"), (3, 4, "Drug"), (5, 6, "Test")]),
        ("IO", "I-Drug I-Drug I-Test O I-Test", [(0, 2, "Drug"), (2, 3, "Test"), (4, 5, "Test")]),
        ("bare IO", "Drug Test Test O", [(0, 1, "Drug"), (1, 3, "Test")]),
        ("BIOES", "S-Drug S-Drug B-Test I-Test E-Test O", [(0, 1, "Drug"), (1, 2, "Drug"), (2, 5, "Test")]),
        ("BILOU", "U-Drug B-Drug L-Drug B-Drug L-Drug", [(0, 1, "Drug"), (1, 3, "Drug"), (3, 5, "Drug")]),
        ("BIO", "O O", []),
    ],
)
def test_spans_are_read_off_a_sequence(labels: str, path: str, spans: list[tuple[int, int, str]]) -> None:
    names = SCHEMES[labels]
    numbers = np.array([names.index(name) for name in path.split()])
    assert LabelScheme.read(names).spans(numbers) == spans


def test_types_with_hyphens_and_spaces_are_read_whole() -> None:
    scheme = LabelScheme.read(["O", *bio_labels(["Lab-Value", "a b"])[1:]])
    assert scheme.entity_types == ["Lab-Value", "a b"]


def test_bare_labels_are_refused() -> None:
    with pytest.raises(CheckpointError, match="LABEL_n: set id2label"):
        LabelScheme.read(["LABEL_0", "LABEL_1"])


def test_labels_without_an_outside_are_refused() -> None:
    with pytest.raises(CheckpointError, match="not of IO, BIO or BIOES form"):
        LabelScheme.read(["positive", "negative"])


@pytest.mark.parametrize(
    "labels",
    [
        ["O", "B-Disease", "I-Disease", "Test"],
        ["O", "B-", "I-"],
        ["O", "Disease-B", "Disease-I"],
        ["O", "Disease_B", "Disease_I"],
    ],
)
def test_labels_that_mix_schemes_or_end_in_a_tag_are_refused(labels: list[str]) -> None:
    with pytest.raises(CheckpointError, match="mend id2label"):
        LabelScheme.read(labels)


def test_a_long_invalid_sequence_is_decoded_in_linear_time() -> None:
    scheme = LabelScheme.read(SCHEMES["BIO"])
    scores = np.random.default_rng(0).normal(size=(200_000, 5)).astype(np.float32)
    path = scheme.decode(scores)
    assert scheme.transitions()[path[:-1], path[1:]].all()
