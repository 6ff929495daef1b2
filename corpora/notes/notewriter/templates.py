"""The small language of the sentence frames in `data/`.

[a|b|]           one of these, here perhaps nothing
{slot}           a fact of the case, or a sentence of a rule; a capital letter makes a capital letter
{n:2-14}         a number; `{w:2-6}` in words
<text|S->        an entity: S symptom, here negated; letters and marks are in LABELS and FLAGS
<text|@DATE>     an identifier
... @FO          only for patients with all these traits: F female, M male, C child, A adult,
                 O of 45 or older, J younger, R over 65, E not, Y allergic, N not, S smoker, X never one,
                 L lives alone, W lives with others, P married, U not married
# ...            told in the same words in all notes of a patient
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

__all__ = ["FLAGS", "LABELS", "Choice", "Mark", "Node", "Slot", "fits", "parse"]

LABELS = {
    "D": "Disease",
    "S": "Symptom",
    "M": "Medication",
    "G": "Dosage",
    "P": "Procedure",
    "T": "Test",
    "V": "LabValue",
    "A": "Anatomy",
}
FLAGS = {"-": "negated", "?": "hypothetical", "~": "historical", "+": "family"}
_SLOT = re.compile(r"(\w+)(?::([\d.]+)-([\d.]+))?([-?~+]*)")
_CONDITION = re.compile(r"(.*) @([A-Z]+)", re.DOTALL)
_MARK = re.compile(r"(@?)(\w+)([-?~+]*)")


@dataclass(frozen=True)
class Slot:
    """A fact, a number between `low` and `high`, or a sentence of a rule."""

    name: str
    low: str = ""
    high: str = ""
    flags: str = ""


@dataclass(frozen=True)
class Choice:
    """One of several templates."""

    options: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Mark:
    """A stretch that is an entity, or an identifier."""

    content: tuple[Node, ...]
    label: str
    flags: str = ""
    identifier: bool = False


Node = str | Slot | Choice | Mark


def fits(template: str, traits: str) -> str | None:
    """Give the template without its `@` condition, or None where a patient of these traits does not meet it."""
    match = _CONDITION.fullmatch(template)
    if match is None:
        return template
    return match[1] if set(match[2]) <= set(traits) else None


@cache
def parse(template: str) -> tuple[Node, ...]:
    """Read a template.

    Raises
    ------
    ValueError
        If a bracket is not closed, or a slot or a mark is not well formed.
    """
    nodes, at = _sequence(template, 0, "")
    if at != len(template):
        raise ValueError(f"template not closed at {at}: {template}")
    return nodes


def _sequence(template: str, at: int, stops: str) -> tuple[tuple[Node, ...], int]:
    nodes: list[Node] = []
    text = ""
    while at < len(template) and template[at] not in stops:
        character = template[at]
        if character not in "{[<":
            text += character
            at += 1
            continue
        if text:
            nodes.append(text)
            text = ""
        node, at = {"{": _slot, "[": _choice, "<": _mark}[character](template, at + 1)
        nodes.append(node)
    if text:
        nodes.append(text)
    return tuple(nodes), at


def _slot(template: str, at: int) -> tuple[Node, int]:
    end = template.index("}", at)
    match = _SLOT.fullmatch(template, at, end)
    if match is None:
        raise ValueError(f"not a slot at {at}: {template}")
    return Slot(match[1], match[2] or "", match[3] or "", match[4]), end + 1


def _choice(template: str, at: int) -> tuple[Node, int]:
    options: list[tuple[Node, ...]] = []
    while True:
        option, at = _sequence(template, at, "|]")
        options.append(option)
        if template[at : at + 1] == "]":
            return Choice(tuple(options)), at + 1
        if template[at : at + 1] != "|":
            raise ValueError(f"choice not closed: {template}")
        at += 1


def _mark(template: str, at: int) -> tuple[Node, int]:
    content, at = _sequence(template, at, "|")
    end = template.index(">", at)
    match = _MARK.fullmatch(template, at + 1, end)
    if match is None or (not match[1] and match[2] not in LABELS):
        raise ValueError(f"not a mark at {at}: {template}")
    label = match[2] if match[1] else LABELS[match[2]]
    return Mark(content, label, match[3], bool(match[1])), end + 1
