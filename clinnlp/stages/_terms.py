"""Terms of rules, looked up in a text by their words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from clinnlp.stages._rules import Rule
from clinnlp.stages._words import MARKS, Spans

__all__ = ["TermMatcher"]

# A number is cut from the letters behind it, as in "500mg", but not from those before it, as in "B12"; scripts that
# are written without spaces, and marks, are cut into single characters.
_CHARACTERS = r"\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
# A letter with what may be composed with it: accents of all scripts, and Korean letters of a syllable.
_CLUSTER = re.compile(rf"[^\s{MARKS}][{MARKS}]+|[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")
_PIECE = re.compile(rf"\d+|[^\W\d_{_CHARACTERS}][^\W_{_CHARACTERS}]*|\S")


class TermMatcher:
    """Finds terms, one as fast as a hundred thousand.

    Terms and texts are cut into the same pieces, finer than any tokenizer's words, so that it does not matter how a
    term would be tokenized by itself; a match must begin and end where tokens do. White space between pieces does
    not count, nor does case, nor whether a letter and its accent are one character or two (NFC or NFD of Unicode).

    This is no PhraseMatcher of spaCy, which `tests/benchmarks/rules.py` measures too: 100,000 terms take it 2.2 s and
    205 MB, and this index 0.5 s and 46 MB; both then read some 1,700 notes of 300 words a second. Nor could it forget
    the words of notes, which go into its vocabulary.

    Parameters
    ----------
    rules : mapping of int to Rule
        Those with a term, by their numbers.
    """

    def __init__(self, rules: Mapping[int, Rule]) -> None:
        self._rules = rules
        self._numbers: dict[str, list[int]] = {}
        sizes: dict[str, set[int]] = {}
        for number, rule in rules.items():
            pieces = [piece.casefold() for piece in _PIECE.findall(unicodedata.normalize("NFC", rule.term))]
            self._numbers.setdefault(" ".join(pieces), []).append(number)
            sizes.setdefault(pieces[0], set()).add(len(pieces))
        self._sizes = {first: sorted(some) for first, some in sizes.items()}

    def find(self, text: str, tokens: Callable[[], Spans]) -> Iterator[tuple[int, int, int]]:
        """Give start, end and number of the rule of each match, in a text whose tokens are only asked for if needed."""
        edges: tuple[set[int], set[int]] | None = None
        places: list[int] | None = None
        composed = text
        if not unicodedata.is_normalized("NFC", text):
            composed, places = _composed(text)
        for start, end, numbers in self._candidates(composed):
            if places is not None:
                start, end = places[start], places[end]
            if edges is None:
                starts, ends = tokens()
                edges = set(starts), set(ends)
            if start in edges[0] and end in edges[1]:
                for number in numbers:
                    if not self._rules[number].case or self._is_exact(self._rules[number].term, text[start:end]):
                        yield start, end, number

    def _candidates(self, text: str) -> Iterator[tuple[int, int, list[int]]]:
        """Give every stretch whose pieces are those of a term."""
        spans = [match.span() for match in _PIECE.finditer(text)]
        if text.isascii():
            text = text.lower()
            pieces = [text[start:end] for start, end in spans]
        else:
            pieces = [text[start:end].casefold() for start, end in spans]
        joined = " ".join(pieces)
        ends: list[int] = []  # of the pieces in `joined`
        at = -1
        for piece in pieces:
            at += len(piece) + 1
            ends.append(at)
        for i, piece in enumerate(pieces):
            for size in self._sizes.get(piece, ()):
                last = i + size - 1
                if last >= len(ends):
                    break
                numbers = self._numbers.get(joined[ends[i] - len(piece) : ends[last]])
                if numbers is not None:
                    yield spans[i][0], spans[last][1], numbers

    @staticmethod
    def _is_exact(term: str, found: str) -> bool:
        first, second = (_PIECE.findall(unicodedata.normalize("NFC", one)) for one in (term, found))
        return first == second


def _composed(text: str) -> tuple[str, list[int]]:
    """Give a text with letters and their accents in one, and where each of its characters, and its end, stood."""
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for match in _CLUSTER.finditer(text):
        parts.append(text[at : match.start()])
        places += range(at, match.start())
        at, end = match.span()
        part = unicodedata.normalize("NFC", match.group())
        parts.append(part)
        # Accents that have no common letter with theirs stay as they are, at its end.
        places += [at, *(max(at, end - left) for left in range(len(part) - 1, 0, -1))]
        at = end
    parts.append(text[at:])
    places += range(at, len(text) + 1)
    return "".join(parts), places
