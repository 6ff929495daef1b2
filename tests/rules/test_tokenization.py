"""Every unit, abbreviation and mark that the tokenizer knows."""

from __future__ import annotations

import pytest

from clinnlp.rules import load_rules
from clinnlp.stages import Tokenizer
from rules.tables import listed, read_table, words_in

STAGES = {lang: Tokenizer(lang) for lang in ("en", "zh")}


def words(name: str) -> list[str]:
    return words_in(read_table("en", "tokenization")[name])


def tokens(text: str, lang: str = "en") -> list[str]:
    return [token.text for token in STAGES[lang](text).tokens]


def sentences(text: str, lang: str = "en") -> list[str]:
    return [sentence.text for sentence in STAGES[lang](text).sentences]


def test_the_table_is_complete() -> None:
    rules = load_rules("tokenization", "en")
    for name in read_table("en", "tokenization"):
        assert set(words(name)) == set({**rules, **rules["sentences"]}[name]), name


def test_every_unit_is_cut_from_its_number() -> None:
    for unit in words("units"):
        for written in (unit, unit.upper(), unit.capitalize()):
            assert tokens(f"5{written}") == ["5", *tokens(written)], unit
    for unit in words("letter_units"):
        assert tokens(f"5{unit}") == ["5", unit]
    assert [tokens(f"5{word}") for word in ("zorble", "R", "c", "n", "Q")] == [
        ["5zorble"],
        ["5R"],
        ["5c"],
        ["5n"],
        ["5Q"],
    ]


@pytest.mark.parametrize(
    "text",
    listed(
        "12-31-2024 5-12-2024 5-31-2024 31-12-2024 12-5-2024"
        " 12/03/2024 1/2/24 31/12/1999 09/30/05 2024-03-12 1999/3/5 2024-12-31 12-03-2024 31-1-1999 1-Jan-24 2-feb-2024"
        " 3-MAR-24 4-apr-24 5-May-24 6-jun-24 7-jul-24 8-aug-24 9-sep-24 9-sept-24 10-oct-24 11-nov-24 12-dec-2024"
        " 10:30 10:30:05 9:05:59.123"
        " https://example.zz/a?b=c http://x.zz/y www.example.zz a.b+c@mail.example.org"
        " w/o s/p h/o c/o y/o r/o d/c f/u b/l n/v n/a a/p u/a b/p"
        " S/P D&C O&P +/- +/− <= >= -> => --> ===>"
    ),
)
def test_what_is_one_token(text: str) -> None:
    assert tokens(f"see {text} then") == ["see", text, "then"]


def test_clitics_are_cut_from_the_word_before() -> None:
    for mark in ("'", "’"):
        for clitic in ("s", "m", "d", "re", "ve", "ll"):
            assert tokens(f"zorble{mark}{clitic} on") == ["zorble", f"{mark}{clitic}", "on"]
        assert tokens(f"zorblen{mark}t on") == ["zorble", f"n{mark}t", "on"]
    assert tokens("zorble'x on") == ["zorble'x", "on"]


def test_sentences_end_at_each_terminator_and_what_closes_belongs_to_them() -> None:
    for mark in ".!?":
        assert sentences(f"He was well{mark} Zorble came") == [f"He was well{mark}", "Zorble came"]
    for mark in ")]}\"'”’»":
        assert sentences(f"He was well.{mark} Zorble came") == [f"He was well.{mark}", "Zorble came"], mark
    for mark in ":,;(":
        assert len(sentences(f"He was well{mark} Zorble came")) == 1


def test_no_sentence_ends_at_an_abbreviation() -> None:
    for word in words("never_end"):
        for following in ("The zorble", "Zorble", "zorble", "5"):
            assert len(sentences(f"He saw {word}. {following} again")) == 1, word
    for word in words("soft"):
        if word in words("never_end"):
            word = word.upper()  # which is no title, and may be the last word of a sentence in capitals
        for following in ("Zorble", "5"):
            assert len(sentences(f"He saw {word}. {following} again")) == 1, word
        assert len(sentences(f"He saw {word}. The zorble again")) == 2, word
    for word in words("open"):
        written = word if word.endswith(".") else f"{word}."
        assert len(sentences(f"He took 5 {written} IV again")) == 1, word
        assert len(sentences(f"He took 5 {written} daily again")) == 1, word
        assert len(sentences(f"He took 5 {written} Zorble came")) == 2, word
    for word in words("before_number"):
        assert len(sentences(f"He saw {word}. 5 again")) == 1, word
    assert [len(sentences(f"He saw frob. {word} again")) for word in ("The zorble", "Zorble", "zorble", "IV", "5")] == [
        2
    ] * 5


def test_words_that_begin_sentences() -> None:
    for word in words("starters"):
        assert len(sentences(f"He saw Frob Inc. {word.capitalize()} zorble again")) == 2, word
    assert len(sentences("He saw Frob Inc. Zorble again")) == 1


def test_a_line_that_ends_in_some_words_and_marks_goes_on() -> None:
    for word in words("continuers"):
        assert len(sentences(f"He was seen on the ward {word}\nZorble came")) == 1, word
    assert len(sentences("He was seen on the ward frob\nZorble came")) == 2


def test_bullets_begin_sentences_in_lines_that_would_go_on() -> None:
    for mark in words("bullets"):
        assert len(sentences(f"He was seen on the ward of\n{mark} zorble")) == 2, mark
    assert len(sentences("He was seen on the ward of\nzorble")) == 1
    for mark in "•●▪◦‣":
        assert len(sentences(f"aspirin {mark} zorble")) == 2, mark
    assert len(sentences("aspirin * zorble")) == 1


def test_a_line_of_forty_five_characters_is_wrapped_and_a_shorter_one_is_not() -> None:
    line = "He was seen on the ward and was sent home frob"
    assert len(line) == 46
    assert [len(sentences(f"{line[cut:]}\nzorble came")) for cut in (1, 2)] == [1, 2]


# Chinese


@pytest.mark.parametrize(
    "text",
    ["2024-03-12", "2024/3/5", "1999.12.31", "10:30", "10：30", "10:30:05", "10：30：05", "1,200", "1,200.5", "98.6",
     "12", "mmHg", "T2", "HbA1c", "café", "---", "……", "***", "==", "..", "__", "~~", "——"],
)  # fmt: skip
def test_what_is_one_token_among_characters(text: str) -> None:
    assert tokens(f"见{text}再", "zh") == ["见", text, "再"]


def test_where_chinese_sentences_end() -> None:
    for mark in "。！？；!?;｡":
        assert sentences(f"患者好转{mark}今日出院", "zh") == [f"患者好转{mark}", "今日出院"]
    for mark in "”’」』）)】》〉\"'":
        assert sentences(f"患者好转。{mark}今日出院", "zh") == [f"患者好转。{mark}", "今日出院"]
    for mark in "，、：.":
        assert len(sentences(f"患者好转{mark}今日出院", "zh")) == 1
    for mark in "•●▪◦‣":
        assert len(sentences(f"患者好转 {mark} 今日出院", "zh")) == 2


def test_rules_that_are_one_word_or_number() -> None:
    assert load_rules("tokenization", "en")["segmenter"] == "words"
    assert load_rules("tokenization", "zh")["segmenter"] == "characters"
