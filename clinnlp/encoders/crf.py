"""Word by word probabilities of a linear-chain conditional random field (Lafferty et al., 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.encoders.windows import batch_by_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.encoders.bio import LabelScheme

__all__ = ["TRANSITIONS", "log_marginals", "read_transitions", "write_transitions"]

TRANSITIONS = "transitions"
"""Where a checkpoint's config.json keeps the scores of one label after another, a line for each label before."""

_WORDS_AT_ONCE = 16_384
# Below this a label is as good as impossible, and further down 64 bits end.
_LEAST = -200.0


def write_transitions(scores: Any) -> list[str]:
    """Give transition scores, shape (labels, labels), as lines of numbers that read back to the last bit."""
    return [" ".join(repr(float(value)) for value in row) for row in scores]


def read_transitions(lines: Any, labels: int) -> NDArray[np.float32] | None:
    """Read what `write_transitions` gave; None where there is none.

    Raises
    ------
    ValueError
        If it is not a square of so many labels.
    """
    if lines is None:
        return None
    scores = np.array([[float(value) for value in line.split()] for line in lines], dtype=np.float32)
    if scores.shape != (labels, labels):
        raise ValueError(f"{TRANSITIONS} of {scores.shape} for {labels} labels")
    return scores


def log_marginals(
    sequences: Sequence[NDArray[np.float32]], transitions: NDArray[np.float32], scheme: LabelScheme
) -> list[NDArray[np.float32]]:
    """Give the probability of each label of each word, over all sequences of labels that the scheme allows.

    Computed by the forward-backward algorithm (Rabiner, 1989), many sequences at once.

    Parameters
    ----------
    sequences : sequence of ndarray of float32, shape (words, labels)
        Scores of the labels of each word; what is added to all of a word's changes nothing.
    transitions : ndarray of float32, shape (labels, labels)
        Score of the second label after the first.
    scheme : LabelScheme

    Returns
    -------
    list of ndarray of float32, shape (words, labels)
        Logarithms.
    """
    follow = np.where(scheme.transitions(), np.exp(transitions.astype(np.float64)), 0.0)
    starts, ends = scheme.starts().astype(np.float64), scheme.ends().astype(np.float64)
    results = [np.empty_like(sequence) for sequence in sequences]
    lengths = [len(sequence) for sequence in sequences]
    for batch in batch_by_length(lengths, _WORDS_AT_ONCE):
        batch = [i for i in batch if lengths[i]]  # longest first
        if batch:
            for i, rows in zip(batch, _marginals([sequences[i] for i in batch], follow, starts, ends), strict=True):
                results[i] = rows
    return results


def _marginals(
    sequences: Sequence[NDArray[np.float32]],
    follow: NDArray[np.float64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> list[NDArray[np.float32]]:
    """Give log marginals of sequences that are sorted by length, the longest first."""
    counts = [len(sequence) for sequence in sequences]
    size, longest, labels = len(counts), counts[0], len(starts)
    emitted = np.zeros((longest, size, labels))
    for i, sequence in enumerate(sequences):
        scores = sequence.astype(np.float64)
        emitted[: counts[i], i] = np.exp(np.maximum(scores - scores.max(axis=1, keepdims=True), _LEAST))
    # Sequences that have a word at each place: the first so many.
    active = np.searchsorted(-np.array(counts), -np.arange(longest), side="left").tolist()
    forward = np.zeros_like(emitted)
    state = np.broadcast_to(starts, (size, labels)) * emitted[0]
    forward[0] = state / state.sum(axis=1, keepdims=True)
    for t in range(1, longest):
        n = active[t]
        state = (forward[t - 1, :n] @ follow) * emitted[t, :n]
        forward[t, :n] = state / state.sum(axis=1, keepdims=True)
    backward = np.broadcast_to(ends, (size, labels)).copy()
    for t in range(longest - 1, -1, -1):
        n = active[t]
        if t + 1 < longest:
            going_on = active[t + 1]
            state = (backward[:going_on] * emitted[t + 1, :going_on]) @ follow.T
            backward[:going_on] = state / state.sum(axis=1, keepdims=True)
        forward[t, :n] *= backward[:n]
        forward[t, :n] /= forward[t, :n].sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(forward), _LEAST).astype(np.float32)
    return [logs[: counts[i], i] for i in range(size)]
