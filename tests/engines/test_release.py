"""What a run lets out of a record."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from properties.records import records

from clinnlp import Answer, Assertion, Entity, Failure, Image, Label, Record, Section, Sentence, Token, Value
from clinnlp.alignment import EditedText, replace
from clinnlp.engines.release import deidentified, without_text
from clinnlp.engines.report import RunReport
from clinnlp.formats.arrow import to_arrow

TEXT = "Plan of Dr. Zebulon: metformin 500 mg for Zebulon, aged 93 years."


def note() -> Record:
    edits = [replace(12, 19, "[NAME]"), replace(42, 49, "[NAME]"), replace(56, 58, "[AGE]")]
    return Record(
        TEXT,
        "Zebulon-1",
        metadata={"patient": "Zebulon"},
        images=[Image(path="Zebulon.png", labels={"finding": ["clear"]})],
        tokens=[Token(8, 11), Token(12, 15), Token(15, 19), Token(21, 30)],
        sentences=[Sentence(0, 65)],
        sections=[Section(0, 65, "plan", "Plan of Dr. Zebulon:", 21)],
        entities=[
            Entity(
                21,
                30,
                "Medication",
                score=0.5,
                assertion=Assertion(
                    True, family=True, scores={"negated": 0.5}, cues={"negated": [31, 37], "family": [12, 19]}
                ),
                attributes={"code": "A10"},
                source="entities",
            ),
            Entity(51, 64, "Age", attributes={"years": 93}, source="entities"),
            Entity(12, 19, "Person", attributes={"who": "Zebulon"}),
            Entity(21, 30, "Medication", attributes={"note": "Zebulon"}),
        ],
        values=[
            Value(31, 37, number=500.0, unit="mg", name="Zebulon", kind="dose", target_start=21, target_end=30),
            Value(56, 64, number=93.0, unit="years"),
            Value(21, 30, kind="date", time="1993-01-01", target_start=12, target_end=19),
        ],
        identifiers=[Entity(12, 19, "NAME"), Entity(42, 49, "NAME"), Entity(56, 58, "AGE")],
        labels={"specialty": [Label("Endocrinology", 0.5)]},
        deidentified=EditedText.of(TEXT, edits),
        questions=["Who is Zebulon?"],
        answers=[Answer("Zebulon", 12, 19, "Zebulon-1")],
        errors=[Failure("images", "ImageError", "record 'Zebulon-1': cannot be decoded")],
    )


def test_spans_are_mapped_and_nothing_raw_is_left() -> None:
    out = deidentified(note())
    assert out.text == "Plan of Dr. [NAME]: metformin 500 mg for [NAME], aged [AGE] years."
    assert [(e.text, e.label, e.attributes) for e in out.entities] == [
        ("metformin", "Medication", {"code": "A10"}),
        ("aged [AGE] years", "Age", {}),
        ("[NAME]", "Person", {}),
    ]
    assert [(v.text, v.number, v.unit, v.name, v.time) for v in out.values] == [
        ("500 mg", 500.0, "mg", "", ""),
        ("[AGE] years", None, "", "", ""),
        ("metformin", None, "", "", ""),
    ]
    dose, _, date = out.values
    assert out.text[dose.target_start : dose.target_end] == "metformin"
    assert out.text[date.target_start : date.target_end] == "[NAME]"
    said = out.entities[0].assertion
    assert said == Assertion(True, family=True)
    assert said is not None
    assert said.scores == {"negated": 0.5}
    assert {flag: out.text[start:end] for flag, (start, end) in said.cues.items()} == {
        "negated": "500 mg",
        "family": "[NAME]",
    }
    assert [value.name for value in without_text(note()).values] == ["", "", ""]
    assert [(s.name, s.heading, s.text[s.body_start :][:9]) for s in out.sections] == [
        ("plan", "Plan of Dr. [NAME]:", "metformin")
    ]
    assert [t.text for t in out.tokens] == ["Dr.", "[NAME]", "metformin"]
    assert out.labels == note().labels
    assert [image.labels for image in out.images] == [{"finding": [Label("clear")]}]
    assert out.errors == [Failure("images", "ImageError")]
    written = str(to_arrow([out]).to_pylist())
    assert "Zebulon" not in written
    assert "93" not in written


def test_a_record_without_a_deidentified_text_keeps_its_failures_alone() -> None:
    record = note()
    record.deidentified = None
    assert deidentified(record) == Record(errors=[Failure("images", "ImageError")])


def test_sections_named_after_words_of_the_note_are_nameless_where_no_text_may_be_told() -> None:
    text = "PLAN: rest\nZEBULON SMITH: calls\n"
    sections = [
        Section(0, 11, "plan", "PLAN", 6),
        Section(11, 32, "zebulon_smith", "ZEBULON SMITH", 26),
        Section(0, 5, "mine"),
    ]
    record = Record(text, sections=sections, deidentified=EditedText.of(text, [replace(11, 24, "[NAME]")]))
    for out in (deidentified(record), without_text(record)):
        assert [section.name for section in out.sections] == ["plan", "other", "mine"]
    assert [section.name for section in record.sections] == ["plan", "zebulon_smith", "mine"]
    report = RunReport()
    report.add_record(record)
    assert report.sections == {"plan": 1, "other": 1, "mine": 1}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(records())
def test_every_span_is_one_of_the_deidentified_text(record: Record) -> None:
    out = deidentified(record)
    edited = record.deidentified
    assert out.text == ("" if edited is None else edited.text)
    assert out.id == ""
    assert not out.metadata
    assert not out.answers
    out.bind()
    for name in ("entities", "values", "sections", "tokens"):
        assert len(getattr(out, name)) <= len(getattr(record, name))
