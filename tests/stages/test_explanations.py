"""Why a report classifier gave a label."""

from __future__ import annotations

import pickle
import random
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.edited import any_text, edits_of
from stages.test_reports import DEV, FAST, FILLER, LABELS, TRAIN, WORDS, note
from tiny import tiny_config, tiny_tokenizer
from transformers import BertModel

from clinnlp import FitConfig, Pipeline, Record, Sentence, Token
from clinnlp.alignment import Edit, EditedText, replace
from clinnlp.encoders.attribution import PieceAttribution
from clinnlp.encoders.text import TextWindows
from clinnlp.errors import ConfigError, MissingPackageError, RecordError
from clinnlp.explanation import Explanation, WeightedSpan
from clinnlp.stages import EntityExtractor, ReportClassifier, TextCleaner, Tokenizer

EXACT = {"steps": 64}
LONG = "\n\n".join([" ".join(["seen", "daily", "cough", "and", "rash"] * 20), "no itch", "took the rash"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder with dropout, whose words differ enough to be told apart in a few steps."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*[word for some in WORDS.values() for word in some], *FILLER])
    BertModel(tiny_config(tokenizer, initializer_range=0.1, hidden_dropout_prob=0.1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def fitted(base: Path) -> ReportClassifier:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    stage.fit(TRAIN, None, FitConfig(epochs=15, **FAST))
    return stage


@pytest.fixture(scope="module")
def short_windows(fitted: ReportClassifier, tmp_path_factory: pytest.TempPathFactory) -> ReportClassifier:
    """The same weights, which read a note in many windows."""
    return ReportClassifier.from_pretrained(fitted.save(tmp_path_factory.mktemp("organ")), window=24, overlap=8)


def probability(stage: ReportClassifier, text: str, label: str) -> float:
    return float(stage.predict([text])[0][0, stage.labels.index(label)])


def without(text: str, words: list[WeightedSpan]) -> str:
    for word in sorted(words, key=lambda word: -word.start):
        text = text[: word.start] + text[word.end :]
    return text


def weights(explanation: Explanation) -> list[float]:
    return [word.weight for word in explanation.words]


def test_deleting_the_top_words_costs_more_than_deleting_others(fitted: ReportClassifier) -> None:
    found = fitted.explain(DEV)
    falls, others = [], []
    for number, explanation in enumerate(found):
        text, before = explanation.record_text, explanation.probability
        chosen = random.Random(number).sample(explanation.words, 2)
        falls.append(before - probability(fitted, without(text, explanation.top(2)), explanation.label))
        others.append(before - probability(fitted, without(text, chosen), explanation.label))
    assert np.mean(falls) > np.mean(others) + 0.1


def test_the_word_that_a_label_was_learned_from_is_the_heaviest(fitted: ReportClassifier) -> None:
    found = fitted.explain(DEV)
    labels = [LABELS[int(record.id) % 3] for record in DEV]
    right = [one.top(1)[0].text in WORDS[label] for one, label in zip(found, labels, strict=True)]
    assert sum(right) >= 0.8 * len(right)


def test_the_best_label_of_each_record_is_explained_or_the_one_asked_for(fitted: ReportClassifier) -> None:
    found = fitted.explain(DEV)
    done = list(Pipeline([fitted]).pipe(Record(record.text) for record in DEV))
    assert [one.record_id for one in found] == [record.id for record in DEV]
    for one, record in zip(found, done, strict=True):
        assert (one.label, one.probability) == (record.labels["organ"][0].name, record.labels["organ"][0].score)
    (asked,) = fitted.explain(DEV[0], "skin")
    assert (asked.label, asked.method) == ("skin", "integrated_gradients")
    assert asked.probability == pytest.approx(probability(fitted, DEV[0].text, "skin"))
    assert weights(asked) != weights(found[0])
    assert weights(fitted.explain(DEV[0].text, "skin")[0]) == weights(asked)
    assert fitted.explain([]) == []


@pytest.mark.parametrize("label", LABELS)
def test_weights_sum_up_to_the_logit_above_that_of_a_masked_report(
    short_windows: ReportClassifier, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = short_windows.explain(LONG, label, **EXACT)
    number = short_windows.labels.index(label)
    logit = short_windows.pooled_logits([LONG])[0][0, number]
    mask = short_windows.windows.tokenizer.mask_token_id
    rows = TextWindows.input_ids
    monkeypatch.setattr(TextWindows, "input_ids", lambda *args: [i if i < 4 else mask for i in rows(*args)])
    masked = short_windows.pooled_logits([LONG])[0][0, number]
    assert abs(logit - masked) > 0.02
    assert sum(weights(found)) == pytest.approx(logit - masked, abs=2e-3)
    assert sum(one.weight for one in found.sentences) == pytest.approx(sum(weights(found)))


def test_more_steps_come_nearer_to_the_integral(short_windows: ReportClassifier) -> None:
    exact = np.array(weights(short_windows.explain(LONG, "skin", **EXACT)[0]))
    errors = [
        float(np.abs(np.array(weights(short_windows.explain(LONG, "skin", steps=steps)[0])) - exact).sum())
        for steps in (1, 4, 16)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.2 * errors[0]


def test_a_report_is_explained_a_batch_of_windows_at_a_time(
    short_windows: ReportClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    logits = PieceAttribution._logits

    def spy(self: PieceAttribution, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        read.append(ids.numel())
        return logits(self, ids, mask)

    expected = weights(short_windows.explain(LONG, "skin", steps=3)[0])
    monkeypatch.setattr(PieceAttribution, "_logits", spy)
    text = "\n\n".join([LONG] * 20)
    (found,) = short_windows.explain(text, "skin", steps=3)
    assert len(found.words) == 105 * 20
    assert sum(read) > 20 * 130 * 3
    assert max(read) <= 1024
    small = pickle.loads(pickle.dumps(short_windows))
    small.encoder.batch_tokens = 64
    read.clear()
    assert weights(small.explain(LONG, "skin", steps=3)[0]) == pytest.approx(expected, abs=1e-5)
    assert max(read) <= 64


def test_explaining_is_deterministic_and_leaves_the_model_to_those_who_use_it(
    fitted: ReportClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted.predict([DEV[1].text])[0]
    logits = PieceAttribution._logits
    meanwhile = []

    def spy(self: PieceAttribution, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        meanwhile.append(fitted.predict([DEV[1].text])[0])
        return logits(self, ids, mask)

    state = {name: tensor.clone() for name, tensor in fitted.state_dict().items()}
    first = fitted.explain(DEV[:3], steps=4)
    monkeypatch.setattr(PieceAttribution, "_logits", spy)
    with torch.inference_mode():
        assert [weights(one) for one in fitted.explain(DEV[:3], steps=4)] == [weights(one) for one in first]
    assert meanwhile
    assert all((scores == expected).all() for scores in meanwhile)
    assert all(torch.equal(tensor, state[name]) for name, tensor in fitted.state_dict().items())
    assert all(parameter.grad is None for parameter in fitted.encoder.model.parameters())


def test_a_word_is_a_token_of_the_record_or_what_the_encoder_takes_for_one(
    base: Path, fitted: ReportClassifier
) -> None:
    text = "Seen: rash, took\tcough-\n\n no itch!"
    tokens = [(0, 5), (6, 10), (10, 16), (17, 23), (26, 33)]
    (found,) = fitted.explain(Record(text, tokens=[Token(*span) for span in tokens]))
    assert [(word.start, word.end) for word in found.words] == tokens
    (found,) = fitted.explain(text)
    words = [word.text for word in found.words]
    assert words == ["Seen", ":", "rash", ",", "took", "cough", "-", "no", "itch", "!"]
    ner = EntityExtractor.from_base(base, labels=["Drug"])
    read = [(w.starts.tolist(), w.ends.tolist()) for _, w, _ in ner.read_words([Record(text)])]
    edges = [span for starts, ends in read for span in zip(starts, ends, strict=True)]
    assert edges == [(word.start, word.end) for word in found.words]


def test_all_pieces_of_a_word_count(fitted: ReportClassifier) -> None:
    (found,) = fitted.explain("seen xyz rash", steps=16)
    (split,) = fitted.explain(Record("seen xyz rash", tokens=[Token(0, 8), Token(9, 13)]), steps=16)
    assert [word.text for word in found.words] == ["seen", "xyz", "rash"]
    first, second, third = weights(found)
    assert weights(split) == pytest.approx([first + second, third])
    layout = fitted.windows
    ((paragraph,),) = layout.paragraphs(["seen xyz rash"])
    pieces = PieceAttribution(fitted, 16).weights("seen xyz rash", [paragraph], LABELS.index(found.label))[0]
    assert len(pieces) == 5
    assert weights(found) == pytest.approx([pieces[0], pieces[1:4].sum(), pieces[4]])


def test_sentences_are_those_of_the_record_or_its_paragraphs(fitted: ReportClassifier) -> None:
    text = "seen rash. no itch.\n\ntook cough  \n\n"
    (found,) = fitted.explain(text)
    assert [(one.start, one.end, one.text) for one in found.sentences] == [
        (0, 19, "seen rash. no itch."),
        (21, 31, "took cough"),
    ]
    (found,) = fitted.explain(Record(text, sentences=[Sentence(0, 10), Sentence(11, 19)]))
    assert [one.text for one in found.sentences] == ["seen rash.", "no itch."]
    assert [one.weight for one in found.sentences] == pytest.approx([sum(weights(found)[:3]), sum(weights(found)[3:6])])


def test_offsets_of_a_cleaned_report_are_those_of_the_raw_text(fitted: ReportClassifier) -> None:
    text = "the r-sh seen"
    record = Record(text, cleaned=EditedText.of(text, [replace(4, 8, "rash")]))
    (found,) = fitted.explain(record, "skin")
    assert [(word.start, word.end, word.text) for word in found.words] == [
        (0, 3, "the"),
        (4, 8, "r-sh"),
        (9, 13, "seen"),
    ]
    assert weights(found) == weights(fitted.explain("the rash seen", "skin")[0])


@given(st.data(), any_text, st.sampled_from(["", "rash\n\n", "no cough "]))
@settings(max_examples=40, deadline=None)
def test_offsets_are_exact_in_any_text_cleaned_and_cut_in_any_way(
    fitted: ReportClassifier, data: st.DataObject, text: str, start: str
) -> None:
    record = Record(start + text)
    way = data.draw(st.sampled_from(["raw", "edited", "pipeline"]))
    if way == "edited":
        record.cleaned = EditedText.of(record.text, data.draw(edits_of(len(record.text))))
    elif way == "pipeline":
        record = Pipeline([TextCleaner(), Tokenizer()])(record)
    (found,) = fitted.explain(record, steps=1)
    for one in (*found.words, *found.sentences):
        assert record.text[one.start : one.end] == one.text
        assert one.text
        assert np.isfinite(one.weight)
    for spans in (found.words, found.sentences):
        assert all(before.end <= after.start for before, after in pairwise(spans))


def test_what_an_edit_repeats_is_one_word_and_one_paragraph_of_the_raw_text(fitted: ReportClassifier) -> None:
    record = Record("a")
    record.cleaned = EditedText.of("a", [Edit(0, 1, "a\n\na")])
    (found,) = fitted.explain(record, steps=1)
    for spans in (found.words, found.sentences):
        assert [(one.start, one.end) for one in spans] == [(0, 1)]
    assert found.sentences[0].weight == pytest.approx(found.words[0].weight)


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00"])
def test_a_report_without_a_word_has_an_explanation_without_one(fitted: ReportClassifier, text: str) -> None:
    empty, full = fitted.explain([Record(text, id="e"), DEV[0]])
    assert empty == Explanation("e", "", 0.0, method="integrated_gradients", record_text=text)
    assert full.words
    assert fitted.explain(text, "skin")[0].label == "skin"


def test_of_an_ensemble_the_weights_are_the_mean_over_its_members(base: Path, fitted: ReportClassifier) -> None:
    other = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    ensemble = ReportClassifier.ensemble([fitted, other])
    (found,) = ensemble.explain(DEV[0], "skin")
    alone = [stage.explain(DEV[0], "skin")[0] for stage in (fitted, other)]
    assert weights(found) == pytest.approx(np.mean([weights(one) for one in alone], axis=0), abs=1e-6)
    assert found.probability == pytest.approx(np.mean([one.probability for one in alone]), abs=1e-6)


def test_each_label_of_a_multi_label_head_has_words_of_its_own(base: Path) -> None:
    many = ReportClassifier.from_base(base, labels=LABELS, name="organ", multi_label=True)
    train = [note(seed, *[label for i, label in enumerate(LABELS) if seed >> i & 1]) for seed in range(96)]
    many.fit(train, None, FitConfig(epochs=15, **FAST))
    record = note(500, "heart", "skin")
    for label in ("heart", "skin"):
        (found,) = many.explain(record, label)
        assert found.top(1)[0].text in WORDS[label]
        assert found.probability == pytest.approx(probability(many, record.text, label))
    assert many.explain(record)[0].label in ("heart", "skin")


def test_what_cannot_be_explained_is_refused_without_a_word_of_the_text(
    fitted: ReportClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record("Mr. Planted Secret has a rash", id="7")
    with pytest.raises(ConfigError, match="'organ' has no label 'brain': its labels are heart, lungs, skin") as caught:
        fitted.explain(record, "brain")
    errors = [caught]
    for options in ({"steps": 0}, {"steps": 1.5}, {"steps": True}):
        with pytest.raises(ConfigError) as caught:
            fitted.explain(record, **options)
        errors.append(caught)
    with pytest.raises(RecordError, match="item 1 is of type int") as caught:
        fitted.explain([record, 1])
    errors.append(caught)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingPackageError, match=r"clinnlp\[explain\]") as caught:
        fitted.explain(record)
    assert not any("Secret" in str(one.value) or "\n" in str(one.value) for one in (*errors, caught))
