"""RuleMatcher: what rules find and where, overlaps, saving, and what could run away."""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.edited import PIECES, edits_of, texts

from clinnlp import Entity, Pipeline, Record, load
from clinnlp.alignment import EditedText, delete, insert, replace
from clinnlp.engines.identity import differences, pipeline_identity
from clinnlp.errors import ConfigError, PipelineError
from clinnlp.record import Token
from clinnlp.stage import Stage, resolve
from clinnlp.stages import RuleMatcher, TextCleaner, Tokenizer
from clinnlp.stages._overlaps import OVERLAPS

Found = list[tuple[int, int, str]]


def found(stage: Stage, record: Record | str) -> list[tuple[str, str]]:
    return [(entity.text, entity.label) for entity in stage(record).entities]


def matched(term: str, text: str, lang: str = "en", **fields: Any) -> list[str]:
    stage = RuleMatcher([{"label": "X", "term": term, **fields}], lang=lang)
    plain = [entity.text for entity in stage(text).entities]
    assert [entity.text for entity in Pipeline([Tokenizer(lang), stage])(text).entities] == plain
    return plain


def test_an_entity_has_its_span_label_codes_and_source() -> None:
    rule = {"label": "Disease", "term": "type 2 diabetes", "concept_id": "E11", "system": "ICD-10"}
    stage = RuleMatcher([{**rule, "attributes": {"parents": ["E10-E14"]}}])
    text = "PMH: Type 2  Diabetes, stable."
    (entity,) = stage(text).entities
    assert (entity.start, entity.end, entity.text, entity.label) == (5, 21, "Type 2  Diabetes", "Disease")
    assert (entity.score, entity.source, entity.assertion) == (1.0, "rules", None)
    assert entity.attributes == {"concept_id": "E11", "system": "ICD-10", "parents": ["E10-E14"]}
    record = Record(text)
    stage.process([record])
    record.entities[0].attributes["parents"].append("changed")
    assert stage(text).entities[0].attributes["parents"] == ["E10-E14"]


@pytest.mark.parametrize(
    ("term", "text", "there"),
    [
        (
            "chest pain",
            "No chest\n   pain now; CHEST PAIN, chest\r\n\tpain.",
            ["chest\n   pain", "CHEST PAIN", "chest\r\n\tpain"],
        ),
        ("chest pain", "chestpain, chest-pain, chest painful, xchest pain", []),
        ("COVID-19", "covid-19, COVID - 19, COVID19, COVID-191", ["covid-19", "COVID - 19"]),
        ("mg", "500mg", ["mg"]),
        ("500 mg", "500mg 1500 mg 500\nmg", ["500mg", "500\nmg"]),
        ("PO2", "take PO 2 times, pO2 90", ["pO2"]),
        ("B12", "B 12 or b12", ["b12"]),
        ("5 mg", "3.5 mg", []),
        ("q.d", "q.d.", []),
        ("ad", "p.o. ad lib, head, a.d.", ["ad"]),
        ("a", "A cat, a.b., a", ["A", "a"]),
        ("Crohn's disease", "crohn's disease", ["crohn's disease"]),
        ("straße", "STRASSE", ["STRASSE"]),
        ("β-blocker", "Β-Blocker", ["Β-Blocker"]),
        ("e", "e\u0301 e", ["e"]),
        ("😷 mask", "🏥😷 Mask 😷mask", ["😷 Mask", "😷mask"]),
        ("HIV+", "HIV+, HIV", ["HIV+"]),
    ],
)
def test_a_term_matches_whole_tokens_over_any_white_space(term: str, text: str, there: list[str]) -> None:
    assert matched(term, text) == there


def test_an_accent_is_one_with_its_letter_however_it_is_stored() -> None:
    for term, text in (
        ("café noir", "un café noir."),
        ("Ménière", "of Ménière's"),
        ("ệx\u0302y", "an ệx\u0302y e\u0301\u0316"),
        ("각막염", "각막염 있음"),
    ):
        for one, other in permutations(("NFC", "NFD")):
            stored = normalize(other, text)
            for case in (False, True):
                assert matched(normalize(one, term), stored, case=case) == [normalize(other, term)]
    # The letter alone is another word.
    assert matched("cafe", normalize("NFD", "un café noir")) == matched("cafe", "un café noir") == []


def test_case_counts_where_a_rule_says_so() -> None:
    assert matched("US", "us, US, Us", case=True) == ["US"]
    assert matched("ALL therapy", "All therapy, ALL\ntherapy", case=True) == ["ALL\ntherapy"]
    both = RuleMatcher([{"label": "Country", "term": "US", "case": True}, {"label": "Word", "term": "us"}])
    assert found(both, "us US") == [("us", "Word"), ("US", "Country")]


def test_chinese_terms_need_no_spaces_and_survive_wrapped_lines() -> None:
    assert matched("高血压", "患者有高血压，高\n血压病史。", "zh") == ["高血压", "高\n血压"]
    assert matched("CT检查", "行ct检查及CT 检查", "zh") == ["ct检查", "CT 检查"]
    assert matched("CT", "头颅CT平扫，ACT", "zh") == ["CT"]
    assert matched("𠮷", "患者𠮷田", "zh") == ["𠮷"]


def test_words_of_a_record_bound_terms_and_patterns() -> None:
    rules = [{"label": "Test", "term": "pO2"}, {"label": "Pair", "pattern": [{"LOWER": "po2-sat"}, {"LIKE_NUM": True}]}]
    whole = [Token(0, 7), Token(8, 10)]
    assert found(RuleMatcher(rules), Record("pO2-sat 95")) == [("pO2", "Test")]
    assert found(RuleMatcher(rules), Record("pO2-sat 95", tokens=whole)) == [("pO2-sat 95", "Pair")]
    assert found(RuleMatcher({"D": ["COVID-19"]}), Record("COVID-19", tokens=[Token(0, 8)])) == [("COVID-19", "D")]


def test_the_longest_match_wins_then_the_first_in_the_text_then_the_first_rule() -> None:
    stage = RuleMatcher(
        [
            {"label": "Short", "term": "pain"},
            {"label": "Long", "regex": "acute chest"},
            {"label": "Longest", "pattern": [{"LOWER": "chest"}, {"LOWER": "pain"}, {"LOWER": "syndrome"}]},
            {"label": "First", "term": "left arm"},
            {"label": "Tied", "term": "left arm", "concept_id": "2"},
            {"label": "Later", "term": "arm left"},
        ]
    )
    text = "acute chest pain syndrome; left arm left; acute chest"
    assert found(stage, text) == [("chest pain syndrome", "Longest"), ("left arm", "First"), ("acute chest", "Long")]
    assert stage(text).entities[1].attributes == {}


def test_of_two_codes_for_one_term_the_first_is_taken() -> None:
    stage = RuleMatcher([{"label": "D", "term": t, "concept_id": c} for t, c in (("Cold", "1"), ("cold", "2"))])
    assert [entity.attributes for entity in stage("cold").entities] == [{"concept_id": "1"}]


def test_patterns_find_tokens_by_what_they_are() -> None:
    dose = [{"LIKE_NUM": True}, {"LOWER": {"IN": ["mg", "ml"]}, "OP": "+"}]
    stage = RuleMatcher(
        [{"label": "Dose", "pattern": dose}, {"label": "Typo", "pattern": [{"LOWER": {"FUZZY": "aspirin"}}]}]
    )
    assert found(stage, "Asprin 500mg,\n20\n ml") == [("Asprin", "Typo"), ("500mg", "Dose"), ("20\n ml", "Dose")]
    assert found(RuleMatcher([{"label": "N", "pattern": [{"LIKE_NUM": True}]}], lang="zh"), "血压120") == [("120", "N")]


@pytest.mark.parametrize("words", [1, 49, 50, 51, 99, 100, 101, 149, 150, 151, 400])
def test_patterns_find_each_place_of_a_long_note_once(words: int) -> None:
    stage = RuleMatcher([{"label": "X", "pattern": [{"LOWER": "a"}, {"LOWER": "b"}]}])
    text = "a b " * words
    assert [(e.start, e.end) for e in stage(text).entities] == [(4 * i, 4 * i + 3) for i in range(words)]
    long = RuleMatcher([{"label": "X", "pattern": [{"LOWER": "x"}, {"LOWER": "a", "OP": "{48}"}, {"LOWER": "y"}]}])
    assert found(long, "a " * words + "x " + "a " * 48 + "y" + " a" * words) == [("x " + "a " * 48 + "y", "X")]


def test_regular_expressions_have_offsets_in_code_points() -> None:
    stage = RuleMatcher([{"label": "Id", "regex": r"nr\. ?\d+"}, {"label": "Sign", "regex": "急+|😷"}])
    text = "😷 é\u0301 急急性 Nr. 12, ünr.3"
    assert found(stage, text) == [("😷", "Sign"), ("急急", "Sign"), ("Nr. 12", "Id"), ("nr.3", "Id")]
    assert found(RuleMatcher([{"label": "Id", "regex": "NR", "case": True}]), "nr NR") == [("NR", "Id")]
    assert found(RuleMatcher([{"label": "Id", "regex": r"\s*x\s*"}]), "a  x  b") == [("x", "Id")]
    assert found(RuleMatcher([{"label": "Id", "regex": r"\b"}]), "a b") == []
    assert found(RuleMatcher([{"label": "Id", "regex": r"\C\C"}]), "é😷") != []  # bytes, of which RE2 knows


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(?<=a)b", "RE2 cannot use its regex (invalid perl operator: (?<=)"),
        (r"(a)\1", "RE2 cannot use its regex (invalid escape sequence: \\1)"),
        ("(", "RE2 cannot use its regex (missing ): ()"),
        ("a*", "its regex matches the empty text"),
        ("^|x", "its regex matches the empty text"),
        (" ", "its regex is empty"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_when_the_stage_is_made(
    regex: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        RuleMatcher([{"label": "A", "regex": "a"}, {"label": "B", "regex": regex}])
    assert str(caught.value).startswith("rule 2: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_would_run_away_takes_linear_time() -> None:
    evil = RuleMatcher([{"label": "X", "regex": "(a+)+$"}, {"label": "Y", "regex": "(a|a)*b"}])
    anything = RuleMatcher([{"label": "X", "pattern": [{"IS_ALPHA": True, "OP": "+"}]}])
    twice = RuleMatcher([{"label": "X", "pattern": [{"IS_ALPHA": True, "OP": "+"}, {"OP": "*"}, {"OP": "?"}]}])
    nested = RuleMatcher({"X": [" ".join(["a"] * n) for n in (1, 2, 3, 4000)]})
    start = time.perf_counter()
    assert found(evil, "a" * 50_000 + "!") == []
    assert len(evil("a" * 50_000).entities) == 1
    # spaCy takes minutes for this without stretches
    assert max(len(text.split()) for text, _ in found(anything, "ab cd " * 1500)) >= 50
    assert found(twice, "ab cd " * 500) != []
    assert [len(text) for text, _ in found(nested, "a " * 6000)] == [7999] + [5] * 666 + [3]
    assert time.perf_counter() - start < 60


def test_a_term_may_be_as_long_as_a_page() -> None:
    term = "word " * 2000
    assert matched(term, f"x {term.upper()} y") == [term.upper().strip()]


def test_entities_stand_in_the_raw_text_of_a_cleaned_one() -> None:
    text = "Pt has hyper-\ntension &amp; gout  ... no asthma"
    edits = [
        replace(0, 2, "Patient"),
        delete(12, 14),
        replace(22, 27, "&"),
        delete(34, 37),
        insert(len(text), " asthma"),
    ]
    stage = RuleMatcher({"D": ["patient", "hypertension", "hypertension & gout no", "asthma"], "S": ["&", "pt"]})
    record = Record(text, cleaned=EditedText.of(text, edits))
    assert record.view.text == "Patient has hypertension & gout   no asthma asthma"
    expected = [("Pt", "D"), ("hyper-\ntension &amp; gout  ... no", "D"), ("asthma", "D")]
    assert found(stage, record.copy()) == expected
    assert found(Pipeline([Tokenizer(), stage]), record.copy()) == expected
    cleaned = Pipeline([TextCleaner(), RuleMatcher({"D": ["chest pain"]})])("\ufeffchest\u00a0pain")
    assert [(e.start, e.end) for e in cleaned.entities] == [(1, 11)]


TERMS = [piece for piece in PIECES if piece.strip()]


@st.composite
def edited_records(draw: st.DrawFn) -> Record:
    text = draw(texts)
    return Record(text, cleaned=EditedText.of(text, draw(edits_of(len(text)))))


ANY = RuleMatcher(
    [
        *({"label": "T", "term": term + other} for term in TERMS for other in ("", "a", "急")),
        {"label": "P", "pattern": [{"IS_ALPHA": True, "OP": "+"}]},
        {"label": "R", "regex": r"[急\p{L}]+|\s7|."},
    ],
    lang="zh",
    overlaps="both",
)


@given(edited_records(), st.booleans())
def test_every_entity_has_the_text_at_its_offsets(record: Record, tokenized: bool) -> None:
    stages = [Tokenizer("zh"), ANY] if tokenized else [ANY]
    for stage in stages:
        stage.process([record])
    record.bind()
    end = 0
    for entity in record.entities:
        assert record.text[entity.start : entity.end] == entity.text
        assert entity.text == entity.text.strip() != ""
        assert entity.start >= end
        end = entity.end
    before = list(record.entities)
    ANY.process([record])
    record.bind()
    assert record.entities == before


@given(texts)
def test_what_rules_find_without_edits_is_what_stands_there(text: str) -> None:
    for entity in RuleMatcher({"T": TERMS}, lang="zh")(text).entities:
        assert "".join(entity.text.split()).casefold() in {term.casefold() for term in TERMS}


# Overlaps: "aa bb cc dd", where rules find "bb cc" as X, and the record has one entity E.
RULE = [{"label": "X", "term": "bb cc", "concept_id": "7", "attributes": {"note": "new"}}]
TEXT = "aa bb cc dd"
EXACT, INSIDE, CROSSING, AROUND, BESIDE = (3, 8), (3, 5), (0, 5), (0, 8), (0, 2)
KEPT, TAKEN, BOTH = "existing", "rule", "both"


SPANS = (EXACT, INSIDE, CROSSING, AROUND)
CASES = [
    *(("keep_existing", span, "Y", source, KEPT) for span in SPANS for source in ("", "m")),
    *(("replace", span, label, source, TAKEN) for span in SPANS for label in "XY" for source in ("", "m")),
    *(("both", span, "Y", source, BOTH) for span in SPANS for source in ("", "m")),
    *(("longest", span, "Y", "", KEPT) for span in SPANS),
    *(("longest", span, "Y", "m", TAKEN if span == INSIDE else KEPT) for span in SPANS),
    *((policy, EXACT, "X", "", "completed") for policy in ("keep_existing", "both", "longest")),
    *((policy, EXACT, "X", "m", "completed") for policy in ("keep_existing", "both", "longest")),
    *((policy, BESIDE, "X", source, BOTH) for policy in OVERLAPS for source in ("", "m")),
]


@pytest.mark.parametrize(("overlaps", "span", "label", "source", "outcome"), CASES)
def test_overlaps_with_an_entity_that_is_there(
    overlaps: Any, span: tuple[int, int], label: str, source: str, outcome: str
) -> None:
    entity = Entity(*span, label, score=0.5, source=source, attributes={"note": "old"})
    record = RuleMatcher(RULE, overlaps=overlaps)(Record(TEXT, entities=[entity]))
    old = (*span, label, source, 0.5, {"note": "old"})
    new = (3, 8, "X", "rules", 1.0, {"concept_id": "7", "note": "new"})
    expected = {
        KEPT: [old],
        TAKEN: [new],
        BOTH: sorted([old, new], key=lambda one: one[:2]),
        "completed": [(*old[:5], {"concept_id": "7", "note": "old"})],
    }[outcome]
    assert [(e.start, e.end, e.label, e.source, e.score, e.attributes) for e in record.entities] == expected


def test_an_entity_of_another_code_gets_nothing_of_a_rule() -> None:
    for attributes in ({"concept_id": "8"}, {"concept_id": "7", "system": "B"}):
        rule = [{**RULE[0], "system": "A"}]
        record = RuleMatcher(rule)(Record(TEXT, entities=[Entity(3, 8, "X", attributes=dict(attributes))]))
        assert [entity.attributes for entity in record.entities] == [attributes]


def test_an_entity_gets_the_attributes_of_the_first_of_two_rules() -> None:
    stage = RuleMatcher([{"label": "X", "term": "bb cc", "concept_id": code} for code in "12"])
    assert stage(Record(TEXT, entities=[Entity(3, 8, "X")])).entities[0].attributes == {"concept_id": "1"}


def test_what_the_stage_found_before_is_found_anew() -> None:
    record = Record(TEXT, entities=[Entity(0, 2, "Old", source="rules"), Entity(6, 8, "Kept", source="m")])
    assert found(RuleMatcher({"X": ["bb"]}), record) == [("bb", "X"), ("cc", "Kept")]


def test_a_shorter_rule_is_found_where_a_longer_one_was_left_out() -> None:
    stage = RuleMatcher({"X": ["aa bb", "aa", "bb"]})
    entities = [Entity(3, 8, "Y", source="m")]
    assert found(stage, Record(TEXT, entities=entities)) == [("aa", "X"), ("bb cc", "Y")]


def test_a_match_must_be_longer_than_all_entities_that_it_would_replace() -> None:
    stage = RuleMatcher({"X": ["bb cc"]}, overlaps="longest")
    entities = [Entity(0, 5, "Y", source="m"), Entity(6, 8, "Y", source="m"), Entity(6, 8, "Z", source="n")]
    assert len(stage(Record(TEXT, entities=entities)).entities) == 3
    assert found(stage, Record(TEXT, entities=entities[1:])) == [("bb cc", "X")]
    wide = RuleMatcher({"X": ["bb cc dd"]}, overlaps="longest")
    hidden = [Entity(0, 9, "Y", source="m"), Entity(7, 9, "Y", source="m")]
    assert found(wide, Record("xxx xx bb cc dd", entities=hidden)) == [("xxx xx bb", "Y"), ("bb", "Y")]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from("XY"))))
def test_what_a_record_brought_is_only_ever_lost_by_replacing(spans: Found) -> None:
    brought = [Entity(min(a, b), max(a, b), label) for a, b, label in spans]
    terms = {"X": ["aa", "bb", "bb cc", "cc dd", "dd"]}
    for overlaps in ("keep_existing", "both", "longest"):
        record = RuleMatcher(terms, overlaps=overlaps)(Record(TEXT, entities=list(brought)))
        kept = [(e.start, e.end, e.label) for e in record.entities if not e.source]
        assert sorted(kept) == sorted((e.start, e.end, e.label) for e in brought)
        ours = [e for e in record.entities if e.source]
        if overlaps != "both":
            assert not any(max(e.start, o.start) < min(e.end, o.end) for e in brought for o in ours)


def test_the_order_of_entities_and_a_second_run_change_nothing() -> None:
    entities = [Entity(0, 2, "A", source="m"), Entity(3, 8, "X", source="m"), Entity(6, 11, "B")]
    for overlaps in OVERLAPS:
        stage = RuleMatcher({"X": ["bb cc", "dd", "aa bb"]}, overlaps=overlaps)
        results = [stage(Record(TEXT, entities=list(order))) for order in permutations(entities)]
        assert all(found(stage, result.copy()) == found(stage, results[0].copy()) for result in results)


@pytest.fixture
def stage() -> RuleMatcher:
    rules = [
        {"label": "Dose", "pattern": [{"LIKE_NUM": True}, {"LOWER": "mg"}]},
        {"label": "Nr", "regex": r"nr\.\d+", "case": True},
        {"label": "疾病", "term": "高血压", "concept_id": 38341003, "system": "SNOMED", "attributes": {"a": [1, None]}},
    ]
    return RuleMatcher(rules, lang="zh", overlaps="longest", name="mine")


NOTE = "高血压 20mg nr.7"


def test_a_saved_pipeline_loads_again_and_holds_its_rules_in_a_file(stage: RuleMatcher, tmp_path: Path) -> None:
    nlp = Pipeline([stage])
    nlp.save(tmp_path / "p")
    assert (tmp_path / "p" / "mine" / "rules.jsonl").read_text("utf-8").count("\n") == 3
    assert "SNOMED" not in (tmp_path / "p" / "pipeline.yaml").read_text("utf-8")
    again = load(tmp_path / "p")
    assert isinstance(again["mine"], RuleMatcher)
    assert again["mine"].rules == stage.rules
    assert again["mine"].config() == {"overlaps": "longest", "lang": "zh"}
    assert again(NOTE) == nlp(NOTE)
    assert [e.label for e in again(NOTE).entities] == ["疾病", "Dose", "Nr"]
    assert again(NOTE).entities[0].attributes == {"concept_id": "38341003", "system": "SNOMED", "a": [1, None]}
    nlp.save(tmp_path / "p", dtype="float16")
    Pipeline([RuleMatcher({"X": ["one"]}, name="mine")]).save(tmp_path / "p")
    assert found(load(tmp_path / "p"), "one") == [("one", "X")]


def test_rules_may_stand_in_a_pipeline_that_was_written_by_hand(tmp_path: Path) -> None:
    entry = "- {name: drugs, stage: rules, config: {terms: {Drug: [aspirin]}}}"
    (tmp_path / "pipeline.yaml").write_text(f"clinnlp: 1\nstages:\n{entry}\n")
    assert found(load(tmp_path), "Aspirin.") == [("Aspirin", "Drug")]


def test_a_saved_folder_that_lost_its_rules_says_so(stage: RuleMatcher, tmp_path: Path) -> None:
    Pipeline([stage]).save(tmp_path / "p")
    (tmp_path / "p" / "mine" / "rules.jsonl").unlink()
    with pytest.raises(PipelineError, match=r"stage 'mine': rules\.jsonl cannot be read: No such file"):
        load(tmp_path / "p")
    (tmp_path / "file").touch()
    with pytest.raises((PipelineError, ValueError)):
        stage.save(tmp_path / "file")


def test_another_list_of_terms_is_another_pipeline(tmp_path: Path) -> None:
    one, same, other = (Pipeline([RuleMatcher({"D": terms})]) for terms in (["a", "b"], ["a", "b"], ["b", "a"]))
    one.save(tmp_path / "p")
    identity = pipeline_identity(one)
    assert not differences(identity, pipeline_identity(same))
    assert not differences(identity, pipeline_identity(load(tmp_path / "p")))
    assert differences(identity, pipeline_identity(other)) == ["stages.rules.weights"]


def test_a_stage_that_was_used_can_be_pickled(stage: RuleMatcher) -> None:
    before = found(stage, NOTE)
    again = pickle.loads(pickle.dumps(stage))
    assert again.rules == stage.rules
    assert found(again, NOTE) == before


def test_it_is_registered_under_its_default_name_and_wants_models_before_it() -> None:
    assert resolve("rules") is RuleMatcher
    matcher = RuleMatcher({"D": ["a"]})
    assert (matcher.name, matcher.assigns, matcher.labels) == ("rules", ("entities",), ["D"])

    class Model(Stage):
        kind, assigns = "model", ("entities",)

    Pipeline([Model(), matcher])
    with pytest.raises(PipelineError, match="stage 'rules' comes before 'model'"):
        Pipeline([matcher, Model()])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "stage 'rules' has no rules"),
        ({"terms": {"D": ["a"]}, "overlaps": "all"}, "overlaps is one of keep_existing, replace, longest, both, not"),
        ({"terms": {"D": ["a"]}, "lang": "xx"}, "no rules for tokenization in the language 'xx'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RuleMatcher(**options)


@pytest.mark.parametrize("pattern", [[{"LOWER": "a", "OP": "z"}], [{"LENGTH": {">": "a"}}], [{"LOWER": {"IN": "a"}}]])
def test_a_pattern_that_spacy_cannot_use_is_refused_at_first_use(pattern: Sequence[Any]) -> None:
    stage = RuleMatcher([{"label": "X", "pattern": pattern}])
    with pytest.raises(ConfigError, match=r"rule 1: spaCy cannot use its pattern \(\w+\): check its op") as caught:
        stage.warm_up()
    assert "\n" not in str(caught.value)


def test_words_of_many_notes_do_not_fill_the_memory_of_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinnlp.stages._patterns.VOCABULARY_LIMIT", 50)
    stage = RuleMatcher([{"label": "X", "pattern": [{"LOWER": "aspirin"}]}])
    for i in range(5):
        text = " ".join(f"w{i}y{j}" for j in range(40)) + " aspirin"
        assert found(stage, text) == [("aspirin", "X")]
    assert stage._matchers is not None
    matcher = stage._matchers._patterns
    assert matcher is not None
    assert len(matcher._vocab.strings) < matcher._limit + 50
