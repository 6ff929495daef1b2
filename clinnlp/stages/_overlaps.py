"""Which matches of rules become entities, beside those that are there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Literal, NamedTuple, get_args

from clinnlp._plain import clone
from clinnlp.record import Entity
from clinnlp.stages._rules import CODES

__all__ = ["OVERLAPS", "Match", "Overlaps", "add_matches"]

Overlaps = Literal["keep_existing", "replace", "longest", "both"]
OVERLAPS: tuple[str, ...] = get_args(Overlaps)


class Match(NamedTuple):
    """What a rule found: raw offsets, the number of the rule, and what it gives."""

    start: int
    end: int
    number: int
    label: str
    attributes: dict[str, Any]


def add_matches(existing: Sequence[Entity], matches: Iterable[Match], policy: Overlaps, source: str) -> list[Entity]:
    """Give the entities of a record after its rules: those that were there, as the policy keeps them, and new ones.

    Parameters
    ----------
    existing : sequence of Entity
        Those that get attributes are changed in place.
    matches : iterable of Match
        In any order.
    policy : {"keep_existing", "replace", "longest", "both"}
        See `RuleMatcher`.
    source : str
        Of the new entities.
    """
    matches = _once(matches)
    there = {(entity.start, entity.end, entity.label) for entity in existing}
    if policy != "replace":
        _complete(existing, matches)
    index = _Index(existing)
    if policy == "keep_existing":
        matches = [match for match in matches if not any(index.over(match))]
    elif policy == "longest":
        matches = [match for match in matches if all(_yields(entity, match) for entity in index.over(match))]
    kept = _longest(matches)
    gone: set[int] = set()
    if policy in ("replace", "longest"):
        gone = {id(entity) for match in kept for entity in index.over(match)}
    elif policy == "both":
        kept = [match for match in kept if (match.start, match.end, match.label) not in there]
    entities = [entity for entity in existing if id(entity) not in gone]
    entities += [Entity(m.start, m.end, m.label, attributes=clone(m.attributes), source=source) for m in kept]
    return sorted(entities, key=lambda entity: (entity.start, entity.end))


def _once(matches: Iterable[Match]) -> list[Match]:
    """Give each match once; several stretches of a cleaned text can be one of the raw text."""
    return list({match[:3]: match for match in matches}.values())


def _longest(matches: Iterable[Match]) -> list[Match]:
    """Give the longest of matches that overlap; of those of one length the first, then that of the first rule."""
    taken: set[int] = set()
    kept: list[Match] = []
    for match in sorted(matches, key=lambda m: (m.start - m.end, m.start, m.number)):
        # One that is at least as long, and overlaps this one, holds its first or its last character.
        if match.start not in taken and match.end - 1 not in taken:
            kept.append(match)
            taken.update(range(match.start, match.end))
    return kept


def _yields(entity: Entity, match: Match) -> bool:
    """Tell whether an entity gives way to a longer match; one that the record brought never does."""
    return bool(entity.source) and match.end - match.start > entity.end - entity.start


def _complete(existing: Sequence[Entity], matches: Iterable[Match]) -> None:
    """Give entities the attributes of the first rule that found the same span under the same label."""
    first: dict[tuple[int, int, str], Match] = {}
    for match in sorted(matches, key=lambda m: m.number):
        first.setdefault((match.start, match.end, match.label), match)
    for entity in existing:
        found = first.get((entity.start, entity.end, entity.label))
        if found is None:
            continue
        new = found.attributes
        # Half of one code and half of another, or a name that is not that of the code, would be wrong.
        both = [name for name in CODES if name in new and name in entity.attributes]
        if all(entity.attributes[name] == new[name] for name in both):
            entity.attributes = {**clone(new), **entity.attributes}


class _Index:
    """Entities by their place."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._entities = sorted(entities, key=lambda entity: entity.start)
        self._starts = [entity.start for entity in self._entities]
        self._reach = list(accumulate((entity.end for entity in self._entities), max))

    def over(self, match: Match) -> Iterator[Entity]:
        """Give the entities that share a character with a match."""
        for i in range(bisect_left(self._starts, match.end) - 1, -1, -1):
            if self._reach[i] <= match.start:
                return
            entity = self._entities[i]
            if max(entity.start, match.start) < min(entity.end, match.end):
                yield entity
