"""Scopes of cues: which entities each cue of a sentence reaches, in one sweep in each direction."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from clinnlp.stages._cues import Meaning
from clinnlp.stages._phrases import END, PhraseFinder, Word

__all__ = ["Reach", "cues_of_sentence"]

_CLAUSE_ENDS = frozenset("，,；;")
Place = tuple[int, int]
"""The first word of something in a sentence, and the one after its last."""
Reach = dict[str, Place]
"""Flag -> the words of the cue that decided it."""


def cues_of_sentence(finder: PhraseFinder[Meaning], words: Sequence[Word], places: Sequence[Place]) -> list[Reach]:
    """Find the cues that reach each of the entities of a sentence.

    A scope begins behind its cue (in front of one that works backward) and ends with the sentence, or its clause, where
    its words are used up, at a phrase that ends scopes of its flag, or where a new cue of its flag begins another. A
    cue that overlaps an entity does not reach that one: "no known drug allergies" may be an entity.

    Parameters
    ----------
    finder : PhraseFinder
    words : sequence of Word
        Of the sentence.
    places : sequence of (int, int)
        Of its entities, in words.

    Returns
    -------
    list of dict of str to (int, int)
        For each entity: flag -> the words of the cue. Where one stands on either side, it is the one before.
    """
    # Nor does a cue cross the edge of one: "no acute" before "acute abdomen" is "no".
    edges = sorted({edge for place in places for edge in place})
    if not places:
        return []
    closed = [*words, Word(words[-1].end, words[-1].end, END)]
    matches = [(m, _counted(m.meanings)) for m in finder.find(closed, edges)]
    # Marks are no words.
    lengths = [0, *accumulate(word.form.isalnum() for word in closed)]
    commas = [i for i, word in enumerate(closed) if word.form in _CLAUSE_ENDS]
    found: list[Reach] = [{} for _ in places]
    forward = sorted(range(len(places)), key=lambda i: places[i][0])
    _sweep(
        [(m.first, m.last, some) for m, some in matches], [(i, places[i][0]) for i in forward], lengths, commas, found
    )
    # Backward it is the same in a mirror, in which the first word is the last.
    size = len(closed)
    mirrored = [(size - m.last, size - m.first, some) for m, some in reversed(matches)]
    backward = sorted(range(len(places)), key=lambda i: -places[i][1])
    total = lengths[-1]
    lengths = [total - count for count in reversed(lengths)]
    commas = [size - 1 - i for i in reversed(commas)]
    _sweep(mirrored, [(i, size - places[i][1]) for i in backward], lengths, commas, found, mirror=size)
    return found


def _counted(meanings: Sequence[Meaning]) -> Sequence[Meaning]:
    """Leave out what does not count: the language's where a user has the phrase too, all where it is no cue."""
    meanings = [one for one in meanings if one.own] or meanings
    return [] if any(not one.flags and not one.ends for one in meanings) else meanings


def _sweep(
    matches: Iterable[tuple[int, int, Sequence[Meaning]]],
    entities: Iterable[tuple[int, int]],
    lengths: Sequence[int],
    commas: Sequence[int],
    found: list[Reach],
    mirror: int | None = None,
) -> None:
    """Walk over a sentence with the scopes that are open, and note those at each entity.

    Parameters
    ----------
    matches : iterable of (int, int, sequence of Meaning)
        In order.
    entities : iterable of (int, int)
        Number and first word of each, in order of the word.
    lengths : sequence of int
        How many words stand before each word.
    commas : sequence of int
        Marks that end clauses, in order.
    found : list of dict
        Is added to.
    mirror : int, optional
        Number of words, where all is mirrored.
    """
    opened: dict[str, tuple[Place, int]] = {}
    pending = list(matches)
    at = 0
    for number, first in entities:
        while at < len(pending) and pending[at][1] <= first:
            start, end, meanings = pending[at]
            for flag in {flag for one in meanings for flag in one.ends}:
                opened.pop(flag, None)
            for one in meanings:
                if one.forward if mirror is None else one.backward:
                    cue = (start, end) if mirror is None else (mirror - end, mirror - start)
                    until = lengths[end] + one.limit if one.limit else len(lengths)
                    if one.clause and (comma := bisect_left(commas, end)) < len(commas):
                        until = min(until, lengths[commas[comma]])
                    opened.update(dict.fromkeys(one.flags, (cue, until)))
            at += 1
        for flag, (cue, until) in opened.items():
            if lengths[first] < until:
                found[number].setdefault(flag, cue)
