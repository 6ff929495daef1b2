"""The rules of values: those of a language, with what it takes over from another and what a user adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.rules import load_rules
from clinnlp.stages._rule_yaml import read_yaml
from clinnlp.stages._rules import shown

__all__ = ["check_own", "read_own", "value_rules"]

_OWN = ("definitions", "normal", "units", "exact", "names", "forms", "routes", "frequencies")
_ENTRY: dict[str, dict[str, Any]] = {
    "units": {"words": list, "pint": str, "dose": bool},
    "forms": {"words": list, "weak": bool},
    "routes": {"words": list, "weak": list},
    "frequencies": {"words": list, "weak": list, "number": (int, float)},
}
# pint works out powers of whole numbers to the last digit, which 9**9**9 has 370 million of.
_POWER = re.compile(r"(?:\*\*|\^)\s*(?P<by>[+-]?\d{1,2}(?:\.\d{1,3})?(?![\d.]))?(?P<again>\s*(?:\*\*|\^))?")
_RAISED = re.compile(r"[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_RAISED_TO = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_MOST_POWERS = 4
_HIGHEST = 15
_LONGEST = 200
_DEFINITION = re.compile(r"\s*[^\W\d][^=]*=\s*\S")


def value_rules(lang: str, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give the rules of a language; words of `own` are added, and win."""
    rules = load_rules("values", lang)
    if base := rules.get("extends"):
        rules = _joined(value_rules(base), rules)
    return _joined(rules, own) if own else rules


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        added = {key: _joined(first[key], value) if key in first else value for key, value in second.items()}
        return {**first, **added}
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    return second


def read_own(path: str | Path) -> dict[str, Any]:
    """Read a user's rules.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds what rules of values cannot.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the rules of values cannot be read ({type(error).__name__}): give a YAML file") from error
    return check_own(read_yaml(text, "the file of rules of values"))


def check_own(rules: Any) -> dict[str, Any]:
    """Refuse rules of a user with fields or entries of another form.

    Raises
    ------
    ConfigError
    """
    if not isinstance(rules, Mapping):
        raise ConfigError(f"the rules of values are a mapping, not {type(rules).__name__}: give some of {_known(_OWN)}")
    for field, value in rules.items():
        if field not in _OWN:
            raise ConfigError(f"the rules of values have no field {field!r}: give some of {_known(_OWN)}")
        if field in ("definitions", "names"):
            _check_words(value, field)
            for definition in value if field == "definitions" else ():
                _check_definition(definition)
        elif not isinstance(value, Mapping):
            raise ConfigError(f"{field} in the rules of values is a mapping, not {type(value).__name__}")
        elif field == "units":
            for dimension, units in value.items():
                _check_entries(units, "units", f"units: {dimension}")
                for symbol, entry in units.items():
                    _check_powers(str(entry.get("pint", symbol)), f"units: {dimension}: {shown(symbol)}")
        elif field in _ENTRY:
            _check_entries(value, field, field)
        else:
            _check_words(list(value.values()), field)
    return dict(rules)


def _check_entries(entries: Any, field: str, where: str) -> None:
    if not isinstance(entries, Mapping):
        raise ConfigError(f"{where} in the rules of values is a mapping, not {type(entries).__name__}")
    for name, entry in entries.items():
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{where}: {name!r} in the rules of values is a mapping with `words`")
        for key, value in entry.items():
            if key not in _ENTRY[field]:
                raise ConfigError(f"{where}: {name!r} has no field {key!r}: give some of {_known(_ENTRY[field])}")
            if not isinstance(value, _ENTRY[field][key]):
                raise ConfigError(f"{where}: {name!r}: {key} cannot be of type {type(value).__name__}")
        _check_words(entry.get("words", []), f"{where}: {name!r}: words")


def _check_words(words: Any, where: str) -> None:
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise ConfigError(f"{where} in the rules of values is not a list of texts: quote numbers and leave none empty")


def _check_definition(definition: str) -> None:
    if not _DEFINITION.match(definition):
        raise ConfigError(f"the definition {shown(definition)} defines no unit: write `name = 5 milliliter`")
    name, _, given = definition.partition("=")
    if re.search(rf"(?<![\w\[]){re.escape(name.strip())}(?![\w\]])", re.split("[=;]", given)[0]):
        raise ConfigError(f"the definition {shown(definition)} names itself: say what the unit is in others")
    _check_powers(definition, f"the definition {shown(definition)}")


def _check_powers(expression: str, where: str) -> None:
    """Refuse what pint could not work out in any time: high powers, and powers of powers."""
    written = _RAISED.sub(lambda raised: f"**{raised.group().translate(_RAISED_TO)}", expression)
    powers = list(_POWER.finditer(written))
    if len(written) > _LONGEST:
        raise ConfigError(f"{where} has over {_LONGEST} characters for pint: write it shorter")
    if len(powers) > _MOST_POWERS or any(
        not power["by"] or power["again"] or abs(float(power["by"])) > _HIGHEST for power in powers
    ):
        most = f"at most {_MOST_POWERS}, each by a number up to {_HIGHEST}"
        raise ConfigError(f"{where} has powers that pint is not given: write {most}")


def _known(names: Any) -> str:
    return ", ".join(names)
