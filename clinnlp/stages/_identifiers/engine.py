"""RE2 over the bytes of a text: patterns, and what tells in one pass where each of many may match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["REACH", "WHITE", "Block", "Encoded", "Sieve", "compile_pattern"]

WHITE = " \t\r\n"
"""The white space of a text that is searched, where all other is written as one of these."""
REACH = 128
"""More white-space signs than any match has, so that where it starts bounds where it ends."""
_BLOCK = 512  # white-space signs
_SHORT = 4096
# An automaton for all 64 English patterns has so many states that dense texts never stop to make new ones.
_LARGEST_GROUP = 22
_IS_WHITE = np.zeros(256, dtype=bool)
_IS_WHITE[list(WHITE.encode())] = True


class Encoded:
    """A text as the engine reads it, in UTF-8, and the way back to code points.

    Parameters
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode()

    def place(self, at: int) -> int:
        """Give the code point at which a byte is."""
        return at if len(self.data) == len(self.text) else at - int(self._going_on.searchsorted(at))

    @cached_property
    def _going_on(self) -> NDArray[np.intp]:
        """The places of the bytes that begin no code point."""
        return np.flatnonzero((np.frombuffer(self.data, dtype=np.uint8) & 0xC0) == 0x80)


class Block(NamedTuple):
    """A stretch of the bytes of a text: matches that start in it, before `end`, end before `reach`."""

    start: int
    end: int
    reach: int


class Sieve:
    """Tells in which blocks of a text each of many patterns may match.

    A pattern costs a pass over the text, and most are in few places of it. Here patterns are joined to a few automata,
    each of which passes once, and only the blocks that they tell need to be searched for a pattern.

    Parameters
    ----------
    patterns : sequence of str
        None of whose matches has as many as `REACH` white-space signs.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        groups = -(-len(patterns) // _LARGEST_GROUP)
        cuts = [len(patterns) * i // groups for i in range(groups)]
        self._groups = [
            (low, high - low, _automaton(patterns[low:high])) for low, high in pairwise([*cuts, len(patterns)])
        ]

    def blocks(self, data: bytes) -> list[tuple[int, list[Block]]]:
        """Give the numbers of the patterns that may match, in order, each with the blocks in which they may start.

        Parameters
        ----------
        data : bytes
            A text in UTF-8 without white space but `WHITE`.
        """
        found: dict[int, list[Block]] = {}
        for block in _blocks(data):
            # With the sign before it, since a pattern may ask for the edge of a word.
            part = data[max(block.start - 1, 0) : block.reach]
            for first, count, automaton in self._groups:
                numbers = automaton.Match(part) or ()
                # RE2 tells of no match at all where its memory does not suffice; else of one that is always there.
                for number in numbers if count in numbers else range(count):
                    if number < count:
                        found.setdefault(first + number, []).append(block)
        return sorted(found.items())


def _blocks(data: bytes) -> Iterable[Block]:
    """Cut a text at every so many white-space signs; each block reaches so many further, less than into the next."""
    if len(data) <= _SHORT:
        return [Block(0, len(data), len(data))]
    white = np.flatnonzero(_IS_WHITE[np.frombuffer(data, dtype=np.uint8)])
    cuts = [0, *white[_BLOCK::_BLOCK].tolist(), len(data)]
    reaches = (white[_BLOCK + REACH :: _BLOCK] + 1).tolist()
    reaches += [len(data)] * (len(cuts) - 1 - len(reaches))
    return [Block(low, high, reach) for (low, high), reach in zip(pairwise(cuts), reaches, strict=True)]


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern for the bytes of UTF-8; letter case does not matter."""
    import re2

    return re2.compile(pattern.encode(), _options())


def _automaton(patterns: Sequence[str]) -> Any:
    """Join patterns to one automaton, which tells the numbers of those that match; the last matches any text."""
    import re2

    automaton = re2.Set.SearchSet(_options())
    for pattern in (*patterns, r"\A"):
        automaton.Add(pattern.encode())
    automaton.Compile()
    return automaton


def _options() -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.UTF8
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 64 << 20
    return options
