"""Identifiers that have a form: patterns in `rules/LANG/identifiers.yaml`, found by RE2 in linear time."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from clinnlp.alignment import EditedText
from clinnlp.rules import load_rules
from clinnlp.stages._identifiers.checks import CHECKS, Candidate
from clinnlp.stages._identifiers.engine import Block, Encoded, Sieve, compile_pattern
from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.people import Style, name_after, name_before, place_before, style_of
from clinnlp.stages._identifiers.searched import JoinedText, joined, searched
from clinnlp.stages._identifiers.words import first_names, rule, word_set

__all__ = ["PatternFinder"]

_WORDS = re.compile(r"[^\W\d_]+(?:['\-][^\W\d_]+)*")
# What stands before a place that is inside of a word.
_INSIDE = re.compile(r"[^\W\d_]['\-]?\Z")
_AND = re.compile(r"[ \t]{0,2}(?:,\s{0,3}(?:(?:and|&)\s{1,3})?|[&/]\s{0,3}|\s{0,2}\band\s{1,3})", re.IGNORECASE)
_MOST_FURTHER = 4  # else a list in which each name has its title would be read once more from each
_LINE_END = re.compile(r"[ \t]*[\r\n]")
_OF_THE_NET = frozenset({"EMAIL", "URL"})


@dataclass(frozen=True)
class _Pattern:
    label: str
    text: str
    engine: Any
    group: int
    name: str = ""
    check: str = ""
    unless: Any = None
    joined: bool = False
    cased: bool = False
    lead: bool = False

    @property
    def sure(self) -> bool:
        """Whether what it finds stays an identifier where it names a disease."""
        return self.name != "place_before"


class PatternFinder:
    """Finds what has the form of an identifier.

    Parameters
    ----------
    languages : sequence of str
        Whose patterns are looked for; the Chinese ones only where a text has Chinese characters.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        self.patterns = {lang: _patterns(lang) for lang in languages}

    def find(self, text: str, view: EditedText | None = None, *, sure: bool = False) -> list[Found]:
        """Give what is found, with offsets of the text, in any order; some may overlap.

        Parameters
        ----------
        text : str
        view : EditedText, optional
            What `searched` gives for the text, where that is known.
        sure : bool
            Leave out what only looks like a name.
        """
        view = searched(text) if view is None else view
        found = list(self._find_in(view, sure=sure))
        lines = joined(view)
        return found if lines is view else [*found, *_crossing(self._find_in(lines, across=True), text, found)]

    def _find_in(self, view: EditedText | JoinedText, *, across: bool = False, sure: bool = False) -> Iterator[Found]:
        read = _Read(view.text)
        for lang, patterns in self.patterns.items():
            if lang == "zh" and (read.text.isascii() or _han().search(read.data) is None):
                continue
            if across:
                patterns = [pattern for pattern in patterns if pattern.joined]
            for number, blocks in _sieve(lang, across).blocks(read.data):
                pattern = patterns[number]
                if sure and not pattern.sure:
                    continue
                for start, end in _spans(pattern, read, blocks):
                    start, end = view.to_source(start, end)
                    if start < end:
                        yield Found(start, end, pattern.label, by="pattern", sure=pattern.sure)
        if not across and not sure and "en" in self.patterns:
            for start, end in _plain_names(read):
                yield Found(*view.to_source(start, end), "PERSON", by="pattern", sure=False)


class _Read(Encoded):
    """A text, and how it uses capitals."""

    @cached_property
    def style(self) -> Style:
        return style_of(self.text)


def _spans(pattern: _Pattern, read: _Read, blocks: Iterable[Block]) -> Iterator[tuple[int, int]]:
    """Give what a pattern finds from the left, one behind the other, in the blocks that its matches may start in."""
    at = 0
    for start, end, reach in blocks:
        at = max(at, start)
        while at < end and (match := pattern.engine.search(read.data, at, reach)) is not None:
            if match.start() >= end:
                break
            span = _span(pattern, read, match)
            if span is not None:
                yield span
                if pattern.name == "list":
                    yield from _further_names(read, span[1])
            # What a check refused may hide another that begins inside it, such as a card's number behind a year.
            at = match.start() + 1 if span is None and pattern.check else match.end()


def _span(pattern: _Pattern, read: _Read, match: Any) -> tuple[int, int] | None:
    low, high = match.span(pattern.group)
    if low < 0 or (pattern.unless is not None and pattern.unless.match(read.data, match.end())):
        return None
    start, end = read.place(low), read.place(high)
    if pattern.lead and (lead := _lead().match(read.text[start:end])) is not None:
        start += lead.end()
    span = _named(pattern, read, start, end) if pattern.name else (start, end)
    if span is None or (pattern.check and not _CHECKS[pattern.check](Candidate(read.text, *span))):
        return None
    return span


def _named(pattern: _Pattern, read: _Read, start: int, end: int) -> tuple[int, int] | None:
    """Read the name beside what a pattern matched."""
    if pattern.name == "before":
        return name_before(read.text, start, read.style)
    if pattern.name == "place_before":
        return place_before(read.text, start, end, read.style)
    if pattern.name == "place_after":
        found = name_after(read.text, end, read.style, cased=read.style == "mixed")
        return None if found is None else (start, found[1])
    return name_after(read.text, end, read.style, form=pattern.name == "field", cased=pattern.cased)


def _further_names(read: _Read, at: int) -> Iterator[tuple[int, int]]:
    """Read the names that go on a list, such as after "Drs. Smith"."""
    for _ in range(_MOST_FURTHER):
        more = _AND.match(read.text, at)
        found = more and name_after(read.text, more.end(), read.style, cased=read.style == "mixed")
        if not found:
            break
        yield found
        at = found[1]


def _plain_names(read: _Read) -> Iterator[tuple[int, int]]:
    """Find ordinary first names with a capitalised word after them, where capitals mean something."""
    if read.style != "mixed":
        return
    at = 0
    while (match := _first_name().search(read.data, at)) is not None:
        at = match.end(1)
        start = read.place(match.start(1))
        word = _WORDS.match(read.text, start)
        if word is None or _INSIDE.search(read.text, max(start - 2, 0), start) is not None:
            continue
        if word.group()[0].isupper() and word.group().lower() in first_names():
            found = name_after(read.text, start, read.style, cased=True)
            if found is not None and found[1] > word.end():
                yield found


def _crossing(found: Iterable[Found], text: str, others: Iterable[Found]) -> Iterator[Found]:
    """Give what is found over joined lines where a line's end cut it, and nothing of its kind ended there.

    Nor is it one where a word stands before an address of the net that begins a line: nothing tells them apart.
    """
    least: dict[str, list[tuple[int, int]]] = {}
    for one in sorted(others, key=lambda one: -one.start):
        if one.label in _OF_THE_NET or _LINE_END.match(text, one.end):
            ends = least.setdefault(one.label, [])
            ends.append((-one.start, min(one.end, ends[-1][1]) if ends else one.end))
    for one in found:
        part = text[one.start : one.end]
        if "\n" in part or "\r" in part:
            ends = least.get(one.label, [])
            inside = bisect_right(ends, (-one.start, sys.maxsize)) - 1
            # What ends where the joined one does ended at a line's end behind it, and hides no other.
            last = one.end if one.label in _OF_THE_NET else one.end - 1
            if inside < 0 or ends[inside][1] > last:
                yield one


@cache
def _han() -> Any:
    return compile_pattern("[\u4e00-\u9fff]")


@cache
def _first_name() -> Any:
    return compile_pattern(rf"(?:^|[^a-z])({'|'.join(first_names())})(?:[^a-z]|$)")


@cache
def _lead() -> re.Pattern[str]:
    return re.compile(rf"{rule('lead', 'zh')}(?=..)")  # two characters at least are a name


@cache
def _patterns(lang: str) -> list[_Pattern]:
    rules = load_rules("identifiers", lang)
    words: dict[str, str] = {}
    for name, text in rules["words"].items():
        words[name] = _filled(text, words)
    made: list[_Pattern] = []
    for entry in rules["patterns"]:
        options = {key: value for key, value in entry.items() if key not in ("pattern", "unless", "label")}
        text = _filled(entry["pattern"], words)
        unless = compile_pattern(_filled(entry["unless"], words)) if "unless" in entry else None
        group = int("(?P<id>" in text)
        made.append(_Pattern(entry["label"], text, compile_pattern(text), group, unless=unless, **options))
    return made


@cache
def _sieve(lang: str, across: bool) -> Sieve:
    return Sieve([pattern.text for pattern in _patterns(lang) if pattern.joined or not across])


def _filled(text: str, words: dict[str, str]) -> str:
    for name, replaced in words.items():
        text = text.replace(f"<{name}>", replaced)
    return text


def _no_stops(one: Candidate) -> bool:
    return not any(word.lower() in word_set("not_names") for word in re.findall(r"[^\W\d_]+", one.found))


def _is_work(one: Candidate) -> bool:
    """Refuse what is no work, and words of a sentence before one."""
    *before, last = re.findall(r"[^\W\d_]+(?:['\-][^\W\d_]+)*", one.found.lower())
    return last not in word_set("no_work") and not any(
        word in word_set("not_names") or word in word_set("no_work") for word in before
    )


def _street(one: Candidate) -> bool:
    """Refuse a sentence that happens to lead from a number to a road."""
    words = re.findall(r"[^\W\d_]+", one.found)[:3]
    return not any(word.lower() in word_set("not_names") and word.islower() for word in words)


def _not_generic(one: Candidate) -> bool:
    return one.found not in rule("generic", "zh")


def _chinese_name(one: Candidate) -> bool:
    """Refuse words that begin like a name, 主任 before 医师, and 向医生, which asks for one."""
    before, name = one.text[max(one.start - 1, 0) : one.start], one.found
    if name.startswith(tuple(rule("not_names", "zh"))) or (name[0] == "任" and before in ("主", "责")):
        return False
    return name != "向" or one.text[one.end : one.end + 2] not in ("医生", "医师", "大夫")


_CHECKS = {
    **CHECKS,
    "free_of_stops": _no_stops,
    "street": _street,
    "work": _is_work,
    "not_generic": _not_generic,
    "chinese_name": _chinese_name,
}
