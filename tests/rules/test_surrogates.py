"""Lists that surrogates are taken from: what was given once is given again, or notes of one patient would not agree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest

from clinnlp.rules import load_rules
from clinnlp.stages._identifiers.keyed import Keyed
from clinnlp.stages._identifiers.surrogates import Surrogates
from clinnlp.stages._identifiers.words import first_names

MAKE = Surrogates(Keyed(b"key", "patient"))
KINDS = ["hospital", "clinic", "medical center", "medical centre", "university", "college", "school", "nursing home",
         "pharmacy", "institute", "hospice", "laboratory", "foundation"]  # fmt: skip


def words() -> Iterator[str]:
    """Give words that are no names."""
    for number in range(2000):
        yield "Z" + "".join("aeiou"[number // 5**i % 5] + "bdfgk"[number // 7**i % 5] for i in range(5))


def characters() -> Iterator[str]:
    yield from (chr(0x4E00 + number) for number in range(600))


@pytest.mark.parametrize(
    ("name", "made", "digest"),
    [
        ("last", lambda: map(MAKE.person, words()), "f15a3664f938fb83"),
        ("female", lambda: (MAKE.person(name) for name in sorted(first_names())), "82b42b648bb25307"),
        ("institutions", lambda: (MAKE.institution(f"{word} clinic") for word in words()), "6c2434ec8e7819c1"),
        ("streets", lambda: (MAKE.address(f"12 {word} Street") for word in words()), "a312acc104e7f0ce"),
        ("towns", lambda: map(MAKE.address, words()), "3f587e56417dc1ac"),
        ("professions", lambda: map(MAKE.profession, words()), "a2f63349c28a9e4f"),
        ("surnames", lambda: (MAKE.person(f"{one}明") for one in characters()), "d2b300a6397c453f"),
        ("given", lambda: (MAKE.person(f"王{one}{one}") for one in characters()), "5bdc3e156b4c698a"),
        ("zh institutions", lambda: (MAKE.institution(f"{one}医院") for one in characters()), "e2b041bd474f7bfa"),
        ("zh places", lambda: (MAKE.address(f"{one}市") for one in characters()), "2c40b46aae1d2505"),
    ],
)
def test_surrogates_stay_what_they_were(name: str, made: Callable[[], Iterator[str]], digest: str) -> None:
    assert hashlib.sha256("\n".join(made()).encode()).hexdigest()[:16] == digest


def test_a_place_stays_of_its_kind() -> None:
    for kind in KINDS:
        assert MAKE.institution(f"Zorble {kind}").endswith(f" {kind.title()}")
    assert MAKE.institution("Zorble").endswith(" Hospital")
    assert load_rules("surrogates", "en")["institution_kinds"] == KINDS


def test_professions_are_small_words_each_once() -> None:
    every = load_rules("surrogates", "en")["professions"]
    assert len(set(every)) == len(every)
    assert all(item == item.strip().lower() for item in every)


def test_names_are_written_like_names_and_stand_on_one_list() -> None:
    for lang in ("en", "zh"):
        kinds = ("institution_kinds", "professions")
        lists = {name: some for name, some in load_rules("surrogates", lang).items() if name not in kinds}
        every = [item for some in lists.values() for item in some]
        assert len(set(every)) == len(every)
        assert all(item == item.strip() and (lang == "zh" or item.istitle()) for item in every)
