"""Readers of corpora whose gold is the assertion of entities."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from clinnlp._corpus_files import Parts, existing
from clinnlp.errors import FormatError
from clinnlp.record import Assertion, Entity, Record, Sentence

__all__ = ["read_bioscope", "read_negex"]

_NEGEX_FIELDS = 6
_TRAIN_TENTHS = 6


def read_negex(folder: Path) -> Parts:
    """Read `annotations.tsv`: a record a row, with the condition as its one entity, in the case of its own column.

    The rows have no report, so they are cut by sentence: `train` and `devel`, about 6 to 4, share none, numbers, marks
    and case aside.
    """
    path = existing(folder, "annotations.tsv")
    found: Parts = {"train": [], "devel": []}
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            if len(row) != _NEGEX_FIELDS:
                raise FormatError(f"{path.name}, line {number}: {len(row)} fields, not {_NEGEX_FIELDS}")
            record = None if number == 1 else _negex_record(row)
            if record is not None:
                found[_part(row[2])].append(record)
    return found


def _negex_record(row: list[str]) -> Record | None:
    """Make the record of a row; None where the condition is not in its sentence."""
    line, condition, sentence, negation, temporality, experiencer = row
    # Of several places the marked one is in capitals, and not the title in front of it.
    match = _place(condition.upper(), sentence) or _place(condition, sentence, re.IGNORECASE)
    if match is None:
        return None
    shown = condition if len(condition) == len(match[0]) else match[0].lower()
    text = sentence[: match.start()] + shown + sentence[match.end() :]
    assertion = Assertion(
        negated=negation == "Negated",
        hypothetical=negation == "Possible" or temporality == "Hypothetical",
        historical=temporality == "Historical",
        family=experiencer not in ("Patient", ""),
    )
    entity = Entity(match.start(), match.end(), "Condition", assertion=assertion)
    return Record(text, f"negex-{line}", entities=[entity])


def _place(words: str, sentence: str, flags: int = 0) -> re.Match[str] | None:
    *_, last = [None, *re.finditer(r"\s+".join(map(re.escape, words.split())), sentence, flags)]
    return last


def _part(sentence: str) -> str:
    words = " ".join(re.findall(r"[^\W\d_]+", sentence.lower()))
    return "train" if int(hashlib.sha256(words.encode()).hexdigest()[:8], 16) % 10 < _TRAIN_TENTHS else "devel"


def read_bioscope(folder: Path) -> Parts:
    """Read `abstracts.xml`: a record an abstract, with its sentences, and its scopes as entities.

    The entity of a scope is its longest stretch beside its cue, labelled `Scope`, asserted with all scopes that it
    stands in; a cue is an entity `negation` or `speculation` without an assertion. Stretches of at least three words
    of a sentence without a scope are entities `Outside`: nothing is asserted of them. Of each five abstracts, by
    their ids, the fifth is for development.
    """
    path = existing(folder, "abstracts.xml")
    try:
        documents = list(ElementTree.parse(path).getroot().iter("Document"))  # noqa: S314 - a file of the user's
    except ElementTree.ParseError as error:
        raise FormatError(f"{path.name}, line {error.position[0]}: not XML") from None
    records = sorted((_bioscope_record(document) for document in documents), key=lambda record: record.id)
    return {
        "train": [record for i, record in enumerate(records) if i % 5 != 4],
        "devel": [record for i, record in enumerate(records) if i % 5 == 4],
    }


def _bioscope_record(document: ElementTree.Element) -> Record:
    text = ""
    sentences: list[Sentence] = []
    entities: list[Entity] = []
    for element in document.iter("sentence"):
        if text:
            text += " "
        start = len(text)
        text += "".join(element.itertext())
        sentences.append(Sentence(start, len(text)))
        entities += _scopes(element, start, len(text), text)
    entities = list({(e.start, e.end, e.label): e for e in sorted(entities, key=lambda e: (e.start, e.end))}.values())
    return Record(text, document.findtext("DocID") or "", sentences=sentences, entities=entities)


def _scopes(sentence: ElementTree.Element, start: int, end: int, text: str) -> list[Entity]:
    """Give the scopes and cues of a sentence, or one stretch of it where it has none."""
    spans = list(_walk(sentence, start))
    cues = [(low, high, element.get("type", "")) for element, low, high in spans if element.tag == "cue"]
    kinds = {element.get("ref"): element.get("type", "") for element, _, _ in spans if element.tag == "cue"}
    scopes = [(low, high, element.get("id")) for element, low, high in spans if element.tag == "xcope"]
    if not scopes:
        low, high = _trimmed(text, start, end)
        return [Entity(low, high, "Outside", assertion=Assertion())] if text[low:high].count(" ") >= 2 else []
    made = [Entity(low, high, kind) for low, high, kind in cues if low < high]
    for low, high, _ in scopes:
        stretch = _trimmed(text, *_longest_gap(low, high, [(a, b) for a, b, _ in cues]))
        if stretch[0] < stretch[1]:
            around = [name for a, b, name in scopes if a <= stretch[0] and stretch[1] <= b]
            found = {kinds.get(name) for name in around}
            gold = Assertion(negated="negation" in found, hypothetical="speculation" in found)
            made.append(Entity(*stretch, "Scope", assertion=gold))
    return made


def _walk(element: ElementTree.Element, at: int) -> Iterator[tuple[ElementTree.Element, int, int]]:
    """Give the elements inside one with the offsets of their text."""
    at += len(element.text or "")
    for child in element:
        size = len("".join(child.itertext()))
        yield child, at, at + size
        yield from _walk(child, at)
        at += size + len(child.tail or "")


def _longest_gap(start: int, end: int, cues: list[tuple[int, int]]) -> tuple[int, int]:
    edges = [(start, start), *sorted((a, b) for a, b in cues if start <= a and b <= end), (end, end)]
    gaps = [(edges[i][1], edges[i + 1][0]) for i in range(len(edges) - 1)]
    return max(gaps, key=lambda gap: gap[1] - gap[0])


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not text[start].isalnum():
        start += 1
    while start < end and not text[end - 1].isalnum():
        end -= 1
    return start, end
