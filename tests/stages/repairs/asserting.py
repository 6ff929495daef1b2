"""One repair at a time."""

from __future__ import annotations

from clinnlp.stages.cleaning import REPAIRS, TextCleaner


def repaired(name: str, text: str) -> str:
    """Give the text that one repair leaves."""
    return TextCleaner([name]).clean(text).text


def unchanged(name: str, text: str) -> bool:
    """Tell whether a repair finds nothing to do."""
    return not REPAIRS[name](text)
