"""Only some blocks of a text are searched for a pattern: what is found is what a search of all of it finds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

import clinnlp
from clinnlp.stages._identifiers import engine
from clinnlp.stages._identifiers.engine import REACH, WHITE, Block, Encoded, Sieve
from clinnlp.stages._identifiers.patterns import PatternFinder, _Read, _sieve, _spans

try:
    from re import _constants as constants  # type: ignore[attr-defined]
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_constants as constants
    import sre_parse as parser

FINDER = PatternFinder(["en", "zh"])
PATTERNS = [pattern for lang in FINDER.patterns for pattern in FINDER.patterns[lang]]
# Whose words a line's end and as many blanks as may be part.
FAR = [
    text.replace(" ", "  \n   ")
    for text in (
        "12 Old Quarry Mill Creek Road, Apt 4, Ulm, TX 71127",
        "GB82 WEST 1234 5698 7654 32",
        "P O Box 12",
        "Call 555 867 5309",
        "zeb [at] mail. example. org",
        "lives in Old Quarry Town",
        "March 5 , 2024",
    )
]


def long_texts() -> Iterator[str]:
    """Texts of many blocks: notes, and identifiers at places that chance decides, so that some lie over an edge."""
    notes = [record.text for record in clinnlp.corpora.load("notes")["all"]]
    yield "\n".join(notes)
    yield "é " + "\n".join(notes).upper()
    chance = random.Random(0)
    for least in (1, 20, 200):
        yield " ".join(" and " * chance.randint(0, least) + chance.choice(FAR) for _ in range(20_000 // (least + 20)))
    yield "患者王小明，男，93岁，于2024年3月5日入院。 " * 2000


def test_the_texts_have_what_patterns_find_far_apart() -> None:
    assert sum("\n" in text[one.start : one.end] for text in FAR for one in FINDER.find(f"x {text} x")) >= 5


@pytest.mark.parametrize("text", list(long_texts()))
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_blocks_hide_no_match(text: str, lang: str) -> None:
    read = _Read(text)
    blocks = dict(_sieve(lang, False).blocks(read.data))
    assert not blocks or max(block.end for some in blocks.values() for block in some) <= len(read.data)
    whole = [Block(0, len(read.data), len(read.data))]
    for number, pattern in enumerate(FINDER.patterns[lang]):
        assert list(_spans(pattern, read, blocks.get(number, ()))) == list(_spans(pattern, read, whole))


def test_a_text_is_cut_into_blocks_that_follow_each_other_and_reach_further() -> None:
    text = "a b  c\n" * 5_000
    blocks = list(engine._blocks(text.encode()))
    assert len(blocks) > 10
    assert (blocks[0].start, blocks[-1].end, blocks[-1].reach) == (0, len(text), len(text))
    for block, following in pairwise(blocks):
        assert block.end == following.start
        seen = sum(text.count(sign, block.end, block.reach) for sign in WHITE)
        assert seen > REACH or block.reach == len(text)
        assert block.reach <= following.end


def test_what_a_pattern_needs_before_a_block_is_seen() -> None:
    sieve = Sieve([r"\b bc", r"\B bc"])
    text = "a bc" * 5_000
    assert [number for number, _ in sieve.blocks(text.encode())] == [0]
    text = ". bc" * 5_000
    assert [number for number, _ in sieve.blocks(text.encode())] == [1]


def test_where_the_engine_cannot_tell_every_pattern_is_searched_for() -> None:
    class Failing:
        def Match(self, text: bytes) -> None:
            """As RE2 does where its memory does not suffice."""

    sieve = Sieve(["a", "b", "c"])
    assert [number for number, _ in sieve.blocks(b"xxbxx")] == [1]
    sieve._groups = [(first, count, Failing()) for first, count, _ in sieve._groups]
    assert sieve.blocks(b"xxbxx") == [(number, [Block(0, 5, 5)]) for number in range(3)]


def test_a_byte_leads_to_its_code_point() -> None:
    for text in ("abc", "é患😀a", ""):
        read = Encoded(text)
        at = [len(text[:i].encode()) for i in range(len(text) + 1)]
        assert [read.place(byte) for byte in at] == list(range(len(text) + 1))


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.text[:30])
def test_no_match_has_as_much_white_space_as_a_block_reaches(pattern: Any) -> None:
    assert white_space(parser.parse(as_python(pattern.text))) < REACH


def test_white_space_is_counted_as_it_may_stand_there() -> None:
    assert white_space(parser.parse(r"a b[ c]{2,5}(?:\s{3}|\n)\d+[^x]\W{2}.\S*")) == 1 + 5 + 3 + 1 + 2 + 1
    assert white_space(parser.parse(as_python(r"[\pL ]*"))) == float("inf")


def as_python(pattern: str) -> str:
    """Write a pattern of RE2 with classes that Python knows; which letters they hold does not matter here."""
    made, inside, at = "", False, 0
    classes = {r"\p{Han}": "一-龥", r"\p{Lu}": "A-Z", r"\pL": "a-z", r"\pN": "0-9"}
    while at < len(pattern):
        name = next((name for name in classes if pattern.startswith(name, at)), "")
        size = len(name) or (2 if pattern[at] == "\\" else 1)
        part = pattern[at : at + size]
        made += part if not name else classes[name] if inside else f"[{classes[name]}]"
        inside = (inside or part == "[") and part != "]"
        at += size
    return made


def white_space(items: Any) -> float:
    """Give the most white-space signs that a match of a parsed expression may have."""
    count = 0.0
    for kind, value in items:
        if kind is constants.LITERAL:
            count += chr(value) in WHITE
        elif kind is constants.IN:
            count += any(holds(value, sign) for sign in WHITE)
        elif kind in (constants.NOT_LITERAL, constants.ANY):
            count += 1
        elif kind in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            each = white_space(value[2])
            count += each and each * (float("inf") if value[1] is constants.MAXREPEAT else value[1])
        elif kind is constants.SUBPATTERN:
            count += white_space(value[3])
        elif kind is constants.BRANCH:
            count += max(map(white_space, value[1]))
        else:
            assert kind is constants.AT, f"a kind of expression that is not counted here: {kind}"
    return count


def holds(items: Any, sign: str) -> bool:
    """Tell whether a class of signs has one."""
    spaces = (constants.CATEGORY_SPACE, constants.CATEGORY_NOT_DIGIT, constants.CATEGORY_NOT_WORD)
    found = any(
        (kind is constants.LITERAL and value == ord(sign))
        or (kind is constants.RANGE and value[0] <= ord(sign) <= value[1])
        or (kind is constants.CATEGORY and value in spaces)
        for kind, value in items
    )
    return found != any(kind is constants.NEGATE for kind, _ in items)
