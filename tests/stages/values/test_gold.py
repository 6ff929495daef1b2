"""What notes say, snippet by snippet, and that every pattern of the rules is needed for some of it."""

from __future__ import annotations

from typing import Any

import pytest
from snippets import found, scores, snippets

from clinnlp.stages import ValueExtractor
from clinnlp.stages._values.finder import Finder
from clinnlp.stages._values.rules import value_rules


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: snippet["text"][:40].replace("\n", " "))
def test_a_snippet_gives_its_values_and_no_others(snippet: dict[str, Any]) -> None:
    assert found(snippet) == [value.strip() for value in snippet["values"]]


def test_precision_and_recall_over_all_snippets() -> None:
    precision, recall, wrong = scores()
    assert (precision, recall, wrong) == (1, 1, [])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_pattern_is_needed_by_a_snippet(lang: str) -> None:
    own = [s for s in snippets() if s.get("lang", "en") == lang]
    stage = ValueExtractor(lang)
    finder = stage._finder = Finder(value_rules(lang))
    digits, phrases = finder._for_digits, finder._phrases
    every = {id(p): p for patterns in [digits, *(p for p, _ in phrases.values())] for p in patterns}
    english = {rule["pattern"] for rule in value_rules("en")["patterns"]} if lang == "zh" else set()
    idle = []
    for pattern in every.values():
        finder._for_digits = [p for p in digits if p is not pattern]
        finder._phrases = {w: ([p for p in kept if p is not pattern], n) for w, (kept, n) in phrases.items()}
        if pattern.written not in english and all(
            found(s, stage) == [value.strip() for value in s["values"]] for s in own
        ):
            idle.append(pattern.written)
    assert idle == []
