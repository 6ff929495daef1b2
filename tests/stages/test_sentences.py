from __future__ import annotations

import pickle
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import tiny_config, tiny_tokenizer
from transformers import BertModel

import clinnlp
from clinnlp import FitConfig, Pipeline, Record, Sentence
from clinnlp.alignment import EditedText, replace
from clinnlp.encoders.text import TextWindows
from clinnlp.engines.release import deidentified
from clinnlp.errors import StageError, TrainingError
from clinnlp.stages import EntityExtractor, SentenceClassifier, TextCleaner, Tokenizer
from clinnlp.stages._span_stage import pieces_of
from clinnlp.training.spans import span_task

LABELS = ["worse", "better"]
WORDS = {"worse": ["fever", "pain"], "better": ["well", "walks"]}
FILLER = ["the", "and", "took", "seen"]
FAST = {"learning_rate": 5e-3, "head_learning_rate": 1e-2, "batch_tokens": 256, "warmup": 0.0}
SIZES = {"window": 48, "overlap": 12}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*[word for some in WORDS.values() for word in some], *FILLER])
    BertModel(tiny_config(tokenizer, initializer_range=0.1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def note(seed: int, sentences: int | None = None) -> Record:
    """A note whose sentences are filler with a word of their label; its first one has no gold."""
    chance = random.Random(seed)
    text, found = "Seen today.", [Sentence(0, 11)]
    for _ in range(1 + seed % 9 if sentences is None else sentences):
        label = chance.choice(LABELS)
        words = [chance.choice(FILLER) for _ in range(4)]
        words.insert(chance.randrange(5), chance.choice(WORDS[label]))
        start = len(text) + 1
        text += " " + " ".join(words) + "."
        found.append(Sentence(start, len(text), labels={"tone": [clinnlp.Label(label)]}))
    return Record(text, id=str(seed), sentences=found)


TRAIN, DEV = [note(seed) for seed in range(60)], [note(seed) for seed in range(100, 115)]


@pytest.fixture(scope="module")
def fitted(base: Path) -> SentenceClassifier:
    stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)
    stage.fit(TRAIN, DEV, FitConfig(epochs=12, **FAST))
    return stage


def bare(record: Record) -> Record:
    return Record(record.text, id=record.id, sentences=[Sentence(s.start, s.end) for s in record.sentences])


def test_sentences_are_learned_and_judged_one_by_one(fitted: SentenceClassifier) -> None:
    scores = fitted.evaluate(DEV)
    assert scores["accuracy"] > 0.9
    assert sum(row["support"] for row in scores.per_label.values()) == sum(1 + int(record.id) % 9 for record in DEV)
    found = [fitted(bare(record)) for record in DEV]
    pairs = [
        (a.labels["tone"][0].name, b.labels["tone"][0].name)
        for gold, record in zip(DEV, found, strict=True)
        for a, b in zip(gold.sentences[1:], record.sentences[1:], strict=True)
    ]
    assert sum(a == b for a, b in pairs) / len(pairs) == pytest.approx(scores["accuracy"])
    for label in found[0].sentences[1].labels["tone"]:
        assert 0 <= label.score <= 1
    mean = dict.fromkeys(LABELS, 0.0)
    for sentence in found[0].sentences:
        for label in sentence.labels["tone"]:
            mean[label.name] += label.score / len(found[0].sentences)
    assert {one.name: one.score for one in found[0].labels["tone"]} == pytest.approx(mean)


def test_a_sentence_is_read_among_those_around_it(base: Path) -> None:
    def told(label: str, place: int) -> Record:
        first = f"{WORDS[label][place % 2]} {FILLER[place % 4]}."
        text = f"{first} the and took."
        start = len(first) + 1
        return Record(text, sentences=[Sentence(start, len(text), labels={"tone": [clinnlp.Label(label)]})])

    some = [told(LABELS[i % 2], i // 2) for i in range(16)]
    stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)
    stage.fit(some, None, FitConfig(epochs=40, **FAST))
    assert stage.evaluate(some)["accuracy"] > 0.9


def test_a_record_without_sentences_is_one_where_its_gold_is_its_own(base: Path) -> None:
    texts = [f"the {word} and" for words in WORDS.values() for word in words]
    gold = [Record(text, labels={"tone": [LABELS[i // 2]]}) for i, text in enumerate(texts)]
    stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)
    report = stage.fit(gold * 6, gold, FitConfig(epochs=15, calibrate=True, allow_shared=True, **FAST))
    assert stage.evaluate(gold)["accuracy"] == 1
    assert report.records == {"tone": 24}
    assert report.temperatures["tone"] > 0
    assert Pipeline([Tokenizer(), stage])(texts[0]).sentences[0].labels["tone"][0].name == "worse"


def test_calibration_divides_the_logits_of_spans(base: Path) -> None:
    made = [SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES) for _ in range(2)]
    reports = [
        stage.fit(TRAIN, DEV, FitConfig(epochs=2, calibrate=calibrate, **FAST))
        for stage, calibrate in zip(made, (False, True), strict=True)
    ]
    spans = [[(s.start, s.end) for s in record.sentences] for record in DEV]
    (plain, _), (cool, _) = (next(stage.logits_of_spans(DEV[:1], spans[:1])) for stage in made)
    assert cool * reports[1].temperatures["tone"] == pytest.approx(plain, abs=1e-4)


def test_every_sentence_of_a_long_note_is_labelled_wherever_windows_end(fitted: SentenceClassifier) -> None:
    record = fitted(bare(note(7, sentences=60)))
    gold = note(7, sentences=60)
    right = [
        a.labels["tone"][0].name == b.labels["tone"][0].name
        for a, b in zip(gold.sentences[1:], record.sentences[1:], strict=True)
    ]
    assert sum(right) / len(right) > 0.9
    assert all(record.text[s.start : s.end] == s.text for s in record.sentences)


def test_results_do_not_depend_on_batches(fitted: SentenceClassifier) -> None:
    def run(size: int) -> list[list[tuple[str, float]]]:
        records = Pipeline([fitted]).pipe([bare(record) for record in DEV], batch_size=size)
        return [[(one.name, one.score) for s in r.sentences for one in s.labels["tone"]] for r in records]

    for alone, together in zip(run(1), run(64), strict=True):
        assert [name for name, _ in alone] == [name for name, _ in together]
        assert [score for _, score in alone] == pytest.approx([score for _, score in together], abs=1e-4)


def test_a_cleaned_note_is_read_as_it_is_cleaned_and_labelled_in_the_raw_one(fitted: SentenceClassifier) -> None:
    nlp = Pipeline([TextCleaner(), Tokenizer(), fitted])
    raw = "the f&#101;ver and took.\r\n\r\nthe w&#97;lks seen."
    record, plain = nlp(raw), nlp("the fever and took.\n\nthe walks seen.")
    assert [s.text for s in record.sentences] == ["the f&#101;ver and took.", "the w&#97;lks seen."]
    assert [s.labels for s in record.sentences] == [s.labels for s in plain.sentences]
    assert record.sentences[0].labels["tone"][0].name == "worse"


def test_a_sentence_without_a_word_and_a_record_without_sentences_get_no_label(fitted: SentenceClassifier) -> None:
    record = fitted(Record("fever  and", sentences=[Sentence(5, 7), Sentence(3, 3), Sentence(0, 5)]))
    assert [bool(s.labels["tone"]) for s in record.sentences] == [False, False, True]
    assert fitted(Record("", found={"sentences"})).labels["tone"] == []
    with pytest.raises(StageError, match="sentences"):
        Pipeline([fitted])("fever")


def test_it_is_saved_alone_in_a_pipeline_and_with_its_pickle(fitted: SentenceClassifier, tmp_path: Path) -> None:
    want = fitted(bare(DEV[0])).labels["tone"]
    folder = fitted.save(tmp_path / "alone")
    assert set(load_file(folder / "head.safetensors")) == {
        "dense.weight",
        "dense.bias",
        "classifier.weight",
        "classifier.bias",
    }
    alone = SentenceClassifier.from_pretrained(folder)
    assert alone.name == "tone"
    assert alone(bare(DEV[0])).labels["tone"] == want
    entities = EntityExtractor.from_base(fitted.encoder, ["Drug"])
    loaded = clinnlp.load(Pipeline([entities, fitted]).save(tmp_path / "both"))
    assert loaded["entities"].encoder is loaded["tone"].encoder
    assert loaded(bare(DEV[0])).labels["tone"] == want
    assert pickle.loads(pickle.dumps(fitted))(bare(DEV[0])).labels["tone"] == want


def test_several_labels_have_thresholds_and_an_ensemble_averages(base: Path) -> None:
    made = []
    for seed in range(2):
        stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", multi_label=True, **SIZES)
        stage.fit(TRAIN, DEV, FitConfig(epochs=6, seed=seed, tune_thresholds=True, **FAST))
        made.append(stage)
    spans = [[(s.start, s.end) for s in DEV[0].sentences]]
    both = SentenceClassifier.ensemble(made)
    (mean,), *parts = (stage.predict(DEV[:1], spans) for stage in (both, *made))
    assert mean == pytest.approx((parts[0][0] + parts[1][0]) / 2)
    student = SentenceClassifier.from_base(base, labels=LABELS, name="tone", multi_label=True, **SIZES)
    student.fit(TRAIN, None, FitConfig(epochs=6, distill=1.0, **FAST), teacher=both)
    assert student.evaluate(DEV)["auroc"] > 0.9


def test_gold_that_cannot_be_learned_is_refused(base: Path) -> None:
    stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)
    with pytest.raises(TrainingError, match="no record has gold"):
        stage.fit([bare(record) for record in TRAIN], None, FitConfig(epochs=1))
    odd = Record("the fever", id="9", sentences=[Sentence(0, 9, labels={"tone": [clinnlp.Label("odd")]})])
    with pytest.raises(TrainingError, match="record '9' has the gold label 'odd'"):
        stage.fit([*TRAIN, odd], None, FitConfig(epochs=1))
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        stage.fit([Record("the fever", labels={"tone": "worse"})] * 3, None, FitConfig(epochs=1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["fever", "the", "\n\n", "😀", "walks."]), max_size=60), st.data())
def test_the_pieces_of_a_span_are_those_that_touch_it(base: Path, words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    windows = TextWindows(tiny_tokenizer(["fever", "the", "walks"]), 16, 4)
    (paragraphs,) = windows.paragraphs([text])
    edges = [(a, b) for p in paragraphs for a, b in zip(p.starts.tolist(), p.ends.tolist(), strict=True)]
    ((first, last),) = pieces_of(paragraphs, [(start, end)])
    touching = [i for i, (a, b) in enumerate(edges) if a < end and start < b and start < end]
    assert list(range(first, last)) == touching


def test_each_span_is_learned_whole_in_the_window_with_most_around_it(base: Path) -> None:
    stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", window=18, overlap=8)
    gold = [note(seed, sentences=8) for seed in range(6)]
    task = span_task(stage, gold, None, FitConfig())
    assert sum(len(one.spans) for one in task.examples) == 48
    words = stage.windows.tokenizer
    for window in task.examples:
        for (start, end), target in zip(window.spans, window.targets, strict=True):
            inside = set(words.convert_ids_to_tokens(window.row[start:end]))
            assert inside & set(WORDS[LABELS[int(target)]])
            assert not inside & set(WORDS[LABELS[1 - int(target)]])
            assert 1 <= start < end <= len(window.row) - 1


def test_a_head_that_is_new_or_loaded_gives_the_same_each_time(base: Path, tmp_path: Path) -> None:
    new = SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)
    for stage in (new, SentenceClassifier.from_pretrained(new.save(tmp_path / "new"))):
        first = stage(bare(DEV[0])).labels["tone"]
        assert not stage.head.training
        assert all(stage(bare(DEV[0])).labels["tone"] == first for _ in range(3))


def test_gold_of_a_record_is_learned_and_judged_behind_a_tokenizer(base: Path, tmp_path: Path) -> None:
    gold = [
        Record(f"the {word}, and {other}. Seen", id=f"{word} {other}", labels={"tone": [label]})
        for label, words in WORDS.items()
        for word in words
        for other in FILLER
    ]
    nlp = Pipeline([Tokenizer(), SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)])
    report = nlp.fit(gold, None, FitConfig(epochs=12, **FAST))
    assert report.records == {"tone": len(gold)}
    stage = nlp["tone"]
    assert isinstance(stage, SentenceClassifier)
    assert stage.evaluate(gold)["accuracy"] > 0.7
    behind = list(Pipeline([Tokenizer()]).pipe(stage.place_gold(record) for record in gold))
    assert [len(record.sentences) for record in behind] == [1] * len(gold)
    assert stage.evaluate(behind)["accuracy"] == stage.evaluate(gold)["accuracy"]
    assert gold[0].sentences == []


def test_gold_that_was_added_to_a_sentence_is_read_as_labels(base: Path) -> None:
    records = [bare(record) for record in TRAIN]
    for record, gold in zip(records, TRAIN, strict=True):
        for sentence, known in zip(record.sentences[1:], gold.sentences[1:], strict=True):
            sentence.labels["tone"] = [known.labels["tone"][0].name]  # type: ignore[list-item]
    stage = SentenceClassifier.from_base(base, labels=LABELS, name="tone", **SIZES)
    assert stage.fit(records, None, FitConfig(epochs=1, **FAST)).records == {"tone": len(TRAIN)}


def test_labels_of_sentences_stay_in_a_deidentified_text(fitted: SentenceClassifier) -> None:
    record = fitted(Record("Bob took fever. He walks.", sentences=[Sentence(0, 15), Sentence(16, 25)]))
    record.deidentified = EditedText.of(record.text, [replace(0, 3, "[NAME]")])
    again = deidentified(record)
    assert [s.text for s in again.sentences] == ["[NAME] took fever.", "He walks."]
    assert [s.labels for s in again.sentences] == [s.labels for s in record.sentences]
