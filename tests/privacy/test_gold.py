"""Gold that is broken is told without the notes that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import ALL, TEXT, Odd, asked, leaks, picture, planted

from clinnlp import Entity, FitConfig, Pipeline, Record, Stage
from clinnlp.record import Assertion, Sentence
from clinnlp.stages import Deidentifier

GOLD: dict[str, Callable[[], Any]] = {
    "none": list,
    "records without gold": lambda: [Record(TEXT, id="1"), Record(TEXT, id="2")],
    "texts": lambda: [TEXT, TEXT],
    "one text": lambda: TEXT,
    "a number": lambda: 7,
    "None": lambda: [None],
    "rows without texts": lambda: [{"note": TEXT}],
    "rows with keys of texts": lambda: [{TEXT: TEXT}],
    "rows": lambda: [{"text": TEXT, "labels": TEXT, "entities": TEXT}],
    "entities that are text": lambda: [{"text": TEXT, "entities": [TEXT]}],
    "entities of other fields": lambda: [{"text": TEXT, "entities": [{TEXT: 1}]}],
    "entities outside": lambda: [{"text": TEXT, "entities": [{"start": 5, "end": 9999, "label": ALL}]}],
    "a label that is the note": lambda: [gold(label=TEXT), gold(label="few"), gold(label="many")],
    "labels that are the note": lambda: [gold(label=f"{TEXT} {i}") for i in range(3)],
    "one class": lambda: [gold(label="few") for _ in range(3)],
    "no class": lambda: [gold(labels={name: [] for name in SETS}) for _ in range(3)],
    "two classes for one": lambda: [gold(labels={name: ["few", "many"] for name in SETS})],
    "broken images": lambda: [gold(label="few", images=planted().images), gold(label="many", images=planted().images)],
    "no text": lambda: [gold("", "few"), gold("", "many")],
    "records that were broken later": lambda: [broken(record) for record in (gold(label="few"), gold(label="many"))],
    "a row that fails": lambda: [{"text": TEXT, "metadata": Odd()}],
}
SETS = ("reports", "vectors", "sentences", "images", "topics")


def gold(text: str = TEXT, label: str = "few", **changes: Any) -> Record:
    """Give a record with gold of every kind, all under one label."""
    found = [Entity(0, 7, label, assertion=Assertion(negated=True)), Entity(9, 19, label)] if text else []
    sentences = [Sentence(0, 80, labels={"sentences": [label]})] if text else []  # type: ignore[dict-item]
    fields = {
        "labels": {name: [label] for name in SETS}, "images": [picture()], "entities": found, "identifiers": found,
        "sentences": sentences, "metadata": {"patient": "Quarrymetova"},
    }  # fmt: skip
    return Record(text, id="r1", **{**fields, **changes})  # type: ignore[arg-type]


def broken(record: Record) -> Record:
    record.entities = [Entity(0, 9999, ALL)]
    record.labels = ALL  # type: ignore[assignment]
    return record


LEARNING = ("entities", "reports", "vectors", "sentences", "images", "assertion_model", "topics")


@pytest.mark.parametrize("kind", [*LEARNING, "deidentification", "assertion"])
def test_gold_that_is_broken_is_told_without_it(kind: str, base: Path, stages: dict[str, Stage]) -> None:
    stage: Any = stages[kind] if kind != "deidentification" else Deidentifier.from_base(base, ["PERSON"])
    config = FitConfig(epochs=1, batch_tokens=256, progress=True)
    for name, give in GOLD.items():
        calls = [lambda give=give: stage.evaluate(give())]
        if kind != "assertion":
            calls.append(lambda give=give: stage.fit(give(), None, config))
        if kind in ("entities", "reports"):
            calls.append(lambda give=give: stage.fit([gold(label="few"), gold()], give(), config))
            calls.append(lambda give=give: Pipeline([stage]).fit(give(), give(), config))
        for call in calls:
            ear = asked(call)
            assert leaks(ear.heard()) == [], (name, ear.heard())
