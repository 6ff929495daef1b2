"""Finds all that can be a value, from the numbers and the known words of a text, in one pass over each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from clinnlp.record import Value
from clinnlp.stages._values.context import Context
from clinnlp.stages._values.dates import Calendar
from clinnlp.stages._values.drugs import DrugWords
from clinnlp.stages._values.found import Found
from clinnlp.stages._values.numbers import DIGITS, FRACTIONS, Numbers
from clinnlp.stages._values.patterns import Pattern, Patterns
from clinnlp.stages._values.quantities import HEART_RATE, Marks, Quantities
from clinnlp.stages._values.text import LETTER, WORD, even, is_cjk, word_pattern
from clinnlp.stages._values.units import Units

__all__ = ["Finder"]

_DIGITS = re.compile(rf"[\d{FRACTIONS}]+")
_LETTER = re.compile(LETTER)
_DIOPTRES = re.compile(r"[\d.]+ ?D")
# All patterns that start with a number have something behind it; to look spares trying each of them.
_GOES_ON = re.compile(rf"{DIGITS} {{0,2}}(?:\r?\n {{0,12}})?[^\s\d,;()]")
_LIST_NUMBER = re.compile(r"\d{1,3}[.)](?= )")
_LAST_GROUP = re.compile(r"\d[ ']0\d\d(?!\d)")
_COMPARED = ("duration", "age", "dose", "time")
_LONGEST_NUMBER = 16


class Finder:
    """Finds values of one language.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/values.yaml` holds.
    """

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self.units = Units(rules)
        numbers = Numbers(rules["number_words"], rules.get("tens", ""))
        self._numerals = frozenset(word for word in numbers.words if len(word) == 1 and is_cjk(word)) | {"第"}
        self._context = Context(rules)
        self._quantities = Quantities(self.units, self._context)
        self._drugs = DrugWords(rules, numbers)
        self._fixed = {even(word): ("days", days) for days, words in rules["days"].items() for word in words}
        self._fixed |= {even(word): ("clock", time) for word, time in rules["clock_words"].items()}
        for unit, steps in rules.get("named_spans", {}).items():
            self._fixed |= {even(word): (unit, step) for word, step in steps.items()}
        self._never = re.compile("|".join(f"(?:{written})" for written in rules["never"]))
        periods = [word for words in rules["periods"].values() for word in words if len(word) > 1 or is_cjk(word)]
        self._dispatch(Patterns(rules, numbers).by_word, numbers.phrases(periods), set(numbers.words))

    def _dispatch(self, by_word: dict[str, list[Pattern]], numbers: set[str], number_words: set[str]) -> None:
        """Work out which patterns can start with each phrase that is looked for."""
        self._for_digits = by_word.get("n", [])
        phrases = {*self._drugs.words, *self._fixed, *by_word, *numbers} - {"n"}
        self._phrases: dict[str, tuple[list[Pattern], bool]] = {}
        for phrase in phrases:
            starts = [word for word in by_word if word != "n" and _begins(phrase, word)]
            is_number = any(_begins(phrase, word) for word in number_words)
            patterns = [pattern for word in starts for pattern in by_word[word]]
            self._phrases[phrase] = (patterns + (self._for_digits if is_number else []), is_number)
        latin = word_pattern(phrase for phrase in phrases if not is_cjk(phrase[0]))
        other = word_pattern(phrase for phrase in phrases if is_cjk(phrase[0]))
        self._words = re.compile(rf"(?<!{WORD}){latin}(?!{LETTER})" + (f"|{other}" if other != "(?!)" else ""))

    def find(self, text: str, calendar: Calendar, marks: Marks) -> list[Found]:
        """Find all candidates of a text; they can overlap."""
        low = even(text)
        found: list[Found] = []
        for match in _DIGITS.finditer(low):
            found += self._at_digits(low, text, match.start(), match.end(), calendar, marks)
        for match in self._words.finditer(low):
            found += self._at_word(low, text, match, calendar)
        return found

    def _at_digits(
        self, low: str, text: str, start: int, end: int, calendar: Calendar, marks: Marks
    ) -> Iterator[Found]:
        if end - start > _LONGEST_NUMBER:
            return
        before, earlier = low[start - 1 : start], low[start - 2 : start - 1] if start > 1 else ""
        glued = False
        if before == "." and not (earlier.isalnum()):
            start -= 1
        elif (
            before
            and before in ".,/:-^*"
            and earlier
            and earlier in "0123456789)"
            and not (before == "," and earlier == ")")
        ):
            return
        elif before == "_" or _LETTER.match(before or " "):
            glued = True
        elif before == "/" and _LETTER.match(earlier or " "):
            return
        elif before == "-" and _LETTER.match(earlier or " "):
            glued = True
        if before in self._numerals or _is_list_number(low, start) or _is_last_group(low, start):
            return
        if hidden := self._never.match(low, start):
            yield Found(Value(*hidden.span()), hidden=True)
            return
        if quantity := self._quantities.find(low, text, start, marks, glued):
            yield quantity
        if not glued and _GOES_ON.match(low, start):
            if not HEART_RATE.match(text, end):
                yield from self._patterns(self._for_digits, low, text, start, calendar)
            if (dose := self._drugs.dose(low, start)) and not _starts_anew(text, start, dose.end):
                yield self._compared(low, dose)

    def _at_word(self, low: str, text: str, match: re.Match[str], calendar: Calendar) -> Iterator[Found]:
        start, end = match.span()
        word = match.group().replace("  ", " ")
        patterns, is_number = self._phrases[word]
        if word == "may" and text[start] == "m":
            return
        if is_number and low[start - 1 : start] in self._numerals:
            return
        # A word that ends in a letter is no word before a digit.
        if not (low[end : end + 1].isdigit() and not is_cjk(low[end - 1])):
            if drug := self._drugs.found(word, start, end):
                yield drug
            if word in self._fixed:
                yield Found(self._fixed_value(word, start, end, calendar))
        yield from self._patterns(patterns, low, text, start, calendar)
        if is_number and (dose := self._drugs.dose(low, start)) and not _starts_anew(text, start, dose.end):
            yield dose

    def _fixed_value(self, word: str, start: int, end: int, calendar: Calendar) -> Value:
        kind, step = self._fixed[word]
        if kind == "clock":
            return Value(start, end, kind="time", time=str(step))
        time = calendar.shifted(int(step)) if kind == "days" else calendar.whole(int(step), kind)
        return Value(start, end, kind="date", time=time)

    def _patterns(
        self, patterns: list[Pattern], low: str, text: str, start: int, calendar: Calendar
    ) -> Iterator[Found]:
        for pattern in patterns:
            match = pattern.find.match(low, start)
            if match and _starts_anew(text, *match.span()):
                continue
            value = pattern.read(match, calendar) if match else None
            if value is not None and not (value.kind == "duration" and _DIOPTRES.fullmatch(text, start, value.end)):
                value.kind = pattern.kind
                found = self._compared(low, Found(value))
                # `<1:10` is a titre, no time of day.
                if not (pattern.kind == "time" and low[found.start] in "<>" and ":" in low[found.start : found.end]):
                    yield found

    def _compared(self, low: str, found: Found) -> Found:
        value = found.value
        if value.kind in _COMPARED or (value.kind == "date" and value.number is not None):
            sign, start = self._context.comparator(low, value.start)
            if low.startswith("over", start):
                # `Over 30 minutes` says how long an infusion takes.
                sign, start = "", value.start
            behind, end = self._context.comparator_behind(low, value.end)
            value.comparator, value.start, value.end = behind or sign, start, end
        return found


def _begins(phrase: str, word: str) -> bool:
    """Tell whether a phrase begins with a word, not with a part of one."""
    if not phrase.startswith(word):
        return False
    return is_cjk(word[-1]) or len(phrase) == len(word) or not _LETTER.match(phrase[len(word)])


def _is_last_group(low: str, start: int) -> bool:
    """Tell whether a number is the rest of one such as 1 000 or 1'050, and so no number of its own."""
    return start > 1 and _LAST_GROUP.match(low, start - 2) is not None


def _starts_anew(text: str, start: int, end: int) -> bool:
    """Tell whether a stretch goes over a line end to a capital, with which another line begins."""
    at = text.find("\n", start, end)
    return at >= 0 and text[at:end].lstrip()[:1].isupper()


def _is_list_number(low: str, start: int) -> bool:
    """Tell whether a number at the start of a line counts the items of a list."""
    match = _LIST_NUMBER.match(low, start)
    if match is None:
        return False
    line = low.rfind("\n", max(0, start - 8), start) + 1
    return not low[line or max(0, start - 8) : start].strip(" (-*•") and (line > 0 or start < 8)
