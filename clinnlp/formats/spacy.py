"""Records as spaCy documents, and back without loss.

A `Doc` is cut at every edge of a token, an entity and a sentence, so that each of them is exact; where a record has
no tokens, at words and marks. `doc.ents` holds the longest entities that do not overlap, `doc.spans["entities"]` all
of them. What a `Doc` has no place for (scores,
assertions, attributes, sections, labels and the rest) is in `doc.user_data["clinnlp"]`; nothing global is set.

Reading a `Doc` back gives the record as it was, but for what was changed in the meantime: entities that left
`doc.ents` are gone and new ones are there, and so with those that stand in the span group alone; tokens and sentences
that were cut anew are read from the `Doc`.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from clinnlp.formats.brat import longest
from clinnlp.record import Entity, Record, Sentence, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spacy.tokens import Doc, Span
    from spacy.vocab import Vocab

__all__ = ["GROUP", "KEY", "LINK", "from_spacy", "to_spacy"]

KEY = "clinnlp"
"""Where `doc.user_data` holds the rest of a record."""
GROUP = "entities"
"""The span group of all entities."""

LINK = "kb_id"
"""The attribute of an entity that is its link to a knowledge base."""

_WORDS = re.compile(r"\w+|[^\w\s]|\s+")


def to_spacy(record: Record, vocab: Vocab | None = None) -> Doc:
    """Give a record as a spaCy `Doc` of its raw text.

    Parameters
    ----------
    record : Record
    vocab : Vocab, optional
        By default that of a blank English pipeline.
    """
    from spacy.tokens import Doc, Span

    words, spaces, starts = _cut(record)
    sentence_starts: list[Any] | None = None
    if record.sentences:
        first = {sentence.start for sentence in record.sentences}
        sentence_starts = [start in first or start == 0 for start in starts]
    doc = Doc(vocab or _vocab(), words=words, spaces=spaces, sent_starts=sentence_starts)
    first_at = {start: i for i, start in enumerate(starts)}
    last_at = {start + len(word): i + 1 for i, (start, word) in enumerate(zip(starts, words, strict=True))}

    def span(entity: Entity) -> Span:
        link = entity.attributes.get(LINK)
        kb_id = link if isinstance(link, str) else ""
        return Span(doc, first_at[entity.start], last_at[entity.end], label=entity.label, kb_id=kb_id)

    whole = [entity for entity in record.entities if entity.start < entity.end]
    doc.set_ents([span(entity) for entity in longest(entity for entity in whole if entity.label)], default="outside")
    doc.spans[GROUP] = [span(entity) for entity in whole]
    doc.user_data[KEY] = {
        "record": {name: value for name, value in record.to_dict().items() if name != "text"},
        "tokens": _tokens(doc),
        "sentences": _sentence_starts(doc),
        "ents": [list(_place(one)) for one in doc.ents],
        "group": [list(_place(one)) for one in doc.spans[GROUP]],
    }
    return doc


def from_spacy(doc: Doc) -> Record:
    """Make a record of a spaCy `Doc`, one that `to_spacy` made or any other.

    Of another, tokens are those that are not white space, sentences have no white space around them, and entities
    are those of `doc.ents` and of the span group `entities`. A link to a knowledge base is the attribute `kb_id`.
    """
    text = doc.text
    known = doc.user_data.get(KEY) or {}
    plain = dict(known.get("record", {}))
    tokens = _tokens(doc)
    if not known or tokens != [list(pair) for pair in known["tokens"]]:
        plain["tokens"] = [Token(start, end) for start, end in tokens if not text[start:end].isspace()]
    starts = _sentence_starts(doc)
    if starts is not None and (not known or starts != known["sentences"]):
        plain["sentences"] = _sentences(doc, text)
    before = Record.from_dict({"text": text, "entities": plain.get("entities")}).entities
    entities = _entities(doc, before, known)
    if entities or before or (not known and doc.has_annotation("ENT_IOB")):
        plain["entities"] = entities
    return Record.from_dict({**plain, "text": text})


def _cut(record: Record) -> tuple[list[str], list[bool], list[int]]:
    """Cut a text into words with or without a space behind them, exactly at every edge; give their starts too."""
    text = record.text
    exact: list[Any] = [*record.tokens, *record.entities]
    starts = {span.start for span in (*exact, *record.sentences)}
    ends = {span.end for span in exact}
    edges = {0, len(text), *starts, *ends, *(sentence.end for sentence in record.sentences)}
    if not record.tokens:
        edges.update(edge for match in _WORDS.finditer(text) for edge in match.span())
    words: list[str] = []
    spaces: list[bool] = []
    kept: list[int] = []
    for start, end in pairwise(sorted(edges)):
        word = text[start:end]
        inside = start in starts or (end in ends and end == start + 1)
        if words and not spaces[-1] and word[0] == " " and word.isspace() and not inside:
            spaces[-1] = True
            start, word = start + 1, word[1:]
        if word:
            words.append(word)
            spaces.append(False)
            kept.append(start)
    return words, spaces, kept


def _entities(doc: Doc, before: Sequence[Entity], known: dict[str, Any]) -> list[Entity]:
    """Give the entities of a document: those of before that nobody took away, and those that are new."""
    was_ents, was_group = (Counter(map(tuple, known.get(name, ()))) for name in ("ents", "group"))
    group = doc.spans[GROUP] if GROUP in doc.spans else ()  # noqa: SIM401 - SpanGroups.get makes a copy
    now_ents, now_group = Counter(map(_place, doc.ents)), Counter(map(_place, group))
    gone_ents, gone_group = was_ents - now_ents, was_group - now_group
    added = (now_ents - was_ents) | (now_group - was_group)
    links = {_place(one): one.kb_id_ for one in doc.ents if one.kb_id_}
    kept: list[Entity] = []
    for entity in before:
        place = (entity.start, entity.end, entity.label)
        seen, gone = (was_ents, gone_ents) if was_ents[place] else (was_group, gone_group)
        seen[place] -= 1
        if gone[place] > 0:
            gone[place] -= 1
            continue
        if place in links:
            entity.attributes[LINK] = links[place]
        kept.append(entity)
    if not added:
        return kept
    for span in (*doc.ents, *group):
        if added[_place(span)] > 0:
            added[_place(span)] -= 1
            attributes = {LINK: span.kb_id_} if span.kb_id_ else {}
            kept.append(Entity(span.start_char, span.end_char, span.label_, attributes=attributes))
    return sorted(kept, key=lambda entity: (entity.start, entity.end))


def _place(span: Span) -> tuple[int, int, str]:
    return span.start_char, span.end_char, span.label_


def _tokens(doc: Doc) -> list[list[int]]:
    return [[token.idx, token.idx + len(token)] for token in doc]


def _sentence_starts(doc: Doc) -> list[int] | None:
    return [token.idx for token in doc if token.is_sent_start] if doc.has_annotation("SENT_START") else None


def _sentences(doc: Doc, text: str) -> list[Sentence]:
    found: list[Sentence] = []
    for span in doc.sents:
        covered = text[span.start_char : span.end_char]
        start = span.start_char + len(covered) - len(covered.lstrip())
        if stripped := covered.strip():
            found.append(Sentence(start, start + len(stripped)))
    return found


@cache
def _vocab() -> Vocab:
    import spacy

    vocab: Vocab = spacy.blank("en").vocab
    return vocab
