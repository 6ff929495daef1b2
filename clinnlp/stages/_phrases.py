"""Phrases with choices, found in a text word by word, the longest first, in time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from clinnlp.errors import ConfigError

__all__ = ["END", "Match", "PhraseFinder", "Word", "parse", "words_of"]

_T = TypeVar("_T")

# A Chinese character is a word by itself.
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+|\d+|[^\w\s]|_")
_PATTERN = re.compile(rf"(?P<list>\$\w+)|(?P<mark>[\[\]|])|(?P<word>#year|#end|{_WORD.pattern})")
_ALIKE = {"’": "'", "‘": "'", "`": "'", "–": "-", "—": "-", "−": "-"}
NUMBER, YEAR, END = "#", "#year", "#end"


@dataclass(frozen=True, slots=True)
class Word:
    """A word, number or mark of a text: its offsets, and the form in which it is compared."""

    start: int
    end: int
    form: str


def words_of(text: str) -> list[Word]:
    """Give the words, numbers and marks of a text."""
    found = []
    for match in _WORD.finditer(text):
        form = match[0].lower()
        # A number sign in a text is none of the numbers that it stands for in a phrase.
        found.append(Word(match.start(), match.end(), "＃" if form == NUMBER else _ALIKE.get(form, form)))
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences."""

    options: list[Sequence[str | Choice]]


def parse(pattern: str, lists: Mapping[str, Sequence[str]], where: str = "") -> list[str | Choice]:
    """Read a phrase: words, `[a|b c|]` for a choice, `$name` for a choice among a list of phrases.

    `#` is any number, `#year` a year, and `#end` the end of the words that are searched.

    Raises
    ------
    ConfigError
        If a bracket or a list is missing, or the phrase may have no word.
    """
    stack: list[list[list[str | Choice]]] = [[[]]]
    for match in _PATTERN.finditer(pattern):
        given = match[0]
        if match["list"]:
            if given[1:] not in lists:
                raise ConfigError(f"{where} names the list {given!r}, which `words` does not have")
            options = [parse(phrase, lists, where) for phrase in lists[given[1:]]]
            stack[-1][-1].append(Choice([*options]))
        elif given == "[":
            stack.append([[]])
        elif given == "|" and len(stack) > 1:
            stack[-1].append([])
        elif given == "]" and len(stack) > 1:
            options = stack.pop()
            stack[-1][-1].append(Choice([*options]))
        elif given in "[]|":
            raise ConfigError(f"{where} has a {given!r} outside of brackets")
        else:
            stack[-1][-1].append(_ALIKE.get(given, given.lower()))
    if len(stack) > 1:
        raise ConfigError(f"{where} has a bracket that is not closed")
    if _may_be_empty(stack[0][0]):
        raise ConfigError(f"{where} has no word, or may have none")
    return stack[0][0]


def _may_be_empty(sequence: Sequence[str | Choice]) -> bool:
    return all(isinstance(part, Choice) and any(map(_may_be_empty, part.options)) for part in sequence)


@dataclass(frozen=True, slots=True)
class Match(Generic[_T]):
    """A phrase that was found: numbers of its first word and of the one after its last, and what it means."""

    first: int
    last: int
    meanings: tuple[_T, ...]


@dataclass(slots=True)
class _State(Generic[_T]):
    """A set of places in phrases that the same words lead to, and what phrases that end there mean."""

    places: frozenset[int]
    meanings: tuple[_T, ...] = ()
    next: dict[str, _State[_T] | None] = field(default_factory=dict)


class PhraseFinder(Generic[_T]):
    """Finds phrases: from the left, the longest at each place, without overlap.

    Phrases are an automaton over words, whose sets of places are made when a text first leads there: a word of a text
    costs one look into a dictionary for each phrase that it may belong to the longest of.
    """

    def __init__(self) -> None:
        self._edges: list[dict[str, list[int]]] = [{}]
        self._meanings: dict[int, list[_T]] = {}
        self._start: _State[_T] = _State(frozenset([0]))
        self._states: dict[frozenset[int], _State[_T]] = {}
        self._vocabulary: set[str] = set()

    def add(self, sequence: Sequence[str | Choice], meaning: _T) -> None:
        """Add a phrase that `parse` gave, and what it means."""
        for place in self._path(sequence, [0], self._new()):
            self._meanings.setdefault(place, []).append(meaning)

    def _new(self) -> int:
        self._edges.append({})
        return len(self._edges) - 1

    def _path(self, sequence: Sequence[str | Choice], places: list[int], goal: int) -> list[int]:
        """Lead from places through a sequence to a goal; give where one may be behind it."""
        for i, part in enumerate(sequence):
            end = goal if i == len(sequence) - 1 else self._new()
            if isinstance(part, str):
                self._vocabulary.add(part)
                for place in places:
                    self._edges[place].setdefault(part, []).append(end)
                places = [end]
            else:
                behind = [self._path(option, places, end) for option in part.options]
                places = list(dict.fromkeys(place for some in behind for place in some))
        return places

    def find(self, words: Sequence[Word], edges: Sequence[int] = ()) -> Iterator[Match[_T]]:
        """Give the phrases in a sequence of words, none of them across one of the edges, which are in order."""
        at, edge = 0, 0
        while at < len(words):
            while edge < len(edges) and edges[edge] <= at:
                edge += 1
            size = edges[edge] if edge < len(edges) else len(words)
            state = self._step(self._start, words[at].form)
            best, i = at + 1, at + 1
            meanings: tuple[_T, ...] = ()
            while state is not None:
                if state.meanings:
                    best, meanings = i, state.meanings
                state = self._step(state, words[i].form) if i < size else None
                i += 1
            if meanings:
                yield Match(at, best, meanings)
            at = best

    def _step(self, state: _State[_T], form: str) -> _State[_T] | None:
        if form in state.next:
            return state.next[form]
        if form not in self._vocabulary and not form.isdigit():
            return None
        keys = [form, *((NUMBER, *([YEAR] if _is_year(form) else [])) if form.isdigit() else ())]
        places = frozenset(n for place in state.places for key in keys for n in self._edges[place].get(key, ()))
        found = (self._states.get(places) or self._state(places)) if places else None
        if form in self._vocabulary:  # what any text may bring is not kept, or memory would grow with it
            state.next[form] = found
        return found

    def _state(self, places: frozenset[int]) -> _State[_T]:
        meanings = dict.fromkeys(meaning for place in sorted(places) for meaning in self._meanings.get(place, ()))
        return self._states.setdefault(places, _State(places, tuple(meanings)))


def _is_year(form: str) -> bool:
    return len(form) == 4 and form[:2] in ("19", "20")
