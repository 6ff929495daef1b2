"""brat's standoff format."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinnlp import Assertion, Entity, Record
from clinnlp.errors import FormatError
from clinnlp.formats import brat

TEXT = "Pt denies chest pain.\r\nFever — 38.9 °C 😷, left and\nright knees swollen.\n"


def put(folder: Path, ann: str, text: str = TEXT, name: str = "n1") -> Path:
    path = folder / f"{name}.txt"
    path.write_bytes(text.encode())
    path.with_suffix(".ann").write_bytes(ann.encode())
    return path


def t(number: int, label: str, covered: str, text: str = TEXT) -> str:
    start = text.index(covered)
    flat = covered.replace("\r", " ").replace("\n", " ")
    return f"T{number}\t{label} {start} {start + len(covered)}\t{flat}\n"


def test_offsets_hold_after_carriage_returns_and_characters_beyond_the_first_plane(tmp_path: Path) -> None:
    ann = t(1, "Sign", "chest pain") + t(2, "Value", "38.9 °C") + t(3, "Anatomy", "knees") + "#1\tNote T1\tcheck\n"
    record = brat.read(put(tmp_path, ann))
    assert record.text == TEXT
    assert record.id == "n1"
    assert [(e.label, e.text) for e in record.entities] == [
        ("Sign", "chest pain"),
        ("Value", "38.9 °C"),
        ("Anatomy", "knees"),
    ]
    assert record.metadata == {}


def test_labels_are_mapped_and_others_left_out(tmp_path: Path) -> None:
    path = put(tmp_path, t(1, "Sign_symptom", "chest pain") + t(2, "Lab_value", "38.9 °C"))
    record = brat.read(path, labels={"Sign_symptom": "Symptom"})
    assert [(e.label, e.text) for e in record.entities] == [("Symptom", "chest pain")]


def test_spans_of_several_parts_are_counted_and_one_cut_by_a_line_end_is_read(tmp_path: Path) -> None:
    left, right, knees = TEXT.index("left"), TEXT.index("right"), TEXT.index("knees")
    ann = (
        f"T1\tAnatomy {left} {left + 4};{knees} {knees + 5}\tleft knees\n"
        f"T2\tAnatomy {left} {left + 8};{right} {right + 11}\tleft and right knees\n"
        f"T3\tOther {left} {left + 4};{knees} {knees + 5}\tleft knees\n"
    )
    path = put(tmp_path, ann)
    record = brat.read(path, labels={"Anatomy": "Anatomy"})
    assert [e.text for e in record.entities] == ["left and\nright knees"]
    assert record.metadata == {"discontinuous": 1}
    assert brat.read(path).metadata == {"discontinuous": 2}


def test_the_longest_of_overlapping_entities_stays_then_the_earlier_then_the_first_listed() -> None:
    a, b, c = Entity(5, 9, "a"), Entity(0, 6, "b"), Entity(8, 12, "c")
    d, e = Entity(12, 15, "d"), Entity(12, 15, "e")
    assert [x.label for x in brat.longest([a, b, c, e, d])] == ["b", "c", "e"]
    assert [x.label for x in brat.longest([Entity(3, 7, "late"), Entity(1, 5, "early")])] == ["early"]


def test_attributes_reach_their_entity_directly_or_through_its_event(tmp_path: Path) -> None:
    ann = t(1, "Sign", "chest pain") + t(2, "Sign", "Fever") + "E1\tSign:T1 \n"
    ann += (
        "A1\tPOLARITY E1 NEG\nA2\tHistorical T2\nA3\tPOLARITY T9 NEG\n*\tOVERLAP E1 E2\nR1\tBEFORE Arg1:E1 Arg2:E2\t\n"
    )
    record = brat.read(put(tmp_path, ann))
    assert record.entities[0].attributes == {"POLARITY": "NEG"}
    assert record.entities[1].assertion == Assertion(historical=True)


@pytest.mark.parametrize(
    ("ann", "line", "said"),
    [
        ("T1\tSign 10 2000\tchest pain\n", 1, "outside the text"),
        ("T1\tSign 10 20\tabdominal pain\n", 1, "offset 10"),
        ("\nT1\tSign 10 10\t\n", 2, "outside"),
        ("T1\tSign ten 20\tchest pain\n", 1, "START END"),
        ("T1\tSign 10 20\n", 1, "START END"),
        (t(1, "Sign", "Fever") + t(1, "Sign", "Fever"), 2, "twice"),
        ("something else\n", 1, "standoff"),
        ("A1\tNegated\n", 1, "attribute"),
    ],
)
def test_a_bad_line_is_named_and_not_quoted(tmp_path: Path, ann: str, line: int, said: str) -> None:
    with pytest.raises(FormatError, match=rf"n1\.ann, line {line}: .*{said}") as caught:
        brat.read(put(tmp_path, ann))
    assert "pain" not in str(caught.value)


def test_invalid_utf8_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = put(tmp_path, "")
    path.write_bytes(b"fine\nPt \xff ill\n")
    with pytest.raises(FormatError, match=r"n1\.txt, line 2: byte 8"):
        brat.read(path)


def test_a_missing_ann_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no \.txt file"):
        brat.read_folder(tmp_path)
    (tmp_path / "n1.txt").write_text("Pt well", encoding="utf-8")
    with pytest.raises(FormatError, match=r"n1\.ann cannot be read"):
        brat.read(tmp_path / "n1.txt")


def test_a_folder_is_read_in_the_order_of_ids(tmp_path: Path) -> None:
    for name in ("b", "a", "10", "9"):
        put(tmp_path, "", name=name)
    assert [record.id for record in brat.read_folder(tmp_path)] == ["10", "9", "a", "b"]


@pytest.mark.parametrize("name", ["", "..", "ward/7"])
def test_an_id_that_cannot_name_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="file's name"):
        brat.write(Record("Pt well", id=name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_labels_and_empty_spans_that_brat_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="label"):
        brat.write(Record("Pt well", id="1", entities=[Entity(0, 2, "a b")]), tmp_path)
    with pytest.raises(FormatError, match="empty"):
        brat.write(Record("Pt well", id="1", entities=[Entity(2, 2, "a")]), tmp_path)


texts = st.text(st.sampled_from("ab é😷́\n\r\t\x00\x0b\x85\u2028ש7.-"), min_size=1, max_size=40)
flags = st.builds(Assertion, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@st.composite
def annotated(draw: st.DrawFn) -> Record:
    text = draw(texts)
    entities = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        assertion = draw(st.none() | flags.filter(lambda a: a != Assertion()))
        attributes = draw(
            st.dictionaries(st.sampled_from(["cui", "grade"]), st.sampled_from(["C01", True]), max_size=1)
        )
        entities.append(Entity(start, end, draw(st.sampled_from(["X", "Lab_value"])), "", 1.0, assertion, attributes))
    return Record(text, id="r.1", entities=entities)


@given(annotated())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back_the_same(tmp_path: Path, record: Record) -> None:
    assert brat.read(brat.write(record, tmp_path)) == record
