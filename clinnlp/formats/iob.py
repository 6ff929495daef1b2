"""Token-per-line files of the CoNLL kind: a token, a tab and its tag; a blank line ends a sentence.

Such files do not hold the spaces between tokens: a sentence's text is its tokens joined by single spaces, and
the offsets of its entities are exact in that text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clinnlp.atomic import replace_file
from clinnlp.errors import FormatError
from clinnlp.record import Entity, Record, Token

__all__ = ["read", "write"]

_BEGIN, _INSIDE, _END, _SINGLE = "B", "IM", "EL", "SUW"
_TAG = re.compile(rf"([{_BEGIN}{_INSIDE}{_END}{_SINGLE}])-(\S+)")
_PIECE = re.compile(r"\w+|[^\w\s]")


def read(path: str | Path, *, labels: Mapping[str, str] | None = None) -> list[Record]:
    """Read a file into one record a sentence, with its tokens and entities; ids are `STEM-0`, `STEM-1` ...

    The schemes IO, IOB1, IOB2 and IOBES (BILOU) are read: an `I` that nothing of its label precedes begins an
    entity. The token is the first column, the tag the last one; a `-DOCSTART-` line is passed over.

    Parameters
    ----------
    path : str or Path
        A UTF-8 file.
    labels : mapping of str to str, optional
        Label in the file -> label in the record; entities of other labels are left out.

    Raises
    ------
    FormatError
        If the file is absent or not UTF-8, or a line has no tab, no token or no known tag.
    """
    path = Path(path)
    records: list[Record] = []
    rows: list[tuple[str, str, str]] = []
    for number, line in enumerate([*_read_lines(path), ""], 1):
        if not line.strip():
            if rows:
                records.append(_record(rows, f"{path.stem}-{len(records)}", labels))
                rows = []
        elif not line.startswith("-DOCSTART-"):
            rows.append(_row(line, f"{path.name}, line {number}"))
    return records


def write(records: Iterable[Record], path: str | Path) -> Path:
    """Write records as IOB2, a sentence each; a record without tokens is cut into words and marks.

    A token that an entity begins or ends inside of is cut there, so that reading gives the same entities; the
    original spaces are not in the file. A record that has `sentences` is written sentence by sentence.

    Raises
    ------
    FormatError
        If two entities of a record overlap, a label has spaces, or an entity crosses two sentences.
    """
    path = Path(path)
    with replace_file(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        for record in records:
            for rows in _sentences(record):
                file.writelines(f"{token}\t{tag}\n" for token, tag in rows)
                file.write("\n")
    return path


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {type(error).__name__}") from None
    try:
        return [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path.name}, line {line}: byte {error.start} is not UTF-8: convert the file") from None


def _row(line: str, where: str) -> tuple[str, str, str]:
    """Give a line's token, the kind of its tag and its label."""
    columns = line.split("\t")
    token, tag = columns[0], columns[-1].strip()
    if len(columns) < 2 or not token.strip():
        raise FormatError(f"{where}: not a token, a tab and a tag")
    if tag == "O":
        return token, "O", ""
    match = _TAG.fullmatch(tag)
    if match is None:
        raise FormatError(f"{where}: the last column is not an IOB tag such as O, B-Disease or I-Disease")
    return token, match[1], match[2]


def _record(rows: Sequence[tuple[str, str, str]], id: str, labels: Mapping[str, str] | None) -> Record:
    tokens: list[Token] = []
    entities: list[Entity] = []
    current: Entity | None = None
    at = 0
    for token, kind, label in rows:
        tokens.append(Token(at, at + len(token)))
        if kind == "O":
            current = None
        else:
            if current is None or kind in _BEGIN + _SINGLE or current.label != label:
                current = Entity(at, at, label)
                entities.append(current)
            current.end = at + len(token)
            if kind in _END + _SINGLE:
                current = None
        at += len(token) + 1
    if labels is not None:
        entities = [entity for entity in entities if entity.label in labels]
        for entity in entities:
            entity.label = labels[entity.label]
    return Record(" ".join(row[0] for row in rows), id=id, tokens=tokens, entities=entities)


def _sentences(record: Record) -> Iterable[list[tuple[str, str]]]:
    tokens = [(token.start, token.end) for token in record.tokens] or [m.span() for m in _PIECE.finditer(record.text)]
    entities = sorted(record.entities, key=lambda entity: (entity.start, entity.end))
    _check(record, entities)
    tokens = [(start, end) for start, end in tokens if record.text[start:end].strip()]
    pieces = _cut(tokens, sorted({edge for entity in entities for edge in (entity.start, entity.end)}))
    ends = sorted(sentence.end for sentence in record.sentences)
    rows: list[tuple[str, str]] = []
    i = sentence = 0
    begun = False
    for start, end in pieces:
        if sentence < len(ends) and start >= ends[sentence]:
            while sentence < len(ends) and start >= ends[sentence]:
                sentence += 1
            if rows:
                yield rows
            rows = []
            if begun and i < len(entities) and start < entities[i].end:
                raise _problem(record, entities[i], "crosses two sentences: write the record without sentences")
        while i < len(entities) and entities[i].end <= start:
            if not begun:
                raise _problem(record, entities[i], "covers no token: give the record tokens that cover it")
            i, begun = i + 1, False
        tag = "O"
        if i < len(entities) and entities[i].start <= start:
            tag, begun = f"{'I' if begun else 'B'}-{entities[i].label}", True
        # A token may hold spaces or line ends, which would end the line.
        rows.append((" ".join(record.text[start:end].split()), tag))
    for entity in entities[i + begun :]:
        raise _problem(record, entity, "covers no token: give the record tokens that cover it")
    if rows:
        yield rows


def _cut(tokens: Sequence[tuple[int, int]], edges: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Cut tokens at the edges of entities; both are sorted."""
    i = 0
    for start, end in tokens:
        while i < len(edges) and edges[i] <= start:
            i += 1
        while i < len(edges) and edges[i] < end:
            yield start, edges[i]
            start = edges[i]
            i += 1
        yield start, end


def _check(record: Record, entities: Sequence[Entity]) -> None:
    end = 0
    for entity in entities:
        if not re.fullmatch(r"\S+", entity.label):
            raise _problem(record, entity, "has an empty label or one with spaces: rename it")
        if entity.start < end:
            raise _problem(record, entity, "overlaps another: IOB holds only entities that do not")
        end = entity.end


def _problem(record: Record, entity: Entity, what: str) -> FormatError:
    return FormatError(f"record {record.id!r}: the entity [{entity.start}, {entity.end}) {what}")
