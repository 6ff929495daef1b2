"""Where sentences start, by rules over tokens, in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinnlp.stages._words import Spans

__all__ = ["SentenceRules", "sentence_starts"]

_LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_MARKER = re.compile(r"\d{1,3}|[^\W\d_]|(?i:[ivx]{1,5})")
_NO_WORDS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SentenceRules:
    """What `sentences` in `rules/LANG/tokenization.yaml` holds; see there."""

    terminators: str
    closers: str
    bullets: frozenset[str]
    inline_bullets: str
    never: frozenset[str] = _NO_WORDS
    soft: frozenset[str] = _NO_WORDS
    open: frozenset[str] = _NO_WORDS
    before_number: frozenset[str] = _NO_WORDS
    starters: frozenset[str] = _NO_WORDS
    continuers: frozenset[str] = _NO_WORDS
    shortest_wrapped_line: int = 0

    @classmethod
    def read(cls, rules: Mapping[str, Any]) -> SentenceRules:
        """Take the sentence rules out of a language's tokenization rules."""
        given: dict[str, Any] = dict(rules["sentences"])
        for key, value in given.items():
            given[key] = frozenset(value) if isinstance(value, list) else value
        return cls(never=frozenset(f"{word}.".lower() for word in rules.get("never_end", ())), **given)


class _Reader:
    """Reads the tokens of one text, and knows where the sentence and the line that it is in began."""

    def __init__(self, text: str, spans: Spans, rules: SentenceRules) -> None:
        self.text = text
        self.starts, self.ends = spans
        self.count = len(self.starts)
        self.rules = rules
        self.first = 0
        self.line_start = self.starts[0]
        self.item = 0

    def word(self, i: int) -> str:
        return self.text[self.starts[i] : self.ends[i]]

    def touches(self, i: int) -> bool:
        """Tell whether token `i` is glued to the one before it."""
        return self.ends[i - 1] == self.starts[i]

    def is_marker(self, i: int) -> bool:
        """Tell whether token `i` is the number or letter of a list item, with its full stop or bracket."""
        return (
            i + 1 < self.count
            and self.touches(i + 1)
            and self.text[self.starts[i + 1]] in ".)"
            and _MARKER.fullmatch(self.word(i)) is not None
            and (i + 2 == self.count or not self.touches(i + 2))
        )

    def goes_on(self, i: int) -> bool:
        """Tell whether the line that ends before token `i` was wrapped, and `i` goes on with its sentence."""
        rules, last, word = self.rules, self.word(i - 1), self.word(i)
        length = self.ends[i - 1] - self.line_start
        if not rules.shortest_wrapped_line or word in rules.bullets or self.is_marker(i):
            return False
        if last.lower() in rules.continuers:
            return length * 2 >= rules.shortest_wrapped_line
        if length < rules.shortest_wrapped_line:
            return False
        if last.lower() in rules.never:
            return True
        return last[-1] not in rules.terminators + ":" and (word[0].islower() or (word[0].isdigit() and last.islower()))

    def next_start(self, i: int) -> int:
        """Give the token that starts a sentence because token `i` ended one, or 0 where it did not."""
        following = i + 1
        while following < self.count and self.touches(following) and self.closes(following):
            following += 1
        if following == self.count:
            return 0
        if self.touches(following) and self.text[self.starts[following]] in self.rules.terminators:
            return 0  # the last of several terminators decides
        return following if self.ends_sentence(i, following) else 0

    def closes(self, i: int) -> bool:
        return self.ends[i] - self.starts[i] == 1 and self.text[self.starts[i]] in self.rules.closers

    def ends_sentence(self, i: int, following: int) -> bool:
        """Tell whether the terminator that token `i` is or ends with ends its sentence."""
        rules, text = self.rules, self.text
        alone = self.ends[i] - self.starts[i] == 1
        glued = self.touches(following)
        if not rules.starters:
            return True
        if text[self.ends[i] - 1] != ".":
            # A question mark that stands before a word, not behind one, says that it is uncertain.
            return i > self.first and (self.touches(i) or not alone) and not glued
        before = self.word(i - 1) if alone and i > self.first and self.touches(i) else ""
        if glued:
            return before.islower() and len(before) > 1 and text[self.starts[following]].isupper()
        if before and self.is_marker(i - 1) and (i - 1 == self.first or self.is_bullet_before(i - 1)):
            return False
        after = self.word(following)
        if len(before) == 1 and before.isupper() and i - 1 > self.first and not self.is_initial(i - 1):
            return not after[0].islower()
        return self.full_stop_ends(before if alone else self.word(i), alone, after)

    def is_bullet_before(self, i: int) -> bool:
        return i - 1 == self.first and (self.word(i - 1) in self.rules.bullets or self.word(i - 1) == "(")

    def is_initial(self, i: int) -> bool:
        """Tell whether the single capital that token `i` is may be of a name: `by J. Doe`, not `hepatitis B.`."""
        before = self.word(i - 1)
        return not before.islower() or before in self.rules.continuers or before in self.rules.starters

    def full_stop_ends(self, word: str, alone: bool, following: str) -> bool:
        """Decide by the word that a full stop belongs to and the one that follows it."""
        rules, key = self.rules, word.lower()
        if not alone and set(word) == {"."}:
            return not following[0].islower()
        starter = following.lower() in rules.starters and not following.islower()
        title = following[0].isupper() and (not following.isupper() or (word.islower() and len(following) > 3))
        if key in rules.never:
            return False
        if key in rules.before_number and following[0].isdigit():
            return False
        if key in rules.open:
            return starter or title or not following[0].isalpha()
        if key in rules.soft or not alone:
            return starter
        if alone and len(word) == 1 and word.isupper():
            return starter
        return not (following[0].islower() and len(word) <= 2 and word.isalpha())

    def starts_item(self, i: int) -> bool:
        """Tell whether token `i` is the number of an item of a list inside a line: the first, or one more."""
        word = self.word(i)
        if not (word.isdecimal() and len(word) <= 2 and not self.touches(i) and self.is_marker(i)):
            return False
        if i + 2 >= self.count or self.word(i + 2).lower() in self.rules.starters:
            return False
        number = int(word)
        return number == self.item + 1 if self.item else number == 1 and self.word(i - 1) == ":"


def sentence_starts(text: str, spans: Spans, rules: SentenceRules) -> list[int]:
    """Find the tokens that sentences start with.

    Parameters
    ----------
    text : str
    spans : starts, ends
        Tokens of the text, in order and disjoint, not empty.
    rules : SentenceRules

    Returns
    -------
    list of int
        Indices of tokens, rising; the first is 0 unless there are no tokens.
    """
    if not spans[0]:
        return []
    reader = _Reader(text, spans, rules)
    starts: list[int] = []
    following = 0  # the token that starts the next sentence
    last = spans[0][0]
    for i, (start, end) in enumerate(zip(*spans, strict=True)):
        lines = 0 if start == last or (start - last == 1 and text[last] == " ") else _lines(text, last, start)
        last = end
        mark = text[start]
        if lines:
            new = lines > 1 or i == following or not reader.goes_on(i)
            reader.line_start = start
            reader.item = reader.item if lines == 1 else 0
        else:
            new = i == following or (mark in rules.inline_bullets and not reader.touches(i))
        if new or (mark.isdecimal() and reader.starts_item(i)):
            starts.append(i)
            reader.first = i
            if mark.isdecimal() and reader.is_marker(i):
                reader.item = int(text[start:end])
        if text[end - 1] in rules.terminators:
            following = reader.next_start(i) or following
    return starts


def _lines(text: str, start: int, end: int) -> int:
    """Count the line ends in a stretch, up to two."""
    first = _LINE_END.search(text, start, end)
    if first is None:
        return 0
    return 2 if _LINE_END.search(text, first.end(), end) else 1
