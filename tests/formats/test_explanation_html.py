"""An explanation as an HTML page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from formats.test_html import Page

from clinnlp.explanation import Explanation, WeightedSpan
from clinnlp.formats import explanation_html

TEXT = "No <b>rash</b>.\n\nWeak & itchy.\n"
EVIL = "<script>alert('x')</script> & \"quoted\""


def explained(text: str, weights: dict[str, float], label: str = "skin", record_id: str = "n7") -> Explanation:
    words = [WeightedSpan(m.start(), m.end(), m[0], weights.get(m[0], 0.0)) for m in re.finditer(r"\w+|[^\w\s]", text)]
    paragraphs = [
        WeightedSpan(m.start(), m.end(), m[0], sum(w.weight for w in words if m.start() <= w.start < m.end()))
        for m in re.finditer(r"[^\n]+", text)
    ]
    return Explanation(record_id, label, 0.875, words, paragraphs, "integrated_gradients", text)


def test_words_are_coloured_by_weight_and_sign_over_the_whole_text() -> None:
    page = explanation_html.to_html(explained(TEXT, {"No": -0.5, "rash": 2.0, "itchy": 1.0, "Weak": 0.001}))
    shown = Page(page)
    assert "".join(shown.note) == TEXT
    assert shown.title == "n7"
    marks = re.findall(r'<mark title="([^"]*)" style="background: rgba\((\d+), \d+, \d+, ([\d.]+)\)[^>]*>([^<]*)', page)
    assert [(text, weight) for weight, _, _, text in marks] == [
        ("No", "-0.500"),
        ("rash", "+2.000"),
        ("itchy", "+1.000"),
    ]
    assert [strength for _, _, strength, _ in marks] == ["0.15", "0.60", "0.30"]
    against, speaks, also = (red for _, red, _, _ in marks)
    assert speaks == also != against


def test_label_probability_method_and_colours_are_told_above_the_text() -> None:
    page = explanation_html.to_html(explained(TEXT, {"rash": 2.0}))
    legend = page[page.index('<p class="legend">') : page.index('<div class="entities"')]
    told = re.sub(r"<[^>]+>", "", legend).replace("&nbsp;", "")
    assert told.strip() == "skin, probability 0.875 (integrated gradients) +2.000 for the label -2.000 against it"
    colors = re.findall(r"rgba\([^)]*\)", legend)
    assert len(set(colors)) == 2
    assert colors[0] in page[page.index('<div class="entities"') :]


def test_the_sentences_that_speak_most_for_the_label_stand_below() -> None:
    shown = Page(explanation_html.to_html(explained(TEXT, {"rash": 1.0, "itchy": 2.0, "Weak": -0.5})))
    assert shown.cells == ["+1.500", "17–30", "Weak & itchy.", "+1.000", "0–15", "No <b>rash</b>."]
    assert Page(explanation_html.to_html(explained("one line", {"line": 1.0}))).cells == []


def test_text_label_and_title_are_escaped_and_nothing_is_fetched() -> None:
    page = explanation_html.to_html(explained(f"{EVIL}\n{EVIL}", {"script": 1.0}, label=EVIL, record_id=EVIL))
    assert "<script" not in page
    assert "alert('x')</script>" not in page
    assert Page(page).title == EVIL
    assert "".join(Page(page).note) == f"{EVIL}\n{EVIL}"
    assert not re.search(r"(?:src|href)=|url\(|@import", page)


@pytest.mark.parametrize("text", ["", " \n", "nothing weighs"])
def test_an_explanation_without_weights_is_a_page_too(text: str) -> None:
    shown = Page(explanation_html.to_html(explained(text, {})))
    assert "".join(shown.note) == text
    assert "<mark" not in explanation_html.to_html(explained(text, {}))


def test_the_page_is_written_whole_as_utf8(tmp_path: Path) -> None:
    path = explained("Fièvre 😷", {"Fièvre": 1.0}).write_html(tmp_path / "out" / "why.html", title="Étude")
    page = path.read_bytes().decode("utf-8")
    assert '<meta charset="utf-8">' in page
    assert "Fièvre" in page
    assert Page(page).title == "Étude"
