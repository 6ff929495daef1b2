"""The shipped pipelines that read pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import clinnlp
from clinnlp import Image, Label, Pipeline, Record
from clinnlp.cli import main
from clinnlp.formats import jsonl
from clinnlp.shipped import shipped_pipeline
from clinnlp.stages import MultimodalClassifier

CASES = Path(__file__).resolve().parents[1] / "corpora" / "ultrasound"


@pytest.fixture(scope="module")
def nlp() -> Pipeline:
    return clinnlp.load("multimodal-demo")


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Record]]:
    return clinnlp.corpora.load("ultrasound")


def bare(record: Record, *without: str) -> Record:
    return record.copy(without=["labels", *without])


def test_a_note_its_picture_and_both_together_are_classified(nlp: Pipeline, cases: dict[str, list[Record]]) -> None:
    for case in cases["matching"]:
        gold = case.labels["finding"][0].name
        both = nlp(bare(case))
        assert both.labels["diagnosis"][0].name == gold
        assert both.labels["finding"][0].name == gold
        assert all(both.text[e.start : e.end] == e.text for e in both.entities)
        by_note = nlp(bare(case, "images", "metadata"))
        assert by_note.labels["diagnosis"][0].name == gold
        assert [one.name for one in by_note.labels["diagnosis.modalities"]] == ["text"]
        assert by_note.labels["finding"] == []
        by_picture = nlp(Record(images=case.images))
        assert by_picture.labels["diagnosis"][0].name == gold


def test_a_note_that_contradicts_its_picture_is_told_for_and_against(
    nlp: Pipeline, cases: dict[str, list[Record]]
) -> None:
    stage = nlp["diagnosis"]
    assert isinstance(stage, MultimodalClassifier)
    for case in cases["contradicting"]:
        shown, told = case.images[0].labels["finding"][0].name, case.labels["reported"][0].name
        record = nlp(bare(case))
        (by_picture,) = stage.explain(record, shown)
        (by_note,) = stage.explain(record, told)
        weights = {
            (modality, why.label): sum(one.weight for one in why.findings if one.modality == modality)
            for modality in ("images", "text")
            for why in (by_picture, by_note)
        }
        assert weights["images", shown] > weights["images", told]
        assert weights["text", shown] < weights["text", told]


def test_the_heat_map_of_the_answer_lies_on_the_lesion(nlp: Pipeline, cases: dict[str, list[Record]]) -> None:
    stage = nlp["diagnosis"]
    assert isinstance(stage, MultimodalClassifier)
    inside = 0
    lesions = [case for case in cases["matching"] if "box" in case.metadata]
    for case in lesions:
        (heat,) = stage.explain(nlp(bare(case)))[0].heat_maps
        left, top, right, bottom = case.metadata["box"]
        row, column = heat.peak()
        inside += top - 12 <= row < bottom + 12 and left - 12 <= column < right + 12
    assert inside >= 0.7 * len(lesions)


def test_the_command_writes_a_page_with_note_picture_and_answer(tmp_path: Path) -> None:
    page = tmp_path / "case.html"
    given = ["process", str(CASES / "contradicting.jsonl"), str(tmp_path / "out"), "--pipeline", "multimodal-demo"]
    with pytest.raises(SystemExit) as ended:
        main([*given, "--no-gold", "--limit", "2", "--html", str(page), "--quiet"])
    assert ended.value.code in (0, None)
    source = page.read_text(encoding="utf-8")
    assert source.count("data:image/png;base64,") == 2
    for wanted in ("Speaks for", "Speaks against", "What carried it", "no medical device", '<mark class="entity"'):
        assert wanted in source


def test_a_page_of_a_case_whose_picture_is_missing_tells_so_and_the_run_goes_on(
    tmp_path: Path, cases: dict[str, list[Record]], capsys: pytest.CaptureFixture[str]
) -> None:
    missing, whole = (bare(case) for case in cases["matching"][:2])
    missing.images = [Image(tmp_path / "Zebulon Quarry.png", labels={"finding": ["benign"]})]
    missing.labels = {"diagnosis": [Label("benign", 1.0)]}  # gold, which the stage that fails has not found
    jsonl.write([missing, whole], tmp_path / "cases.jsonl")
    given = ["process", str(tmp_path / "cases.jsonl"), str(tmp_path / "out"), "--pipeline", "multimodal-demo"]
    for resumed in (0, 1):
        page = tmp_path / f"{resumed}.html"
        with pytest.raises(SystemExit) as ended:
            main([*given, "--html", str(page), "--quiet", "--json"])
        assert ended.value.code in (0, None)
        report = json.loads(capsys.readouterr().out)
        assert (report["records"], report["errors"], report["resumed"]) == (2, 1, resumed)
        assert report["failures"] == {"diagnosis: ImageError": 1, "finding: ImageError": 1}
        source = page.read_text(encoding="utf-8")
        assert "cannot be shown" in source
        assert "Speaks for" not in source
        assert "Quarry" not in source


@pytest.mark.parametrize("name", ["multimodal-demo", "breast-ultrasound"])
def test_the_card_says_that_it_is_a_demonstration(name: str) -> None:
    folder = shipped_pipeline(name)
    assert folder is not None
    card = " ".join((folder / "README.md").read_text(encoding="utf-8").split())
    for wanted in ("It is a demonstration and not a medical device", "## Limits", "95% interval", "| macro_f1 |"):
        assert wanted in card
