"""Regular expressions of rules, on RE2, which cannot backtrack: each match takes a time linear in the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.stages._rules import Rule

__all__ = ["ExpressionMatcher", "compile_expression"]


def compile_expression(rule: Rule) -> Any:
    """Compile the expression of a rule, over the bytes of UTF-8.

    Raises
    ------
    ConfigError
        If RE2 cannot use it, or it matches the empty text.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = rule.case
    try:
        found = re2.compile(rule.regex.encode("utf-8"), options)
    except re2.error as error:
        given = error.args[0] if error.args else ""
        reason = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
        reason = " ".join(reason.split())[:80]
    else:
        if found.search(b"") is None:
            return found
        raise ConfigError(f"{rule.place}: its regex matches the empty text: write + in the place of *")
    raise ConfigError(
        f"{rule.place}: RE2 cannot use its regex ({reason}): it has neither lookaround nor backreferences"
    )


class ExpressionMatcher:
    """Finds regular expressions.

    Parameters
    ----------
    rules : mapping of int to Rule
        Those with an expression, by their numbers.
    """

    def __init__(self, rules: Mapping[int, Rule]) -> None:
        self._compiled = {number: compile_expression(rule) for number, rule in rules.items()}

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Give start, end and number of the rule of each match, some of which may be empty."""
        # Encoded once for all rules: given a str, each of them would encode it anew.
        data = text.encode("utf-8")
        # Code points before each byte: those of which a byte begins one.
        places = None if text.isascii() else [0, *accumulate((byte & 0xC0) != 0x80 for byte in data)]
        for number, compiled in self._compiled.items():
            for match in compiled.finditer(data):
                start, end = match.span()
                if places is not None:
                    start, end = places[start], places[end]
                yield start, end, number
