"""The lists in `data/`, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["read", "rules", "specialties", "synonyms"]

FOLDER = Path(__file__).parents[1] / "data"


@cache
def read(name: str) -> Any:
    """Give the contents of `data/NAME.yaml`."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def specialties() -> dict[str, dict[str, Any]]:
    """Give the specialties by the name of their service."""
    found = (read(f"specialties/{path.stem}") for path in sorted((FOLDER / "specialties").glob("*.yaml")))
    return {specialty["service"]: specialty for specialty in found}


@cache
def rules() -> dict[str, list[str]]:
    """Give the sentence frames of all rules by name, and the lists of words."""
    found: dict[str, list[str]] = {}
    for path in sorted((FOLDER / "frames").glob("*.yaml")):
        found |= {name: list(frames) for name, frames in read(f"frames/{path.stem}").items()}
    return found


@cache
def synonyms() -> dict[str, str]:
    """Give, for each other name of a condition or symptom, its first name, in small letters."""
    common = read("common")
    lists = [common[name] for name in ("comorbidities", "denied", "past_diseases", "family_diseases")]
    lists += [specialty[name] for specialty in specialties().values() for name in ("conditions", "symptoms")]
    found: dict[str, str] = {}
    for terms in lists:
        for term in terms:
            first, *others = term.partition(" @")[0].lower().split("|")
            found |= dict.fromkeys(others, first)
    return found
