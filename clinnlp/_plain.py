"""Dataclasses to plain dictionaries and back."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from itertools import starmap
from operator import attrgetter
from typing import Any

from clinnlp.alignment import Alignment, Edit, EditedText
from clinnlp.errors import ClinNLPError, RecordError

__all__ = ["check_unicode", "clone", "fields_of", "from_plain", "named_fields", "plain_value", "to_plain"]

_ATOMS = (str, int, float, bool, type(None))
_KEPT = ("start", "end", "label", "score")  # written even where they are what a new object would have
_NO_DEFAULT = object()
_LONGEST_NAME = 20


@cache
def _layout(kind: type[Any]) -> tuple[tuple[str, ...], tuple[Any, ...], Callable[[Any], tuple[Any, ...]]]:
    """Give the names and defaults of a dataclass's fields, and a function that reads them all at once."""
    names = tuple(f.name for f in fields(kind))
    defaults = tuple(
        _NO_DEFAULT
        if f.name in _KEPT
        else f.default_factory()
        if f.default_factory is not MISSING
        else _NO_DEFAULT
        if f.default is MISSING
        else f.default
        for f in fields(kind)
    )
    return names, defaults, attrgetter(*names)


@cache
def _is_flat(kind: type[Any]) -> bool:
    """Tell whether a class is a dataclass of texts and numbers alone, so that its fields need no copies."""
    return is_dataclass(kind) and all(
        str(f.type) in ("int", "str", "float", "float | None", "bool") for f in fields(kind)
    )


def to_plain(value: Any) -> Any:
    """Turn dataclasses, lists and dictionaries into what JSON can hold; a field at its default is left out."""
    kind = type(value)
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if kind is EditedText:
        return {"text": value.text, "length": value.alignment.length, "edits": value.alignment.to_list()}
    if is_dataclass(kind):
        names, defaults, read = _layout(kind)
        return {
            name: item if type(item) in _ATOMS else to_plain(item)
            for name, item, default in zip(names, read(value), defaults, strict=True)
            if item != default
        }
    return value.to_dict() if hasattr(value, "to_dict") else plain_value(value, "a field")


def from_plain(kind: type[Any], value: Any) -> Any:
    """Make an object of class `kind` from what `to_plain` gave; an object of that class stays as it is.

    Raises
    ------
    RecordError
        If it has other fields.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise RecordError(f"{kind.__name__} is made from a dictionary, not from {type(value).__name__}")
    try:
        if kind is EditedText:
            return _edited(value)
        if hasattr(kind, "from_dict"):
            return kind.from_dict(value)
        given = {name: item for name, item in value.items() if item is not None}
        if "assertion" in given:
            from clinnlp.record import Assertion

            given["assertion"] = from_plain(Assertion, given["assertion"])
        return kind(**given)
    except ClinNLPError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError):
        own = (*_layout(kind)[0], "edits", "length") if is_dataclass(kind) else ()
        raise RecordError(f"{kind.__name__} cannot be made from these fields: {named_fields(value, own)}") from None


def named_fields(given: Iterable[Any], known: Iterable[str]) -> str:
    """Give how a message names keys of a dictionary: those that are known, or nearly, as they are, others by number.

    A key may be text of a note, where texts were given as keys.
    """
    known = tuple(known)
    names = [str(name) for name in given]
    shown = [name for name in names if len(name) <= _LONGEST_NAME and get_close_matches(name.lower(), known, 1)]
    rest = len(names) - len(shown)
    more = "a key of another name" if rest == 1 else f"{rest} keys of other names" if rest else ""
    return " and ".join(filter(None, (", ".join(shown), more)))


def _edited(value: Mapping[str, Any]) -> EditedText:
    edits = [Edit(*edit) if not isinstance(edit, Mapping) else Edit(**edit) for edit in value["edits"]]
    numbers = [value["length"], *(number for edit in edits for number in (edit.start, edit.end))]
    texts = [value["text"], *(edit.text for edit in edits)]
    if not all(type(number) is int for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise TypeError
    return EditedText(value["text"], Alignment(value["length"], edits))


def clone(value: Any) -> Any:
    """Copy lists, dictionaries and what a record holds; what cannot change, and pixels, are shared."""
    kind = type(value)
    if kind in _ATOMS or kind is EditedText:
        return value
    if kind is list:
        kinds = set(map(type, value))
        if len(kinds) == 1 and _is_flat(item_kind := kinds.pop()):
            return list(starmap(item_kind, map(_layout(item_kind)[2], value)))
        return [clone(item) for item in value]
    if kind is dict:
        return {key: clone(item) for key, item in value.items()}
    if is_dataclass(kind):
        return kind(*[item if type(item) in _ATOMS else clone(item) for item in _layout(kind)[2](value)])
    return value.copy() if hasattr(value, "copy") else value


def fields_of(kind: type[Any], type_name: str) -> tuple[str, ...]:
    """Give the names of the fields of a dataclass that are of one type, such as `"str"`."""
    return tuple(f.name for f in fields(kind) if f.type == type_name)


def check_unicode(text: str, where: str) -> None:
    """Refuse lone surrogates, which no file can hold.

    Raises
    ------
    RecordError
        If there is one.
    """
    if text.isascii():
        return
    try:
        text.encode("utf-8")
        return
    except UnicodeEncodeError as error:
        offset = error.start
    # Raised here, because inside the block it would carry the codec's error, which holds the whole text.
    raise RecordError(f"{where}: lone surrogate at offset {offset}: decode the text as UTF-8 first")


def plain_value(value: Any, where: str) -> Any:
    """Turn a value into JSON's kinds: dates into ISO text, NumPy scalars into numbers, NaN into None.

    Raises
    ------
    RecordError
        If the value is of another kind.
    """
    try:
        return _plain_value(value, where)
    except RecursionError:
        raise RecordError(f"{where}: values lie too deep within one another") from None


def _plain_value(value: Any, where: str) -> Any:
    if isinstance(value, str):
        check_unicode(value, where)
        return str.__str__(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, decimal.Decimal)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        plain = {_key(key, where): _plain_value(item, where) for key, item in value.items()}
        if len(plain) != len(value):
            raise RecordError(f"{where}: two keys are the same as text")
        return plain
    if isinstance(value, (list, tuple)):
        return [_plain_value(item, where) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat() if value == value else None  # pandas' "not a time" is a date, unlike itself
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        if getattr(value.dtype, "kind", "") == "M":
            value = value.astype("datetime64[us]")  # finer ones would turn into bare numbers
        return _plain_value(value.tolist(), where)
    raise RecordError(f"{where}: a value of type {type(value).__name__} cannot be written as JSON: turn it into text")


def _key(key: Any, where: str) -> str:
    check_unicode(text := str(key), where)
    return text
