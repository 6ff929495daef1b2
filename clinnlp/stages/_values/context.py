"""What stands about a number: a comparator, and the name of what is measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from clinnlp.stages._values.text import CJK, LETTER, WORD, even, is_cjk, word_pattern

__all__ = ["Context"]

_WINDOW = 72
_MOST_SKIPPED = 6
_MOST_WORDS = 5
_FREE_WORDS = 3
_TOKEN = re.compile(rf"{WORD}(?:{WORD}|[.+/'-](?={WORD})){{0,40}}|[{CJK}]|[^\w\s]")
_JOINTS = frozenset(":=()-[],|<>≤≥~≈")
_ARTICLES = frozenset(("a", "an", "the", "(", ",", "-"))
_OF = re.compile(rf" of (?:the |a |an )?((?:{LETTER}|-){{2,30}}(?: (?:{LETTER}|-){{2,30}})?)")
_LAST_WORD = re.compile(rf"(?<!{LETTER}){LETTER}{{1,10}}[ -]?$")
_SIGNS = frozenset("<>≤≥~≈=")
_NUMBER_BEFORE = re.compile(r"\d[ -]?\Z")


class Context:
    """Reads what stands about numbers in one language.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/values.yaml` holds.
    """

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self._names = {even(name) for name in rules["names"]}
        entries = [entry for units in rules["units"].values() for entry in units.values()]
        self._units = {even(word) for entry in entries for word in entry.get("words", [])}
        self._doses = {even(word) for entry in entries if entry.get("dose") for word in entry.get("words", [])}
        self._exact = set(rules["exact_names"])
        self._after = re.compile(rf"(?: |-)?(?:{word_pattern(rules['names_after'])})(?:(?<=[{CJK}])|(?!{LETTER}))")
        self._connectors = {even(word) for word in rules["connectors"]}
        # Each of their characters is a token, so they are looked for in the text, the longest first.
        self._cjk_connectors = sorted((word for word in self._connectors if is_cjk(word[-1])), key=len, reverse=True)
        self._no_names = {even(word) for word in rules["not_names"]}
        self._generic = {even(name) for name in rules["generic_names"]}
        self._adjectives = {even(word) for word in rules["name_adjectives"]}
        self._codes = {even(word) for word in rules["code_words"]}
        months = [word for words in rules["months"].values() for word in words]
        self._counting = {even(word) for word in (*rules["counting_words"], *months)}
        forms = [word for name in rules["counted_forms"] for word in rules["forms"][name]["words"]]
        self._form = re.compile(rf"(?:[ -]{{1,2}}{LETTER}{{1,20}}){{0,2}}[ -]{{0,2}}{word_pattern(forms)}(?!{LETTER})")
        self._comparators = {even(word): sign for sign, words in rules["comparators"].items() for word in words}
        words = word_pattern(self._comparators)
        self._before = re.compile(rf"(?:(?<!{LETTER})|(?<=[{CJK}])|(?=[<>=~≤≥≈])|(?=[{CJK}])){words} {{0,2}}$")
        self._behind = {even(word): sign for sign, words in rules["comparators_after"].items() for word in words}
        self._following = re.compile(rf" ?{word_pattern(self._behind)}(?:(?<=[{CJK}])|(?!{LETTER}))")
        self._longest = max((len(name) for name in self._names if is_cjk(name[-1])), default=0)

    def comparator(self, low: str, start: int) -> tuple[str, int]:
        """Give the comparator before a number, and where it starts; `""` and the number's start where there is none."""
        before = low[max(0, start - 2) : start].strip(" ")
        if not before or not (before[-1] in _SIGNS or before[-1].isalpha() or before[-1] == "."):
            return "", start
        match = self._before.search(low, max(0, start - 32), start)
        if match is None or low[match.start() : match.end()].startswith("=>"):
            return "", start
        return self._comparators[match.group().strip(" ").replace("  ", " ")], match.start()

    def comparator_behind(self, low: str, end: int) -> tuple[str, int]:
        """Give the comparator behind a value, and where it ends."""
        match = self._following.match(low, end)
        return (self._behind[match.group().strip(" ")], match.end()) if match else ("", end)

    def is_code(self, low: str, start: int) -> bool:
        """Tell whether a number belongs to the word before it, as in `type 2`."""
        words = _TOKEN.findall(low, max(0, start - 24), start)
        return bool(words) and (
            words[-1] in self._codes or (words[-1] in "#.:" and words[-2:-1] != [] and words[-2] in self._codes)
        )

    def counts(self, low: str, start: int, end: int) -> bool:
        """Tell whether a number counts what has the measure that ends behind it, as in `take 1 500 mg tablet`."""
        words = _TOKEN.findall(low, max(0, start - 24), start)
        counting = bool(words) and words[-1] in self._counting
        return counting or self.is_code(low, start) or self._form.match(low, end) is not None

    def is_name(self, low: str, start: int, end: int) -> bool:
        """Tell whether a number is the last part of a name, as in CA-125."""
        before = _LAST_WORD.search(low, max(0, start - 12), start)
        return before is not None and low[before.start() : end] in self._names

    def name_behind(self, low: str, end: int) -> tuple[int, int] | None:
        """Give the place of a name that follows a score, such as `strength` behind 5/5."""
        match = self._after.match(low, end)
        if match is None:
            return None
        return match.start() + (low[match.start()] in " -"), match.end()

    def of_what(self, low: str, end: int) -> tuple[int, int] | None:
        """Give the place of the words behind `of`."""
        match = _OF.match(low, end)
        if match is None:
            return None
        start, stop = match.span(1)
        words = match.group(1).split(" ")
        if words[0] in self._no_names:
            return None
        return (start, stop) if len(words) == 1 or words[1] not in self._no_names else (start, start + len(words[0]))

    def name(
        self, low: str, text: str, start: int, ends: Mapping[int, int], free: bool, apart: bool
    ) -> tuple[int, int, bool] | None:
        """Find the name of what is measured, before a number.

        Parameters
        ----------
        low, text : str
            The text in one form, and as it is.
        start : int
            Where the number, or its comparator, starts.
        ends : mapping of int to int
            End -> start of entities that are names; -1 for those that are none, such as drugs.
        free : bool
            Whether words that the rules do not know can be a name.
        apart : bool
            Whether those need a word between, such as `measures`.

        Returns
        -------
        start, end, known : int, int, bool
            None where there is none.
        """
        from_ = max(0, start - _WINDOW, low.rfind("\n", max(0, start - _WINDOW), start) + 1)
        tokens = [match.span() for match in _TOKEN.finditer(low, from_, start)]
        if from_ and tokens and re.match(WORD, low[from_ - 1]) and re.match(WORD, low[from_]):
            del tokens[0]
        generic = None
        for _ in range(_MOST_SKIPPED):
            if not tokens:
                break
            begin, end = tokens[-1]
            if end in ends:
                return (ends[end], end, True) if ends[end] >= 0 else None
            known = self._known(low, text, tokens)
            if known is not None:
                return (*known, True)
            joined = next((word for word in self._cjk_connectors if low.endswith(word, 0, end)), "")
            if joined:
                while tokens and tokens[-1][0] >= end - len(joined):
                    tokens.pop()
                continue
            word = low[begin:end]
            if word in self._generic and generic is None:
                generic = self._free(low, tokens) or (begin, end, True)
            elif word not in self._connectors and word not in _JOINTS and word not in self._comparators:
                free = free and not apart and low[end : end + 1] not in (",", ")")
                return (*generic[:2], True) if generic else self._free(low, tokens) if free else None
            apart = apart and word in _ARTICLES
            tokens.pop()
        return (*generic[:2], True) if generic else None

    def _known(self, low: str, text: str, tokens: list[tuple[int, int]]) -> tuple[int, int] | None:
        end = tokens[-1][1]
        if is_cjk(low[end - 1]):
            for size in range(min(self._longest, end), 1, -1):
                if low[end - size : end] in self._names:
                    return end - size, end
            return None
        for count in range(min(_MOST_WORDS, len(tokens)), 0, -1):
            begin = tokens[-count][0]
            if low[begin:end] in self._doses and self._is_unit(low, begin, end):
                return None  # the `mg` of 25 mg is no magnesium
            if low[begin:end] in self._names or (count == 1 and text[begin:end] in self._exact):
                before = tokens[-count - 1] if count < len(tokens) else (0, 0)
                beside = low[before[1] : begin] == " " and low[before[0] : before[1]] in self._adjectives
                return (before[0] if beside else begin), end
        return None

    def _is_unit(self, low: str, start: int, end: int) -> bool:
        """Tell whether a word is the unit of the number before it."""
        return low[start:end] in self._units and _NUMBER_BEFORE.search(low, max(0, start - 3), start) is not None

    def _free(self, low: str, tokens: list[tuple[int, int]]) -> tuple[int, int, bool] | None:
        """Take up to three words that can be a name."""
        end, begin = tokens[-1][1], -1
        for first, last in reversed(tokens[-_FREE_WORDS:]):
            word = low[first:last]
            beside = begin < 0 or low[last:begin] == " "
            if begin < 0 and (word.endswith(("ed", "ing")) or self._is_unit(low, first, last)):
                return None
            if not beside or word in self._no_names or not re.match(LETTER, word) or is_cjk(word[0]):
                break
            begin = first
        return None if begin < 0 or end - begin < 2 else (begin, end, False)
