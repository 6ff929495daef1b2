"""The snippets of `stages/values/gold.yaml`, and values written as they are there."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from clinnlp.record import Entity, Record, Value
from clinnlp.stages import ValueExtractor

_TIMED = ("date", "time", "duration")
_NAMED = ("route", "form", "frequency")


def snippets() -> list[dict[str, Any]]:
    """All snippets."""
    found: list[dict[str, Any]] = yaml.safe_load(
        (Path(__file__).parent / "stages" / "values" / "gold.yaml").read_text(encoding="utf-8")
    )
    return found


@cache
def stage(lang: str) -> ValueExtractor:
    """The stage of a language."""
    return ValueExtractor(lang)


def record_of(snippet: dict[str, Any]) -> Record:
    """The record of a snippet, with its entities and date."""
    text, date = snippet["text"], snippet.get("date", "2024-03-10")
    named = [
        *((word, "Medication") for word in snippet.get("drugs", [])),
        *((w, "Test") for w in snippet.get("tests", [])),
    ]
    entities = [Entity(text.index(word), text.index(word) + len(word), label) for word, label in named]
    return Record(text, entities=entities, metadata={"time": str(date)} if date else {})


def written(value: Value, text: str) -> str:
    """A value as `gold.yaml` writes it."""
    if value.kind in _TIMED:
        says = value.time
    elif value.kind in _NAMED:
        says = value.name
    else:
        sign = {"size": "x"}.get(value.kind, ":" if ":" in value.text else "/")
        numbers = sign.join(f"{n:.12g}" for n in value.numbers) or f"{value.number:.12g}"
        high = "" if value.high is None else f"-{value.high:g}"
        says = f"{value.comparator}{numbers}{high} {value.unit}".strip()
    target = "" if value.target_start < 0 else text[value.target_start : value.target_end]
    return f"{value.kind} | {value.text} | {says} | {target}".strip()


def found(snippet: dict[str, Any], extractor: ValueExtractor | None = None) -> list[str]:
    """What the stage finds in a snippet."""
    record = record_of(snippet)
    (extractor or stage(snippet.get("lang", "en"))).process([record])
    return [written(value, record.text) for value in record.values]


def scores() -> tuple[float, float, list[tuple[str, list[str], list[str]]]]:
    """Precision and recall of whole values, and the snippets with what was wrong and what was missed."""
    right = said = gold = 0
    wrong = []
    for snippet in snippets():
        expected, got = [value.strip() for value in snippet["values"]], found(snippet)
        right += len(set(expected) & set(got))
        said, gold = said + len(got), gold + len(expected)
        if expected != got:
            extra = [value for value in got if value not in expected]
            wrong.append((snippet["text"], extra, [value for value in expected if value not in got]))
    return right / said, right / gold, wrong
