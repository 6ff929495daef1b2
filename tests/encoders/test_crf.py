from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinnlp.encoders.bio import LabelScheme, bio_labels
from clinnlp.encoders.crf import log_marginals, read_transitions, write_transitions
from clinnlp.training.crf import chain_marginals, crf_loss, words_of
from clinnlp.training.losses import IGNORED

SCHEMES = {
    "BIO": LabelScheme.read(bio_labels(["Drug", "Test"])),
    "BIOES": LabelScheme.read(["O", "B-Drug", "I-Drug", "E-Drug", "S-Drug"]),
}


def by_hand(scores: np.ndarray, transitions: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """Add up the probabilities of all allowed sequences."""
    found = np.zeros(scores.shape)
    starts, ends, follow = scheme.starts(), scheme.ends(), scheme.transitions()
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        if not (starts[path[0]] and ends[path[-1]] and all(follow[a, b] for a, b in itertools.pairwise(path))):
            continue
        total = sum(scores[i, k] for i, k in enumerate(path))
        total += sum(transitions[a, b] for a, b in itertools.pairwise(path))
        for i, k in enumerate(path):
            found[i, k] += np.exp(total)
    return found / found.sum(axis=1, keepdims=True)


@given(st.sampled_from(sorted(SCHEMES)), st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 1000))
def test_probabilities_are_those_over_all_allowed_sequences(name: str, lengths: list[int], seed: int) -> None:
    chance, scheme = np.random.default_rng(seed), SCHEMES[name]
    size = len(scheme.tags)
    transitions = chance.normal(0, 2, (size, size)).astype(np.float32)
    sequences = [chance.normal(0, 3, (length, size)).astype(np.float32) for length in lengths]
    for scores, found in zip(sequences, log_marginals(sequences, transitions, scheme), strict=True):
        assert found.shape == scores.shape
        if len(scores):
            assert np.exp(found) == pytest.approx(by_hand(scores, transitions, scheme), abs=1e-5)


@given(st.integers(0, 1000))
def test_what_stands_beside_a_sequence_changes_nothing(seed: int) -> None:
    chance, scheme = np.random.default_rng(seed), SCHEMES["BIO"]
    transitions = chance.normal(0, 2, (5, 5)).astype(np.float32)
    sequences = [chance.normal(0, 3, (int(length), 5)).astype(np.float32) for length in chance.integers(0, 40, 12)]
    together = log_marginals(sequences, transitions, scheme)
    for scores, found in zip(sequences, together, strict=True):
        (alone,) = log_marginals([scores], transitions, scheme)
        assert found == pytest.approx(alone, abs=1e-4)
        shifted = scores + chance.normal(0, 5, (len(scores), 1)).astype(np.float32)
        assert log_marginals([shifted], transitions, scheme)[0] == pytest.approx(alone, abs=1e-3)


def test_scores_far_apart_and_long_sequences_give_probabilities_in_linear_time() -> None:
    scheme = SCHEMES["BIO"]
    chance = np.random.default_rng(0)
    transitions = chance.normal(0, 2, (5, 5)).astype(np.float32)
    scores = (1000 * chance.normal(size=(50_000, 5))).astype(np.float32)
    started = time.process_time()
    (found,) = log_marginals([scores], transitions, scheme)
    assert time.process_time() - started < 10
    assert np.isfinite(found).all()
    assert np.exp(found).sum(axis=1) == pytest.approx(1.0, abs=1e-3)


def test_the_loss_is_the_negative_log_likelihood_over_the_words_of_a_window() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 6, 4, generator=generator)
    transitions = torch.randn(4, 4, generator=generator)
    targets = torch.full((3, 6), IGNORED)
    targets[0, [1, 2, 4]] = torch.tensor([3, 0, 1])
    targets[2, 3] = 2
    total = 0.0
    for row in range(3):
        kept = [i for i in range(6) if targets[row, i] != IGNORED]
        if not kept:
            continue

        def score(path: tuple[int, ...], kept: list[int] = kept, row: int = row) -> float:
            own = sum(float(logits[row, i, k]) for i, k in zip(kept, path, strict=True))
            return own + sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))

        every = [score(path) for path in itertools.product(range(4), repeat=len(kept))]
        total += np.logaddexp.reduce(every) - score(tuple(targets[row, kept].tolist()))
    assert float(crf_loss(logits, targets, transitions)) == pytest.approx(total / 4, abs=1e-4)


def test_a_batch_without_gold_has_no_loss_and_a_whole_graph() -> None:
    logits, transitions = torch.randn(2, 3, 4, requires_grad=True), torch.zeros(4, 4, requires_grad=True)
    loss = crf_loss(logits, torch.full((2, 3), IGNORED), transitions)
    loss.backward()
    assert float(loss) == 0
    assert transitions.grad is not None


def test_transitions_are_written_to_the_last_bit() -> None:
    scores = np.random.default_rng(2).normal(size=(5, 5)).astype(np.float32)
    again = read_transitions(write_transitions(scores), 5)
    assert again is not None
    assert (again == scores).all()
    assert read_transitions(None, 5) is None
    with pytest.raises(ValueError, match="for 4 labels"):
        read_transitions(write_transitions(scores), 4)


def test_probabilities_while_training_are_those_when_it_is_over() -> None:
    scheme = SCHEMES["BIO"]
    free = LabelScheme(("O", "S", "S", "S", "S"), ("", "A", "B", "C", "D"))  # in which all may follow all
    generator = torch.Generator().manual_seed(3)
    logits, transitions = torch.randn(2, 4, 5, generator=generator), torch.randn(5, 5, generator=generator)
    targets = torch.tensor([[1, IGNORED, 0, 2], [0, 0, IGNORED, IGNORED]])
    scores, mask = words_of(logits, targets)
    assert mask.tolist() == [[True, True, True], [True, True, False]]
    found = chain_marginals(scores, mask, transitions)
    expected = log_marginals([scores[i][mask[i]].numpy() for i in range(2)], transitions.numpy(), free)
    assert found[mask].detach().numpy() == pytest.approx(np.exp(np.concatenate(expected)), abs=1e-5)
    assert len(scheme.tags) == len(free.tags)
    # What it gives can be learned from.
    again = chain_marginals(scores.clone().requires_grad_(True), mask, transitions.clone().requires_grad_(True))
    assert again.requires_grad
