"""More records to train on: mentions swapped, typos made, terms abbreviated, with every offset kept.

Of what stood on the old text the new records have the entities only: `cleaned`, tokens, sentences and sections have
to be made again by the earlier stages of the pipeline. Id, metadata, labels and images are kept. A record is given
`copies` times, less those times at which nothing changed in it.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

from clinnlp.alignment import Alignment, Edit
from clinnlp.errors import ConfigError
from clinnlp.record import FIELDS, Record
from clinnlp.rules import load_rules

__all__ = ["add_noise", "swap_entities"]

_KEPT = ("images", "metadata", "labels", "entities")
# The first and last letter stay, so a shorter word has too little to change: "no" must not become "on".
_WORD = re.compile(r"\b[A-Za-z]{4,}\b")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_US_KEYBOARD = "qwertyuiop asdfghjkl zxcvbnm"


def swap_entities(records: Iterable[Record], share: float, rng: random.Random, copies: int = 1) -> list[Record]:
    """Make records in which gold entities are replaced by other mentions of their type.

    A mention is drawn from the distinct ones in the same records. An entity that goes over a line's end, or that
    another begins, ends or fully lies in, stays; one around what was replaced changes its length with it. Both lose
    their attributes, since a concept's id is no longer true, but not their assertion, which is the place's.

    Parameters
    ----------
    records : iterable of Record
        Training records with gold entities. Of those with `cleaned` or tokens the copies have none; see the module.
    share : float
        Probability, 0 to 1, that an entity is replaced.
    rng : random.Random
        Of one in the same state the same records come.
    copies : int
        How often each record is gone through, at least 1.

    Raises
    ------
    ConfigError
        If `share` or `copies` is out of range.

    References
    ----------
    "Mention replacement" in Dai & Adel (2020), An Analysis of Simple Data Augmentation for Named Entity
    Recognition, COLING.
    """
    _check(copies, share=share)
    records = list(records)
    # A dictionary keeps the order, which a set of texts does not from one process to the next.
    found: dict[str, dict[str, None]] = {}
    for record in records:
        record.bind(["entities"])
        for entity in record.entities:
            if _is_one_line(entity.text):
                found.setdefault(entity.label, {})[entity.text] = None
    mentions = {label: list(texts) for label, texts in found.items()}

    def edits_of(record: Record) -> list[Edit]:
        edges, spans = _edges(record), Counter((e.start, e.end) for e in record.entities)
        edits: list[Edit] = []
        for e in record.entities:
            alone = spans[e.start, e.end] == 1 and not _crosses(edges, e.start, e.end)
            if rng.random() < share and alone and _is_one_line(e.text) and len(mentions[e.label]) > 1:
                while (mention := rng.choice(mentions[e.label])) == e.text:
                    pass
                edits.append(Edit(e.start, e.end, mention))
        return edits

    return _edit_all(records, copies, edits_of, same_meaning=False)


def add_noise(
    records: Iterable[Record], typos: float, abbreviations: float, rng: random.Random, copies: int = 1
) -> list[Record]:
    """Make records with typos, and with clinical terms abbreviated or written out.

    A typo swaps two letters, drops one, adds one or hits the key beside it, inside a word of four ASCII letters or
    more. Terms and abbreviations are those of `rules/en/abbreviations.yaml`; abbreviations are told by their case.
    Nothing is changed that the edge of an entity goes through; what changes inside an entity changes its length.

    Parameters
    ----------
    records : iterable of Record
        Of those with `cleaned` or tokens the copies have none; see the module.
    typos, abbreviations : float
        Probabilities, 0 to 1: that a word gets one typo; that a term is abbreviated, or an abbreviation written out.
    rng, copies
        As for `swap_entities`.

    Raises
    ------
    ConfigError
        If a probability or `copies` is out of range.

    References
    ----------
    Typos: Pruthi, Dhingra & Lipton (2019), Combating Adversarial Misspellings with Robust Word Recognition, ACL,
    whose four kinds of edit leave the first and last letter; keyboard: Belinkov & Bisk (2018), Synthetic and Natural
    Noise Both Break Neural Machine Translation, ICLR. Abbreviations: "synonym replacement" in Dai & Adel (2020).
    """
    _check(copies, typos=typos, abbreviations=abbreviations)

    def edits_of(record: Record) -> list[Edit]:
        edges, edits = _edges(record), []
        pattern, written = _abbreviations()
        for match in pattern.finditer(record.text):
            if rng.random() < abbreviations and not _crosses(edges, *match.span()):
                key = match["long"].lower() if match["long"] else match["short"]
                edits.append(Edit(*match.span(), written[key]))
        taken = {place for edit in edits for place in range(edit.start, edit.end)}
        for match in _WORD.finditer(record.text):
            free = taken.isdisjoint(range(*match.span()))
            if rng.random() < typos and free and not _crosses(edges, *match.span()):
                edits.append(Edit(*match.span(), _misspelt(match[0], rng)))
        return edits

    return _edit_all(list(records), copies, edits_of, same_meaning=True)


def _edit_all(
    records: list[Record], copies: int, edits_of: Callable[[Record], list[Edit]], same_meaning: bool
) -> list[Record]:
    made = ((record, edits_of(record)) for _ in range(copies) for record in records)
    return [_edit(record, edits, same_meaning) for record, edits in made if edits]


def _edit(record: Record, edits: list[Edit], same_meaning: bool) -> Record:
    alignment = Alignment(len(record.text), edits)
    new = record.copy(without=[name for name in FIELDS if name not in _KEPT])
    text = alignment.apply(record.text)
    for entity in new.entities:
        before = entity.text
        entity.start, entity.end = alignment.to_target(entity.start, entity.end)
        entity.text = text[entity.start : entity.end]
        if entity.text != before and not same_meaning:
            entity.attributes = {}
    kept = {name: getattr(new, name) for name in _KEPT}
    return Record(text, record.id, **kept, found=record.found & set(_KEPT))


def _check(copies: int, **shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share}: give a probability from 0 to 1")
    if copies < 1:
        raise ConfigError(f"copies is {copies}: give 1 or more")


def _is_one_line(text: str) -> bool:
    return bool(text.strip()) and text.splitlines() == [text]


def _edges(record: Record) -> list[int]:
    return sorted({edge for entity in record.entities for edge in (entity.start, entity.end)})


def _crosses(edges: list[int], start: int, end: int) -> bool:
    """Tell whether an edge stands strictly inside a stretch."""
    return bisect_right(edges, start) < bisect_left(edges, end)


@cache
def _abbreviations() -> tuple[re.Pattern[str], dict[str, str]]:
    """Give the pattern of terms (group `long`, any case) and abbreviations (`short`), and what each is replaced by."""
    pairs: dict[str, str] = load_rules("abbreviations", "en")["pairs"]
    # The longest first: a term may begin with another.
    long, short = ("|".join(map(re.escape, sorted(texts, key=len, reverse=True))) for texts in (pairs.values(), pairs))
    # ASCII case only: with Unicode's, "ſ" would match an "s" and not be found by lower().
    pattern = re.compile(rf"(?<!\w)(?:(?P<long>(?ia:{long}))|(?P<short>{short}))(?!\w)")
    return pattern, pairs | {term.lower(): abbreviation for abbreviation, term in pairs.items()}


def _misspelt(word: str, rng: random.Random) -> str:
    """Give a word of four letters or more with one typo between its first and last letter; never the word itself."""
    swaps = [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]
    kind = rng.choice(("swap", "drop", "add", "key") if swaps else ("drop", "add", "key"))
    if kind == "swap":
        at = rng.choice(swaps)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    at = rng.randrange(1, len(word) - 1)
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    key = _US_KEYBOARD.index(word[at].lower())
    beside = (_US_KEYBOARD[max(key - 1, 0) : key] + _US_KEYBOARD[key + 1 : key + 2]).strip()
    letter = rng.choice(_LETTERS if kind == "add" else beside)
    letter = letter.upper() if word[at].isupper() else letter
    return word[:at] + letter + word[at if kind == "add" else at + 1 :]
