"""What stands in the place of identifiers, and the check that none is left."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Literal

from clinnlp.alignment import EditedText, replace
from clinnlp.errors import StageError
from clinnlp.stages._identifiers.found import Found, merged
from clinnlp.stages._identifiers.keyed import Keyed
from clinnlp.stages._identifiers.known import KnownStrings
from clinnlp.stages._identifiers.metadata import value_text
from clinnlp.stages._identifiers.patterns import PatternFinder
from clinnlp.stages._identifiers.searched import searched
from clinnlp.stages._identifiers.surrogates import Surrogates, looks_day_first
from clinnlp.stages._identifiers.words import rule

__all__ = ["KEYED", "MARK", "MODES", "Mode", "Replacer", "check_output"]

Mode = Literal["label", "redact", "hash", "surrogate"]
MODES: tuple[Mode, ...] = ("label", "redact", "hash", "surrogate")
_LETTER = re.compile(r"[^\W\d_]")
KEYED = ("hash", "surrogate")
"""Modes that need a key."""
MARK = "[REDACTED]"
"""What `redact` puts by default, also for a patient whose name in the metadata is "redacted"."""


class Replacer:
    """Puts something in the place of the identifiers of one record.

    Parameters
    ----------
    mode : {"label", "redact", "hash", "surrogate"}
    mark : str
        What `redact` puts.
    key : bytes or None
    metadata : mapping
        Its `patient` and `time` keep surrogates the same over the notes of a patient.
    known : KnownStrings
        What no surrogate may say.
    """

    def __init__(self, mode: Mode, mark: str, key: bytes | None, metadata: Any, known: KnownStrings) -> None:
        self.mode, self.mark, self._known = mode, mark, known
        self._keyed = None if key is None else Keyed(key)
        patient = metadata.get("patient", "")
        self._patient = None if key is None else Keyed(key, value_text(patient) or str(patient or ""))
        year = re.match(r"\d{4}", str(metadata.get("time", "")))
        self._year = int(year.group()) if year else 2001

    def replace(self, text: str, found: Sequence[Found]) -> tuple[EditedText, list[bool]]:
        """Give the text with all that was found replaced, and of each whether a plain mark stands there."""
        surrogates = None
        if self.mode == "surrogate" and self._patient is not None:
            dates = [one for one in found if one.label == "DATE"]
            surrogates = Surrogates(self._patient, self._known.words, self._year or 2001, looks_day_first(dates, text))
        names = rule("marks", "zh" if _is_chinese(text) else "en")
        edits, marked = [], []
        for one in found:
            part = text[one.start : one.end]
            made = None if surrogates is None else surrogates.of(part, one.label)
            marked.append(made is None)
            put = self._mark(part, names.get(one.label, one.label)) if made is None else made
            edits.append(replace(one.start, one.end, put))
        if edits and self.mode == "redact" and self.mark != MARK and self._known.find(self.mark):
            raise StageError("the mark has something that the record's metadata knows: give a mark that names nobody")
        return EditedText.of(text, edits), marked

    def _mark(self, part: str, name: str) -> str:
        if self.mode == "redact":
            return self.mark
        if self.mode == "hash" and self._keyed is not None:
            value = "".join(char for char in searched(part).text.casefold() if char.isalnum())
            return f"[{name}:{self._keyed.token(value)}]"
        return f"[{name}]"


def _is_chinese(text: str) -> bool:
    part = text[:5000]
    return not part.isascii() and 4 * sum("\u4e00" <= sign <= "\u9fff" for sign in part) > len(part.strip())


def check_output(
    edited: EditedText, marked: Sequence[bool], patterns: PatternFinder, known: KnownStrings
) -> EditedText:
    """Look at the new text for what should not be there, take it out, and look again.

    Parameters
    ----------
    edited : EditedText
    marked : sequence of bool
        Of each edit, whether it put a plain mark, whose own word is no identifier.
    patterns, known
        What looks: known strings everywhere but in marks, patterns in what no edit put there.

    Raises
    ------
    StageError
        If something is still there.
    """
    marks = [span for span, mark in zip(_new_spans(edited), marked, strict=True) if mark]
    left = _left_over(edited, marks, patterns, known)
    if not left:
        return edited
    names = rule("marks")
    edits = [replace(one.start, one.end, f"[{names.get(one.label, one.label)}]") for one in left]
    step = EditedText.of(edited.text, edits)
    marks = sorted(step.to_target(start, end) for start, end in [*marks, *((one.start, one.end) for one in left)])
    edited = edited.then(edits)
    if left := _left_over(edited, marks, patterns, known):
        raise StageError(f"{len(left)} identifiers are still there after replacing twice: the text is not given out")
    return edited


def _new_spans(edited: EditedText) -> list[tuple[int, int]]:
    return [edited.to_target(edit.start, edit.end) for edit in edited.alignment.edits]


def _left_over(
    edited: EditedText, marks: Sequence[tuple[int, int]], patterns: PatternFinder, known: KnownStrings
) -> list[Found]:
    """Give what is left in the new text."""
    new, view = _new_spans(edited), searched(edited.text)
    left = [one for one in known.find(edited.text, view) if not _in_one(one, marks)]
    wordless = EditedText(_wordless(view.text, [view.to_target(*mark) for mark in marks]), view.alignment)
    left += [one for one in patterns.find(edited.text, wordless, sure=True) if not _touches(one, new)]
    return merged(left, edited.text)


def _wordless(text: str, marks: Sequence[tuple[int, int]]) -> str:
    """Give a text of the same length whose marks have no words: behind "[MRN]" any number would look like one."""
    pieces, at = [], 0
    for start, end in marks:
        pieces += [text[at:start], _LETTER.sub("q", text[max(start, at) : end])]
        at = max(end, at)
    return "".join([*pieces, text[at:]])


def _in_one(one: Found, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether one of the spans, in order, holds it whole."""
    at = bisect_right(spans, (one.start, sys.maxsize)) - 1
    return at >= 0 and one.end <= spans[at][1]


def _touches(one: Found, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether it shares a character with one of the spans, in order."""
    at = bisect_right(spans, (one.end - 1, sys.maxsize)) - 1
    return at >= 0 and spans[at][1] > one.start
