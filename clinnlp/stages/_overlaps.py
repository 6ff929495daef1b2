"""Which matches of rules become entities, beside those that are there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from sys import maxsize
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
        In any order, and each as often as it was found.
    policy : {"keep_existing", "replace", "longest", "both"}
        See `RuleMatcher`.
    source : str
        Of the new entities.
    """
    matches = list(matches)
    there = {(entity.start, entity.end, entity.label) for entity in existing}
    if policy != "replace":
        _complete(existing, matches)
    if policy in ("keep_existing", "longest"):
        cover = _cover(existing, policy)
        matches = [m for m in matches if max(cover[m.start : m.end], default=0) < m.end - m.start]
    kept = _longest(matches)
    gone: set[int] = set()
    if policy in ("replace", "longest"):
        gone = _overlapped(existing, kept)
    elif policy == "both":
        kept = [match for match in kept if (match.start, match.end, match.label) not in there]
    entities = [entity for entity in existing if id(entity) not in gone]
    entities += [Entity(m.start, m.end, m.label, attributes=clone(m.attributes), source=source) for m in kept]
    return sorted(entities, key=lambda entity: (entity.start, entity.end))


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


def _cover(existing: Sequence[Entity], policy: Overlaps) -> list[int]:
    """Give for each character the length that a match over it must exceed."""
    needed = [
        (entity.end - entity.start if policy == "longest" and entity.source else maxsize, entity.start, entity.end)
        for entity in existing
    ]
    cover = [0] * max((entity.end for entity in existing), default=0)
    for length, start, end in sorted(needed):
        cover[start:end] = [length] * (end - start)
    return cover


def _overlapped(existing: Iterable[Entity], kept: Iterable[Match]) -> set[int]:
    """Give the identities of the entities that share a character with one of matches that share none."""
    spans = sorted((match.start, match.end) for match in kept)
    found: set[int] = set()
    for entity in existing:
        before = bisect_left(spans, (entity.end, 0)) - 1
        if before >= 0 and spans[before][1] > entity.start < entity.end:
            found.add(id(entity))
    return found


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
