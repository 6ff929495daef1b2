"""Identifiers planted anywhere, in any letter case and over line ends: none survives, and offsets lead back."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import lexicon_classifier

from clinnlp import Record
from clinnlp.encoders.bio import bio_labels
from clinnlp.stages import Deidentifier
from clinnlp.stages._identifiers.searched import searched

FILLER = [
    "the patient",
    "denies chest pain.",
    "BP 120/80,",
    "aspirin 81 mg",
    "患者",
    "\n\n",
    "Plan:",
    "naïve;",
    "😀",
    "- ",
]
NAMES = ["Zebulon Quarrington", "Xanthe Okonkwo", "O'Malley", "Jean-Luc Achterberg", "Ng", "José Ñandú", "王小明"]
YEAR = re.compile(r"(19|20)\d\d")
BREAKS = [" ", "  ", "\n", "\r\n", " \n  "]

digits = st.integers(0, 9).map(str)


def number(count: int, first: str = "2345678") -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(first), *[digits] * (count - 1)).map("".join)


def with_luhn(body: str) -> str:
    total = sum(int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(body)))
    return body + str(-total % 10)


@st.composite
def identifiers(draw: st.DrawFn) -> str:
    """One identifier with a form; a blank in it may become the end of a line."""
    year, month, day = draw(st.integers(1930, 2029)), draw(st.integers(1, 12)), draw(st.integers(1, 28))
    name = ["January", "Feb", "March", "April", "June", "Oct.", "December"][month % 7]
    area, office, line = draw(number(3)), draw(number(3)), draw(number(4))
    card = with_luhn("4" + draw(number(14)))
    return draw(
        st.sampled_from(
            [
                f"{month}/{day}/{year}",
                f"{month:02}-{day:02}-{year % 100:02}",
                f"{year}-{month:02}-{day:02}",
                f"{name} {day}, {year}",
                f"{day} {name} {year}",
                f"{area}-{office}-{line}",
                f"({area}) {office}-{line}",
                f"+1 {area} {office} {line}",
                f"{area}-{line[:2]}-{line}",
                f"zeb.{line}@mail.example.com",
                f"https://portal.example.org/{line}?id={office}",
                f"10.{int(area) % 256}.{int(office) % 256}.7",
                card,
                " ".join(card[i : i + 4] for i in range(0, 16, 4)),
                f"MRN: {area}{line}",
            ]
        )
    )


def decomposed(text: str) -> str:
    """Part letters from their accents."""
    return unicodedata.normalize("NFD", text)


def wide(text: str) -> str:
    """Write letters, digits and signs as wide as Chinese characters."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def alike(text: str) -> str:
    """Write Cyrillic letters that look like Latin ones."""
    return text.translate(str.maketrans("ABCEHKMOPTXaceiopsxy", "АВСЕНКМОРТХасеіорѕху"))


def hidden(text: str) -> str:
    """Put signs between the others that are not seen."""
    return "\u200b\u3164".join(text)


cases = st.sampled_from([str, str.upper, str.lower, str.title])
spellings = st.sampled_from([str, decomposed, wide, alike, hidden])


@st.composite
def notes(draw: st.DrawFn) -> tuple[str, list[str], dict[str, str]]:
    """A note, what was planted into it as it stands there, and its metadata."""
    name = draw(st.sampled_from(NAMES))
    parts, planted = [], []
    for _ in range(draw(st.integers(1, 4))):
        parts += draw(st.lists(st.sampled_from(FILLER), max_size=4))
        secret = draw(st.one_of(identifiers(), st.just(name)))
        secret = draw(cases)(secret)
        first, *others = secret.split(" ")
        secret = draw(spellings)(first + "".join(draw(st.sampled_from(BREAKS)) + other for other in others))
        parts.append(secret)
        planted.append(secret)
    parts += draw(st.lists(st.sampled_from(FILLER), max_size=4))
    return " ".join(parts), planted, {"patient": name}


def pieces(secret: str) -> list[str]:
    """Give what must not survive of an identifier: its words and numbers, but short ones and its label."""
    words = re.findall(r"[^\W_]+", secret.casefold())
    known = {"https", "com", "org", "example", "mail", "portal", "mrn", "id", "10", "7", "1"}
    plain = {word: searched(word).text for word in words}
    return [word for word in words if len(word) >= 3 and plain[word] not in known and not YEAR.fullmatch(plain[word])]


def check(record: Record, planted: list[str]) -> None:
    edited = record.deidentified
    assert edited is not None
    covered = "".join(
        "\0" if any(e.start <= i < e.end for e in record.identifiers) else char for i, char in enumerate(record.text)
    )
    for secret in planted:
        assert secret.casefold() not in covered.casefold()
        assert not any(
            re.search(rf"(?<![^\W_]){re.escape(one)}(?![^\W_])", covered.casefold()) for one in pieces(secret)
        )
    for entity in record.identifiers:
        assert record.text[entity.start : entity.end] == entity.text
        start, end = edited.to_target(entity.start, entity.end)
        assert edited.to_source(start, end) == (entity.start, entity.end)
    at = 0
    for entity in record.identifiers:  # what no identifier covers is the same on both sides
        start, end = edited.to_target(at, entity.start) if at < entity.start else (0, 0)
        assert edited.text[start:end] == record.text[at : entity.start] or at >= entity.start
        at = entity.end


@pytest.mark.parametrize("mode", ["label", "redact", "hash", "surrogate"])
def test_nothing_planted_survives(mode: str) -> None:
    stage = Deidentifier(mode=mode, key="secret")

    @given(notes())
    @settings(max_examples=50)
    def check_one(note: tuple[str, list[str], dict[str, str]]) -> None:
        text, planted, metadata = note
        record = stage(Record(text, metadata=metadata))
        check(record, planted)
        assert record.deidentified is not None
        if mode != "surrogate":  # whose digits may be the old ones by chance
            for secret in planted:
                assert secret.casefold() not in record.deidentified.text.casefold()

    check_one()


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    words = {"xenia": "B-PERSON", "vandersloot": "I-PERSON"}
    folder = lexicon_classifier(tmp_path_factory.mktemp("head"), words, bio_labels(["PERSON"]))
    return Deidentifier.from_pretrained(folder, window=24, overlap=6)


@given(before=st.integers(0, 60), blank=st.sampled_from(BREAKS), case=cases)
@settings(max_examples=20)
def test_a_name_that_only_the_head_knows_is_found_over_the_edges_of_windows(
    head: Deidentifier, before: int, blank: str, case: object
) -> None:
    name = case(f"Xenia{blank}Vandersloot")  # type: ignore[operator]
    record = head("a " * before + name + " b" * 40)
    assert record.deidentified is not None
    assert not re.search("xenia|vandersloot", record.deidentified.text, re.IGNORECASE)
