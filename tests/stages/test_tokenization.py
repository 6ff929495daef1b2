"""Tokens and sentences: what is kept whole, what is cut, and where sentences end."""

from __future__ import annotations

import pickle
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.edited import any_text, edits_of

from clinnlp.alignment import Edit, EditedText
from clinnlp.errors import ConfigError
from clinnlp.record import Record, Token
from clinnlp.rules import load_rules
from clinnlp.stages import Tokenizer
from clinnlp.stages import _words as words_module
from clinnlp.stages._words import LONGEST_RUN, WordSplitter, _pieces

ENGLISH = Tokenizer()
CHINESE = Tokenizer("zh")
MARKS = ["500mg", "b.i.d.", "Dr.", "J.", "1.", "2)", "12/03/2024", "w/o", "'s", "...", "!?", "。", "患", "_", "\x85"]

clinical_text = st.lists(st.one_of(st.sampled_from([*MARKS, " ", "\n", "pain", "The"]), st.text(max_size=3))).map(
    "".join
)
texts = st.one_of(any_text, clinical_text)


def tokens(text: str, stage: Tokenizer = ENGLISH) -> list[str]:
    return [token.text for token in stage(text).tokens]


def sentences(text: str, stage: Tokenizer = ENGLISH) -> list[str]:
    return [sentence.text for sentence in stage(text).sentences]


def check_invariants(record: Record) -> None:
    """Tokens: not empty, no white space at the edges, in order, disjoint; sentences: the same, and whole tokens."""
    for spans in (record.tokens, record.sentences):
        end = 0
        for span in spans:
            assert end <= span.start < span.end <= len(record.text)
            assert span.text == record.text[span.start : span.end]
            assert span.text == span.text.strip()
            end = span.end
    assert len(record.sentences) == 0 or record.tokens
    starts = [token.start for token in record.tokens]
    ends = [token.end for token in record.tokens]
    covered = []
    for sentence in record.sentences:
        first, last = starts.index(sentence.start), ends.index(sentence.end)
        covered += range(first, last + 1)
    assert covered == list(range(len(record.tokens)))


@settings(deadline=None)
@given(texts, st.sampled_from([ENGLISH, CHINESE]))
def test_tokens_and_sentences_are_ordered_disjoint_and_complete(text: str, stage: Tokenizer) -> None:
    record = stage(text)
    check_invariants(record)
    held = "".join(token.text for token in record.tokens)
    assert re.sub(r"\s", "", text) == re.sub(r"\s", "", held)


@st.composite
def cleaned_records(draw: st.DrawFn) -> Record:
    text = draw(texts)
    return Record(text, cleaned=EditedText.of(text, draw(edits_of(len(text)))))


@settings(deadline=None)
@given(cleaned_records(), st.sampled_from([ENGLISH, CHINESE]))
def test_tokens_of_a_cleaned_text_have_valid_raw_offsets(record: Record, stage: Tokenizer) -> None:
    view = record.view
    stage.process([record])
    check_invariants(record)
    untouched = Tokenizer(stage.lang)(view.text).tokens
    for token in untouched:
        start, end = view.to_source(token.start, token.end)
        raw = record.text[start:end].strip()
        # Nothing of the raw text that a token of the cleaned text stands for is lost.
        assert not raw or any(t.start <= start + record.text[start:end].index(raw) < t.end for t in record.tokens)


@settings(deadline=None)
@given(texts)
def test_a_text_cut_elsewhere_has_the_same_tokens(text: str) -> None:
    small = WordSplitter(load_rules("tokenization", "en"))
    whole = small.spans(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "_PIECE", 2 * LONGEST_RUN)
        padded = text + " " * 3 * LONGEST_RUN + text
        found = small.spans(padded)
    shift = len(text) + 3 * LONGEST_RUN
    assert found[0] == whole[0] + [start + shift for start in whole[0]]
    assert found[1] == whole[1] + [end + shift for end in whole[1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500mg", "500|mg"),
        ("5mg/mL", "5|mg|/|mL"),
        ("10cc", "10|cc"),
        ("98.6F.", "98.6|F|."),
        (".5mg", ".5|mg"),
        ("10-20mg", "10|-|20|mg"),
        ("1.5mg/kg/day", "1.5|mg|/|kg|/|day"),
        ("4x5x6cm", "4|x|5|x|6|cm"),
        ("45y/o", "45|y/o"),
        ("10:30pm", "10:30|pm"),
        ("37°C", "37|°|C"),
    ],
)
def test_units_are_cut_from_their_numbers(text: str, expected: str) -> None:
    assert tokens(text) == expected.split("|")


@pytest.mark.parametrize("text", ["T2", "B12", "A1C", "HbA1c", "3D", "5th", "CD4", "q4h", "1980s", "2nd", "L4", "x10"])
def test_letters_and_numbers_that_are_one_name_stay_together(text: str) -> None:
    assert tokens(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "12/03/2024",
        "1/2/24",
        "2024-03-12",
        "2024/3/12",
        "12-03-2024",
        "12-Mar-2024",
        "10:30",
        "10:30:05",
        "98.6",
        "1,500.5",
    ],
)
@pytest.mark.parametrize("around", ["{}", "({}),", "on {}.", "{}-{}", "[{}]/x"])
def test_dates_times_and_decimals_are_one_token(text: str, around: str) -> None:
    assert text in tokens(around.format(text, text))


@pytest.mark.parametrize("text", ["120/80", "T2-weighted", "COVID-19", "and/or", "2,3", "Na+", "50%", "~5", "x_y"])
def test_every_mark_is_a_token_so_that_an_entity_may_begin_or_end_there(text: str) -> None:
    assert tokens(text) == re.findall(r"[^\W_]+|[\W_]", text)


@pytest.mark.parametrize(
    "text", ["b.i.d.", "p.o.", "q.d.", "e.g.", "Dr.", "Pt.", "vs.", "approx.", "w/o", "s/p", "D&C", "+/-", ">=", "U.S."]
)
@pytest.mark.parametrize("around", ["{}", "({})", "{},", "x {} y", "mild,{};", "({})/{}"])
def test_abbreviations_keep_their_marks(text: str, around: str) -> None:
    assert tokens(around.format(text, text)).count(text) == around.count("{}")


def test_clitics_and_addresses() -> None:
    assert tokens("can't patient's") == ["ca", "n't", "patient", "'s"]
    assert tokens("O'Brien 'quoted' 5'") == ["O'Brien", "'", "quoted", "'", "5", "'"]
    assert tokens("a.b@example.org. https://example.org/x?y=1.") == [
        *("a.b@example.org", ".", "https://example.org/x?y=1", ".")
    ]


def test_runs_of_one_mark_are_one_token_but_brackets_are_not() -> None:
    assert tokens("----- ... ((a)) ___") == ["-----", "...", "(", "(", "a", ")", ")", "___"]


def test_an_accent_of_its_own_and_a_joined_sign_stay_whole() -> None:
    assert tokens("cafe\u0301s \U0001f469\u200d\u2695\ufe0f.") == ["cafe\u0301s", "\U0001f469\u200d\u2695\ufe0f", "."]


@pytest.mark.parametrize(
    "sentence",
    [
        "Seen by Dr. Marlow and Mr. J. Doe today.",
        "Pt. denies pain.",
        "Metformin 500 mg p.o. b.i.d. with food.",
        "Given approx. 5 mg vs. 10 mg.",
        "Took No. 5 of 9.",
        "Fig. 3 shows it.",
        "Grew E. coli and S. aureus.",
        "Weight 3.5 kg at 98.6 F.",
        "Rule out ? pneumonia.",
        "Given 5 mg. daily for a week.",
        "Plan as discussed... then home.",
        "A. Plan the surgery.",
        "1. The first thing.",
        "- 1. Aspirin.",
    ],
)
def test_no_sentence_ends_inside(sentence: str) -> None:
    assert sentences(sentence) == [sentence]
    assert sentences(f"{sentence}\n\nNext.") == [sentence, "Next."]


@pytest.mark.parametrize(
    "text",
    [
        "No fever. | Denies cough. | no rash.",
        "Any pain? | No. | He is well!",
        "Aspirin 81 mg q.d. | Lasix stopped.",
        "Takes it p.o. | The dose is 5 mg. | It helps.",
        "He has hepatitis B. | Lungs are clear.",
        "Lives with J. | The house is warm.",
        'He said "stop." | Then he left (at once.) | Later he came.',
        "Wait... | The end.",
        "What?! | He left.",
        "Temp 98.6. | Pulse 80.",
        "Seen by Jane Marlow, M.D. | The exam is normal.",
    ],
)
def test_sentences_end_at_terminators(text: str) -> None:
    assert sentences(text.replace(" | ", " ")) == text.split(" | ")


def test_a_full_stop_without_a_blank_behind_it_ends_a_sentence() -> None:
    assert sentences("No pain.He left.") == ["No pain.", "He left."]


def test_lists_headings_and_lines_without_full_stops_are_sentences() -> None:
    lines = [
        "MEDICATIONS",
        "1. Aspirin 81 mg",
        "2. Metformin",
        "- no stop here",
        "* another",
        "ALLERGIES:",
        "None",
        "Plan",
    ]
    assert sentences("\n".join(lines)) == lines
    assert sentences("\r\n".join(lines)) == lines
    assert sentences("no fever\n\nno cough") == ["no fever", "no cough"]


def test_items_numbered_inside_a_line_are_sentences() -> None:
    text = "Plan: 1. Aspirin 2. Metformin at 5 mg. 3. Insulin"
    assert sentences(text) == ["Plan:", "1. Aspirin", "2. Metformin at 5 mg.", "3. Insulin"]
    assert sentences("He was given 2. The rest was lost") == ["He was given 2.", "The rest was lost"]
    assert sentences("• Aspirin • Metformin") == ["• Aspirin", "• Metformin"]


def test_a_wrapped_line_goes_on_and_a_short_one_does_not() -> None:
    wrapped = (
        "The patient was seen in the clinic and then sent home with\n"
        "instructions to come back at once if the pain returns and\nDr. Marlow is away."
    )
    assert sentences(wrapped) == [wrapped]
    titled = "The patient was seen in the clinic and then sent to Dr.\nMarlow."
    assert sentences(titled) == [titled]
    assert sentences("no fever\nno cough") == ["no fever", "no cough"]


def test_empty_and_blank_texts_have_no_tokens_and_no_sentences() -> None:
    for text in ("", " ", "\n\r\n \t\u3000"):
        record = ENGLISH(text)
        assert record.tokens == []
        assert record.sentences == []
        assert record.has("tokens")
        assert record.has("sentences")


def test_tokens_of_one_replaced_stretch_become_one() -> None:
    record = Record("ab XXXX cd", cleaned=EditedText.of("ab XXXX cd", [Edit(3, 7, "some one.")]))
    assert [token.text for token in ENGLISH(record).tokens] == ["ab", "XXXX", "cd"]


def test_a_word_joined_over_a_line_end_is_one_token_and_an_inserted_one_is_none() -> None:
    text = "hyper-\ntension seen"
    record = Record(text, cleaned=EditedText.of(text, [Edit(5, 7), Edit(15, 15, " has been")]))
    assert record.view.text == "hypertension  has beenseen"
    assert [token.text for token in ENGLISH(record).tokens] == ["hyper-\ntension", "seen"]


def test_given_tokens_are_kept_and_make_sentences() -> None:
    record = Record("No pain. Home.", tokens=[Token(0, 2), Token(3, 7), Token(7, 8), Token(9, 14)])
    ENGLISH(record)
    assert [token.text for token in record.tokens] == ["No", "pain", ".", "Home."]
    assert [sentence.text for sentence in record.sentences] == ["No pain.", "Home."]


def test_chinese_has_a_token_a_character_and_one_for_each_number_and_latin_word() -> None:
    assert tokens("血压120/80mmHg，T2信号98.6 2024-03-12。", CHINESE) == [
        *("血", "压", "120", "/", "80", "mmHg", "，", "T2", "信", "号", "98.6", "2024-03-12", "。")
    ]


def test_chinese_sentences_end_at_chinese_marks_and_line_ends() -> None:
    text = "患者发热。|否认“胸痛！”|有咳嗽？？|无皮疹；|血压120/80\n|诊断：肺炎\n|1. 休息"
    assert sentences(text.replace("|", ""), CHINESE) == [part.strip() for part in text.split("|")]


@given(st.lists(st.sampled_from(["a", "(", ".", "\n", " ", "9" * 300, "x" * 700, "患" * 4000, ",b" * 300, " " * 9000])))
@settings(deadline=None)
def test_spacy_never_gets_a_long_text_or_run(parts: list[str]) -> None:
    text = "".join(parts)
    pieces = list(_pieces(text))
    assert "".join(text[start:end] for start, end in pieces) == text
    for start, end in pieces:
        assert end - start <= words_module._PIECE
        assert max(map(len, text[start:end].split()), default=0) <= LONGEST_RUN


@pytest.mark.parametrize("unit", ["a", "x.", "患", "\u0301", " "])
def test_ten_million_characters_in_one_line(unit: str) -> None:
    text = unit * (10_000_000 // len(unit))
    starts, ends = WordSplitter(load_rules("tokenization", "en")).spans(text)
    assert sum(ends) - sum(starts) == (0 if unit == " " else len(text))


def test_marks_without_blanks_take_no_longer_than_words() -> None:
    marks = "".join(random.Random(1).choices("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", k=100_000))
    splitter = WordSplitter(load_rules("tokenization", "en"))
    start = time.process_time()
    splitter.spans(marks)
    # About 0.4 s; a second look at the whole run for each of its marks would take about 7 s.
    assert time.process_time() - start < 4


def test_a_long_line_with_and_without_blanks() -> None:
    line = "Denies pain,fever(mild),b.i.d.dosing;and " * 40_000
    record = ENGLISH(line)
    assert len(record.text) > 1_000_000
    assert len(record.tokens) == 40_000 * len(tokens(line[:41]))
    glued = ENGLISH("fever(38.5C),b.i.d.;" * 60_000)
    assert [token.text for token in glued.tokens] == ["fever", "(", "38.5", "C", ")", ",", "b.i.d.", ";"] * 60_000


def test_the_vocabulary_of_spacy_is_renewed_and_tokens_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "VOCABULARY_LIMIT", 500)
    stage = Tokenizer()
    sizes = []
    for start in range(0, 20_000, 1000):
        record = stage(" ".join(f"a{n}z5mg" for n in range(start, start + 1000)))
        assert len(record.tokens) == 1000
        sizes.append(len(stage._words._tokenizer.vocab.strings))
    assert max(sizes) < 5 * 1000
    assert tokens("a1z 5mg", stage) == ["a1z", "5", "mg"]


def test_a_stage_can_be_sent_to_another_process() -> None:
    assert tokens("5mg b.i.d.", pickle.loads(pickle.dumps(ENGLISH))) == ["5", "mg", "b.i.d."]


def test_an_unknown_language_is_refused_when_the_stage_is_built() -> None:
    with pytest.raises(ConfigError, match=r"'xx'.*en, zh"):
        Tokenizer("xx")


def test_config_makes_the_stage_again() -> None:
    assert Tokenizer.load(CHINESE.config()).lang == "zh"


def test_rules_hold_texts_only() -> None:
    # YAML reads no, on and off as truth values where they are not quoted.
    rules = load_rules("tokenization", "en")
    lists = [v for part in (rules, rules["sentences"]) for v in part.values() if isinstance(v, list)]
    assert all(isinstance(item, str) for items in lists for item in items)


GOLD = {
    *("Disease_disorder", "Sign_symptom", "Medication", "Dosage", "Therapeutic_procedure", "Diagnostic_procedure"),
    *("Lab_value", "Biological_structure"),
}


def test_gold_entities_begin_and_end_at_token_edges_and_lie_in_one_sentence(corpora: Path) -> None:
    total = held = plain = crossing = 0
    for path in sorted((corpora / "maccrobat").glob("*.ann"))[:60]:
        text = path.with_suffix(".txt").read_bytes().decode("utf-8")
        record = ENGLISH(text)
        starts, ends = {t.start for t in record.tokens}, {t.end for t in record.tokens}
        simple = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
        simple_starts, simple_ends = {start for start, _ in simple}, {end for _, end in simple}
        inner = {s.end for s in record.sentences}
        for line in path.read_text(encoding="utf-8").splitlines():
            label, *places = line.split("\t")[1].split() if line.startswith("T") else ("",)
            if label not in GOLD or len(places) != 2:
                continue
            start, end = map(int, places)
            total += 1
            held += start in starts and end in ends
            plain += start in simple_starts and end in simple_ends
            crossing += any(start < place < end for place in inner)
    assert total > 4000
    assert held >= plain - 0.003 * total
    assert crossing <= 0.001 * total
