"""Character references and tags, and what only looks like them."""

from __future__ import annotations

import pytest

from clinnlp.stages.cleaning import TextCleaner
from repairs.asserting import repaired, unchanged


def test_character_references_become_characters_also_when_escaped_twice() -> None:
    text = "BP &lt;120&#47;80 &amp;amp; SpO&#x32; &amp;lt;90&nbsp;%"
    assert repaired("html_characters", text) == "BP <120/80 & SpO2 <90\xa0%"


@pytest.mark.parametrize("text", ["R&D; H&P", "AT&T", "&bogus;", "& lt;", "A&P: stable", "&#xZZ;"])
def test_ampersands_of_the_text_stay(text: str) -> None:
    assert unchanged("html_characters", text)


def test_tags_go_and_those_that_end_a_line_end_it() -> None:
    text = "<p>Pt has <b>fever</b>.</p><p>Stable</p><ul><li>one</li><li>two</li></ul>a<br>b<br/>\nc"
    assert repaired("html_tags", text) == "Pt has fever.\nStable\n- one\n- two\na\nb\nc"


def test_comments_scripts_and_styles_go_with_what_is_in_them() -> None:
    text = "a<!-- hidden -->b<style type='x'>p{}</style>c<script>if (1<2) x()</script>d<?xml version='1'?>e"
    assert repaired("html_tags", text) == "abcde"


def test_cells_are_divided_by_tabs() -> None:
    text = "<table><tr><td>Na</td><td>140</td></tr><tr><td>K</td><td>4.1</td></tr></table>"
    assert TextCleaner(["html_tags", "spaces"]).clean(text).text == "Na\t140\nK\t4.1\n"


@pytest.mark.parametrize(
    "text", ["BP <90 and >60", "p<.05", "<PERSON> was", "<5 mg", "a <b and c> d", "x <!-- y", "<-- left"]
)
def test_signs_and_placeholders_that_only_look_like_tags_stay(text: str) -> None:
    assert unchanged("html_tags", text)
