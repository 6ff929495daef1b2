"""Forms, routes and frequencies of drugs, doses in forms, and which drug each value belongs to."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clinnlp.record import Value
from clinnlp.stages._values.found import Found
from clinnlp.stages._values.numbers import Numbers
from clinnlp.stages._values.text import CJK, LETTER, even, word_pattern

__all__ = ["DrugWords", "keep_beside", "link"]

_OF_A_DRUG = ("strength", "dose", "form", "route", "frequency")
_REACH = 160
"""Characters between a drug and a value of it."""
_NOTHING = re.compile(r"\d/0")
_BETWEEN = re.compile(r"[\s,/()+:、，]{0,4}(?:(?:and|or|with|x|as|in|to|a|an|was|is|given|via|by|taken|was given) ?)?")
_TO_NEXT = re.compile(r"\s{0,2}(?:of |的|-)?\s?\Z")


class DrugWords:
    """The words of forms, routes and frequencies of one language.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/values.yaml` holds.
    numbers : Numbers
    """

    def __init__(self, rules: Mapping[str, Any], numbers: Numbers) -> None:
        self._numbers = numbers
        self._forms = {even(w): (name, bool(e.get("weak"))) for name, e in rules["forms"].items() for w in e["words"]}
        number = rf"(?:\d/\d(?![\d/])|{numbers.pattern})"
        self._dose = re.compile(
            rf"(?P<n>{number})(?:(?: ?[-~至到] ?| to | or )(?P<m>{number}))?(?: {{0,2}}(?:\r?\n {{0,12}})?|-)(?:more )?"
            rf"(?P<form>{word_pattern(self._forms)})(?:(?<=[{CJK}.])|(?!{LETTER}|\d))"
        )
        self.words: dict[str, Found] = {}
        for word, (name, _) in self._forms.items():
            self.words[word] = Found(Value(0, 0, kind="form", name=name), weak=True)
        for kind in ("route", "frequency"):
            self._add(kind, rules["routes" if kind == "route" else "frequencies"])

    def _add(self, kind: str, entries: Mapping[str, Any]) -> None:
        for name, entry in entries.items():
            number = None if entry.get("number") is None else float(entry["number"])
            for weak in (False, True):
                for word in entry.get("weak" if weak else "words", []):
                    self.words[even(word)] = Found(Value(0, 0, kind=kind, name=str(name), number=number), weak=weak)

    def found(self, word: str, start: int, end: int) -> Found | None:
        """Give the form, route or frequency that a word at a place names."""
        known = self.words.get(word)
        if known is None:
            return None
        value = known.value
        return Found(Value(start, end, kind=value.kind, name=value.name, number=value.number), weak=known.weak)

    def dose(self, low: str, at: int) -> Found | None:
        """Find the dose, such as 2 tablets, that starts at a number."""
        match = self._dose.match(low, at)
        if match is None:
            return None
        name, weak = self._forms[match["form"].replace("  ", " ")]
        if any(text and _NOTHING.fullmatch(text) for text in (match["n"], match["m"])):
            return None
        value = Value(*match.span(), kind="dose", unit=name, number=self._number(match["n"]))
        value.high = self._number(match["m"]) if match["m"] else None
        if value.high is not None and value.number is not None and value.high <= value.number:
            return None
        return Found(value, weak=weak)

    def _number(self, text: str) -> float:
        if re.fullmatch(r"\d/\d", text):
            return int(text[0]) / int(text[2])
        return self._numbers.read(text)


def link(found: Sequence[Found], raw: str, drugs: Sequence[tuple[int, int]], starts: Sequence[int]) -> None:
    """Give each value of a drug its target: the nearest drug before it in its sentence, else the one right behind.

    Parameters
    ----------
    found : sequence of Found
        In raw offsets, in order.
    raw : str
    drugs : sequence of tuple of int
        Starts and ends of the drugs, in order.
    starts : sequence of int
        Where sentences start, in order.
    """
    if not drugs:
        return
    firsts = [start for start, _ in drugs]
    for item in found:
        value = item.value
        if value.kind not in _OF_A_DRUG and not (value.kind == "quantity" and item.dose) and value.kind != "duration":
            continue
        drug = _drug(value, raw, drugs, firsts, starts)
        if drug is None or (value.kind == "quantity" and value.unit == "%" and drug[1] + 3 < value.start):
            continue
        if value.target_start >= 0 and (value.target_start, value.target_end) != drug and value.unit == "%":
            continue
        value.target_start, value.target_end = drug
        if value.kind == "quantity":
            value.kind = "strength" if value.unit not in _DOSES else "dose"
            value.name = ""


_DOSES = ("mL", "L", "tsp", "tbsp")


def _drug(
    value: Value, raw: str, drugs: Sequence[tuple[int, int]], firsts: Sequence[int], starts: Sequence[int]
) -> tuple[int, int] | None:
    at = bisect_right(firsts, value.start)
    sentence = bisect_right(starts, value.start)
    before = drugs[at - 1] if at else None
    if before is not None and (bisect_right(starts, before[0]) != sentence or value.start - before[1] > _REACH):
        before = None
    behind = drugs[at] if at < len(drugs) else None
    if value.kind in ("quantity", "dose", "strength", "route") and behind is not None and behind[0] >= value.end:
        gap = raw[value.end : behind[0]] if behind[0] - value.end < 8 else "-" * 9
        near = before is not None and value.start - before[1] <= 3
        if not near and bisect_right(starts, behind[0]) == sentence and _TO_NEXT.match(gap):
            return behind
    return before


def keep_beside(found: Sequence[Found], raw: str) -> list[Found]:
    """Leave out what is weak, unless it stands behind a drug or beside another value of a drug that is kept.

    Doses and frequencies that have a drug in their sentence are kept too: they can mean little else there.
    """
    kept = [not item.weak or _behind_drug(item.value, raw) for item in found]
    for step in (1, -1):
        for i in range(len(found))[::step]:
            other = i - step
            if not kept[i] and 0 <= other < len(found) and kept[other] and _of_a_drug(found[other]):
                first, second = (found[other], found[i]) if step > 0 else (found[i], found[other])
                kept[i] = _beside(raw, first.end, second.start)
    return [item for item, keep in zip(found, kept, strict=True) if keep]


def _behind_drug(value: Value, raw: str) -> bool:
    if value.target_start < 0:
        return False
    if value.target_start >= value.end:
        return True
    return value.kind in ("dose", "frequency") or _beside(raw, value.target_end, value.start)


def _beside(raw: str, end: int, start: int) -> bool:
    match = _BETWEEN.match(raw, end)
    return end <= start and match is not None and match.end() >= start


def _of_a_drug(item: Found) -> bool:
    return item.value.kind in _OF_A_DRUG or (item.value.kind == "quantity" and item.dose)


def sentence_starts(text: str) -> Iterator[int]:
    """Give where sentences start in a text that nobody has cut into sentences."""
    yield 0
    for match in _STOP.finditer(text):
        yield match.end()


_STOP = re.compile(r"\n\s{0,9}|[.!?]\s{1,3}(?=[A-Z])|[。！？；]")
