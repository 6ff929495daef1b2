"""Records with entities in braces, and the flags of their entities as letters."""

from __future__ import annotations

import re
from typing import Any

from clinnlp import Entity, Record
from clinnlp.stages._cues import FLAGS

LETTERS = dict(zip("nhpf", FLAGS, strict=True))


def marked(text: str, **fields: Any) -> Record:
    """Make a record of a text whose entities stand in braces."""
    plain, entities = "", []
    for i, part in enumerate(re.split(r"[{}]", text)):
        if i % 2:
            entities.append(Entity(len(plain), len(plain) + len(part), "Finding"))
        plain += part
    return Record(plain, entities=entities, **fields)


def flags(record: Record) -> list[str]:
    """Give the letters of the flags of each entity."""
    return ["".join(x for x, flag in LETTERS.items() if getattr(e.assertion, flag)) for e in record.entities]
