"""Units: their words, common symbols, and values in one unit a dimension, worked out by pint."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.stages._values.numbers import tidy
from clinnlp.stages._values.text import LETTER, even, word_pattern

__all__ = ["Unit", "Units"]

_TENS = re.compile(r"10\^(-?\d{1,2})$")
_MOST_PARTS = 4
_TEMPERATURE = ("temperature",)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that a text names.

    Parameters
    ----------
    symbol : str
        Common symbol, such as "mg/dL".
    dimensions : tuple of str
        Dimension of each of its parts, the first one above the line.
    dose : bool
        Whether drugs are given in it.
    """

    symbol: str
    dimensions: tuple[str, ...]
    dose: bool = False


class Units:
    """The units of one language.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/values.yaml` holds.
    """

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self._definitions = list(rules["definitions"])
        self._normals: dict[str, str] = rules["normal"]
        self._expressions: dict[str, str] = {"": "1"}
        self._units: dict[str, Unit] = {}
        self._words: dict[str, Unit] = {}
        for dimension, units in rules["units"].items():
            for symbol, entry in units.items():
                self._add(symbol, dimension, entry)
        self._exact = {word: self._units[self._checked(symbol)] for word, symbol in rules["exact"].items()}
        small = {even(word) for word in self._exact}
        self._any_case = set(self._words)
        self._find = re.compile(rf"{word_pattern([*self._words, *small])}(?!(?!x\d){LETTER}|\d)")
        self._found: dict[str, Unit | None] = {}
        self._steps: dict[str, tuple[float, float, str]] = {}
        self._registry: Any = None

    def _add(self, symbol: str, dimension: str, entry: Mapping[str, Any]) -> None:
        unit = self._units.get(symbol) or Unit(symbol, tuple(dimension.split("/")), bool(entry.get("dose")))
        self._units[symbol] = unit
        self._expressions.setdefault(symbol, str(entry.get("pint", symbol)))
        for word in entry.get("words", []):
            self._words[even(word)] = unit

    def _checked(self, symbol: str) -> str:
        if symbol not in self._units:
            raise ConfigError(f"no unit has the symbol {symbol!r} that the rules of values name: add it under units")
        return symbol

    @property
    def symbols(self) -> list[str]:
        """Symbols of all units that have words of their own."""
        return list(self._units)

    def known(self, symbol: str) -> Unit | None:
        """Give the unit that has a symbol, if one has."""
        return self._units.get(symbol)

    def match(self, low: str, text: str, at: int) -> tuple[int, Unit] | None:
        """Find the unit that stands at a place, of the text in one form and of the text as it is.

        Returns
        -------
        end, unit : int, Unit
            None where there is none.
        """
        end, parts = at, []
        if low.startswith("/", at) or (low.startswith("per ", at) and not self._find.match(low, at)):
            parts.append(Unit("", ("count",)))
        while len(parts) < _MOST_PARTS:
            start = end if not parts else _over(low, end)
            found = self._part(low, text, start) if start >= 0 else None
            if found is None or (parts and any(map(self._is_whole, (parts[0], found[1])))):
                break
            end = found[0]
            parts.append(found[1])
        if not parts or not parts[-1].symbol:
            return None
        return end, parts[0] if len(parts) == 1 else self._composed(parts)

    def _is_whole(self, unit: Unit) -> bool:
        """Tell whether a unit is no part of another: a temperature, with a zero of its own, or one that has a line."""
        dimension = unit.dimensions[0]
        return len(unit.dimensions) == 1 and (
            unit.dimensions == _TEMPERATURE or "/" in self._normals.get(dimension, "")
        )

    def _part(self, low: str, text: str, at: int) -> tuple[int, Unit] | None:
        match = self._find.match(low, at)
        if match is None:
            return None
        unit = self._exact.get(text[at : match.end()]) or self._words.get(match.group().replace("  ", " "))
        return None if unit is None else (match.end(), unit)

    def _composed(self, parts: list[Unit]) -> Unit:
        symbol = "/".join(part.symbol for part in parts)
        if symbol not in self._units:
            dimensions = tuple(dimension for part in parts for dimension in part.dimensions)
            # A concentration such as mg/mL, and what is given by weight or time, but no mg/dL of a laboratory.
            dose = parts[0].dose and all(part.symbol in _DOSE_PARTS for part in parts[1:])
            self._units[symbol] = Unit(symbol, dimensions, dose)
        return self._units[symbol]

    def over(self, above: Unit, below: Unit) -> Unit:
        """Give the unit of a concentration."""
        return self._composed([above, below])

    def tens(self, exponent: int, unit: Unit) -> Unit | None:
        """Give the unit of counts that `x 10^9/L` writes, or None where the power belongs to the number."""
        if unit.dimensions != ("count", "volume") or not unit.symbol.startswith(("/", "cells/")):
            return None
        symbol = f"10^{exponent}/{unit.symbol.split('/')[1]}"
        return self._units.setdefault(symbol, Unit(symbol, unit.dimensions))

    def normal(self, number: float, symbol: str) -> tuple[float, str] | None:
        """Give a number in the one unit of its dimension; None where the result would be no number."""
        factor, offset, normal = self._known_step(symbol)
        found = tidy(number * factor + offset)
        return (found, normal) if math.isfinite(found) else None

    def converted(self, number: float, unit: Unit, other: Unit) -> float:
        """Give a number of one unit in another of its dimension."""
        have, want = self._known_step(unit.symbol), self._known_step(other.symbol)
        return tidy((number * have[0] + have[1] - want[1]) / want[0])

    def _known_step(self, symbol: str) -> tuple[float, float, str]:
        if symbol not in self._steps:
            self._steps[symbol] = self._step(symbol)
        return self._steps[symbol]

    def _step(self, symbol: str) -> tuple[float, float, str]:
        unit = self._units[self._checked(symbol)]
        normal = self.normal_symbol(unit)
        registry = self._pint()
        try:
            have, want = (registry.parse_expression(self._expression(name)) for name in (symbol, normal))
            if unit.dimensions == _TEMPERATURE:
                zero, one = (registry.Quantity(at, have.units).to(want.units).magnitude for at in (0.0, 1.0))
                return float(one - zero), float(zero), normal
            return float((have / want).to("dimensionless").magnitude), 0.0, normal
        except Exception as error:
            reason = type(error).__name__
            raise ConfigError(f"pint cannot turn {symbol!r} into {normal!r} ({reason}): mend its `pint`") from error

    def normal_symbol(self, unit: Unit) -> str:
        """Give the one unit of a unit's dimension."""
        name = "/".join(unit.dimensions)
        if name in self._normals:
            return self._normals[name]
        above, *below = unit.dimensions
        first = "1" if above == "count" else self._normals[above]
        return "/".join([first, *(_BELOW.get(part) or self._normals[part] for part in below)])

    def _expression(self, symbol: str) -> str:
        """Give what a symbol, or one composed of several, is in pint."""
        if symbol in self._expressions:
            return self._expressions[symbol]
        parts = []
        for part in symbol.split("/"):
            tens = _TENS.fullmatch(part)
            parts.append(f"1e{tens.group(1)}" if tens else self._expressions.get(part, part))
        return " / ".join(f"({part})" for part in parts)

    def _pint(self) -> Any:
        if self._registry is None:
            # pint takes a second to import.
            from pint import UnitRegistry

            registry: Any = UnitRegistry(cache_folder=None)
            for definition in self._definitions:
                _define(registry, definition)
            # Only now: one may be made of another behind it.
            for definition in self._definitions:
                _define(registry, definition, known=True)
            self._registry = registry
        return self._registry

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_registry": None}


_DOSE_PARTS = {"mL", "kg", "h", "min", "day", "m²", "tsp", "week"}
_BELOW = {"mass": "kg"}


def _define(registry: Any, definition: str, known: bool = False) -> None:
    """Add a definition to those of pint, or see whether one that is there can be worked out."""
    try:
        if known:
            given = re.split("[=;]", definition)[1].strip()
            if not given.startswith("["):  # a dimension of its own
                registry.Quantity(given).to_root_units()
        else:
            registry.define(definition)
    except Exception as error:
        reason = type(error).__name__
        raise ConfigError(f"pint cannot use the definition {definition[:40]!r} ({reason}): mend it") from error


def _over(low: str, at: int) -> int:
    """Give the place behind the line or word of division that stands at a place, or -1."""
    match = _OVER.match(low, at)
    return -1 if match is None else match.end()


_OVER = re.compile(r" ?/ ?| ?per ")
