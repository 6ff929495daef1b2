"""Labels of a record or an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clinnlp.errors import RecordError

__all__ = ["Label", "read_labels", "read_number", "shown_label"]

_LONGEST_LABEL = 40


@dataclass(slots=True)
class Label:
    """A class that a record or an image belongs to, with its probability; 1 for gold."""

    name: str
    score: float = 1.0


def read_labels(labels: Mapping[str, Any] | None) -> dict[str, list[Label]]:
    """Read label sets given as names, `Label`s or dictionaries, one or a list of them; a set of None has none.

    Raises
    ------
    RecordError
        If a label is none of these, or its score is not a number.
    """
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise RecordError(f"labels are a dictionary of label set -> labels, not {type(labels).__name__}")
    return {str(name): [_read_label(str(name), item) for item in _items(given)] for name, given in labels.items()}


def _items(given: Any) -> Iterable[Any]:
    if given is None:
        return ()
    if isinstance(given, (set, frozenset)):
        return sorted(given, key=str)
    # What is not a list is one label, and judged as one.
    return given if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)) else (given,)


def _read_label(name: str, item: Any) -> Label:
    if isinstance(item, str):
        return Label(str.__str__(item))
    if isinstance(item, Mapping) and isinstance(item.get("name"), str):
        score = item.get("score")
        item = Label(item["name"], 1.0 if score is None else score)
    if not isinstance(item, Label):
        raise RecordError(f"{_set_name(name)} has a label of type {type(item).__name__}: give names or Label objects")
    item.score = read_number(item.score, _set_name(name))
    return item


def shown_label(name: str) -> str:
    """Give how a message names a label: one that is too long to be one may be text of a note that stands in its place.

    Returns
    -------
    str
        In quotes, or how long it is.
    """
    short = len(name) <= _LONGEST_LABEL and len(name.splitlines()) < 2
    return repr(name) if short else f"of {len(name)} characters"


def _set_name(name: str) -> str:
    """Give how a message names a label set; what is no plain name may be text of a note that stands in its place."""
    plain = len(name) <= _LONGEST_LABEL and name.replace("-", "_").replace(".", "_").isidentifier()
    return f"label set {name!r}" if plain else "a label set"


def read_number(number: Any, where: str) -> float:
    """Give a score or a measured number as a float.

    Raises
    ------
    RecordError
        If it is none, or not a finite one.
    """
    # A text is not tried: the error of one that is no number would hold it.
    try:
        found = None if isinstance(number, (str, bytes)) else float(number)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None:
        raise RecordError(f"{where}: a number is given as {type(number).__name__}")
    if not math.isfinite(found):
        raise RecordError(f"{where}: a number is {found}, not a finite one")
    return found
