"""Placeholders that others left in the place of identifiers, or of words nobody could read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from clinnlp.alignment import Edit
from clinnlp.rules import load_rules

__all__ = ["placeholder_kinds", "placeholders"]

_QUICK = re.compile(r"_{3}|\*\*[A-Z]|[\[<{][*\[<{A-Z]|[Xx]{3}|XX/XX/XX")
_PLACEHOLDER = re.compile(
    r"\[\*\*(?P<stars>[^\]\[\n]{0,80}\n?[^\]\[\n]{0,80})\*\*\]"
    r"|(?<!\*)\*\*(?P<tag>[A-Z][A-Z-]{1,20})(?:\[(?P<value>[^\]\[\n]{0,80})\]|(?![A-Za-z0-9\[]|[A-Z :-]{0,40}\*\*))"
    r"|(?P<open>\[\[|<<|\{\{|[\[<{])(?P<label>[A-Z][A-Z _/-]{2,30})\d{0,4}(?P<close>\]\]|>>|\}\}|[\]>}])"
    r"|(?<![A-Za-z0-9/-])(?P<mask>XX/XX/(?:XX){1,2}|XXX-XXX?-XXXX)(?![A-Za-z0-9/-])"
    r"|(?<![A-Za-z0-9_,/-])(?P<word>X{3,40}|x{4,40})(?![A-Za-z0-9_])"
    r"|(?P<blank>_{3,})"
)
_CLOSING = {"[": "]", "<": ">", "{": "}", "[[": "]]", "<<": ">>", "{{": "}}"}
_DIGITS = re.compile(r"[\d\s./:-]*\d[\d\s./:-]*")
_OVER = re.compile(r"(?i)\s*age over (\d{1,3})\s*")
_NEITHER = "_"
_WINDOW = 200


@dataclass(frozen=True, slots=True)
class _Rules:
    words: dict[str, str]
    cues: dict[str, frozenset[str]]
    label_words: frozenset[str]
    months: frozenset[str]
    title: re.Pattern[str]


def placeholder_kinds() -> list[str]:
    """Give the kinds of identifier that a placeholder may stand for."""
    return list(_rules().words)


def placeholders(text: str, words: Mapping[str, str] | None = None) -> list[Edit]:
    """Put a neutral word in the place of `[**Known lastname 12**]`, `<PERSON>`, `**NAME[AAA]`, `XXXX` or `___`.

    A date inside a placeholder stays as text, with only the marks taken off, and so does the age in `Age over 90`.
    A placeholder that does not say what it stood for becomes a name after a title (`Dr. ___`), and elsewhere a single
    underscore: a sign that tokenizers keep apart and that no model takes for a word. Lines made of underscores alone
    are rules, and stay.

    Parameters
    ----------
    text : str
    words : mapping of str to str, optional
        Kind -> word, in place of those in `rules/en/placeholders.yaml`.
    """
    if not _QUICK.search(text):
        return []
    rules = _rules()
    chosen = {**rules.words, **(words or {})}
    edits: list[Edit] = []
    for match in _PLACEHOLDER.finditer(text):
        word = _stand_in(text, match, rules, chosen)
        if word is not None:
            touches = bool(edits) and edits[-1].end == match.start()
            edits += _swap(text, match.start(), match.end(), word, touches)
    return edits


def _stand_in(text: str, match: re.Match[str], rules: _Rules, chosen: Mapping[str, str]) -> str | None:
    """Give what takes a placeholder's place; None for what is none."""
    stars, tag, label = match.group("stars", "tag", "label")
    if stars is not None:
        return _meant(stars, rules, chosen) or _unnamed(text, match.start(), rules, chosen)
    if tag or label:
        inside = re.findall("[a-z]+", (tag or label).lower())
        kind = _kind(inside, rules)
        unpaired = label and _CLOSING[match.group("open")] != match.group("close")
        if unpaired or not rules.label_words.issuperset(inside):
            return None
        if tag and kind in ("date", "age") and match.group("value"):
            return match.group("value").strip()
        return chosen[kind] if kind else _unnamed(text, match.start(), rules, chosen)
    if match.group("mask"):
        return chosen["date" if "/" in match.group() else "number"]
    if match.group("blank") and _is_rule(text, match.start(), match.end()):
        return None
    word = _unnamed(text, match.start(), rules, chosen)
    # Three letters alone are as well the number thirty.
    return None if match.group() == "XXX" and word == _NEITHER else word


def _meant(inside: str, rules: _Rules, chosen: Mapping[str, str]) -> str | None:
    """Give the text or the word that the inside of `[** **]` stands for."""
    if over := _OVER.fullmatch(inside):
        return over.group(1)
    words = re.findall("[a-z]+", inside.lower())
    if _DIGITS.fullmatch(inside) or (words and words[0] in rules.months and re.search(r"\d|^\s*\w+\s*$", inside)):
        return inside.strip()
    kind = _kind(words, rules)
    return chosen[kind] if kind else None


def _kind(words: list[str], rules: _Rules) -> str | None:
    return next((kind for kind, cues in rules.cues.items() if not cues.isdisjoint(words)), None)


def _unnamed(text: str, start: int, rules: _Rules, chosen: Mapping[str, str]) -> str:
    return chosen["name"] if rules.title.search(text, max(0, start - 12), start) else _NEITHER


def _is_rule(text: str, start: int, end: int) -> bool:
    """Tell whether nothing but underscores and spaces stands on the line."""
    before = text[max(0, start - _WINDOW) : start].rstrip(" \t_")
    after = text[end : end + _WINDOW].lstrip(" \t_")
    return before[-1:] in ("", "\n") and after[:1] in ("", "\n", "\r")


def _swap(text: str, start: int, end: int, word: str, touches: bool) -> list[Edit]:
    """Give the edits that leave `word`, apart from what touches it; where it stands in the text it is kept."""
    if touches or text[start - 1 : start].isalnum():
        word = f" {word}"
    if text[end : end + 1].isalnum():
        word = f"{word} "
    at = text.find(word, start, end)
    if at < 0:
        return [Edit(start, end, word)]
    return [Edit(low, high) for low, high in ((start, at), (at + len(word), end)) if low < high]


@cache
def _rules() -> _Rules:
    data = load_rules("placeholders", "en")
    cues = {kind: frozenset(rule["cues"]) for kind, rule in data["kinds"].items()}
    return _Rules(
        words={kind: rule["word"] for kind, rule in data["kinds"].items()},
        cues=cues,
        label_words=frozenset(data["label_words"]).union(*cues.values()),
        months=frozenset(data["months"]),
        title=re.compile(rf"\b(?:{'|'.join(data['titles'])})\.?[ \t]{{0,2}}$"),
    )
