"""Token patterns of rules, on spaCy's Matcher."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinnlp.errors import ConfigError
from clinnlp.stages._words import VOCABULARY_LIMIT, Spans

if TYPE_CHECKING:
    from clinnlp.stages._rules import Rule

__all__ = ["REACH", "PatternMatcher", "check_pattern"]

REACH = 50
"""Tokens of the longest match that is surely whole.

spaCy's Matcher takes a time that grows faster than the square of the text with a pattern such as `{OP: +}`: 0.1 s for
200 tokens, 9.5 s for 1,000, 109 s for 3,000. It is given stretches of twice this length, each begun in the middle of
the one before.
"""
_MOST_OPEN = 12
"""How much a pattern may leave open: 1 for each token that may be left out, 5 for an operator without an end.

spaCy's Matcher follows every way to read a text by itself. Over 200 tokens that all fit, 12 tokens with `?` take it
0.16 s, 14 of them 0.6 s; one `*` 0.01 s, two 0.1 s, three 2.5 s and four over 20 s; `{1,20}` takes all memory.
"""
_WITHOUT_END = 5
_REPEATED = re.compile(r"\{(?P<least>\d*)(?P<range>,(?P<most>\d*))?\}")
# What a token is by itself: all else needs a model, which wrote it into spaCy's Doc.
_ATTRIBUTES = frozenset(
    (
        *("ORTH", "TEXT", "LOWER", "NORM", "SHAPE", "LENGTH", "SPACY", "OP", "IS_ALPHA", "IS_ASCII", "IS_DIGIT"),
        *("IS_LOWER", "IS_UPPER", "IS_TITLE", "IS_PUNCT", "IS_STOP", "IS_CURRENCY", "IS_BRACKET", "IS_QUOTE"),
        *("IS_LEFT_PUNCT", "IS_RIGHT_PUNCT", "LIKE_NUM", "LIKE_URL", "LIKE_EMAIL"),
    )
)


def check_pattern(given: Any, place: str) -> None:
    """Refuse what is no token pattern, or could run away.

    Raises
    ------
    ConfigError
        With the place of the rule. Operators and values are checked by spaCy, at first use.
    """
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence) or not given:
        raise ConfigError(f"{place}: its pattern is no list of tokens: write [{{LOWER: chest}}, {{LOWER: pain}}]")
    try:
        has_regex = any(isinstance(token, Mapping) and any(map(_has_regex, token.values())) for token in given)
    except RecursionError:
        raise ConfigError(f"{place}: its pattern holds itself: write it out") from None
    if has_regex:
        raise ConfigError(f"{place}: REGEX in a pattern can run away: write a rule with `regex`")
    for token in given:
        if not isinstance(token, Mapping):
            raise ConfigError(f"{place}: a token of its pattern is no mapping: write {{LOWER: chest}}")
        for name in token:
            if str(name).upper() not in _ATTRIBUTES:
                known = ", ".join(sorted(_ATTRIBUTES))
                raise ConfigError(f"{place}: its pattern asks for {str(name)[:40]!r}: known are {known}")
    opened = sum(_open(value, place) for token in given for name, value in token.items() if str(name).upper() == "OP")
    if opened > _MOST_OPEN:
        raise ConfigError(
            f"{place}: its pattern leaves {opened} open, at most {_MOST_OPEN} can be: * and + count {_WITHOUT_END},"
            " ? and each step of {n,m} 1: write several rules, or put IN in the place of some"
        )


def _open(operator: Any, place: str) -> int:
    """Give how much an operator leaves open; those that are none are left to spaCy."""
    repeated = _REPEATED.fullmatch(operator) if isinstance(operator, str) else None
    if repeated is None:
        return {"?": 1, "*": _WITHOUT_END, "+": _WITHOUT_END}.get(operator, 0) if isinstance(operator, str) else 0
    least, most = int(repeated["least"] or 0), int(repeated["most"] or 0)
    if max(least, most) > 2 * REACH:
        raise ConfigError(
            f"{place}: its pattern repeats a token over {2 * REACH} times, which nothing matches: mend OP"
        )
    if repeated["range"] is None:
        return 0
    return max(most - least, 0) if repeated["most"] else _WITHOUT_END


def _has_regex(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(str(name).upper() == "REGEX" or _has_regex(inner) for name, inner in value.items())


class PatternMatcher:
    """Finds token patterns.

    Parameters
    ----------
    rules : mapping of int to Rule
        Those with a pattern, by their numbers.
    lang : str
        Language of the tokens' attributes, such as which words are numbers.

    Raises
    ------
    ConfigError
        If spaCy cannot use a pattern.
    """

    def __init__(self, rules: Mapping[int, Rule], lang: str) -> None:
        self._rules, self._lang = rules, lang
        self._build()

    def _build(self) -> None:
        import spacy
        from spacy.matcher import Matcher

        self._vocab = spacy.blank(self._lang).vocab
        self._matcher = Matcher(self._vocab)
        self._numbers: dict[int, int] = {}
        for number, rule in self._rules.items():
            self._add(number, rule)
        # Words of notes go into the vocabulary too, which only ever grows.
        self._limit = len(self._vocab.strings) + VOCABULARY_LIMIT

    def _add(self, number: int, rule: Rule) -> None:
        key = self._vocab.strings.add(f"rule {number}")
        self._numbers[key] = number
        try:
            self._matcher.add(key, [list(rule.pattern)], greedy="LONGEST")
            return
        except Exception as error:  # spaCy's own, of many lines
            kind = type(error).__name__
        raise ConfigError(f"{rule.place}: spaCy cannot use its pattern ({kind}): check its operators and values")

    def find(self, text: str, tokens: Spans) -> Iterator[tuple[int, int, int]]:
        """Give start, end and number of the rule of each match, in a text with these tokens."""
        from spacy.tokens import Doc

        if len(self._vocab.strings) > self._limit:
            self._build()
        starts, ends = tokens
        if not starts:
            return
        words = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        spaces = [end < after for end, after in zip(ends, [*starts[1:], len(text)], strict=True)]
        doc = Doc(self._vocab, words=words, spaces=spaces)
        for low in range(0, max(len(words) - REACH, 1), REACH):
            for key, first, last in self._matcher(doc[low : low + 2 * REACH]):
                if first < last:
                    yield starts[low + first], ends[low + last - 1], self._numbers[key]
