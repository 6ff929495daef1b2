"""Rules as data, a folder per language."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from clinnlp.errors import ConfigError

__all__ = ["check_rules", "languages", "load_rules"]

_FOLDER = Path(__file__).parent


def languages(name: str) -> list[str]:
    """Give the languages that have rules of this name."""
    return sorted(path.parent.name for path in _FOLDER.glob(f"*/{name}.yaml"))


def check_rules(name: str, lang: str) -> None:
    """Refuse a language that has no rules of this name, without reading them.

    Raises
    ------
    ConfigError
    """
    if lang not in (known := languages(name)):
        raise ConfigError(f"no rules for {name} in the language {lang!r}: give one of {', '.join(known)}")


@cache
def load_rules(name: str, lang: str) -> dict[str, Any]:
    """Read `rules/LANG/NAME.yaml`; it is read once and shared, so do not change what is given.

    Raises
    ------
    ConfigError
        If the language has no rules of this name.
    """
    check_rules(name, lang)
    rules: dict[str, Any] = yaml.safe_load((_FOLDER / lang / f"{name}.yaml").read_text(encoding="utf-8"))
    return rules
