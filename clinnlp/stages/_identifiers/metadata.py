"""What a record's metadata says of who somebody is: which keys identify, and their values."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.stages._identifiers.words import rule

__all__ = ["further_keys", "known_keys", "known_values", "value_text"]


@cache
def known_keys() -> Mapping[str, str]:
    """Give the keys of metadata whose values identify somebody, with the label of each."""
    return MappingProxyType({key: label for label, keys in rule("metadata").items() for key in keys.split()})


@cache
def _labels() -> dict[str, str]:
    """Give the labels of keys, written as they are compared."""
    return {_key(key): label for key, label in known_keys().items()}


def further_keys(known: Mapping[str, str] | Sequence[str] | str | None) -> dict[str, str]:
    """Give keys of metadata that a user names, each with its label.

    Raises
    ------
    ConfigError
        If a key is no text, or a label is none of those that metadata has.
    """
    given = () if known is None else (known,) if isinstance(known, str) else known
    if not isinstance(given, (Mapping, list, tuple)) or not all(isinstance(key, str) and _key(key) for key in given):
        raise ConfigError("known: give keys of metadata, as a list of texts or as a mapping from each to its label")
    if not isinstance(given, Mapping):
        return {key: _labels().get(_key(key), "ID") for key in given}
    kinds = rule("metadata")
    if any(label not in kinds for label in given.values()):
        raise ConfigError(f"known: a label is none of metadata: give one of {', '.join(kinds)}")
    return dict(given)


def known_values(metadata: Mapping[str, Any], known: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Give the texts, numbers and days of metadata under the keys that identify, each with its label.

    Parameters
    ----------
    metadata : mapping
    known : mapping of str to str, optional
        Keys beside those of `known_keys`, each with its label.
    """
    further = {_key(key): label for key, label in (known or {}).items()}

    def label_of(key: str) -> str | None:
        # "patient_phone" is a phone.
        names = (key, key.removeprefix("patient"), key.removeprefix("pt"))
        return further.get(key) or next((_labels()[name] for name in names if name in _labels()), None)

    def walk(value: Any, label: str | None) -> Iterator[tuple[str, str]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from walk(inner, label_of(_key(str(key))) if label is None else label)
        elif isinstance(value, (list, tuple, set, frozenset)):
            for inner in value:
                yield from walk(inner, label)
        elif label is not None and (text := value_text(value)):
            yield text, label

    return list(dict.fromkeys(walk(metadata, None)))


def value_text(value: Any) -> str:
    """Write a text, number or day of metadata; what is none of them is nothing."""
    if isinstance(value, datetime.date):
        return value.isoformat()[: len("2024-03-05")]
    if isinstance(value, bool) or not isinstance(value, (str, Real)):
        return ""
    # A column of numbers with gaps holds floats: 123456.0 is the record number 123456.
    if isinstance(value, Real) and not isinstance(value, Integral) and float(value).is_integer():
        return str(int(float(value)))
    return re.sub(r"(?<=\d)\.0$", "", str(value))


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())
