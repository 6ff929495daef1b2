"""The standoff format of the brat annotation tool: `NAME.txt` and, beside it, `NAME.ann`.

Offsets in an `.ann` file are Unicode code points of its text, half-open, which is what a `Record` has.
The format: https://brat.nlplab.org/standoff.html
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from clinnlp.atomic import replace_file
from clinnlp.errors import FormatError
from clinnlp.record import Assertion, Entity, Record

__all__ = ["Overlaps", "longest", "read", "read_folder", "write"]

Overlaps = Literal["keep", "longest"]

_ASSERTIONS = ("negated", "hypothetical", "historical", "family")
_LABEL = re.compile(r"[^\s;,:]+")


def read(path: str | Path, *, labels: Mapping[str, str] | None = None, overlaps: Overlaps = "keep") -> Record:
    r"""Read one document; its id is the file's name without `.txt`.

    Entities of one contiguous span are read; a span cut only by line ends counts as one. Those of several
    parts are left out, and `metadata["discontinuous"]` says how many they were. Attributes of an entity, or
    of its event, go to `Entity.attributes`; those that `write` makes of an assertion become one again.

    Parameters
    ----------
    path : str or Path
        The `.txt` file, read as it is: its line ends stay.
    labels : mapping of str to str, optional
        Label in the file -> label in the record; entities of other labels are left out.
    overlaps : {"keep", "longest"}
        `"longest"` keeps, of entities that overlap, the longest; see `longest`.

    Raises
    ------
    FormatError
        If a file is absent or not UTF-8, or a line of the `.ann` does not fit the text.
    """
    path = Path(path)
    notes = path.with_suffix(".ann")
    text = _read_text(path)
    reader = _Reader(text, notes.name)
    for number, line in enumerate(_read_text(notes).split("\n"), 1):
        reader.line(number, line.removesuffix("\r"))
    reader.resolve_attributes()
    wanted = [entity for entity in reader.entities.values() if labels is None or entity.label in labels]
    for entity in wanted:
        entity.label = entity.label if labels is None else labels[entity.label]
    if overlaps == "longest":
        wanted = longest(wanted)
    skipped = sum(labels is None or label in labels for label in reader.discontinuous)
    metadata = {"discontinuous": skipped} if skipped else {}
    return Record(text, id=path.stem, entities=wanted, metadata=metadata)


def read_folder(
    folder: str | Path, *, labels: Mapping[str, str] | None = None, overlaps: Overlaps = "keep"
) -> list[Record]:
    """Read every document of a folder, sorted by id; the arguments are those of `read`.

    Raises
    ------
    FormatError
        If the folder has no `.txt` file with an `.ann` beside it, or one of them cannot be read.
    """
    paths = sorted(path for path in Path(folder).glob("*.txt") if path.with_suffix(".ann").is_file())
    if not paths:
        raise FormatError(f"{Path(folder).name}: no .txt file with an .ann file beside it: give a folder of brat files")
    return [read(path, labels=labels, overlaps=overlaps) for path in paths]


def write(record: Record, folder: str | Path) -> Path:
    """Write `ID.txt` and `ID.ann`: entities, true assertions and plain attributes; give the text's path.

    Raises
    ------
    FormatError
        If the record's id cannot be a file's name, or an entity is empty or has a label that brat cannot hold.
    """
    if not record.id or record.id != Path(record.id).name or record.id in (".", ".."):
        raise FormatError(f"the id of record {record.id!r} cannot be a file's name: give it another")
    lines: list[str] = []
    attributes: list[str] = []
    for number, entity in enumerate(record.entities, 1):
        where = f"record {record.id!r}: entity [{entity.start}, {entity.end})"
        if not _LABEL.fullmatch(entity.label):
            raise FormatError(f"{where} has a label with spaces or marks that brat cannot hold: rename it")
        if entity.start == entity.end:
            raise FormatError(f"{where} is empty: brat cannot hold it")
        covered = _one_line(record.text[entity.start : entity.end])
        lines.append(f"T{number}\t{entity.label} {entity.start} {entity.end}\t{covered}")
        for name, value in _attributes(entity, where):
            attributes.append(f"A{len(attributes) + 1}\t{name} T{number}{value}")
    path = Path(folder) / f"{record.id}.txt"
    notes = "".join(f"{line}\n" for line in lines + attributes)
    for target, content in ((path, record.text), (path.with_suffix(".ann"), notes)):
        with replace_file(target) as new:
            new.write_bytes(content.encode("utf-8"))
    return path


def longest(entities: Iterable[Entity]) -> list[Entity]:
    """Keep, of entities that overlap, the longest; of equally long ones the first in the text, then in the list."""
    starts: list[int] = []
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda e: (e.start - e.end, e.start)):
        i = bisect_left(starts, entity.start)
        free_before = i == 0 or kept[i - 1].end <= entity.start
        free_after = i == len(kept) or entity.end <= kept[i].start
        if free_before and free_after:
            starts.insert(i, entity.start)
            kept.insert(i, entity)
    return kept


class _Reader:
    """What the lines of one `.ann` file say."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.entities: dict[str, Entity] = {}
        self.discontinuous: list[str] = []
        self.events: dict[str, str] = {}
        self.attributes: list[tuple[str, str, str | bool]] = []

    def line(self, number: int, line: str) -> None:
        kind = line[:1]
        if kind == "T":
            self._entity(number, line)
        elif kind == "E":
            # "E1<TAB>Label:T4 Role:T5": what an event's attributes say holds of its trigger.
            name, _, rest = line.partition("\t")
            self.events[name] = rest.partition(" ")[0].rpartition(":")[2]
        elif kind in ("A", "M"):
            fields = line.partition("\t")[2].split(" ")
            if len(fields) not in (2, 3):
                raise self._error(number, "an attribute is not 'ID<TAB>Name Target [Value]'")
            self.attributes.append((fields[1], fields[0], fields[2] if len(fields) == 3 else True))
        elif line and kind not in ("R", "N", "#", "*"):
            raise self._error(number, "not a line of brat's standoff format")

    def resolve_attributes(self) -> None:
        for target, name, value in self.attributes:
            entity = self.entities.get(self.events.get(target, target))
            if entity is None:
                continue
            if value is True and name.lower() in _ASSERTIONS:
                entity.assertion = entity.assertion or Assertion()
                setattr(entity.assertion, name.lower(), True)
            else:
                entity.attributes[name] = value

    def _entity(self, number: int, line: str) -> None:
        fields = line.split("\t", 2)
        label, _, places = fields[1].partition(" ") if len(fields) == 3 else ("", "", "")
        parts = [re.fullmatch(r"(\d{1,12}) (\d{1,12})", place) for place in places.split(";")]
        if not label or not all(parts):
            raise self._error(number, "an entity is not 'ID<TAB>Label START END<TAB>Text'")
        if fields[0] in self.entities:
            raise self._error(number, f"the id {fields[0]} is used twice")
        spans = [(int(part[1]), int(part[2])) for part in parts if part]
        for start, end in spans:
            if not start < end <= len(self.text):
                raise self._error(number, f"the span [{start}, {end}) lies outside the text of length {len(self.text)}")
        covered = _one_line(" ".join(self.text[start:end] for start, end in spans))
        # Some tools write more after a further tab.
        if not f"{_one_line(fields[2])}\t".startswith(f"{covered}\t"):
            raise self._error(number, f"the text at offset {spans[0][0]} is not the entity's")
        if self._only_line_ends_between(spans):
            self.entities[fields[0]] = Entity(spans[0][0], spans[-1][1], label)
        else:
            self.discontinuous.append(label)

    def _only_line_ends_between(self, spans: Sequence[tuple[int, int]]) -> bool:
        gaps = [self.text[before[1] : after[0]] for before, after in pairwise(spans)]
        return all("\n" in gap and not gap.strip(" \t\r\n") for gap in gaps)

    def _error(self, number: int, what: str) -> FormatError:
        return FormatError(f"{self.name}, line {number}: {what}")


def _attributes(entity: Entity, where: str) -> list[tuple[str, str]]:
    found = [(name.capitalize(), "") for name in _ASSERTIONS if entity.assertion and getattr(entity.assertion, name)]
    for name, value in entity.attributes.items():
        if not isinstance(value, (str, int, float)) or value is False:
            continue
        shown = "" if value is True else f" {value}"
        if not re.fullmatch(r"\S+", name) or not re.fullmatch(r"( \S+)?", shown):
            raise FormatError(f"{where} has an attribute with spaces, which brat cannot hold: leave it out")
        found.append((name, shown))
    return found


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {type(error).__name__}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path.name}, line {line}: byte {error.start} is not UTF-8: convert the file") from None
