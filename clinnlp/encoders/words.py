"""Words: what a decoder may label, and never split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.encoders.text import Paragraph

__all__ = ["Words", "words_of_pieces", "words_of_tokens"]


@dataclass(slots=True)
class Words:
    """The words of a paragraph that have at least one word piece.

    Parameters
    ----------
    first, stop : ndarray of int64, shape (words,)
        First piece of each word, rising, and the one after its last.
    starts, ends : ndarray of int64, shape (words,)
        Offsets.
    """

    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def words_of_pieces(paragraph: Paragraph) -> Words:
    """Take the tokenizer's own words, what it cut at white space and marks; offsets are of the text it read."""
    real = np.flatnonzero((paragraph.words >= 0) & (paragraph.ends > paragraph.starts))
    numbers = paragraph.words[real]
    head = np.flatnonzero(np.diff(numbers, prepend=-1))
    tail = np.append(head[1:], len(numbers))[: len(head)] - 1
    return Words(real[head], real[tail] + 1, paragraph.starts[real[head]], paragraph.ends[real[tail]])


def words_of_tokens(paragraph: Paragraph, read: NDArray[np.int64], raw: NDArray[np.int64]) -> Words:
    """Take given tokens as words; tokens that share a piece become one word.

    Parameters
    ----------
    paragraph : Paragraph
    read, raw : ndarray of int64, shape (tokens, 2)
        Where tokens stand in the text that the encoder read, in order and disjoint, and where in the raw text.

    Returns
    -------
    Words
        With raw offsets.
    """
    # The tokens that a piece touches: the first that ends after its start, the last that starts before its end.
    low = np.searchsorted(read[:, 1], paragraph.starts, side="right")
    high = np.searchsorted(read[:, 0], paragraph.ends, side="left") - 1
    touched = np.flatnonzero((high >= low) & (paragraph.ends > paragraph.starts))
    low, high = low[touched], high[touched]
    # A piece starts a new word when the tokens it touches begin after all that was touched before.
    reach = np.maximum.accumulate(high) if len(high) else high
    new = np.ones(len(touched), dtype=bool)
    new[1:] = low[1:] > reach[:-1]
    head = np.flatnonzero(new)
    tail = np.append(head[1:], len(touched))[: len(head)] - 1
    return Words(touched[head], touched[tail] + 1, raw[low[head], 0], raw[reach[tail], 1])
