"""Identifiers that have a form: patterns in `rules/LANG/identifiers.yaml`, found by RE2 in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from clinnlp.alignment import EditedText
from clinnlp.rules import load_rules
from clinnlp.stages._identifiers.checks import CHECKS, Candidate
from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.people import Style, name_after, name_before, place_before, style_of
from clinnlp.stages._identifiers.searched import joined, searched
from clinnlp.stages._identifiers.words import first_names, rule, word_set

__all__ = ["PatternFinder"]

_HAN = re.compile("[\u4e00-\u9fff]")
_WORDS = re.compile(r"[^\W\d_]+(?:['\-][^\W\d_]+)*")


@dataclass(frozen=True)
class _Pattern:
    label: str
    engine: Any
    group: int
    name: str = ""
    check: str = ""
    unless: Any = None
    joined: bool = False
    cased: bool = False
    lead: bool = False


class PatternFinder:
    """Finds what has the form of an identifier.

    Parameters
    ----------
    languages : sequence of str
        Whose patterns are looked for; the Chinese ones only where a text has Chinese characters.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        self.patterns = {lang: _patterns(lang) for lang in languages}

    def find(self, text: str) -> list[Found]:
        """Give what is found, with offsets of the text, in any order; some may overlap."""
        view = searched(text)
        found = list(self._find_in(view, text, False))
        lines = joined(view)
        if lines.alignment != view.alignment:
            found += [one for one in self._find_in(lines, text, True) if _crosses(one, text, found)]
        return found

    def _find_in(self, view: EditedText, raw: str, across: bool) -> Iterator[Found]:
        read = _Read(view.text)
        for lang, patterns in self.patterns.items():
            if lang == "zh" and not _HAN.search(view.text):
                continue
            for pattern in patterns:
                if across and not pattern.joined:
                    continue
                for start, end in _spans(pattern, read):
                    start, end = view.to_source(start, end)
                    if start < end:
                        yield Found(start, end, pattern.label, by="pattern", sure=pattern.name != "place_before")
        if not across and "en" in self.patterns:
            for start, end in _plain_names(read):
                yield Found(*view.to_source(start, end), "PERSON", by="pattern", sure=False)


class _Read:
    """A text as the engine reads it, in UTF-8, and the way back to code points."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode()
        self.style: Style = style_of(text)
        self._places: Any = None
        if len(self.data) != len(text):
            begins = (np.frombuffer(self.data, dtype=np.uint8) & 0xC0) != 0x80
            self._places = np.concatenate([[0], np.cumsum(begins)])

    def place(self, at: int) -> int:
        """Give the code point at which a byte is."""
        return at if self._places is None else int(self._places[at])


def _spans(pattern: _Pattern, read: _Read) -> Iterator[tuple[int, int]]:
    at = 0
    while (match := pattern.engine.search(read.data, at)) is not None:
        span = _span(pattern, read, match)
        if span is not None:
            yield span
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


def _plain_names(read: _Read) -> Iterator[tuple[int, int]]:
    """Find ordinary first names with a capitalised word after them, where capitals mean something."""
    if read.style != "mixed":
        return
    for word in _WORDS.finditer(read.text):
        if word.group()[0].isupper() and word.group().lower() in first_names():
            found = name_after(read.text, word.start(), read.style, cased=True)
            if found is not None and found[1] > word.end():
                yield found


def _crosses(found: Found, text: str, others: Iterable[Found]) -> bool:
    """Tell whether what is found over joined lines is one that a line's end cut, and none that ended there.

    Nor is it one where a word stands before an address of the net that begins a line: nothing tells them apart.
    """
    part = text[found.start : found.end]
    if "\n" not in part and "\r" not in part:
        return False
    inside = [one for one in others if found.start <= one.start and one.end <= found.end and one.label == found.label]
    if found.label in ("EMAIL", "URL"):
        return not inside
    return not any(text[one.end : found.end].lstrip(" \t")[:1] in ("\n", "\r") for one in inside)


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
        engine = _compile(_filled(entry["pattern"], words))
        unless = _compile(_filled(entry["unless"], words)) if "unless" in entry else None
        made.append(_Pattern(entry["label"], engine, int("(?P<id>" in entry["pattern"]), unless=unless, **options))
    return made


def _filled(text: str, words: dict[str, str]) -> str:
    for name, replaced in words.items():
        text = text.replace(f"<{name}>", replaced)
    return text


def _compile(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.UTF8
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 64 << 20
    return re2.compile(pattern.encode(), options)


def _no_stops(one: Candidate) -> bool:
    return not any(word.lower() in word_set("not_names") for word in re.findall(r"[^\W\d_]+", one.found))


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
    "not_generic": _not_generic,
    "chinese_name": _chinese_name,
}
