"""How well the Chinese rules do on sentences and snippets of our own: `devel`, read to mend them, and `test`, not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from snippets import found

import clinnlp
from clinnlp.stages import AssertionDetector, SectionDetector
from clinnlp.stages._cues import FLAGS
from clinnlp.stages._identifiers.found import merged
from clinnlp.stages._identifiers.patterns import PatternFinder

__all__ = ["JUDGES", "Judged", "figures"]

Judged = Iterator[tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]]
"""Of each snippet what its gold has and what was found, each with its kind."""


def _read(name: str, part: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))[part]


def assertion(part: str) -> Judged:
    """Judge the flags of entities."""
    stage = AssertionDetector("zh")
    for record in clinnlp.corpora.load("assertion")[f"zh_{part}"]:
        for entity, flags in zip(record.entities, stage.cues(record, record.entities), strict=True):
            gold = [flag for flag in FLAGS if getattr(entity.assertion, flag)]
            yield Counter((flag, "") for flag in gold), Counter((flag, "") for flag in flags)


def values(part: str) -> Judged:
    """Judge whole values: kind, place, what they say and of what."""
    for snippet in _read("values", part):
        gold, own = snippet["values"], found({**snippet, "lang": "zh"})
        yield tuple(Counter((one.split(" |")[0], one.strip()) for one in some) for some in (gold, own))  # type: ignore[misc]


def identifiers(part: str) -> Judged:
    """Judge identifiers by label and place, found by patterns alone."""
    finder = PatternFinder(["en", "zh"])
    for label, marked in _read("identifiers", part):
        text = re.sub("[<>]", "", marked)
        own = [(one.label, text[one.start : one.end]) for one in merged(finder.find(text), text)]
        yield Counter((label, one) for one in re.findall("<(.*?)>", marked)), Counter(own)


def sections(part: str) -> Judged:
    """Judge the names of the sections that lines start, behind one that starts none."""
    stage = SectionDetector("zh")
    for line, names in _read("sections", part):
        own = [section.name for section in stage(f"患者张某，男，50岁。\n{line}\n").sections if section.name]
        yield Counter(("section", name) for name in names), Counter(("section", name) for name in own)


JUDGES: dict[str, Callable[[str], Judged]] = {
    "assertion": assertion,
    "values": values,
    "identifiers": identifiers,
    "sections": sections,
}


def figures(judged: Judged) -> dict[str, tuple[int, int, int]]:
    """Give for each kind, and for `all`, how many were right, found and in the gold."""
    counts = {name: Counter[str]() for name in ("right", "found", "gold")}
    for gold, own in judged:
        for name, some in (("right", gold & own), ("found", own), ("gold", gold)):
            for (kind, _), number in some.items():
                counts[name].update({kind: number, "all": number})
    kinds = sorted({kind for some in counts.values() for kind in some} - {"all"})
    return {kind: (counts["right"][kind], counts["found"][kind], counts["gold"][kind]) for kind in [*kinds, "all"]}
