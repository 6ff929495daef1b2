"""A rule of a RuleMatcher: its fields, and what is wrong with them."""

from __future__ import annotations

import decimal
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clinnlp._plain import check_unicode, plain_value
from clinnlp.errors import ConfigError, RecordError
from clinnlp.stages._patterns import check_pattern

__all__ = ["CODES", "FIELDS", "Rule", "check_rule", "rule_lines", "shown"]

CODES = ("concept_id", "system")
"""Attributes that have fields of their own in a rule."""
_KINDS = ("term", "pattern", "regex")
FIELDS = ("label", *_KINDS, "case", *CODES, "attributes")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for, and what an entity that it finds is given.

    Parameters
    ----------
    label : str
        Type of the entities.
    term : str
        A word or phrase; `""` for a rule of another kind.
    pattern : tuple of dict
        A token pattern of spaCy; empty for a rule of another kind.
    regex : str
        A regular expression of RE2; `""` for a rule of another kind.
    case : bool
        Whether a term or an expression matches in its own case only.
    attributes : dict
        Plain values for `Entity.attributes`.
    place : str
        Where it was read, for messages.
    """

    label: str
    term: str = ""
    pattern: tuple[dict[str, Any], ...] = ()
    regex: str = ""
    case: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    place: str = field(default="", compare=False)


def check_rule(item: Any, place: str) -> Rule:
    """Make a rule of a mapping.

    Parameters
    ----------
    item : mapping
        With the names of `FIELDS`; a value of None is not there.
    place : str
        Where it was read.

    Raises
    ------
    ConfigError
        If it is not valid, in one line with its place.
    """
    if not isinstance(item, Mapping):
        raise ConfigError(f"{place} is no mapping: write {{label: ..., term: ...}}")
    row = {key: value for key, value in item.items() if value is not None}
    if unknown := [key for key in row if key not in FIELDS]:
        told = f"{place} has the unknown field {shown(unknown[0])}: known are {', '.join(FIELDS)}"
        raise ConfigError(f"{told}; others go into attributes")
    kinds = [kind for kind in _KINDS if kind in row]
    if len(kinds) != 1:
        what = " and ".join(kinds) or "no term"
        raise ConfigError(f"{place} has {what}: give it one of {', '.join(_KINDS)}")
    case = row.get("case", False)
    if not isinstance(case, bool):
        raise ConfigError(f"{place}: case is true or false")
    if case and "pattern" in row:
        raise ConfigError(f"{place}: a pattern has no case: write TEXT or LOWER in it")
    return Rule(
        label=_text(row.get("label"), "label", place),
        term=_text(row["term"], "term", place) if "term" in row else "",
        pattern=_pattern(row["pattern"], place) if "pattern" in row else (),
        regex=_text(row["regex"], "regex", place) if "regex" in row else "",
        case=case,
        attributes=_attributes(row, place),
        place=place,
    )


def _text(given: Any, name: str, place: str) -> str:
    if given is None:
        raise ConfigError(f"{place} has no {name}: give one")
    if not isinstance(given, str):  # such as `term: no` in YAML
        raise ConfigError(f"{place}: its {name} is of type {type(given).__name__}, not text: quote it")
    if not given.strip():
        raise ConfigError(f"{place}: its {name} is empty")
    _check_unicode(given, place)
    return given if name == "regex" else given.strip()


def _check_unicode(text: str, place: str) -> None:
    try:
        check_unicode(text, place)
        return
    except RecordError:
        pass
    raise ConfigError(f"{place} has a lone surrogate: decode it as UTF-8 first")


def _pattern(given: Any, place: str) -> tuple[dict[str, Any], ...]:
    check_pattern(given, place)
    plain: list[dict[str, Any]] = _plain(list(given), f"{place}: its pattern")
    return tuple(plain)


def _attributes(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Give the attributes of a rule, codes first; a code that was written as a number is text."""
    own = row.get("attributes", {})
    if not isinstance(own, Mapping):
        raise ConfigError(f"{place}: its attributes are no mapping of names to values")
    codes = {name: row[name] for name in CODES if name in row}
    if twice := [name for name in codes if name in own]:
        raise ConfigError(f"{place} gives {twice[0]} twice: leave it out of attributes")
    given = {**codes, **own}
    found: dict[str, Any] = _plain(given, f"{place}: its attributes")
    if wrong := [name for name, value in given.items() if _is_unfinite(value)]:
        raise ConfigError(f"{place}: its attribute {shown(wrong[0])} is no finite number: leave it out, or quote it")
    for name in CODES:
        if name in found:
            code = found[name]
            found[name] = _text(str(code) if type(code) is int else code, name, place)
    return found


def _is_unfinite(value: Any) -> bool:
    """Tell whether a value is, or holds, a number that JSON has not."""
    if isinstance(value, Mapping):
        return any(map(_is_unfinite, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_unfinite, value))
    if hasattr(value, "tolist"):  # of NumPy
        return _is_unfinite(value.tolist())
    return isinstance(value, (float, decimal.Decimal)) and not math.isfinite(value)


def _plain(value: Any, where: str) -> Any:
    try:
        return plain_value(value, where)
    except RecordError as error:
        message = str(error)
    raise ConfigError(message)


def shown(name: Any) -> str:
    """Give a name of the user's as it may stand in a message."""
    return repr(str(name)[:40])


def rule_lines(rules: Iterable[Rule]) -> Iterator[str]:
    """Give each rule as a line of JSON that can be read again."""
    for rule in rules:
        row: dict[str, Any] = {"label": rule.label}
        row |= {kind: value for kind in _KINDS if (value := getattr(rule, kind))}
        row |= {"case": True} if rule.case else {}
        row |= {name: rule.attributes[name] for name in CODES if name in rule.attributes}
        others = {name: value for name, value in rule.attributes.items() if name not in CODES}
        row |= {"attributes": others} if others else {}
        yield json.dumps(row, ensure_ascii=False) + "\n"
