"""Every word of the rules of cleaning: hyphens at a line's end, what lines look like, and placeholders."""

from __future__ import annotations

import pytest

from clinnlp.rules import load_rules
from clinnlp.stages._repairs.layout import is_heading, is_label
from clinnlp.stages.cleaning import TextCleaner
from rules.tables import listed

FIRST = listed(
    "cross double eight eighteen eighty fifth fifty first five follow forty four fourth full half high large left life"
    " long low lower mild moderate nine ninety non poorly post right second self seven seventy short single six sixty"
    " small third thirty three time triple twelve twenty two upper walk weight well year"
)
SECOND = listed(
    "aged appearing assisted associated based bearing controlled defined dependent driven enhanced evoked free guided"
    " hour inch induced lasting level like mediated minute month negative onset positive pound related rich sided"
    " specific thickness treated up vessel week weighted year"
)
ENDINGS = listed("able al ed er ers est ful ing ion ions ish less ly ment ments ness")
CONJUNCTIONS = listed("and nor or to")


def cleaned(repair: str, text: str) -> str:
    return TextCleaner([repair]).clean(text).text


def test_where_a_hyphen_at_a_lines_end_stays() -> None:
    for word in FIRST:
        assert cleaned("hyphens", f"{word}-\nzorble") == f"{word}-zorble"
    for word in SECOND:
        assert cleaned("hyphens", f"zorble-\n{word}") == f"zorble-{word}"
        assert cleaned("hyphens", f"zor-\n{word}") == f"zor{word}"
    for word in ENDINGS:
        assert cleaned("hyphens", f"high-\n{word}") == f"high{word}"
    for word in CONJUNCTIONS:
        assert cleaned("hyphens", f"zorble-\n{word} frob") == f"zorble-\n{word} frob"
    assert cleaned("hyphens", "zorble-\nfrob") == "zorblefrob"
    tables = {"first_parts": FIRST, "second_parts": SECOND, "endings": ENDINGS, "conjunctions": CONJUNCTIONS}
    assert {name: sorted(words) for name, words in load_rules("hyphens", "en").items()} == tables


SMALL = listed("a also an and are as at by for from had has in is of on or that the these this to was were with")


def test_small_words_begin_no_label_and_may_stand_in_a_heading() -> None:
    for word in SMALL:
        assert not is_label(f"{word}: frob"), word
        assert is_heading(f"Zorble {word} Frob"), word
    assert is_label("zorble: frob")
    assert not is_heading("Zorble blick Frob")
    assert sorted(load_rules("layout", "en")["small_words"]) == SMALL


# Of a label with words of several kinds, the first here counts.
KINDS = {
    "Number": "account accession fax id identifier license mrn number num numbers pager phone ssn telephone",
    "Hospital": "clinic facility hospital institution ward wardname",
    "Organization": "college company employer organization organisation school university",
    "Location": "address apartment box city country county district location place room state street town zip zipcode",
    "Date": "birth date day dob holiday month time year",
    "Age": "age",
    "Name": "attending dictator doctor firstname initial initials lastname md name names nurse patient person physician"
    " provider signature surname",
}
BESIDE = listed("deidentified first last medical middle of phi record redacted relative removed staff")
TITLES = listed("Doctor Dr Miss Mr Mrs Ms Prof Professor")
MONTHS = listed(
    "apr april aug august dec december feb february jan january jul july jun june mar march may nov november oct"
    " october sep sept september"
)


@pytest.mark.parametrize("kind", KINDS)
def test_words_in_placeholders_say_what_they_stood_for(kind: str) -> None:
    kinds = list(KINDS)
    for cue in KINDS[kind].split():
        assert cleaned("placeholders", f"seen [**{cue}**]") == f"seen {kind}", cue
        assert cleaned("placeholders", f"seen <PHI {cue.upper()}>") == f"seen {kind}", cue
        for other in kinds[: kinds.index(kind)]:
            first = KINDS[other].split()[0]
            assert cleaned("placeholders", f"seen [**{cue} {first}**]") == f"seen {other}"


def test_other_words_of_placeholders() -> None:
    for word in BESIDE:
        assert cleaned("placeholders", f"seen <{word.upper()} NAME>") == "seen Name", word
    assert cleaned("placeholders", "seen <ZORBLE NAME>") == "seen <ZORBLE NAME>"
    for title in TITLES:
        assert cleaned("placeholders", f"seen {title} ____ then") == f"seen {title} Name then"
    assert cleaned("placeholders", "seen Zorble ____ then") == "seen Zorble _ then"
    for month in MONTHS:
        assert cleaned("placeholders", f"in [**{month.title()} 2101**]") == f"in {month.title()} 2101"
    assert cleaned("placeholders", "in [**Zorble 2101**]") == "in _"


def test_the_table_of_placeholders_is_complete() -> None:
    rules = load_rules("placeholders", "en")
    assert [(kind["word"], kind["cues"]) for kind in rules["kinds"].values()] == [
        (word, cues.split()) for word, cues in KINDS.items()
    ]
    assert (sorted(rules["label_words"]), rules["titles"], sorted(rules["months"])) == (BESIDE, TITLES, MONTHS)
