"""Words of a text, through spaCy's tokenizers, in time linear in its length and in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

__all__ = ["LONGEST_RUN", "MARKS", "VOCABULARY_LIMIT", "Spans", "WordSplitter"]

Spans = tuple[list[int], list[int]]
"""Starts and ends, in lists of numbers: a tuple a token would keep Python's garbage collector busy."""

LONGEST_RUN = 500
"""Characters between two white spaces that spaCy is given at once: what it does in a run can be quadratic."""
VOCABULARY_LIMIT = 50_000
"""Distinct strings after which spaCy's vocabulary, which only ever grows, is replaced by a new one."""
_PIECE = 8_000

# Combining marks and joiners are no \w to Python, but part of the letter before them.
MARKS = (
    "\u00ad\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd\u0e31\u0e34-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u200c\u200d\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f"
)
"""Characters of a class of an expression."""
_MARK = rf"[^\w\s{MARKS}][{MARKS}]*(?:(?<=\u200d)[^\w\s{MARKS}][{MARKS}]*)*|_+"
_REPEATED_MARKS = ".-=*#~!?"
_REPEATED = rf"(?P<mark>[{re.escape(_REPEATED_MARKS)}])(?P=mark)+"
# Marks that can be the last of something that is kept whole.
_WHOLE_ENDS = ".-−=>/"
_LONGEST_SUFFIX = 64
_LONG_RUN = re.compile(rf"(?<!\S)\S{{{LONGEST_RUN + 1},}}")
_SEPARATORS = frozenset(",;)]}|>、，；。")


class WordSplitter:
    """Finds the words, numbers and marks of texts of one language.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/tokenization.yaml` holds.
    """

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self._by_character = rules["segmenter"] == "characters"
        self._whole = re.compile("|".join(rules["whole"])) if self._by_character else None
        self._new = _chinese() if self._by_character else _english(rules)
        self._tokenizer = self._new()

    def spans(self, text: str) -> Spans:
        """Find the words of a text.

        Returns
        -------
        starts, ends : list of int
            In order, not empty, disjoint; they hold every character that is not white space.
        """
        from spacy.attrs import IDX, IS_SPACE, LENGTH

        starts: list[int] = []
        ends: list[int] = []
        for piece, end in _pieces(text):
            if len(self._tokenizer.vocab.strings) > VOCABULARY_LIMIT:
                self._tokenizer = self._new()
            doc = self._tokenizer(text[piece:end])
            found = doc.to_array([IDX, LENGTH, IS_SPACE]).astype("int64")
            found = found[found[:, 2] == 0]
            starts += (found[:, 0] + piece).tolist()
            ends += (found[:, 0] + found[:, 1] + piece).tolist()
        return (starts, ends) if self._whole is None else _join(starts, self._whole.finditer(text))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text at line ends, else at white space, and inside a run too long for spaCy at marks."""
    at = 0
    for run in chain(_LONG_RUN.finditer(text), [None]):
        start = len(text) if run is None else run.start()
        while start - at > _PIECE:
            cut = _last_space(text, at + _PIECE // 2, at + _PIECE)
            yield at, cut
            at = cut
        if at < start:
            yield at, start
        if run is not None:
            yield from _run_pieces(text, start, run.end())
            at = run.end()


def _last_space(text: str, low: int, high: int) -> int:
    """Give the end of the last line in a stretch, else a place before white space; runs are shorter than it."""
    cut = text.rfind("\n", low, high)
    if cut >= 0:
        return cut + 1
    return next(at for at in range(high, low, -1) if text[at].isspace() or text[at - 1].isspace())


def _run_pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > LONGEST_RUN:
        places = range(start + LONGEST_RUN, start + LONGEST_RUN // 2, -1)
        cut = next((at for at in places if text[at - 1] in _SEPARATORS and not text[at].isdigit()), 0)
        cut = cut or next((at for at in places if not text[at - 1].isalnum() or not text[at].isalnum()), places[0])
        yield start, cut
        start = cut
    yield start, end


def _join(characters: Sequence[int], whole: Iterator[re.Match[str]]) -> Spans:
    """Make one span of the characters of each whole match; the others are spans by themselves."""
    starts: list[int] = []
    ends: list[int] = []
    match = next(whole, None)
    for at in characters:
        while match is not None and match.end() <= at:
            match = next(whole, None)
        if match is None or at <= match.start():
            starts.append(at)
            ends.append(at + 1 if match is None or at < match.start() else match.end())
    return starts, ends


def _vocabulary() -> Any:
    from spacy.attrs import IS_SPACE
    from spacy.vocab import Vocab

    return Vocab(lex_attr_getters={IS_SPACE: str.isspace})


def _chinese() -> Callable[[], Any]:
    from spacy.lang.zh import ChineseTokenizer

    return lambda: ChineseTokenizer(_vocabulary(), segmenter="char")


@dataclass(slots=True)
class _Stretch:
    """A stretch of a run, or a cut in it, in the form in which spaCy takes an affix."""

    low: int
    high: int

    def start(self) -> int:
        return self.low

    def end(self) -> int:
        return self.high


def _english(rules: Mapping[str, Any]) -> Callable[[], Any]:
    """Prepare spaCy's rule-based tokenizer with this language's affixes, and no exceptions of its own."""
    from spacy.tokenizer import Tokenizer

    titles = "|".join(sorted({form for word in rules["never_end"] for form in (word, word.capitalize())}))
    dotted = r"(?<![\w.])(?:[^\W\d_]\.){2,}(?:[^\W\d_](?!\w))?"
    whole = "|".join([*rules["whole"], dotted, rf"(?<!\w)(?:{titles})\."])
    units = "|".join(sorted(map(re.escape, rules["units"]), key=len, reverse=True))
    letters = "|".join(rules["letter_units"])
    unit = rf"(?:(?i:{units})(?![^\W\d_])|(?:{letters})(?!\w))"
    inside = (
        rf"(?P<number>(?:(?<!\w)|(?<=\d[xX×]))\d+(?:[.,]\d+)*(?={unit}))",
        r"(?P<times>(?<=\d)(?=[xX×]\d)|(?<=\d[xX×])(?=\d))",
        r"(?<!\d)\.|\.(?!\d)",
        r"(?<!\d),|,(?!\d{3}(?!\d))",
        r"(?<![^\W\d_])['’]|['’](?![^\W\d_])",
        rf"(?![.,'’])(?:{_MARK})",
    )
    prefix = re.compile(rf"{whole}|{_REPEATED}|\.(?!\d)|(?!\.)(?:{_MARK})")
    suffix = re.compile(rf"(?:{whole}|{rules['clitics']}|{_MARK})$")
    infix = re.compile("|".join([whole, _REPEATED, *inside]))
    whole_match = re.compile(whole).fullmatch

    def is_word(text: str) -> bool:
        # Most runs are letters alone, which no rule can cut: this spares them the expressions.
        return text.isalpha() or whole_match(text) is not None

    def last_affix(text: str) -> re.Match[str] | _Stretch | None:
        # spaCy asks again for each mark that it took off, so what this does must not grow with the run.
        last, size = text[-1:], len(text)
        if last in _REPEATED_MARKS and text[-2:-1] == last:
            return _Stretch(len(text.rstrip(last)), size)
        if last.isascii() and not last.isalnum() and last not in _WHOLE_ENDS:
            return _Stretch(len(text.rstrip("_")) if last == "_" else size - 1, size)
        return suffix.search(text, max(0, size - _LONGEST_SUFFIX))

    def infixes(text: str) -> list[re.Match[str] | _Stretch]:
        found: list[re.Match[str] | _Stretch] = []
        for match in infix.finditer(text):
            if match.lastgroup != "number":
                found.append(match)
                continue
            if text[match.start() - 1] in "xX×":
                found.append(_Stretch(match.start(), match.start()))
            found.append(_Stretch(match.end(), match.end()))
        return found

    return lambda: Tokenizer(
        _vocabulary(),
        prefix_search=prefix.match,
        suffix_search=last_affix,
        infix_finditer=infixes,
        token_match=is_word,
        max_cache_size=VOCABULARY_LIMIT,
    )
