"""Stages of every kind are made to fail, with errors that quote all secrets, and nothing of them is told."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from planted import BUILDERS, TEXT, asked, assert_silent, fail, leaks, picture, planted, told_in

from clinnlp import Pipeline, Record, Stage
from clinnlp.record import Sentence
from clinnlp.stage import stage_names
from clinnlp.stages import Deidentifier


def note_for(stage: Stage, **changes: Any) -> Record:
    """Give a record that a stage has something to do with."""
    fields: dict[str, Any] = {}
    if stage.kind == "entities":
        fields["entities"] = []
    if stage.kind in ("images", "image_cleaning", "fusion"):
        fields["images"] = [picture()]
    if "sentences" in stage.requires:
        fields["sentences"] = [Sentence(0, 80), Sentence(90, len(TEXT))]
    return planted(**{**fields, **changes})


def test_there_is_a_stage_of_every_kind() -> None:
    assert set(BUILDERS) == {name for name in stage_names() if not name.startswith("test_")}


@pytest.mark.parametrize("kind", BUILDERS)
def test_nothing_is_told_where_all_goes_well_or_an_image_is_broken(
    kind: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    stage = stages[kind]
    nlp = Pipeline([stage])
    for images in ({}, {"images": planted().images}):
        record = note_for(stage, **images)
        assert_silent(asked(partial(nlp.process, [record], tmp_path / "out", progress=True, resume=False)))
        assert_silent(told_in(tmp_path / "out"))
        assert_silent(asked(partial(nlp, note_for(stage, **images))))


ENCODED = ["clinnlp.encoders.encoder:TextEncoder.states", "clinnlp.encoders.text:TextWindows.paragraphs"]
INSIDE: dict[str, list[str]] = {
    "cleaning": ["clinnlp.stages.cleaning:TextCleaner._repair", "clinnlp.alignment:EditedText.of"],
    "tokenization": ["clinnlp.stages._words:WordSplitter.spans", "clinnlp.stages.tokenization:sentence_starts"],
    "sections": ["clinnlp.stages._headings:HeadingFinder.find", "clinnlp.stages.sections:_sections"],
    "entities": [*ENCODED, "clinnlp.stages.entities:EntityExtractor._decode"],
    "rules": ["clinnlp.stages._terms:TermMatcher.find", "clinnlp.stages.rules:add_matches"],
    "assertion": ["clinnlp.stages.assertion:words_of", "clinnlp.stages.assertion:cues_of_sentence"],
    "assertion_model": [*ENCODED, "clinnlp.stages.assertion:cues_of_sentence"],
    "reports": [*ENCODED, "clinnlp.stages.reports:ReportClassifier.predict"],
    "vectors": [*ENCODED],
    "sentences": [*ENCODED],
    "topics": [*ENCODED, "clinnlp.stages.topics:rank"],
    "deidentification": [
        "clinnlp.stages._identifiers.patterns:_spans",
        "clinnlp.stages._identifiers.known:KnownStrings.find",
        "clinnlp.stages._identifiers.replacing:Replacer.replace",
        "clinnlp.stages._identifiers.replacing:_left_over",
    ],
    "values": ["clinnlp.stages._values.finder:Finder.find", "clinnlp.stages.values:link"],
    "images": ["clinnlp.encoders.pixels:decode", "clinnlp.stages.images:rank"],
    "image_cleaning": ["clinnlp.encoders.pixels:decode", "clinnlp.stages.image_cleaning:ImageCleaner.clean"],
    "fusion": [*ENCODED, "clinnlp.encoders.pixels:decode", "clinnlp.encoders.modalities:image_features"],
    "spacy": ["clinnlp.formats.spacy:to_spacy", "clinnlp.stages.spacy_component:SpacyComponent._take_over"],
}


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind, some in INSIDE.items() for place in ["", *some]])
def test_a_failure_inside_a_stage_tells_nothing(
    kind: str, place: str, stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = stages[kind]
    nlp = Pipeline([stage])
    if not place:
        monkeypatch.setattr(stage, "process", fail, raising=False)
    else:
        module, _, path = place.partition(":")
        owner: Any = importlib.import_module(module)
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        monkeypatch.setattr(owner, name, fail)

    ear = asked(lambda: nlp(note_for(stage)))
    assert "failed on record 'r1'" in ear.heard()
    assert_silent(ear)
    (kept, *_) = nlp.pipe([note_for(stage), note_for(stage, id="r2")], on_error="keep")
    assert kept.errors
    assert leaks(repr(kept.errors)) == []
    if not place:
        assert_silent(asked(lambda: list(nlp.pipe([note_for(stage), note_for(stage)]))))
        assert_silent(asked(lambda: nlp.process([note_for(stage)], tmp_path / "out", progress=True, on_error="raise")))
        assert_silent(asked(lambda: print(nlp.process([note_for(stage)], tmp_path / "kept", progress=True))))
        assert_silent(told_in(tmp_path / "kept"))


def test_a_stage_without_a_head_tells_nothing_of_the_folder_that_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Montblancky.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    Pipeline([Deidentifier()]).process([planted()], tmp_path / "out")
    assert_silent(told_in(tmp_path / "out"))


@pytest.mark.parametrize("mode", ["label", "redact", "hash", "surrogate"])
def test_what_is_given_out_has_no_identifier_in_any_mode_and_the_key_is_not_told(
    mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "Montblancky-Zanzibarov"
    nlp = Pipeline([Deidentifier(mode=mode, key=key)])
    out = tmp_path / "out.jsonl"
    ear = asked(lambda: nlp.process([planted(), planted(id="Montblancky")], out, text="deidentified", progress=True))
    assert_silent(ear)
    # What is no identifier stays in the text.
    assert leaks(out.read_text()) == ["finding"]
    monkeypatch.setattr("clinnlp.stages._identifiers.keyed.Keyed.token", fail)
    monkeypatch.setattr("clinnlp.stages._identifiers.keyed.Keyed.number", fail)
    monkeypatch.setattr("clinnlp.stages._identifiers.replacing.Replacer._mark", fail)
    assert_silent(asked(lambda: nlp(planted())))
    assert_silent(asked(lambda: nlp.process([planted()], out, text="deidentified", on_error="raise")))
    nlp.process([planted()], out, text="deidentified")
    assert leaks(out.read_text()) == []
    assert '"StageError"' in out.read_text()
