"""Tables of what each entry of the rules does, written down apart from the rules themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["listed", "read_table", "words_in"]

_FOLDER = Path(__file__).parent


@cache
def read_table(lang: str, name: str) -> Any:
    """Read `tests/rules/LANG/NAME.yaml`; do not change what is given."""
    return yaml.safe_load((_FOLDER / lang / f"{name}.yaml").read_text(encoding="utf-8"))


def words_in(text: str) -> list[str]:
    """Give the entries that `|` parts."""
    return [word.strip() for word in text.split("|")]


def listed(text: str) -> list[str]:
    """Give the entries that white space parts."""
    return text.split()
