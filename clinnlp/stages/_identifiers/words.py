"""Lists of words that say what is a name and what is none."""

from __future__ import annotations

from functools import cache
from typing import Any

from clinnlp.rules import load_rules

__all__ = ["first_names", "look_alikes", "rule", "word_set"]


def rule(name: str, lang: str = "en") -> Any:
    """Give an entry of `rules/LANG/identifiers.yaml`."""
    return load_rules("identifiers", lang)[name]


@cache
def word_set(name: str) -> frozenset[str]:
    """Give a list of words of the English rules, in small letters."""
    given = rule(name)
    return frozenset(str(word).lower() for word in (given.split() if isinstance(given, str) else given))


@cache
def first_names() -> dict[str, str]:
    """Give the ordinary first names in small letters, each with the list that it is on."""
    names = load_rules("surrogates", "en")
    return {name.lower(): sex for sex in ("female", "male") for name in names[sex]}


@cache
def look_alikes() -> dict[str, str]:
    """Give the letters that look like Latin ones, or are written so without their strokes, each with those."""
    return {sign: letters for letters, signs in rule("look_alikes").items() for sign in signs}
