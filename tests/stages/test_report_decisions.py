"""Which sections a classifier reads, and from which probability on it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import tiny_config, tiny_tokenizer
from transformers import AutoModelForSequenceClassification, BertForSequenceClassification

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.alignment import EditedText, replace
from clinnlp.errors import CheckpointError, ConfigError, PipelineError, RecordError, StageError, TrainingError
from clinnlp.record import Section
from clinnlp.stages import ReportClassifier, SectionDetector, TextCleaner
from clinnlp.stages._decision import only
from clinnlp.training.thresholds import best_threshold, least_probability

WORDS = ["rash", "cough", "the", "impression", "history"]
NOTE = "HISTORY: cough cough cough\n\nIMPRESSION: the rash\n\nPLAN: cough"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    tokenizer = tiny_tokenizer(WORDS)
    names = dict(enumerate("abc"))
    model = BertForSequenceClassification(tiny_config(tokenizer, initializer_range=0.3, id2label=names))
    place = tmp_path_factory.mktemp("three")
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def with_several(folder: Path, **options: object) -> ReportClassifier:
    return ReportClassifier.from_pretrained(folder, name="kind", multi_label=True, **options)


def gold(texts: list[str], *names: list[str]) -> list[Record]:
    return [
        Record(text, id=str(i), labels={"kind": some}) for i, (text, some) in enumerate(zip(texts, names, strict=True))
    ]


def test_only_the_named_sections_are_read_with_the_way_back(folder: Path) -> None:
    stage = ReportClassifier.from_pretrained(folder, name="kind", sections=["impression", "plan"])
    whole = ReportClassifier.from_pretrained(folder, name="kind")
    record = SectionDetector()(NOTE)
    read = stage.reads(record)
    assert "cough cough" not in read.text
    assert read.text.startswith("IMPRESSION: the rash")
    for word in ("rash", "PLAN: cough"):
        start, end = read.to_source(read.text.index(word), read.text.index(word) + len(word))
        assert NOTE[start:end] == word
    found = stage(record).labels["kind"]
    assert found == whole(read.text).labels["kind"]
    assert found != whole(NOTE).labels["kind"]


def test_a_note_without_the_named_sections_gets_no_label_and_one_that_nobody_looked_at_is_an_error(
    folder: Path,
) -> None:
    stage = ReportClassifier.from_pretrained(folder, name="kind", sections=["allergies"])
    nlp = Pipeline([SectionDetector(), stage])
    assert nlp(NOTE).labels["kind"] == []
    with pytest.raises(StageError, match="sections"):
        Pipeline([stage])(NOTE)
    with pytest.raises(RecordError, match="run a stage that assigns them before"):
        stage.evaluate([Record(NOTE, id="7", labels={"kind": ["a"]})])
    with pytest.raises(PipelineError):
        Pipeline([stage, SectionDetector()])


def test_sections_that_no_training_record_has_are_refused_and_some_without_are_told(folder: Path) -> None:
    texts = [f"IMPRESSION: the {word}.\n\nSECRET WARD:\n\n{word} cough" for word in ("rash", "cough")]
    records = [
        SectionDetector()(record) for record in gold([*texts, "PLAN: rash", "cough"], ["a"], ["b"], ["a"], ["b"])
    ]
    mistyped = ReportClassifier.from_pretrained(folder, name="kind", sections=["imppression", "exam"])
    with pytest.raises(TrainingError) as caught:
        mistyped.fit(records)
    assert str(caught.value) == (
        "stage 'kind': no training record has a section 'imppression' or 'exam': the sections that there are:"
        " impression, plan, and some named after their own headings"
    )
    stage = ReportClassifier.from_pretrained(folder, name="kind", sections=["impression"])
    report = stage.fit(records, None, FitConfig(epochs=1))
    assert "2 of 4 training records have none of the sections, and were left out" in report.notes
    assert not any("no word" in note for note in report.notes)


def test_sections_are_saved_with_the_pipeline(folder: Path, tmp_path: Path) -> None:
    stage = ReportClassifier.from_pretrained(
        folder, name="kind", sections=["impression"], threshold={"a": 0.2}, multi_label=True
    )
    loaded = clinnlp.load(Pipeline([SectionDetector(), stage]).save(tmp_path / "saved"))
    again = loaded["kind"]
    assert isinstance(again, ReportClassifier)
    assert (again.sections, again.requires, again.threshold) == (["impression"], ("sections",), {"a": 0.2})
    assert loaded(NOTE).labels == Pipeline([SectionDetector(), stage])(NOTE).labels


@settings(max_examples=60, deadline=None)
@given(st.text("ab é\n😀\u2029", max_size=60), st.data())
def test_what_is_left_of_a_text_maps_back_to_where_it_stood(text: str, data: st.DataObject) -> None:
    cut = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = list(zip(cut[::2], cut[1::2], strict=False))
    view = EditedText.of(text, [replace(0, 1, "xx")] if text else [])
    inside = [view.to_target(start, end) for start, end in spans]
    read = only(view, inside)
    assert read.text.replace("\n", "") == "".join(view.text[a:b] for a, b in inside).replace("\n", "")
    for i, letter in enumerate(read.text):
        start, end = read.to_source(i, i + 1)
        assert 0 <= start <= end <= len(text)
        if end - start == 1 and letter not in "x\n":
            assert text[start:end] == letter


def test_each_label_has_a_threshold_of_its_own(folder: Path) -> None:
    every = {label.name: label.score for label in with_several(folder, threshold=0.0)("the rash").labels["kind"]}
    best, middle, worst = sorted(every, key=lambda name: -every[name])
    limits = {best: every[best] + 0.01, middle: 1.0, worst: every[worst] - 0.01}
    assert [label.name for label in with_several(folder, threshold=limits)("the rash").labels["kind"]] == [worst]
    scores = with_several(folder, threshold=limits).evaluate(gold(["the rash"], [worst]))
    assert scores["accuracy"] == 1


def test_thresholds_are_tuned_label_by_label_and_saved_with_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    texts = [f"{'rash ' * i}the {'cough ' * (12 - i)}" for i in range(12)]
    stage = with_several(folder, threshold=0.0)
    rows = [{label.name: label.score for label in stage(text).labels["kind"]} for text in texts]
    # "a" is right for the upper third of its own probabilities, "b" for all, and nobody has "c".
    limit = sorted(row["a"] for row in rows)[8]
    some = gold(texts, *[["a", "b"] if row["a"] >= limit else ["b"] for row in rows])
    stage = with_several(folder)
    tuned = stage.tune(some)
    assert tuned["c"] == 0.5
    ordered = sorted(row["a"] for row in rows)
    assert ordered[7] < tuned["a"] <= ordered[8]
    scores = stage.evaluate(some)
    assert scores.per_label["a"]["f1"] == scores.per_label["b"]["f1"] == 1
    again = ReportClassifier.from_pretrained(stage.save(tmp_path / "tuned"))
    assert again.multi_label
    assert again.thresholds == pytest.approx(tuned)
    assert again(texts[0]).labels == stage(texts[0]).labels
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned")


def test_a_fit_tunes_thresholds_where_it_is_asked_to(folder: Path) -> None:
    texts = [f"{'rash ' * i}the {'cough ' * (8 - i)}" for i in range(8)]
    some = gold(texts, *[["a"] if i > 5 else ["b"] for i in range(8)])
    stage = ReportClassifier.from_base(folder, ["a", "b"], name="kind", multi_label=True)
    tuning = {"epochs": 1, "tune_thresholds": True}
    report = stage.fit(some, gold([text + " the" for text in texts], *[["a"]] * 8), FitConfig(**tuning))
    assert stage.thresholds != {"a": 0.5, "b": 0.5}
    assert any("thresholds were chosen on the development records" in note for note in report.notes)
    assert report.scores["kind"].per_label["a"]["recall"] == 1
    single = ReportClassifier.from_base(folder, ["a", "b"], name="kind")
    notes = single.fit(some, some, FitConfig(**tuning, allow_shared=True)).notes
    assert "tune_thresholds did nothing: it is for heads that give several labels" in notes
    assert not any("were chosen" in note for note in notes)


def test_a_classifier_abstains_below_a_probability_and_says_how_often(folder: Path, tmp_path: Path) -> None:
    texts = [f"{'rash ' * i}the {'cough ' * (12 - i)}" for i in range(12)]
    plain = ReportClassifier.from_pretrained(folder, name="kind")
    best = [plain(text).labels["kind"][0] for text in texts]
    order = np.argsort([-label.score for label in best])
    other = {"a": "b", "b": "c", "c": "a"}
    names = [[label.name] for label in best]
    for i in order[6:]:  # those that it is least sure of are wrong
        names[i] = [other[best[i].name]]
    some = gold(texts, *names)
    assert plain.evaluate(some)["accuracy"] == 0.5
    assert "coverage" not in plain.evaluate(some)
    told = plain.tune(some, accuracy=1.0)
    assert told["coverage"] == 0.5
    assert best[order[6]].score < told["abstain"] <= best[order[5]].score
    scores = plain.evaluate(some)
    assert (scores["coverage"], scores["answered_accuracy"]) == (0.5, 1.0)
    assert [bool(plain(texts[i]).labels["kind"]) for i in order] == [True] * 6 + [False] * 6
    again = ReportClassifier.from_pretrained(plain.save(tmp_path / "sure"))
    assert again.least == plain.least
    assert again(texts[order[-1]]).labels["kind"] == []
    with pytest.raises(TrainingError, match=r"ask for an accuracy of at most 0\.000"):
        again.tune(gold(texts, *[[other[label.name]] for label in best]), accuracy=0.9)


def test_a_setting_that_the_head_does_not_use_is_refused(folder: Path) -> None:
    told = {"threshold": "its head gives one label: give it abstain", "abstain": "several labels: give it threshold"}
    for name, several in (("threshold", False), ("abstain", True)):
        with pytest.raises(ConfigError, match=told[name]):
            ReportClassifier.from_base(folder, ["a", "b"], multi_label=several, **{name: 0.4})
        stage = ReportClassifier.from_pretrained(folder, multi_label=several, **{name: 0.4})  # nothing is read yet
        for use in (stage.warm_up, lambda stage=stage: stage.labels):
            with pytest.raises(ConfigError, match=told[name]):
                use()
    with_several(folder, abstain=0.0).warm_up()


@pytest.mark.parametrize("several", [False, True])
def test_only_thresholds_that_were_tuned_or_saved_are_told_to_be_of_before_a_fit(
    several: bool, folder: Path, tmp_path: Path
) -> None:
    texts = [f"{'rash ' * i}the {'cough ' * (8 - i)}" for i in range(8)]
    some = gold(texts, *[["a"] if i > 5 else ["b"] for i in range(8)])

    def told(stage: ReportClassifier) -> bool:
        return any("of before this fit" in note for note in stage.fit(some, None, FitConfig(epochs=1)).notes)

    by_hand = {"threshold": {"a": 0.3}} if several else {"abstain": 0.3}
    stage = ReportClassifier.from_base(folder, ["a", "b"], name="kind", multi_label=several, **by_hand)
    assert not told(stage)
    plain = ReportClassifier.from_base(folder, ["a", "b"], name="kind", multi_label=several).save(tmp_path / "plain")
    assert not told(ReportClassifier.from_pretrained(plain))
    saved = stage.save(tmp_path / "saved")
    assert told(ReportClassifier.from_pretrained(saved))
    other = {"threshold": {"a": 0.6}} if several else {"abstain": 0.6}
    assert not told(ReportClassifier.from_pretrained(saved, **other))
    stage.tune(some, None if several else 0.1)
    assert told(stage)


def test_tuning_asks_for_what_the_head_can_use(folder: Path) -> None:
    some = gold(["the rash"], ["a"])
    with pytest.raises(ConfigError, match="leave accuracy out"):
        with_several(folder).tune(some, accuracy=0.9)
    with pytest.raises(ConfigError, match="give the accuracy"):
        ReportClassifier.from_pretrained(folder, name="kind").tune(some)


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 1.5},
        {"threshold": {"a": "half"}},
        {"threshold": True},
        {"abstain": -0.1},
        {"sections": []},
        {"sections": "impression"},
        {"sections": [1]},
    ],
)
def test_decisions_that_cannot_be_are_refused(folder: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="stage 'kind'"):
        ReportClassifier.from_pretrained(folder, name="kind", **options)


def test_a_checkpoint_with_thresholds_that_are_none_is_refused(folder: Path, tmp_path: Path) -> None:
    stage = ReportClassifier.from_pretrained(folder, name="kind")
    stage.head.config.thresholds = {"a": "high"}
    stage.head.config.save_pretrained(tmp_path)
    save_file(load_file(folder / "model.safetensors"), tmp_path / "model.safetensors")
    for file in folder.glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match="are no probabilities"):
        _ = ReportClassifier.from_pretrained(tmp_path).thresholds


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=20))
def test_no_other_threshold_has_a_better_f1(items: list[tuple[bool, int]]) -> None:
    truth = np.array([flag for flag, _ in items])
    scores = np.array([score / 12 for _, score in items])

    def f1(threshold: float) -> float:
        found = (scores >= threshold) & (scores > 0)
        return 2 * float((found & truth).sum()) / max(int(found.sum() + truth.sum()), 1)

    chosen = best_threshold(truth, scores)
    if truth[scores > 0].any():
        assert f1(chosen) == pytest.approx(max(f1(threshold) for threshold in [*scores, 0.5, 0.0]))
    else:
        assert chosen == 0.5


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=20), st.integers(1, 10))
def test_the_least_probability_answers_as_many_as_it_may(items: list[tuple[bool, int]], tenths: int) -> None:
    right = np.array([flag for flag, _ in items])
    best = np.array([score / 9 for _, score in items])
    reached = {limit: right[best >= limit].mean() for limit in best}
    good = [limit for limit, share in reached.items() if share >= tenths / 10]
    if not good:
        with pytest.raises(TrainingError):
            least_probability(right, best, tenths / 10, "kind")
        return
    chosen = least_probability(right, best, tenths / 10, "kind")
    assert (best >= chosen).sum() == (best >= min(good)).sum()


def test_reading_sections_of_a_cleaned_note_maps_back_to_the_raw_one(folder: Path) -> None:
    raw = "HISTORY: cough\r\n\r\nIMPRESSION: the&nbsp;&#114;ash\r\n"
    record = Pipeline([TextCleaner(), SectionDetector()])(raw)
    stage = ReportClassifier.from_pretrained(folder, name="kind", sections=["impression"])
    read = stage.reads(record)
    at = read.text.index("rash")
    assert raw[slice(*read.to_source(at, at + 4))] == "&#114;ash"
    record.sections = [Section(0, 0, "impression")]
    assert stage(record).labels["kind"] == []
