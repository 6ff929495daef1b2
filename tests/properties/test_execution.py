"""Stages that do anything at all to a batch of records: what comes out is valid, and the same however it is batched."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clinnlp import Entity, Label, Record, Stage, Token
from clinnlp.alignment import EditedText, delete
from clinnlp.execution import run_stages
from clinnlp.record import FIELDS
from properties.test_record import records


def fail(record: Record) -> None:
    raise ValueError(record.text)


def halve(record: Record) -> None:
    for entity in record.entities:
        entity.score /= 2
        entity.attributes["halved"] = entity.attributes.get("halved", 0) + 1


ACTIONS: list[Callable[[Record], Any]] = [
    fail,
    halve,
    lambda r: r.entities.append(Entity(0, len(r.text), "All")),
    lambda r: r.entities.append(Entity(0, len(r.text) + 1, "Outside")),
    lambda r: r.tokens.insert(0, Token(0, 0, text="not here")),
    lambda r: r.entities.clear(),
    lambda r: setattr(r, "text", r.text + "x"),
    lambda r: setattr(r, "id", "changed"),
    lambda r: setattr(r, "entities", (Entity(0, 0) for _ in range(2))),
    lambda r: setattr(r, "tokens", None),
    lambda r: setattr(r, "cleaned", EditedText.of(r.text, [delete(0, len(r.text))])),
    lambda r: setattr(r, "cleaned", EditedText("?", r.view.alignment)),
    lambda r: r.labels.setdefault("a", []).append(Label("b")),
    lambda r: r.labels.setdefault("a", []).append("b"),  # type: ignore[arg-type]
    lambda r: r.labels.setdefault("a", []).append(3),  # type: ignore[arg-type]
    lambda r: r.metadata.update(times=1 + int(r.metadata.get("times") or 0)),
    lambda r: r.metadata.update(x=object()),
    lambda r: r.images.append("scan.png"),  # type: ignore[arg-type]
    lambda r: r.images.clear(),
    lambda r: r.questions.append("?"),
    lambda r: None,
]


class Anything(Stage):
    """Does to each record what a rule that depends on its text alone says."""

    def __init__(self, name: str, actions: Sequence[int], requires: Sequence[str], assigns: Sequence[str]) -> None:
        super().__init__(name)
        self.actions = actions
        # Declared fields are what a stage may change; here all or any of a few.
        self.requires, self.assigns = tuple(requires), tuple(assigns)

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            ACTIONS[self.actions[(len(record.text) + len(record.tokens)) % len(self.actions)]](record)


@st.composite
def stages(draw: st.DrawFn) -> list[Anything]:
    made = []
    for i in range(draw(st.integers(1, 4))):
        actions = draw(st.lists(st.integers(0, len(ACTIONS) - 1), min_size=1, max_size=4))
        requires = draw(st.lists(st.sampled_from(["tokens", "entities", "labels"]), max_size=1))
        assigns = draw(st.sampled_from([(), FIELDS]))
        made.append(Anything(f"s{i}", actions, requires, assigns))
    return made


def plain(record: Record) -> dict[str, Any]:
    """A record as it is written."""
    return json.loads(json.dumps(record.to_dict(), allow_nan=False))


@settings(deadline=None, max_examples=60)
@given(st.lists(records(), min_size=1, max_size=5), stages(), st.integers(1, 6))
def test_whatever_stages_do_records_stay_valid_and_alone_is_as_in_company(
    given_records: list[Record], made: list[Anything], size: int
) -> None:
    alone = [record.copy() for record in given_records]
    for record in alone:
        run_stages(made, [record], "keep")
    found = [record.copy() for record in given_records]
    for at in range(0, len(found), size):
        run_stages(made, found[at : at + size], "keep")
    assert [record.text for record in found] == [record.text for record in given_records]
    assert [plain(record) for record in found] == [plain(record) for record in alone]
    for record in found:
        assert Record.from_dict(record.to_dict()) == record
