"""A record as an HTML page."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image

from clinnlp import Assertion, Entity, Image, Label, Record
from clinnlp.explanation import Finding, FusedExplanation, HeatMap
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
        self.in_note = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.note.append("\n")
        elif tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "div":
            self.in_note = dict(attrs).get("class") == "entities"
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
        elif self.open[-1:] == ["div"] and self.in_note:
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


def explained() -> tuple[Record, FusedExplanation]:
    """A case with two pictures, the second of which is broken, and why its label was found."""
    pixels = np.zeros((40, 60), dtype=np.uint8)
    pixels[10:20, 30:40] = 200
    text = "Lump <left>. No pain & no fever."
    record = Record(text, "case", images=[Image(pixels, labels={"shape": [Label("oval", 0.75)]}), Image(data=b"no")])
    record.labels = {"risk": [Label("high", 0.81), Label("low", 0.19)], "tone": []}
    heat = np.zeros((40, 60), dtype=np.float32)
    heat[10:20, 30:40] = 1
    findings = [
        Finding("images", 2.0, image=0),
        Finding("text", 0.5, text=text[:12], start=0, end=12),
        Finding("metadata", 0.01, name="sex", text="F"),
        Finding("course", -0.3, text="a <b>past"),
        Finding("metadata", -1.0, name="age", text="31"),
    ]
    shares = [Label("images", 0.7), Label("text", 0.3)]
    maps = [HeatMap("case", 0, "high", 0.81, heat, Image(pixels).pixels(), "LayerCAM")]
    return record, FusedExplanation("case", "high", 0.81, shares, findings, maps)


def test_a_page_tells_the_answer_what_speaks_for_and_against_it_and_shows_the_pictures(tmp_path: Path) -> None:
    record, why = explained()
    source = html.write(record, tmp_path / "case.html", explanations=[why]).read_text(encoding="utf-8")
    page = Page(source)
    assert "".join(page.note) == record.text
    assert "<b>high</b>, probability 0.81" in source
    for_it, against = source.split("Speaks for high")[1].split("Speaks against high")
    against = against.partition("</table>")[0]
    assert "picture 1" in for_it
    assert "Lump &lt;left&gt;." in for_it
    assert "(0&ndash;12)" in for_it
    assert "sex" not in for_it  # which hardly weighs anything
    assert against.index("age: 31") < against.index("a &lt;b&gt;past")
    assert "oval 0.75" in source
    assert "high 0.81, low 0.19" in source
    assert source.count("cannot be shown") == 1
    shown = [
        PIL.Image.open(io.BytesIO(base64.b64decode(part.partition('"')[0])))
        for part in source.split("data:image/png;base64,")[1:]
    ]
    assert [one.size for one in shown] == [(60, 40), (60, 40)]
    assert np.asarray(shown[1])[15, 35].tolist() == [228, 228, 100]  # half heat, half picture
    assert "no medical device" in source


def test_a_page_of_a_large_picture_holds_a_smaller_one() -> None:
    record = Record("a", images=[Image(np.zeros((1024, 2048), dtype=np.uint8))])
    source = html.to_html(record)
    data = source.partition("data:image/png;base64,")[2].partition('"')[0]
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (512, 256)
    assert "no medical device" not in source


def test_a_record_without_anything_to_read_says_so() -> None:
    source = html.to_html(Record("", "empty"), explanations=[FusedExplanation("empty", "", 0.0)])
    assert "Nothing to read: no label." in source
    assert "Speaks" not in source
