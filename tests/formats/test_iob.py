"""Token-per-line files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinnlp import Entity, Record, Sentence, Token
from clinnlp.errors import FormatError
from clinnlp.formats import iob


def put(folder: Path, rows: str) -> Path:
    path = folder / "part.tsv"
    path.write_bytes(rows.replace(" ", "\t").replace("|", "\n").encode())
    return path


def found(record: Record) -> list[tuple[str, str]]:
    return [(e.label, e.text) for e in record.entities]


def test_sentences_become_records_whose_tokens_are_joined_by_single_spaces(tmp_path: Path) -> None:
    records = iob.read(put(tmp_path, "No O|chest B-Sign|pain I-Sign|. O|||Fever B-Sign|😷 O|gone O|"))
    assert [(r.id, r.text) for r in records] == [("part-0", "No chest pain ."), ("part-1", "Fever 😷 gone")]
    assert found(records[0]) == [("Sign", "chest pain")]
    assert [token.text for token in records[0].tokens] == ["No", "chest", "pain", "."]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-A I-A O B-A", ["a b", "d"]),  # IOB2
        ("I-A I-A B-A I-A", ["a b", "c d"]),  # IOB1: B only between neighbours
        ("B-A E-A S-A O", ["a b", "c"]),  # IOBES
        ("B-A L-A U-A U-A", ["a b", "c", "d"]),  # BILOU
        ("B-A I-B I-B O", ["a", "b c"]),  # a label that changes begins another
        ("O I-A O I-A", ["b", "d"]),
    ],
)
def test_every_scheme_gives_its_spans(tmp_path: Path, tags: str, expected: list[str]) -> None:
    rows = "|".join(f"{token} {tag}" for token, tag in zip("abcd", tags.split(), strict=True))
    assert [e.text for e in iob.read(put(tmp_path, rows))[0].entities] == expected


def test_labels_are_mapped_and_others_left_out_without_joining_what_is_left(tmp_path: Path) -> None:
    record = iob.read(put(tmp_path, "a B-x|b I-x|c B-y|d O"), labels={"y": "Disease"})[0]
    assert found(record) == [("Disease", "c")]


def test_middle_columns_crlf_a_byte_order_mark_and_docstart_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "part.tsv"
    path.write_bytes("\ufeff-DOCSTART-\tX\tO\r\n\r\nchest\tNN\tB-A\r\npain\tNN\tI-A\r\n".encode())
    records = iob.read(path)
    assert [found(r) for r in records] == [[("A", "chest pain")]]


@pytest.mark.parametrize(
    ("rows", "said"), [("a O|secret", "tab"), ("a O|secret Disease", "IOB tag"), ("a O|secret X-Disease", "IOB tag")]
)
def test_a_bad_line_is_named_and_not_quoted(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(FormatError, match=f"part.tsv, line 2: .*{said}") as caught:
        iob.read(put(tmp_path, rows))
    assert "secret" not in str(caught.value)


def test_invalid_utf8_and_an_absent_file_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "part.tsv"
    with pytest.raises(FormatError, match="cannot be read"):
        iob.read(path)
    path.write_bytes(b"a\tO\nb\xfe\tO\n")
    with pytest.raises(FormatError, match="line 2: byte 5"):
        iob.read(path)


def test_tokens_are_cut_where_an_entity_begins_or_ends_inside_them(tmp_path: Path) -> None:
    record = Record("metformin 500mg/d.", id="1", entities=[Entity(10, 15, "Dosage"), Entity(0, 9, "Medication")])
    back = iob.read(iob.write([record], tmp_path / "x.tsv"))[0]
    assert found(back) == [("Medication", "metformin"), ("Dosage", "500mg")]
    assert back.text == "metformin 500mg / d ."


def test_a_record_with_sentences_is_written_sentence_by_sentence(tmp_path: Path) -> None:
    text = "Pain gone. No fever"
    record = Record(text, sentences=[Sentence(0, 10), Sentence(11, 19)], entities=[Entity(14, 19, "Symptom")])
    back = iob.read(iob.write([record], tmp_path / "x.tsv"))
    assert [r.text for r in back] == ["Pain gone .", "No fever"]
    assert [found(r) for r in back] == [[], [("Symptom", "fever")]]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Record("chest pain", entities=[Entity(0, 10, "A"), Entity(6, 10, "B")]), "overlaps"),
        (Record("chest pain", entities=[Entity(0, 10, "A B")]), "label"),
        (Record("chest pain", entities=[Entity(0, 10, "A")], tokens=[Token(0, 0)]), "no token"),
        (Record("a  b", entities=[Entity(1, 3, "A")]), "no token"),
        (Record("a b. c d", entities=[Entity(2, 6, "A")], sentences=[Sentence(0, 4), Sentence(5, 8)]), "two sentences"),
    ],
)
def test_what_iob_cannot_hold_is_refused_and_no_file_is_left(tmp_path: Path, record: Record, said: str) -> None:
    with pytest.raises(FormatError, match=said) as caught:
        iob.write([record], tmp_path / "x.tsv")
    assert "pain" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@st.composite
def sentences(draw: st.DrawFn) -> Record:
    words = draw(st.lists(st.text(st.sampled_from("abé😷́ש7.-"), min_size=1, max_size=6), min_size=1, max_size=12))
    tokens, entities, at = [], [], 0
    for word in words:
        tokens.append(Token(at, at + len(word)))
        at += len(word) + 1
    i = 0
    while i < len(words):
        size = draw(st.integers(1, 3))
        if draw(st.booleans()):
            last = min(i + size, len(words)) - 1
            entities.append(Entity(tokens[i].start, tokens[last].end, draw(st.sampled_from(["A", "B"]))))
        i += size
    return Record(" ".join(words), id="x-0", tokens=tokens, entities=entities)


@given(sentences())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokens_joined_by_single_spaces_are_read_back_the_same(tmp_path: Path, record: Record) -> None:
    assert iob.read(iob.write([record], tmp_path / "x.tsv")) == [record]
