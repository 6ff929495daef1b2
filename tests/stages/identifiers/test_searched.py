"""The text that is searched has plain signs and no others, and all that is found in it leads back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinnlp.alignment import delete
from clinnlp.stages._identifiers.searched import joined, searched

BREAK = re.compile(r"(?<=[^\s])[ \t]*(?:\r?\n|\r)[ \t]*(?=[^\s])")
texts = st.text(st.sampled_from("ab1.  \t\r\n\n\u200b\u00ad\u2028é患"), max_size=30)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("BP 120/80,\tno ~pain\r\n", "BP 120/80,\tno ~pain\r\n"),
        ("5\u00a0mg\u2013`a´ ２０ ＡＢ", "5 mg-'a' 20 AB"),
        ("a\u2028b\x0bc\x0cd\x85e", "a\nb\nc\nd\ne"),
        ("a\u200bb\u00adc\x00d\x1fe\ufefff", "abcdef"),
        ("é患😀½ß", "é患😀½ß"),
        ("3\u20444\u22155 O\u2032B \x91c\x92 d\x96e", "3/4/5 O'B 'c' d-e"),
        ("Jose\u0301 Z\u0334e\u0334b a\u200b\u0301 \u0301x 1\ufe0f\u20e32", "José Zeb á x 12"),
        ("a\u3164b\u2062c\uffa0d\U000e0041e", "abcde"),
        ("Аnnа Κοκκο ᴀɴɴ Søren ⼩", "Anna Kokko ann Soren 小"),
        ("µg β Ω Привет", "µg β Ω Пpиbet"),
        ("`\u1fef", "'`"),  # what one sign stands for is not replaced once more
    ],
)
def test_signs_are_made_plain(text: str, plain: str) -> None:
    assert searched(text).text == plain


def test_it_does_not_matter_how_many_different_signs_there_are() -> None:
    strange = "".join(map(chr, [*range(0xFF01, 0xFF5F), 0x1FEF, *range(0x660, 0x66A)]))
    some = [searched(sign).text for sign in strange]
    assert searched(f"`{strange}").text == "'" + "".join(some)


@given(texts)
def test_lines_are_joined_and_lead_back_as_deletions_do(text: str) -> None:
    view = searched(text)
    lines = joined(view)
    expected = view.then([delete(*match.span()) for match in BREAK.finditer(view.text)])
    assert lines.text == expected.text
    assert (lines is view) == (expected is view)
    for start in range(len(lines.text)):
        for end in range(start + 1, len(lines.text) + 1):
            assert lines.to_source(start, end) == expected.to_source(start, end)
