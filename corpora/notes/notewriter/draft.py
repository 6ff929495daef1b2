"""A text that grows, and what stands in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = ["Draft", "Heading", "Span"]

_AN_LETTERS = "AEFHILMNORSX"


@dataclass(frozen=True)
class Span:
    """An entity or an identifier at offsets of the draft."""

    start: int
    end: int
    label: str
    flags: str = ""
    identifier: bool = False


@dataclass(frozen=True)
class Heading:
    """Where a section begins, where its title stands, and where its text starts."""

    name: str
    start: int
    title_start: int
    title_end: int
    body_start: int


class Draft:
    """A text written from left to right; spans are noted while it grows, so their offsets are exact."""

    def __init__(self) -> None:
        self.text = ""
        self.spans: list[Span] = []
        self.headings: list[Heading] = []
        self._open: list[tuple[Span, int]] = []
        self._capital = False
        self._article = False

    def capital(self) -> None:
        """Let the next letter be a capital one."""
        self._capital = True

    def article(self) -> None:
        """Put "a" or "an", whichever is right, before what comes next."""
        self._article = True

    def begin(self, label: str, flags: str, identifier: bool) -> None:
        """Begin a span at the next character."""
        self._open.append((Span(-1, -1, label, flags, identifier), len(self.spans)))

    def end(self) -> Span | None:
        """End the span begun last and give it, or None where nothing stands in it."""
        span, place = self._open.pop()
        if span.start < 0 or span.start == len(self.text):
            return None
        span = replace(span, end=len(self.text))
        self.spans.insert(place, span)
        return span

    def add(self, text: str) -> None:
        """Write text; spaces that would double, or stand before a mark, are left out."""
        if self._article:
            text = text.lstrip(" ")
            if not text:
                return
            self._article = False
            self._write("an " if _takes_an(text) else "a ")
        if text.startswith(" ") and (not self.text or self.text[-1] in " \n"):
            text = text.lstrip(" ")
        if text[:1] == "." and self.text.endswith("."):
            text = text[1:]
        if text[:1] in tuple(",.;:)") and self.text.endswith(" "):
            self.text = self.text[:-1]
        if text:
            self._open = [(replace(s, start=len(self.text)) if s.start < 0 else s, at) for s, at in self._open]
            self._write(text)

    def state(self) -> tuple[str, int, bool, bool]:
        """Give what `restore` takes; no span may be open."""
        return self.text, len(self.spans), self._capital, self._article

    def restore(self, state: tuple[str, int, bool, bool]) -> None:
        """Go back to an earlier state."""
        self.text, count, self._capital, self._article = state
        del self.spans[count:]
        self._open.clear()

    def _write(self, text: str) -> None:
        if self._capital and (match := re.match(r"\W*(\w)", text)):
            self._capital = False
            at = match.start(1)
            # Names such as pH or eGFR keep their small letter.
            if text[at + 1 : at + 2].islower() or not text[at + 1 : at + 2].isalpha():
                text = text[:at] + text[at].upper() + text[at + 1 :]
        self.text += text


def _takes_an(text: str) -> bool:
    word = re.match(r"\W*([\w-]+)", text)
    first = word[1] if word else ""
    if first[:1].isdigit():
        return first.startswith("8") or re.match(r"1[18]\b|1[18]-", first) is not None
    if len(first) > 1 and first.isupper():
        return first[0] in _AN_LETTERS
    if re.match(r"(?i)(uni|ure|uro|uri|ute|use|eu|one|once)", first):
        return False
    return first[:1].lower() in tuple("aeiou")
