from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinnlp.alignment import Edit, EditedText
from clinnlp.errors import ConfigError
from clinnlp.record import Assertion, Entity, Image, Label, Record, Section, Sentence, Token
from clinnlp.rules import load_rules
from clinnlp.training.augmentation import add_noise, swap_entities

PAIRS: dict[str, str] = load_rules("abbreviations", "en")["pairs"]
PIECES = [
    "hypertension", "HTN", "Shortness of Breath", "shortness of", "SOB", "s/p", "chronic kidney disease", "ſtatus poſt",
    "denies", "patient", "no", "BID", "500mg", "aaaa", "co\u0301digo", " ", " ", " ", ", ", ".\n", "\r\n", "\u2028",
    "-", "\u6025\u6027", "\U0001f637",
]  # fmt: skip
SEEDS = st.integers(0, 2**32)


@st.composite
def gold(draw: st.DrawFn) -> list[Record]:
    """Records with entities that may be nested, overlap, touch, repeat or stand in the middle of a word."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        pieces = draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14))
        text = "".join(pieces)
        edges = [0]
        for piece in pieces:
            edges.append(edges[-1] + len(piece))
        # Most edges are those of pieces, or few entities could be edited.
        edge = st.one_of(st.sampled_from(edges), st.sampled_from(edges), st.integers(0, len(text)))
        pairs = draw(st.lists(st.tuples(edge, edge, st.sampled_from("AB")), max_size=6))
        made.append(Record(text, entities=[Entity(min(p), max(p), label) for *p, label in pairs if len(set(p)) == 2]))
    return made


def line_ends(text: str) -> list[str]:
    return re.findall("[\r\n\u2028]", text)


def words_masked(text: str) -> str:
    """The text with each word of three letters or more, which typos may make of one of four, as one letter."""
    return re.sub(r"\b[A-Za-z]{3,}\b", "w", text)


def canonical(text: str) -> str:
    """The text with every term abbreviated."""
    for short, long in sorted(PAIRS.items(), key=lambda pair: -len(pair[1])):
        text = re.sub(rf"(?<!\w)(?ia:{re.escape(long)})(?!\w)", short, text)
    return text


def outside(record: Record) -> list[str]:
    """The characters that are in no entity."""
    inside = {place for e in record.entities for place in range(e.start, e.end)}
    return [c for place, c in enumerate(record.text) if place not in inside]


def check_same_entities(old: Record, new: Record) -> None:
    assert [e.label for e in new.entities] == [e.label for e in old.entities]
    assert all(e.text and new.text[e.start : e.end] == e.text for e in new.entities)
    assert line_ends(new.text) == line_ends(old.text)


def pairs_of(old: list[Record], new: list[Record]) -> list[tuple[Record, Record]]:
    """Each new record with the one it was made from."""
    by_id = {record.id: record for record in old}
    return [(by_id[record.id], record) for record in new]


def numbered(records: list[Record]) -> list[Record]:
    for number, record in enumerate(records):
        record.id = str(number)
    return records


@given(gold(), SEEDS)
def test_swapped_entities_are_mentions_of_their_type_and_all_other_text_stays(records: list[Record], seed: int) -> None:
    numbered(records)
    mentions = {(e.label, e.text) for record in records for e in record.entities}
    for old, new in pairs_of(records, swap_entities(records, 0.7, random.Random(seed), copies=2)):
        check_same_entities(old, new)
        assert outside(new) == outside(old)
        assert new.entities != old.entities
        for a, b in zip(old.entities, new.entities, strict=True):
            within = any(e is not a and a.start <= e.start and e.end <= a.end for e in old.entities)
            # One around another may have changed with it into what is no mention.
            assert within or (b.label, b.text) in mentions


@given(gold(), SEEDS)
def test_typos_change_single_words_and_entities_go_with_them(records: list[Record], seed: int) -> None:
    numbered(records)
    for old, new in pairs_of(records, add_noise(records, 0.7, 0.0, random.Random(seed), copies=2)):
        check_same_entities(old, new)
        assert new.text != old.text
        for a, b in zip(old.entities, new.entities, strict=True):
            for x, y in ((a.text, b.text), (old.text[: a.start], new.text[: b.start])):
                assert words_masked(x) == words_masked(y)


@given(gold(), SEEDS)
def test_abbreviations_mean_the_same_and_entities_go_with_them(records: list[Record], seed: int) -> None:
    numbered(records)
    for old, new in pairs_of(records, add_noise(records, 0.0, 0.7, random.Random(seed), copies=2)):
        check_same_entities(old, new)
        assert new.text != old.text
        for a, b in zip(old.entities, new.entities, strict=True):
            for cut in (lambda r, e: e.text, lambda r, e: r.text[: e.start], lambda r, e: r.text[e.end :]):
                assert canonical(cut(old, a)) == canonical(cut(new, b))


@given(gold(), SEEDS)
def test_both_kinds_of_noise_keep_entities_in_place(records: list[Record], seed: int) -> None:
    numbered(records)
    for old, new in pairs_of(records, add_noise(records, 0.5, 0.5, random.Random(seed))):
        check_same_entities(old, new)


@given(gold(), SEEDS)
def test_the_same_seed_gives_the_same_records(records: list[Record], seed: int) -> None:
    for make in (
        lambda: swap_entities(records, 0.5, random.Random(seed), copies=2),
        lambda: add_noise(records, 0.3, 0.5, random.Random(seed), copies=2),
    ):
        assert make() == make()


def spans(text: str, *found: tuple[str, str], **more: Any) -> Record:
    return Record(text, entities=[Entity(at := text.index(t), at + len(t), label) for t, label in found], **more)


def test_every_entity_that_can_be_is_swapped_at_a_share_of_one() -> None:
    records = [
        spans("Has gout, takes aspirin.", ("gout", "Disease"), ("aspirin", "Drug")),
        spans("No asthma; on insulin glargine.", ("asthma", "Disease"), ("insulin glargine", "Drug")),
    ]
    made = swap_entities(records, 1.0, random.Random(0))
    assert [r.text for r in made] == ["Has asthma, takes insulin glargine.", "No gout; on aspirin."]
    assert [[e.text for e in r.entities] for r in made] == [["asthma", "insulin glargine"], ["gout", "aspirin"]]


def test_a_share_of_the_entities_is_swapped() -> None:
    text = " ".join(f"e{i}" for i in range(1000))
    record = Record(text, entities=[Entity(m.start(), m.end(), "X") for m in re.finditer(r"\S+", text)])
    (made,) = swap_entities([record], 0.3, random.Random(0))
    assert 250 < sum(a.text != b.text for a, b in zip(record.entities, made.entities, strict=True)) < 350


def test_an_inner_entity_is_swapped_and_the_outer_one_goes_with_it() -> None:
    record = spans("A lung cancer. The liver.", ("lung cancer", "Disease"), ("lung", "Site"), ("liver", "Site"))
    record.entities[0].attributes = {"concept_id": "C1"}
    (made,) = swap_entities([record], 1.0, random.Random(0))
    assert made.text == "A liver cancer. The lung."
    assert [e.text for e in made.entities] == ["liver cancer", "liver", "lung"]
    assert made.entities[0].attributes == {}
    assert record.entities[0].attributes == {"concept_id": "C1"}


def test_entities_that_overlap_or_share_a_span_are_not_swapped() -> None:
    other = spans("gout, rash", ("gout", "A"), ("rash", "B"))
    crossed = spans("renal artery stenosis", ("renal artery", "A"), ("artery stenosis", "A"))
    twins = spans("chest pain", ("chest pain", "A"), ("chest pain", "B"))
    over_lines = spans("chest\npain", ("chest\npain", "A"))
    for record in (crossed, twins, over_lines):
        record.id = "stays"
        assert not [r for r in swap_entities([record, other], 1.0, random.Random(0), 3) if r.id == "stays"]
    assert not swap_entities([spans("only gout", ("gout", "A"))], 1.0, random.Random(0))


def test_mentions_over_a_lines_end_are_not_put_elsewhere() -> None:
    records = [spans("chest\npain", ("chest\npain", "A")), spans("gout", ("gout", "A")), spans("rash", ("rash", "A"))]
    made = swap_entities(records, 1.0, random.Random(0), copies=5)
    assert {r.text for r in made} == {"gout", "rash"}


def test_terms_are_abbreviated_and_abbreviations_written_out() -> None:
    record = spans("Hypertension, SOB, s/p stent; htn. ASOB", ("Hypertension", "A"), ("SOB", "B"))
    (made,) = add_noise([record], 0.0, 1.0, random.Random(0))
    assert made.text == "HTN, shortness of breath, status post stent; htn. ASOB"
    assert [(e.text, e.label) for e in made.entities] == [("HTN", "A"), ("shortness of breath", "B")]


def test_a_term_that_an_entity_begins_or_ends_in_stays() -> None:
    record = spans("shortness of breath", ("breath", "A"))
    assert add_noise([record], 0.0, 1.0, random.Random(0)) == []
    (made,) = add_noise([spans("shortness of breath", ("shortness of breath", "A"))], 0.0, 1.0, random.Random(0))
    assert made.entities == [Entity(0, 3, "A", "SOB")]


def test_a_word_that_an_entity_begins_or_ends_in_gets_no_typo() -> None:
    record = Record("metformin", entities=[Entity(0, 3, "A")])
    assert add_noise([record], 1.0, 0.0, random.Random(0)) == []
    whole = Record("metformin", entities=[Entity(0, 9, "A")])
    (made,) = add_noise([whole], 1.0, 0.0, random.Random(0))
    assert made.entities[0].text == made.text != "metformin"


def test_entities_that_touch_do_not_take_from_each_other() -> None:
    record = Record("HTN-SOB", entities=[Entity(0, 3, "A"), Entity(3, 4, "B"), Entity(4, 7, "C"), Entity(0, 7, "D")])
    (made,) = add_noise([record], 0.0, 1.0, random.Random(0))
    assert [e.text for e in made.entities] == ["hypertension", "-", "shortness of breath", made.text]


def distance(a: str, b: str) -> int:
    """Edits between two words, a swap of neighbours being one."""
    row: dict[tuple[int, int], int] = {}
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if not i or not j:
                row[i, j] = i + j
                continue
            row[i, j] = min(row[i - 1, j] + 1, row[i, j - 1] + 1, row[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                row[i, j] = min(row[i, j], row[i - 2, j - 2] + 1)
    return row[len(a), len(b)]


def test_a_typo_is_one_edit_inside_a_word_and_all_four_kinds_are_made() -> None:
    kinds = set()
    for seed in range(200):
        (made,) = add_noise([Record("Metformin")], 1.0, 0.0, random.Random(seed))
        word = made.text
        assert distance("Metformin", word) == 1
        assert (word[0], word[-1]) == ("M", "n")
        same_letters = sorted(word) == sorted("Metformin")
        kinds.add("swap" if same_letters else {-1: "drop", 0: "key", 1: "add"}[len(word) - len("Metformin")])
        if len(word) == len("Metformin") and not same_letters:
            (pair,) = [(a, b) for a, b in zip("Metformin", word, strict=True) if a != b]
            assert any("".join(p) in "qwertyuiop asdfghjkl zxcvbnm" for p in (pair, pair[::-1]))
    assert kinds == {"swap", "drop", "key", "add"}


def test_a_share_of_the_words_gets_a_typo_and_short_ones_and_numbers_none() -> None:
    text = " ".join(["morning no 500mg pt"] * 1000)
    (made,) = add_noise([Record(text)], 0.2, 0.0, random.Random(0))
    words = made.text.split(" ")
    assert 150 < sum(word != "morning" for word in words[::4]) < 250
    assert all(words[i::4] == [word] * 1000 for i, word in ((1, "no"), (2, "500mg"), (3, "pt")))


def test_what_stood_on_the_old_text_is_dropped_and_the_rest_kept() -> None:
    entity = Entity(0, 3, "A", assertion=Assertion(negated=True), attributes={"concept_id": "C1"}, source="me")
    record = Record(
        "HTN noted",
        "7",
        entities=[entity],
        labels={"kind": [Label("x")]},
        metadata={"patient": "p"},
        images=[Image(data=b"1")],
        cleaned=EditedText.of("HTN noted", [Edit(3, 3, " was")]),
        tokens=[Token(0, 3)],
        sentences=[Sentence(0, 9)],
        sections=[Section(0, 9)],
    )
    before = record.to_dict()
    (made,) = add_noise([record], 0.0, 1.0, random.Random(0))
    kept = {"id": "7", "labels": before["labels"], "metadata": {"patient": "p"}, "images": before["images"]}
    changed = {"text": "hypertension noted", "entities": [{**before["entities"][0], "end": 12, "text": "hypertension"}]}
    assert made.to_dict() == kept | changed
    made.metadata["patient"] = "q"
    made.entities[0].attributes["concept_id"] = "C2"
    assert record.to_dict() == before


def test_a_record_that_was_searched_and_has_no_entity_still_says_so() -> None:
    (made,) = add_noise([Record("HTN", entities=[], found={"entities", "tokens"})], 0.0, 1.0, random.Random(0))
    assert made.has("entities")
    assert not made.has("tokens")


def test_copies_come_from_each_record_in_turn_and_none_where_nothing_changed() -> None:
    records = [Record("HTN", "1"), Record("nil", "2"), Record("SOB", "3")]
    assert [r.id for r in add_noise(records, 0.0, 1.0, random.Random(0), copies=2)] == ["1", "3", "1", "3"]
    assert add_noise(records, 0.0, 0.0, random.Random(0)) == []
    assert swap_entities([], 1.0, random.Random(0)) == []


def test_shares_and_copies_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"share is 1\.5"):
        swap_entities([], 1.5, random.Random(0))
    with pytest.raises(ConfigError, match=r"typos is -0\.1"):
        add_noise([], -0.1, 0.0, random.Random(0))
    with pytest.raises(ConfigError, match="abbreviations is nan"):
        add_noise([], 0.0, float("nan"), random.Random(0))
    with pytest.raises(ConfigError, match="copies is 0"):
        swap_entities([], 0.5, random.Random(0), copies=0)


def test_abbreviations_are_many_and_lead_there_and_back() -> None:
    assert len(PAIRS) >= 80
    assert all(isinstance(short, str) and isinstance(long, str) for short, long in PAIRS.items())
    assert len({long.lower() for long in PAIRS.values()}) == len(PAIRS)
    assert not {long.lower() for long in PAIRS.values()} & {short.lower() for short in PAIRS}
    for short, long in PAIRS.items():
        for text, other in ((short, long), (long, short), (long.upper(), short)):
            (made,) = add_noise([Record(f"({text})")], 0.0, 1.0, random.Random(0))
            assert made.text == f"({other})"
