"""The stage as a whole: its settings, its order, its time, and real notes."""

from __future__ import annotations

import json
import textwrap
import time
from pathlib import Path

import pytest

from clinnlp import Entity, Pipeline, Record
from clinnlp.alignment import EditedText, delete
from clinnlp.errors import ConfigError
from clinnlp.saving import load
from clinnlp.stages.cleaning import REPAIRS, TextCleaner


class TestStage:
    def test_the_raw_text_stays_and_the_cleaned_one_leads_back_to_it(self) -> None:
        record = TextCleaner()(Record("Temp 37\u00c2\u00b0C,  feels\u200b well.\r\nBP 120/80", id="1"))
        assert record.text == "Temp 37\u00c2\u00b0C,  feels\u200b well.\r\nBP 120/80"
        assert record.cleaned is not None
        assert record.cleaned.text == "Temp 37\u00b0C, feels well.\nBP 120/80"
        at = record.cleaned.text.index("feels well")
        start, end = record.cleaned.to_source(at, at + len("feels well"))
        assert record.text[start:end] == "feels\u200b well"

    def test_a_clean_note_gets_a_cleaned_text_without_edits(self) -> None:
        record = TextCleaner()("HISTORY: Denies chest pain.\n\n1. Aspirin 81 mg\n2. Metoprolol 25 mg b.i.d.\n")
        assert record.cleaned == EditedText.of(record.text)

    def test_a_text_that_was_cleaned_before_is_cleaned_further(self) -> None:
        record = Record("a\x00b  c")
        record.cleaned = EditedText.of(record.text, [delete(1, 2)])
        TextCleaner(["spaces"]).process([record])
        assert record.cleaned == EditedText.of("a\x00b  c", [delete(1, 2), delete(4, 5)])

    def test_only_the_named_repairs_are_made_in_the_order_given(self) -> None:
        text = "&nbsp;&nbsp;x  y"
        assert TextCleaner(["html_characters"]).clean(text).text == "\xa0\xa0x  y"
        assert TextCleaner(["spaces", "html_characters"]).clean(text).text == "\xa0\xa0x y"
        assert TextCleaner([]).clean(text).text == text

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"repairs": ["spaces", "spelling"]}, "unknown repair 'spelling': known are html_characters, encoding"),
            ({"repairs": ["spaces", "spaces"]}, "'spaces' is named twice"),
            ({"repairs": "spaces"}, r"give \['spaces'\]"),
            ({"unicode_form": "NFX"}, "unknown Unicode form 'NFX': give one of NFC"),
            ({"placeholders": {"ward": "Ward"}}, "unknown kind of placeholder 'ward': give words for number, hospital"),
        ],
    )
    def test_settings_that_cannot_be_used_are_refused(self, arguments: dict[str, object], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            TextCleaner(**arguments)  # type: ignore[arg-type]

    def test_a_saved_pipeline_cleans_as_before(self, tmp_path: Path) -> None:
        cleaner = TextCleaner(["placeholders", "unicode"], unicode_form="NFD", placeholders={"name": "Somebody"})
        Pipeline([cleaner]).save(tmp_path / "saved")
        again = load(tmp_path / "saved")["cleaning"]
        assert again.config() == cleaner.config()
        assert isinstance(again, TextCleaner)
        assert again.clean("Mr. [**Last Name**], caf\u00e9").text == "Mr. Somebody, cafe\u0301"

    def test_every_repair_is_in_the_default_and_in_its_config(self) -> None:
        assert TextCleaner().repairs == tuple(REPAIRS)
        assert TextCleaner(**TextCleaner().config()).config() == TextCleaner().config()

    def test_entities_that_a_record_brings_keep_their_places(self) -> None:
        record = Record("\ufeffno  pain", entities=[Entity(5, 9, "Symptom")])
        TextCleaner().process([record])
        assert record.entities == [Entity(5, 9, "Symptom", "pain")]
        assert record.cleaned is not None
        assert record.cleaned.text[slice(*record.cleaned.to_target(5, 9))] == "pain"


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Pt denies pain, " * (10 * MEGABYTE // 16), id="ten megabytes in one line"),
        pytest.param("\n" * MEGABYTE, id="newlines"),
        pytest.param(" " * MEGABYTE, id="spaces"),
        pytest.param("a" * 40 + "\n" + " " * MEGABYTE, id="a line and spaces"),
        pytest.param("_" * MEGABYTE, id="underscores"),
        pytest.param("&" * MEGABYTE, id="ampersands"),
        pytest.param("&amp;" * (MEGABYTE // 20), id="references"),
        pytest.param("<" * MEGABYTE, id="angles"),
        pytest.param("<!--" * (MEGABYTE // 4), id="comments"),
        pytest.param("[**" * (MEGABYTE // 3), id="stars"),
        pytest.param("\u0301" * (MEGABYTE // 2), id="combining marks"),
        pytest.param("e" + "\u0323\u0301" * (MEGABYTE // 4), id="marks on one letter"),
        pytest.param("\u00c3\u00a9" * (MEGABYTE // 20), id="mojibake"),
        pytest.param("\r" * MEGABYTE, id="carriage returns"),
        pytest.param("\f" * MEGABYTE, id="form feeds"),
        pytest.param("\fa" * (MEGABYTE // 10), id="short pages"),
        pytest.param("Page 1 " * (MEGABYTE // 7), id="page numbers in one line"),
        pytest.param("X" * MEGABYTE, id="capitals"),
        pytest.param(" -\n" * (MEGABYTE // 3), id="hyphens"),
        pytest.param("\u200d\u200b" * (MEGABYTE // 6), id="zero width"),
    ],
)
def test_time_is_linear_in_the_length(text: str) -> None:
    began = time.process_time()
    cleaned = TextCleaner().clean(text)
    # All take well under two seconds; quadratic time would take hours.
    assert time.process_time() - began < 20
    assert cleaned.alignment.length == len(text)


class TestRealNotes:
    """Over a corpus that is not part of the project: properties and counts only."""

    @pytest.fixture
    def notes(self, corpora: Path) -> list[str]:
        path = corpora / "mtsamples" / "notes.jsonl"
        if not path.is_file():
            pytest.skip("no mtsamples in the folder of corpora")
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line in lines][::8]

    def test_clean_notes_keep_almost_everything_and_cleaning_again_changes_nothing(self, notes: list[str]) -> None:
        cleaner = TextCleaner()
        changed = 0
        for note in notes:
            cleaned = cleaner.clean(note)
            changed += bool(cleaned.alignment.edits)
            assert cleaned.text == cleaned.alignment.apply(note)
            assert cleaner.clean(cleaned.text).alignment.edits == ()
        assert changed < len(notes) / 5

    @pytest.mark.parametrize("width", [60, 80])
    def test_wrapped_notes_are_unwrapped_where_they_were_wrapped(self, notes: list[str], width: int) -> None:
        right = wrong = missed = 0
        for note in notes:
            wrapped, breaks, at = [], set(), 0
            for line in note.split("\n"):
                pieces = textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
                for piece in pieces:
                    at += len(piece)
                    if piece is not pieces[-1]:
                        breaks.add(at)
                    at += 1
                wrapped += pieces
            joined = {edit.start for edit in REPAIRS["line_wraps"]("\n".join(wrapped))}
            right, wrong, missed = (
                right + len(joined & breaks),
                wrong + len(joined - breaks),
                missed + len(breaks - joined),
            )
        assert wrong < 0.002 * right
        assert missed < 0.03 * right
