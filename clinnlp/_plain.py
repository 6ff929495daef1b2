"""Dataclasses to plain dictionaries and back."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any

from clinnlp.alignment import Alignment, Edit, EditedText
from clinnlp.errors import RecordError

__all__ = ["from_plain", "plain_value", "to_plain"]


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Give (name, default) of a dataclass's fields; a default factory counts as an empty default."""
    return tuple((f.name, None if f.default is MISSING else f.default) for f in fields(kind))


def to_plain(value: Any) -> Any:
    """Turn dataclasses, lists and dictionaries into what JSON can hold."""
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, EditedText):
        return {"text": value.text, "length": value.alignment.length, "edits": value.alignment.to_list()}
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        plain = {}
        for name, default in _fields(type(value)):
            item = getattr(value, name)
            if item is not None and item != {} and (item != default or name in ("start", "end", "label", "score")):
                plain[name] = to_plain(item) if isinstance(item, (list, dict)) or is_dataclass(item) else item
        return plain
    return value


def from_plain(kind: type[Any], value: Any) -> Any:
    """Make an object of class `kind` from what `to_plain` gave; an object of that class stays as it is."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise RecordError(f"{kind.__name__} is made from a dictionary, not from {type(value).__name__}")
    try:
        if kind is EditedText:
            edits = [Edit(*edit) if not isinstance(edit, Mapping) else Edit(**edit) for edit in value["edits"]]
            return EditedText(value["text"], Alignment(value["length"], edits))
        if hasattr(kind, "from_dict"):
            return kind.from_dict(value)
        given = {name: item for name, item in value.items() if item is not None}
        if "assertion" in given:
            from clinnlp.record import Assertion

            given["assertion"] = from_plain(Assertion, given["assertion"])
        return kind(**given)
    except (TypeError, KeyError) as error:
        raise RecordError(f"{kind.__name__} cannot be made from these fields: {', '.join(map(str, value))}") from error


def plain_value(value: Any, where: str) -> Any:
    """Turn a value into JSON's kinds: dates into ISO text, NumPy scalars into numbers.

    Raises
    ------
    RecordError
        If the value is of another kind.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_value(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item, where) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime, datetime.time)):
        return value.isoformat()
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain_value(value.item(), where)
    raise RecordError(f"{where}: a value of type {type(value).__name__} cannot be written as JSON: turn it into text")
