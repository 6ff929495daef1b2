"""Tokens and sentences, with clinical rules on spaCy's tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from clinnlp.alignment import EditedText
from clinnlp.record import Record, Sentence, Token
from clinnlp.rules import check_rules, load_rules
from clinnlp.stage import Stage
from clinnlp.stages._sentences import SentenceRules, sentence_starts
from clinnlp.stages._words import Spans, WordSplitter

__all__ = ["Tokenizer"]


class Tokenizer(Stage):
    """Finds words, numbers and marks, and the sentences that they make.

    Words are found in the cleaned text, where there is one, and carry raw offsets. Every mark is a token, also
    inside words (`COVID-19` and `120/80` are three), a number is cut from its unit (`500mg`), and kept whole are
    decimals, dates, times, addresses, words with full stops inside (`b.i.d.`) and abbreviations with a slash
    (`s/p`). Chinese has a token a character, and one for each number or word in Latin letters. A run of more than
    500 characters without white space is cut, at a mark where it has one.

    A sentence ends at a terminator that is not an abbreviation's, at a blank line, and at the end of a line that
    was not wrapped; a list item and a heading on a line of its own are sentences. Tokens are disjoint and in
    order, and so are sentences, which begin and end with a token and leave none out.

    Tokens and sentences that a record brings are kept.

    Parameters
    ----------
    lang : str
        Language of the rules: `en` or `zh`.
    name : str, optional
        Name in a pipeline.

    Raises
    ------
    ConfigError
        If there are no rules for the language.
    """

    kind = "tokenization"
    uses = ("cleaned",)
    assigns = ("tokens", "sentences")

    def __init__(self, lang: str = "en", name: str | None = None) -> None:
        super().__init__(name)
        check_rules(self.kind, lang)
        self.lang = lang
        self._words: WordSplitter | None = None
        self._sentences: SentenceRules | None = None

    def config(self) -> dict[str, Any]:
        """Give the language."""
        return {"lang": self.lang}

    def __getstate__(self) -> dict[str, Any]:
        # spaCy's tokenizer and vocabulary are made again where the stage arrives.
        return {**self.__dict__, "_words": None, "_sentences": None}

    def warm_up(self) -> None:
        """Build spaCy's tokenizer."""
        self._ready()

    def _ready(self) -> tuple[WordSplitter, SentenceRules]:
        if self._words is None or self._sentences is None:
            rules = load_rules(self.kind, self.lang)
            self._words = WordSplitter(rules)
            self._sentences = SentenceRules.read(rules)
        return self._words, self._sentences

    def process(self, records: Sequence[Record]) -> None:
        """Find the tokens and sentences of each record."""
        words, rules = self._ready()
        for record in records:
            if record.has("tokens"):
                given = sorted((token.start, token.end) for token in record.tokens if token.start < token.end)
                spans = [start for start, _ in given], [end for _, end in given]
                starts = sentence_starts(record.text, spans, rules)
            else:
                view = record.view
                spans = words.spans(view.text)
                spans, starts = _to_raw(spans, sentence_starts(view.text, spans, rules), view, record.text)
                record.tokens = _tokens(record.text, spans)
            if not record.has("sentences"):
                record.sentences = _sentences(record.text, spans, starts)


def _tokens(raw: str, spans: Spans) -> list[Token]:
    return [Token(start, end, raw[start:end]) for start, end in zip(*spans, strict=True)]


def _sentences(raw: str, spans: Spans, starts: Sequence[int]) -> list[Sentence]:
    sentences: list[Sentence] = []
    for first, end in pairwise([*starts, len(spans[0])]):
        low, high = spans[0][first], spans[1][end - 1]
        sentences.append(Sentence(low, high, raw[low:high]))
    return sentences


def _to_raw(spans: Spans, starts: list[int], view: EditedText, raw: str) -> tuple[Spans, list[int]]:
    """Map tokens of the view, and the numbers of those that start a sentence, to the raw text.

    A token that was only inserted has no raw text and is left out; tokens that share a replaced stretch become
    one token.
    """
    edits = view.alignment.edits
    if not edits:
        return spans, starts
    is_start = set(starts)
    lows: list[int] = []
    highs: list[int] = []
    found_starts: list[int] = []
    pending = False
    edit = shift = 0  # the first edit that does not end before the token; raw offset less view offset before it
    for i, (start, end) in enumerate(zip(*spans, strict=True)):
        pending = pending or i in is_start
        while edit < len(edits) and edits[edit].start - shift + len(edits[edit].text) < start:
            shift += edits[edit].end - edits[edit].start - len(edits[edit].text)
            edit += 1
        if edit == len(edits) or edits[edit].start - shift > end:
            low, high = start + shift, end + shift
        else:
            low, high = _trimmed(raw, *view.to_source(start, end))
            if low == high:
                continue
        if highs and low < highs[-1]:
            highs[-1] = max(high, highs[-1])
            continue
        if pending:
            found_starts.append(len(lows))
            pending = False
        lows.append(low)
        highs.append(high)
    return (lows, highs), found_starts


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
