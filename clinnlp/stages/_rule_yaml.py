"""YAML of a user's rules: nothing is lost or changed between what is written and what is read."""

from __future__ import annotations

from typing import Any

import yaml

from clinnlp.errors import ConfigError
from clinnlp.stages._rules import shown

__all__ = ["read_yaml"]

_MOST_VALUES = 1_000_000
# The C loader of YAML is about ten times as fast, and there wherever PyYAML is installed from a wheel.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader, but that it refuses a key twice, and keeps a whole number as it is written.

    YAML 1.1 reads 0123 as 83 and 12:30 as 750, which may be codes.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Make a mapping; of a key that stands twice the last would win without a word."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                problem = f"it has the key {shown(key.value)} twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            if name is not None:
                seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_whole(self, node: Any) -> int | str:
        """Make a whole number, or a text of what is written in another way."""
        number: int = self.construct_yaml_int(node)
        return number if str(number) == node.value else str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)


def read_yaml(text: str, name: str) -> Any:
    """Read YAML.

    Parameters
    ----------
    text : str
    name : str
        What messages call it.

    Raises
    ------
    ConfigError
        If it is not valid, has a key twice, or holds itself or copies without end.
    """
    try:
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except Exception as error:  # PyYAML lets those of its converters through
        mark = getattr(error, "problem_mark", None)
        at = "" if mark is None else f", line {mark.line + 1}"
        problem = str(getattr(error, "problem", ""))
        told = f": {problem}: take one out" if problem.startswith("it has the key") else ""
        raise ConfigError(f"{name}{at} is not valid YAML ({type(error).__name__}){told}") from None
    most = max(_MOST_VALUES, len(text))  # which no text without aliases has
    if "*" in text and _is_too_much(found, most):
        raise ConfigError(
            f"{name}: what its aliases (*) stand for holds itself, or is over {most:,} values: write it out"
        )
    return found


def _is_too_much(found: Any, most: int) -> bool:
    """Tell whether a value that aliases may have made is endless, or all but endless, when it is walked through."""
    left, number = [found], 0
    while left:
        one = left.pop()
        number += 1
        if number > most:
            return True
        left += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return False
