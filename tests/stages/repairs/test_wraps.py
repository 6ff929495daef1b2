"""Lines that a wrap cut, and lines that end where they should."""

from __future__ import annotations

import random
import textwrap

import pytest

from clinnlp.stages.cleaning import REPAIRS, TextCleaner
from repairs.asserting import repaired, unchanged

WRAPPED = """\
HISTORY OF PRESENT ILLNESS:
The patient is a 61-year-old retired teacher who was brought in by his
daughter because of three days of productive cough and fever. He denies
chest pain. There was no recent travel, and nobody at home has been ill.
He took acetaminophen with little relief.

PAST MEDICAL HISTORY
1. Hypertension, for which he has taken lisinopril since the spring of
   last year without any side effects that he could name.
2. Type 2 diabetes mellitus.
3. Gout.

VITAL SIGNS: Temperature 38.4, pulse 104, respirations 22, and oxygen
saturation 93% on room air.
Lungs: Crackles at the right base, with bronchial breath sounds and dull
percussion.
Heart: Regular, tachycardic.

Sodium      138      Potassium      4.1
Creatinine  1.1      Glucose        182
"""


def test_paragraphs_are_joined_and_headings_items_labels_and_columns_are_not() -> None:
    assert repaired("line_wraps", WRAPPED) == (
        "HISTORY OF PRESENT ILLNESS:\n"
        "The patient is a 61-year-old retired teacher who was brought in by his daughter because of three days of "
        "productive cough and fever. He denies chest pain. There was no recent travel, and nobody at home has been "
        "ill. He took acetaminophen with little relief.\n\n"
        "PAST MEDICAL HISTORY\n"
        "1. Hypertension, for which he has taken lisinopril since the spring of last year without any side effects "
        "that he could name.\n"
        "2. Type 2 diabetes mellitus.\n"
        "3. Gout.\n\n"
        "VITAL SIGNS: Temperature 38.4, pulse 104, respirations 22, and oxygen saturation 93% on room air.\n"
        "Lungs: Crackles at the right base, with bronchial breath sounds and dull percussion.\n"
        "Heart: Regular, tachycardic.\n\n"
        "Sodium      138      Potassium      4.1\n"
        "Creatinine  1.1      Glucose        182\n"
    )


def test_each_join_is_an_edit_of_the_line_break_alone() -> None:
    edits = REPAIRS["line_wraps"](WRAPPED)
    assert {WRAPPED[edit.start : edit.end] for edit in edits} == {"\n", "\n  "}
    assert {edit.text for edit in edits} == {" ", ""}


@pytest.mark.parametrize(
    "text",
    [
        "chest pain\nshortness of breath\nnausea\nvomiting\n",
        "The patient was seen in clinic and was doing well today.\nHe will come back in two weeks for a check.\n",
        "Aspirin 81 mg by mouth once a day in the morning\nMetoprolol 25 mg by mouth twice a day with food\n",
        "temperature 37.2 degrees measured in the left ear at noon today\nbp: 120/80 measured sitting, right arm\n",
        "the drain was removed on the second day after surgery and\n- the wound was dry\n- the pain was mild\n",
        "a\tb of a very long line with columns in it, whatever they may say here\nand more\tof them\n",
    ],
)
def test_lines_without_the_traces_of_a_wrap_stay(text: str) -> None:
    assert unchanged("line_wraps", text)


PROSE = (
    "She was brought to the emergency room by her son after she had fallen in the kitchen and could not get up "
    "again without help, and an x-ray of the left hip showed a fracture of the femoral neck, which was reduced "
    "and pinned on the next morning under spinal anesthesia without any loss of blood worth a note."
)


@pytest.mark.parametrize(
    "lines",
    [
        # Full lines of the width of the text, before what begins something new.
        ["1. Aspirin, one tablet of 81 mg by mouth every morning with breakfast", "2. Metoprolol, one tablet"],
        ["She was told to come back to the clinic if any of this happened again", "Physical Examination"],
        ["She was told to come back to the clinic if any of this happened again", "PHYSICAL EXAMINATION"],
        # A sentence that fills its line, in a paragraph with no other trace of a wrap.
        ["She was told to come back to the clinic if this happened to her again.", "Her daughter drove her home."],
        # A sentence that ends well before the width.
        ["Nothing more was found.", "She was told to come back to the clinic if any of this happened", "to her again."],
        [
            "Nothing more was found on the films, said the nurse.",
            "She was told to come back to the clinic if any of this happened to her",
            "at night.",
        ],
    ],
)
def test_a_wrapped_text_keeps_the_line_breaks_that_begin_something_new(lines: list[str]) -> None:
    wrapped = textwrap.fill(PROSE, 70)
    text = repaired("line_wraps", wrapped + "\n\n" + "\n".join(lines) + "\n")
    assert text.startswith(f"{PROSE}\n\n{lines[0]}\n{lines[1]}")


@pytest.mark.parametrize("placeholder", ["___", "[**Known lastname 1234**]", "XXXX"])
def test_placeholders_put_in_after_the_wrap_do_not_hide_it(placeholder: str) -> None:
    text = textwrap.fill(f"{PROSE} Zaleskiew gave her morphine. {PROSE} Morphine was stopped by Zaleskiew.", 70)
    text = text.replace("Zaleskiew", placeholder)
    assert repaired("line_wraps", text) == text.replace("\n", " ")


def test_a_paragraph_of_two_lines_is_joined_where_the_first_is_full_and_stops_inside_a_sentence() -> None:
    text = "She was admitted from the emergency department with worsening pain and\nfever for two days.\n"
    assert repaired("line_wraps", text) == text.replace("\n", " ", 1)


def test_text_in_capitals_is_joined_by_the_width_alone() -> None:
    sentence = "PATIENT IS A MAN OF 70 YEARS WITH HEART FAILURE WHO CAME IN WITH SWELLING OF BOTH LEGS AND WEIGHT GAIN "
    text = textwrap.fill(sentence * 4, 66)
    assert repaired("line_wraps", text) == (sentence * 4).strip()


@pytest.mark.parametrize("width", [50, 64, 80, 100])
def test_notes_wrapped_at_any_width_come_back(width: int) -> None:
    rng = random.Random(width)
    words = ["patient", "was", "given", "fluids", "because", "her", "pressure", "fell", "during", "the", "transfer"]
    paragraphs = [" ".join(rng.choice(words) for _ in range(rng.randint(40, 90))) + "." for _ in range(8)]
    wrapped = "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)
    assert repaired("line_wraps", wrapped) == "\n\n".join(paragraphs)


def test_a_word_divided_at_the_wrap_is_joined_by_the_next_repair() -> None:
    text = (
        "The echocardiogram of last week showed a reduced left ventricular ejec-\ntion fraction of thirty percent "
        "and moderate mitral regurgitation,\nwhich is worse than before.\n"
    )
    cleaned = TextCleaner(["line_wraps", "hyphens"]).clean(text)
    assert "ejection fraction" in cleaned.text
    at = cleaned.text.index("ejection")
    assert text[slice(*cleaned.to_source(at, at + 8))] == "ejec-\ntion"
