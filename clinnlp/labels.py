"""Labels of a record or an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinnlp.errors import RecordError

__all__ = ["Label", "read_labels"]


@dataclass(slots=True)
class Label:
    """A class that a record or an image belongs to, with its probability; 1 for gold."""

    name: str
    score: float = 1.0


def read_labels(labels: Mapping[str, Any] | None) -> dict[str, list[Label]]:
    """Read label sets given as names, `Label`s or dictionaries, one or a list of them.

    Raises
    ------
    RecordError
        If a label is none of these.
    """
    found: dict[str, list[Label]] = {}
    for name, given in (labels or {}).items():
        items = [given] if isinstance(given, (str, Label, Mapping)) else list(given)
        found[str(name)] = [_read_label(str(name), item) for item in items]
    return found


def _read_label(name: str, item: Any) -> Label:
    if isinstance(item, Label):
        return item
    if isinstance(item, str):
        return Label(item)
    if isinstance(item, Mapping) and "name" in item:
        return Label(str(item["name"]), float(item.get("score", 1.0)))
    raise RecordError(f"label set {name!r} has a label of type {type(item).__name__}: give names or Label objects")
