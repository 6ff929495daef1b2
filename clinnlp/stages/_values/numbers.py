"""Numbers as notes write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from clinnlp.stages._values.text import LETTER, is_cjk, word_pattern

__all__ = ["DIGITS", "FRACTIONS", "Numbers", "read_digits", "tidy"]

FRACTIONS = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
DIGITS = (
    rf"(?:\d{{1,3}}(?:(?:,\d{{3}}){{1,4}}|(?:'\d{{3}}){{1,4}})(?:\.\d{{1,6}})?(?!\d|,\d)"
    rf"|\d{{1,2}}(?: \d/[1-9]\d?|-1/[2348])(?![\d/])|\d{{0,3}}[{FRACTIONS}]"
    r"|\d{1,15}\.\d{1,9}(?!\d)|\d{1,15}(?!\d|,\d)|\.\d{1,9}(?!\d))"
)
"""A number in digits, at most 15 before the point: longer ones are names of something."""
_MIXED = re.compile(r"(\d{1,2})[ -](\d)/(\d{1,2})")


def read_digits(text: str) -> float:
    """Read what `DIGITS` found."""
    if mixed := _MIXED.fullmatch(text):
        whole, above, below = map(int, mixed.groups())
        return whole + above / below
    if text[-1] in FRACTIONS:
        return float(text[:-1] or 0) + unicodedata.numeric(text[-1])
    return float(text.replace(",", "").replace("'", ""))


def tidy(number: float) -> float:
    """Take off what only the machine's arithmetic added to a number."""
    return float(f"{number:.12g}")


class Numbers:
    """Numbers in digits and in words of one language.

    Parameters
    ----------
    words : mapping of str to number
    tens : str, optional
        The word for ten of a language that writes 34 as three, ten, four.
    """

    def __init__(self, words: dict[str, float], tens: str = "") -> None:
        self.words = {word: float(number) for word, number in words.items()}
        if tens:
            digits = [("", 0.0), *((word, n) for word, n in self.words.items() if n in range(1, 10) and is_cjk(word))]
            self.words |= {f"{ten}{tens}{one}": (high or 1) * 10 + low for ten, high in digits for one, low in digits}
        self.pattern = rf"(?:{DIGITS}|{word_pattern(self.words)}(?!{LETTER}))"

    def read(self, text: str) -> float:
        """Read what `pattern` found."""
        return self.words[text] if text in self.words else read_digits(text)

    def phrases(self, periods: Iterable[str]) -> set[str]:
        """Give the words at which a number may start; `a` and `an` only before a period of time."""
        short = {word for word in self.words if word in ("a", "an")}
        return (set(self.words) - short) | {f"{word} {period}" for word in short for period in periods}
