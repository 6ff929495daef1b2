"""A record as an HTML page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from clinnlp import Assertion, Entity, Record
from clinnlp.formats import html


class Page(HTMLParser):
    """What a page shows: the note's text, its highlighted spans with labels and colours, and the table's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.note: list[str] = []
        self.marks: list[tuple[str, str, str]] = []
        self.cells: list[str] = []
        self.title = ""
        self.open: list[str] = []
        self.style = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.note.append("\n")
        elif tag != "meta":
            self.open.append(tag)
        if tag == "mark":
            self.style = dict(attrs)["style"] or ""
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "title" in self.open:
            self.title += data
        elif "td" in self.open:
            self.cells[-1] += data
        elif self.open[-2:] == ["mark", "span"]:
            self.marks[-1] = (self.marks[-1][0], data, self.style)
        elif self.open[-1:] == ["mark"] and data.strip():
            self.marks.append((data, "", ""))
            self.note.append(data)
        elif "div" in self.open and self.open[-1] == "div":
            self.note.append(data)


def test_entities_are_highlighted_in_the_colour_of_their_label() -> None:
    record = Record("Asthma.\nNo fever, cough & asthma.", "n7")
    record.entities = [
        Entity(26, 32, "Disease"),
        Entity(11, 16, "Symptom", assertion=Assertion(negated=True, family=True)),
        Entity(0, 6, "Disease"),
        Entity(18, 23, "Odd<label>"),
    ]
    record.bind()
    page = Page(html.to_html(record, colors={"Odd<label>": "red"}))
    assert "".join(page.note) == record.text
    assert [(text, label) for text, label, _ in page.marks] == [
        ("Asthma", "Disease"),
        ("fever", "Symptom, negated, family"),
        ("cough", "Odd<label>"),
        ("asthma", "Disease"),
    ]
    colors = [style.split(";")[0] for _, _, style in page.marks]
    assert colors[0] == colors[3] == f"background: {html.COLORS['Disease']}"
    assert colors[2] == "background: red"
    assert page.title == "n7"
    assert page.cells == []


def test_a_label_without_a_colour_of_its_own_has_the_same_in_every_note() -> None:
    pages = [html.to_html(Record(text, entities=[Entity(0, 1, "Device")])) for text in ("a b", "c d e")]
    first, second = (Page(page).marks[0][2] for page in pages)
    assert first == second


def test_text_title_and_labels_are_escaped() -> None:
    evil = "<script>alert('x')</script> & \"quoted\""
    record = Record(evil, id=evil, entities=[Entity(0, 8, evil), Entity(2, 5, evil)])
    page = html.to_html(record)
    assert "<script" not in page
    assert "alert('x')</script>" not in page
    shown = Page(page)
    assert "".join(shown.note) == evil
    assert shown.title == evil
    assert shown.cells[1:] == [evil, "cri"]


def test_of_overlapping_entities_the_longest_is_highlighted_and_the_others_are_listed() -> None:
    record = Record(
        "left chest pain", entities=[Entity(5, 10, "Anatomy"), Entity(5, 15, "Symptom"), Entity(0, 0, "Empty")]
    )
    page = Page(html.to_html(record))
    assert [(text, label) for text, label, _ in page.marks] == [("chest pain", "Symptom")]
    assert page.cells == ["5–10", "Anatomy", "chest", "0–0", "Empty", ""]


def test_a_note_without_entities_and_an_empty_one_are_pages_too() -> None:
    assert "".join(Page(html.to_html(Record("No news."))).note) == "No news."
    assert Page(html.to_html(Record(""))).marks == []


def test_the_page_is_written_as_utf8(tmp_path: Path) -> None:
    path = html.write(Record("Fièvre 😷", "n"), tmp_path / "out" / "note.html", title="Étude")
    page = path.read_bytes().decode("utf-8")
    assert '<meta charset="utf-8">' in page
    assert "Fièvre 😷" in page
    assert Page(page).title == "Étude"
