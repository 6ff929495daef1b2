"""What a run did, in numbers."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clinnlp.engines.release import section_name
from clinnlp.record import Record

__all__ = ["IdCounter", "RunReport"]


@dataclass
class RunReport:
    """What a run read, found and wrote.

    Parameters
    ----------
    records, characters : int
        Records in the output, and the length of their raw texts in code points.
    errors : int
        Records on which something failed.
    failures : dict of str to int
        `stage: class of error` -> how often.
    duplicate_ids : int
        Records whose id an earlier record has.
    entities, sections : dict of str to int
        Label, or canonical name of a section -> how many were found; `other` for sections named after their heading.
    labels : dict of str to int
        `set: label` -> of how many records it is the best label of that set.
    parts : int
        Files that hold the output.
    resumed : int
        Those of them that an earlier run had finished.
    seconds : float
        Wall time of this run.
    """

    records: int = 0
    characters: int = 0
    errors: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    duplicate_ids: int = 0
    entities: dict[str, int] = field(default_factory=dict)
    sections: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    parts: int = 0
    resumed: int = 0
    seconds: float = 0.0

    def add_record(self, record: Record) -> None:
        """Count a record that was written."""
        self.records += 1
        self.characters += len(record.text)
        self.errors += bool(record.errors)
        _add(self.failures, Counter(f"{failure.stage}: {failure.error}" for failure in record.errors))
        _add(self.entities, Counter(entity.label for entity in record.entities))
        _add(self.sections, Counter(map(section_name, record.sections)))
        _add(self.labels, Counter(f"{name}: {found[0].name}" for name, found in record.labels.items() if found))

    def add_counts(self, counts: Mapping[str, Any]) -> None:
        """Count what `counts` gave of another report."""
        for name, value in counts.items():
            mine = getattr(self, name)
            if isinstance(mine, dict):
                _add(mine, value)
            else:
                setattr(self, name, mine + value)

    def counts(self) -> dict[str, Any]:
        """Give the counts of records and of what they hold, sorted, for the journal."""
        names = ("records", "characters", "errors", "failures", "entities", "sections", "labels")
        found = {name: getattr(self, name) for name in names}
        return {name: dict(sorted(n.items())) if isinstance(n, dict) else n for name, n in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values; entities, sections and labels by how many there are."""
        plain = asdict(self)
        for name in ("failures", "entities", "sections", "labels"):
            plain[name] = dict(sorted(plain[name].items(), key=lambda item: (-item[1], item[0])))
        return plain


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


class IdCounter:
    """Counts ids that occurred before, in memory that does not grow with their number.

    Digests of the ids are in a database that spills into a temporary file, which is gone when this is closed.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # an empty name is a private file that no folder lists
        self._database.execute("CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID")
        self.duplicates = 0

    def add(self, given: str) -> None:
        """Count one id."""
        digest = hashlib.blake2b(given.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        added = self._database.execute("INSERT OR IGNORE INTO ids VALUES (?)", (digest,)).rowcount
        self.duplicates += added == 0

    def close(self) -> None:
        """Forget all ids."""
        self._database.close()
