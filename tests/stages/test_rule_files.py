"""Rules in files, lists and mappings: what is read, and what is refused in one line with its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from clinnlp.errors import ConfigError
from clinnlp.stages import RuleMatcher

LOOP: dict[str, Any] = {}
LOOP["IN"] = LOOP
FILES = {
    "rules.csv": (
        "\ufeffterm,label,concept_id,system,severity,case,regex\r\n"
        "chest pain,Symptom,29857009,SNOMED,high\r\n"
        '"fever, chills",Symptom,,,\r\n'
        "\r\n"
        "US,Country,,,,TRUE,\r\n"
        ",Id,,,,,nr\\.\\d+\r\n"
    ),
    "rules.tsv": (
        "term\tlabel\tconcept_id\tsystem\tseverity\tcase\tregex\n"
        "chest pain\tSymptom\t29857009\tSNOMED\thigh\n"
        "fever, chills\tSymptom\n"
        "US\tCountry\t\t\t\tyes\t\n"
        "\tId\t\t\t\t\tnr\\.\\d+\n"
    ),
    "rules.yaml": (
        "- {label: Symptom, term: chest pain, concept_id: 29857009, system: SNOMED, attributes: {severity: high}}\n"
        "- {label: Symptom, term: 'fever, chills'}\n"
        "- {label: Country, term: US, case: true}\n"
        "- {label: Id, regex: 'nr\\.\\d+'}\n"
    ),
    "labels.yml": (
        "Symptom:\n"
        "  - {term: chest pain, concept_id: '29857009', system: SNOMED, attributes: {severity: high}}\n"
        "  - fever, chills\n"
        "Country: [{term: US, case: true}]\n"
        "Id: [{regex: 'nr\\.\\d+'}]\n"
    ),
    "rules.JSONL": (
        '{"label": "Symptom", "term": "chest pain", "concept_id": 29857009, "system": "SNOMED",'
        ' "attributes": {"severity": "high"}}\n'
        "\n"
        '{"label": "Symptom", "term": "fever, chills", "concept_id": null}\n'
        '{"label": "Country", "term": "US", "case": true}\n'
        '{"label": "Id", "regex": "nr\\\\.\\\\d+"}\n'
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_rules_are_read_from_every_format(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name].encode("utf-8"))
    stage = RuleMatcher(path)
    assert [(rule.label, rule.term or rule.regex, rule.case) for rule in stage.rules] == [
        ("Symptom", "chest pain", False),
        ("Symptom", "fever, chills", False),
        ("Country", "US", True),
        ("Id", r"nr\.\d+", False),
    ]
    codes = {"concept_id": "29857009", "system": "SNOMED", "severity": "high"}
    assert [rule.attributes for rule in stage.rules] == [codes, {}, {}, {}]
    assert RuleMatcher.from_file(path).rules == RuleMatcher(str(path)).rules == stage.rules
    assert [e.text for e in stage("US: Fever,\nchills, nr.12, us").entities] == ["US", "Fever,\nchills", "nr.12"]


def test_a_number_is_kept_as_yaml_has_it_written(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    for code in ("0123", "12:30", "1_000", "0x1F", "+5", "29857009"):
        path.write_text(f"- {{label: D, term: a, concept_id: {code}, attributes: {{b: {code}, c: 12}}}}\n")
        (rule,) = RuleMatcher(path).rules
        assert rule.attributes == {"concept_id": code, "b": 29857009 if code == "29857009" else code, "c": 12}


def test_aliases_and_merged_keys_stand_for_what_they_name(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("- &a {label: D, term: a}\n- {<<: *a, term: b}\n")
    assert [(rule.label, rule.term) for rule in RuleMatcher(path).rules] == [("D", "a"), ("D", "b")]


def test_terms_stand_behind_rules() -> None:
    stage = RuleMatcher([{"label": "A", "term": "one"}], terms={"B": ["one", "two"], "C": ({"term": "three"},)})
    assert [(rule.label, rule.term) for rule in stage.rules] == [
        ("A", "one"),
        ("B", "one"),
        ("B", "two"),
        ("C", "three"),
    ]
    assert [(e.text, e.label) for e in stage("one two").entities] == [("one", "A"), ("two", "B")]


def test_white_space_around_labels_terms_and_codes_is_not_theirs() -> None:
    (rule,) = RuleMatcher([{"label": " D\n", "term": "\tone two ", "concept_id": " 1 "}]).rules
    assert (rule.label, rule.term, rule.attributes) == ("D", "one two", {"concept_id": "1"})


def test_patterns_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("- label: Dose\n  pattern: [{LIKE_NUM: true}, {LOWER: {IN: [mg, g]}}]\n")
    assert [e.text for e in RuleMatcher(path)("Take 5 mg.").entities] == ["5 mg"]


def test_a_file_without_rules_finds_nothing(tmp_path: Path) -> None:
    for name, text in (("a.yaml", ""), ("a.jsonl", "\n"), ("a.csv", "label,term\n")):
        (tmp_path / name).write_text(text)
        assert RuleMatcher(tmp_path / name)("any").entities == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "label,term\nD,a\n,b\n", "a.csv, line 3 has no label: give one"),
        ("a.csv", "label,term\nD,a\nD,\n", "a.csv, line 3 has no term: give it one of term, pattern, regex"),
        ("a.csv", 'label,term\nD,"a\nb"\nD,a,b\n', "a.csv, line 4: 3 cells, and the header has 2: quote it"),
        ("a.csv", 'label,term\nD,a\nD,"b"c\n', "a.csv, line 3: its quotes are broken"),
        ("a.csv", "label,term,regex\nD,a,b\n", "a.csv, line 2 has term and regex: give it one of"),
        ("a.csv", "label,term,case\nD,a,maybe\n", "a.csv, line 2: case is true or false"),
        ("a.csv", "name,term\nD,a\n", "a.csv, line 1: name the columns label, and term or regex"),
        ("a.csv", "", "a.csv, line 1: name the columns label, and term or regex"),
        ("a.csv", "label,term,code,code\n", "a.csv, line 1 has two columns named 'code': rename one"),
        ("a.csv", "label,term,pattern\n", "a.csv, line 1 has the column 'pattern'"),
        ("a.csv", "label,term,\n", "a.csv, line 1 has a column without a name"),
        ("a.tsv", "label,term\n", "a.tsv, line 1: name the columns"),
        ("a.yaml", "- {label: D, term: a}\n- {label: D, trem: b}\n", "a.yaml, rule 2 has the unknown field 'trem'"),
        ("a.yaml", "- {label: D, term: no}\n", "a.yaml, rule 1: its term is of type bool, not text: quote it"),
        ("a.yaml", "- {label: 5, term: x}\n", "a.yaml, rule 1: its label is of type int, not text: quote it"),
        ("a.yaml", "- label: [\n", "a.yaml, line 2 is not valid YAML (ParserError)"),
        ("a.yaml", "!!python/object:os.system {}", "a.yaml, line 1 is not valid YAML (ConstructorError)"),
        (
            "a.yaml",
            "- {label: D, term: a}\n- {label: D, term: b, label: E}\n",
            "a.yaml, line 2 is not valid YAML (ConstructorError): it has the key 'label' twice: take one out",
        ),
        (
            "a.yaml",
            "D: [a]\nE: [b]\nD: [c]\n",
            "a.yaml, line 3 is not valid YAML (ConstructorError): it has the key 'D'",
        ),
        (
            "a.yaml",
            "&a [*a]",
            "a.yaml: what its aliases (*) stand for holds itself, or is over 1,000,000 values: write",
        ),
        ("a.yaml", "- {label: D, pattern: [&a {LOWER: *a}]}", "a.yaml: what its aliases (*) stand for holds itself"),
        (
            "a.yaml",
            "- {label: D, term: a, attributes: {b: &b [*b]}}",
            "a.yaml: what its aliases (*) stand for holds it",
        ),
        (
            "a.yaml",
            f"a: &a [{'x,' * 99}]\nb: &b [{'*a,' * 99}]\nc: &c [{'*b,' * 99}]\nd: [{'*c,' * 99}]",
            "a.yaml: what",
        ),
        (
            "a.yaml",
            "- {label: D, term: a, attributes: {b: .nan}}",
            "a.yaml, rule 1: its attribute 'b' is no finite number",
        ),
        (
            "a.jsonl",
            '{"label": "D", "term": "a", "term": "b"}',
            "a.jsonl, line 1 has the key 'term' twice: take one out",
        ),
        ("a.jsonl", '{"label": "D", "term": "a", "attributes": {"b": [NaN]}}', "a.jsonl, line 1: its attribute 'b' is"),
        ("a.yaml", "D: a\n", "a.yaml, the label 'D' has no list of terms"),
        ("a.yaml", "D: [{term: a, label: E}]\n", "a.yaml, rule 1 of 'D' has a label of its own"),
        ("a.yaml", "D: [a, '']\n", "a.yaml, rule 2 of 'D': its term is empty"),
        ("a.yaml", "just text", "a.yaml, give a list of rules, or a mapping of labels to terms, not str"),
        ("a.yaml", "- a\n", "a.yaml, rule 1 is no mapping: write {label: ..., term: ...}"),
        ("a.jsonl", '{"label": "D", "term": "a"}\n{', "a.jsonl, line 2 is not valid JSON"),
        ("a.jsonl", '{"label": "D", "term": "\\ud800"}', "a.jsonl, line 1 has a lone surrogate"),
        ("a.jsonl", '{"label": "D", "regex": "("}', "a.jsonl, line 1: RE2 cannot use its regex (missing ): ()"),
        ("a.jsonl", b'{"label": "D\xff"}', "a.jsonl is not UTF-8 text (byte 12): convert it first"),
        ("a.csv", "label,term\n".encode("utf-16"), "a.csv is not UTF-8 text (byte 0): convert it first"),
        ("a.xlsx", "", "a.xlsx: rules are read from .csv, .tsv, .yaml, .yml, .jsonl files"),
        ("a", "", "a: rules are read from .csv"),
        ("gone.csv", None, "gone.csv cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    name: str, content: str | bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    refused(tmp_path / name, message)


def refused(rules: Any, message: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(message)) as caught:
        RuleMatcher(rules)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"label": "D", "term": ""}], "rule 1: its term is empty"),
        ([{"label": "D", "term": " \n\u3000"}], "rule 1: its term is empty"),
        ([{"label": " ", "term": "a"}], "rule 1: its label is empty"),
        ([{"term": "a"}], "rule 1 has no label"),
        ([{"label": "D"}], "rule 1 has no term"),
        ([{"label": "D", "term": "a", "case": 1}], "rule 1: case is true or false"),
        ([{"label": "D", "term": "a", "concept_id": 1.5}], "rule 1: its concept_id is of type float, not text"),
        ([{"label": "D", "term": "a", "concept_id": ""}], "rule 1: its concept_id is empty"),
        ([{"label": "D", "term": "a", "attributes": "b"}], "rule 1: its attributes are no mapping"),
        ([{"label": "D", "term": "a", "attributes": {"b": object()}}], "rule 1: its attributes: a value of type"),
        ([{"label": "D", "term": "a", "system": "b", "attributes": {"system": "c"}}], "rule 1 gives system twice"),
        ([{"label": "D", "term": "a", "attributes": {"b": float("nan")}}], "rule 1: its attribute 'b' is no finite"),
        ([{"label": "D", "term": "a", "attributes": {"b": [1.0, float("-inf")]}}], "rule 1: its attribute 'b' is no"),
        ([{"label": "D", "term": "a", "attributes": {"b": LOOP}}], "rule 1: its attributes: values lie too deep"),
        ([{"label": "D", "pattern": [{"LOWER": LOOP}]}], "rule 1: its pattern holds itself: write it out"),
        ([{"label": "D", "pattern": []}], "rule 1: its pattern is no list of tokens"),
        ([{"label": "D", "pattern": "a"}], "rule 1: its pattern is no list of tokens"),
        ([{"label": "D", "pattern": ["a"]}], "rule 1: a token of its pattern is no mapping"),
        ([{"label": "D", "pattern": [{"LEMMA": "a"}]}], "rule 1: its pattern asks for 'LEMMA': known are IS_ALPHA"),
        ([{"label": "D", "pattern": [{"_": {"x": 1}}]}], "rule 1: its pattern asks for '_'"),
        ([{"label": "D", "pattern": [{"LOWER": {"REGEX": "a"}}]}], "rule 1: REGEX in a pattern can run away"),
        ([{"label": "D", "pattern": [{"lower": {"fuzzy": {"regex": "a"}}}]}], "rule 1: REGEX in a pattern"),
        (
            [{"label": "D", "pattern": [{"OP": "*"}, {"op": "+"}, {"OP": "{2,}"}]}],
            "rule 1: its pattern leaves 15 open, at",
        ),
        (
            [{"label": "D", "pattern": [{"LOWER": "a", "OP": "?"}] * 13}],
            "rule 1: its pattern leaves 13 open, at most 12",
        ),
        ([{"label": "D", "pattern": [{"OP": "{1,20}"}]}], "rule 1: its pattern leaves 19 open"),
        ([{"label": "D", "pattern": [{"OP": "{999999}"}]}], "rule 1: its pattern repeats a token over 100 times"),
        ([{"label": "D", "pattern": [{"LOWER": "a"}], "case": True}], "rule 1: a pattern has no case"),
        (5, "rules: give a list of rules, or a mapping of labels to terms, not int"),
        ({"D": "aspirin"}, "rules: the label 'D' has no list of terms"),
        ({"D": [5]}, "rule 1 of 'D': its term is of type int, not text: quote it"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(rules: Any, message: str) -> None:
    refused(rules, message)
