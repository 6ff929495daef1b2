"""Line endings, unseen characters, widths, normal forms and runs of spaces."""

from __future__ import annotations

from clinnlp.alignment import delete, replace
from clinnlp.stages.cleaning import REPAIRS, TextCleaner
from repairs.asserting import repaired, unchanged


def test_lines_end_in_one_newline() -> None:
    assert repaired("line_endings", "a\r\nb\rc\r\r\nd\u2028e\x0bf\x85g") == "a\nb\nc\nd\ne\nf\ng"
    assert REPAIRS["line_endings"]("a\r\nb") == [delete(1, 2)]
    assert unchanged("line_endings", "a\n\nb\f\tc")


def test_characters_that_nobody_sees_go() -> None:
    text = "\ufeffca\x00rd\u200biac \x1b[31mred\x1b[0m soft\u00adly \u202ax\u202c a\x1fb"
    assert repaired("control", text) == "cardiac red softly x a b"


def test_joiners_stay_where_a_script_or_an_emoji_needs_them() -> None:
    assert repaired("control", "a\u200db") == "ab"
    assert unchanged("control", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\u2695\ufe0f\tok\n")


def test_full_width_letters_and_digits_get_their_usual_width_one_by_one() -> None:
    text = "\uff37\uff22\uff23\uff1a\uff11\uff12\uff0e\uff13\u3000\uff76\uff9e"
    cleaned = TextCleaner(["width"]).clean(text)
    assert cleaned.text == "WBC:12.3 \u30ac"
    assert cleaned.to_source(0, 3) == (0, 3)
    assert cleaned.to_source(4, 8) == (4, 8)
    assert cleaned.to_source(9, 10) == (9, 11)


def test_chinese_punctuation_stays_full_width() -> None:
    assert repaired(
        "width", "\u8840\u538b\uff08\uff11\uff12\uff10\uff0f\uff18\uff10\uff09\uff0c\u6b63\u5e38\uff1b\u4f53\u6e29"
    ) == ("\u8840\u538b\uff08120/80\uff09\uff0c\u6b63\u5e38\uff1b\u4f53\u6e29")


def test_ligatures_are_taken_apart() -> None:
    assert repaired("ligatures", "\ufb01brosis, o\ufb03ce") == "fibrosis, office"
    assert unchanged("ligatures", "\u0153dema \u00e6")


def test_the_normal_form_touches_only_the_clusters_that_change() -> None:
    text = "cafe\u0301 \u00e9 a\u0323\u0302 \u1112\u1161\u11ab \u212b"
    assert REPAIRS["unicode"](text) == [
        replace(3, 5, "\u00e9"),
        replace(8, 11, "\u1ead"),
        replace(12, 15, "\ud55c"),
        replace(16, 17, "\u00c5"),
    ]


def test_runs_of_spaces_are_cut_to_one_by_the_smallest_edits() -> None:
    assert REPAIRS["spaces"]("a   b") == [delete(2, 4)]
    assert REPAIRS["spaces"]("a\xa0b") == [replace(1, 2, " ")]
    assert repaired("spaces", "a \t  b\u2003\u2003c  \n   indent\xa0x \n   \nend  ") == "a\tb c\n   indent x\n\nend"
    assert unchanged("spaces", "a b\n   - item\n\tb\tc\n\n\n")
