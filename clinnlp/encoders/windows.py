"""Cutting a text into windows that fit an encoder.

Windows are a function of the text alone: paragraphs (or lines that start a section in capitals), and inside
a paragraph that is longer than a window, overlapping windows at fixed steps from its start. So the same
paragraph gives the same windows in every note, whatever stands around it or whatever else is in the batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

__all__ = ["batch_by_length", "chunk_spans", "owned_ranges", "paragraph_spans", "window_ranges"]

# A blank line, or the start of a line that begins with a heading in capitals and a colon.
_BREAK = re.compile(r"\n[^\S\n]*\n\s*|\n(?=[A-Z][A-Z0-9 /&(),'-]{3,60}:)")
_LONGEST_HEADING = 80
# Tokenizers need memory for each piece of what they are given at once.
_CHUNK = 20_000


def paragraph_spans(text: str) -> list[tuple[int, int]]:
    """Cut a text into paragraphs.

    A paragraph that is only a heading, a line that ends in a colon, is kept with the one after it.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of (int, int)
        Spans of the text, in order, that hold everything but white space.
    """
    cuts = [0]
    for match in _BREAK.finditer(text):
        if match.end() > cuts[-1] and not _is_heading(text, cuts[-1], match.start()):
            cuts.append(match.end())
    cuts.append(len(text))
    spans = pairwise(cuts)
    return [(start, end) for start, end in spans if start < end and not text[start:end].isspace()]


def _is_heading(text: str, start: int, end: int) -> bool:
    line = text[start : min(end, start + 2 * _LONGEST_HEADING)].strip()
    return end - start <= 2 * _LONGEST_HEADING and line.endswith(":") and "\n" not in line


def chunk_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a stretch of text at white space into chunks of at most 20,000 characters, for a tokenizer.

    A chunk whose second half has no white space is cut anywhere: that is no language.
    """
    while end - start > _CHUNK:
        cut = start + _CHUNK
        while cut > start + _CHUNK // 2 and not text[cut - 1].isspace():
            cut -= 1
        cut = cut if text[cut - 1].isspace() else start + _CHUNK
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def window_ranges(count: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cover `count` pieces with windows of at most `size` that overlap by at least `overlap`.

    Parameters
    ----------
    count, size, overlap : int
        In word pieces, special ones not counted; `overlap` less than `size`.

    Returns
    -------
    list of (int, int)
        Half-open ranges of pieces; the last one ends at `count` and is as long as the others.
    """
    if count <= size:
        return [(0, count)] if count else []
    step = size - overlap
    starts = list(range(0, count - size, step))
    return [(start, start + size) for start in (*starts, count - size)]


def owned_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give for each window the pieces whose most central copy it holds.

    Where two windows overlap, the first half of the overlap is more central in the earlier one.
    """
    middles = [(after[0] + before[1]) // 2 for before, after in pairwise(ranges)]
    edges = [ranges[0][0], *middles, ranges[-1][1]] if ranges else []
    return list(pairwise(edges))


def batch_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group items, longest first, so that a batch padded to its longest holds at most `budget` tokens.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each item.
    budget : int
        Tokens of a padded batch; an item that is longer goes alone.

    Returns
    -------
    list of list of int
        Positions in `lengths`, each once.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    for i in order:
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
