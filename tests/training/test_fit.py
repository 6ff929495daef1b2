from __future__ import annotations

import itertools
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny import lexicon_classifier, tiny_base

from clinnlp import Entity, FitConfig, Record, Token
from clinnlp.encoders.bio import bio_labels
from clinnlp.errors import ConfigError, TrainingError
from clinnlp.stages import EntityExtractor
from clinnlp.training.batches import BudgetSampler, MixedSampler, hide_words
from clinnlp.training.entities import score_spans
from clinnlp.training.gold import longest_spans
from clinnlp.training.token_examples import TokenExamples

DRUGS = ["aspirin", "heparin", "insulin"]
FILLER = ["took", "no", "the", "daily", "stopped", "and"]


def note(seed: int, length: int = 12) -> Record:
    """A note in which every drug is a Drug."""
    chance = random.Random(seed)
    words = [chance.choice(DRUGS if chance.random() < 0.3 else FILLER) for _ in range(length)] + ["aspirin"]
    entities, at = [], 0
    for word in words:
        if word in DRUGS:
            entities.append(Entity(at, at + len(word), "Drug"))
        at += len(word) + 1
    return Record(" ".join(words), id=str(seed), entities=entities)


TRAIN = [note(seed) for seed in range(40)]
DEV = [note(seed, 20) for seed in range(100, 108)]
FAST = {"learning_rate": 5e-3, "batch_tokens": 128, "warmup": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), [*DRUGS, *FILLER])


def test_a_fine_tune_learns_reports_and_saves(base: Path, tmp_path: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    report = ner.fit(TRAIN, DEV, FitConfig(epochs=4, output=str(tmp_path / "ner"), **FAST))
    scores = ner.evaluate(DEV)
    assert scores["f1"] > 0.95
    assert report.metric == "f1"
    assert report.best_score == pytest.approx(scores["f1"])
    assert [row["epoch"] for row in report.history] == [1, 2, 3, 4]
    assert report.history[-1]["loss"] < report.history[0]["loss"]
    assert report.folder == tmp_path / "ner"
    assert dict(EntityExtractor.from_pretrained(tmp_path / "ner").evaluate(DEV)) == pytest.approx(dict(scores))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ner"]


def test_the_best_epoch_is_kept_and_the_last_one_if_asked(base: Path) -> None:
    found = {}
    for select in ("best", "last"):
        ner = EntityExtractor.from_base(base, ["Drug"])
        # A learning rate that grows too large for the second half makes an early epoch the best one.
        report = ner.fit(
            TRAIN, DEV, FitConfig(epochs=5, select=select, learning_rate=0.05, batch_tokens=64, warmup=0.9)
        )
        found[select] = (report, ner.evaluate(DEV)["f1"])
        assert report.best_score == pytest.approx(found[select][1])
    best, last = found["best"][0], found["last"][0]
    assert best.best_score == max(row["f1"] for row in best.history)
    assert last.best_epoch == 5


def test_gold_is_not_changed_by_fitting_or_judging(base: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    before = [record.to_dict() for record in DEV]
    ner.fit(DEV, DEV, FitConfig(epochs=1, **FAST))
    assert [record.to_dict() for record in DEV] == before


def test_a_fitted_stage_is_pickled_with_its_weights(tmp_path: Path) -> None:
    folder = lexicon_classifier(tmp_path, {"took": "B-Drug"}, bio_labels(["Drug"]))
    ner = EntityExtractor.from_pretrained(folder)
    ner.fit(TRAIN, None, FitConfig(epochs=3, **FAST))
    again = pickle.loads(pickle.dumps(ner))
    assert again.evaluate(DEV) == ner.evaluate(DEV)
    assert again.evaluate(DEV)["f1"] != EntityExtractor.from_pretrained(folder).evaluate(DEV)["f1"]


def test_a_datasets_dataset_is_taken_as_it_is(base: Path) -> None:
    rows = Dataset.from_list([record.to_dict() for record in TRAIN])
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.fit(rows, rows, FitConfig(epochs=3, **FAST))
    assert ner.evaluate(rows)["f1"] > 0.9


def test_the_same_seed_gives_the_same_weights_and_another_one_others(base: Path) -> None:
    def weights(seed: int) -> torch.Tensor:
        ner = EntityExtractor.from_base(base, ["Drug"])
        ner.fit(TRAIN, None, FitConfig(epochs=1, seed=seed, **FAST))
        return ner.head.classifier.weight.detach().clone()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_head_learns_over_windows_longer_than_one(base: Path) -> None:
    long = [note(seed, 150) for seed in range(10)]
    ner = EntityExtractor.from_base(base, ["Drug"], window=32, overlap=8)
    ner.fit(long, None, FitConfig(epochs=4, **FAST))
    assert ner.evaluate(long)["f1"] > 0.95


def test_the_checkpoints_other_label_scheme_is_kept_while_fitting(tmp_path: Path) -> None:
    labels = ["O", "B-Drug", "I-Drug", "E-Drug", "S-Drug"]
    folder = lexicon_classifier(tmp_path, {"took": "S-Drug"}, labels)
    ner = EntityExtractor.from_pretrained(folder)
    gold = [Record("a b c d", entities=[Entity(2, 5, "Drug"), Entity(6, 7, "Drug")]) for _ in range(8)]
    ner.fit(gold, None, FitConfig(epochs=20, learning_rate=2e-2, batch_tokens=64, warmup=0.0))
    assert [(e.start, e.end) for e in ner("a b c d").entities] == [(2, 5), (6, 7)]


def test_gold_that_lies_on_other_gold_is_counted_in_a_note(base: Path) -> None:
    gold = [Record("took aspirin daily", entities=[Entity(5, 12, "Drug"), Entity(5, 18, "Drug")])]
    report = EntityExtractor.from_base(base, ["Drug"]).fit(gold, None, FitConfig(epochs=1))
    assert report.notes == ["1 gold entities lie on others or on no word, and were not learned"]


def test_a_label_unknown_to_the_head_is_refused(base: Path) -> None:
    gold = [Record("a b", entities=[Entity(0, 1, "Gene")])]
    with pytest.raises(TrainingError, match=r"type 'Gene', which the head does not know: its labels are Drug"):
        EntityExtractor.from_base(base, ["Drug"]).fit(gold)


@pytest.mark.parametrize("gold", [[], [Record("no gold here")]])
def test_a_training_set_without_gold_is_refused(base: Path, gold: list[Record]) -> None:
    with pytest.raises(TrainingError, match="has gold entities"):
        EntityExtractor.from_base(base, ["Drug"]).fit(gold)


@pytest.mark.parametrize("gold", [FitConfig(), "train", {"text": "a"}, Record("a")])
def test_gold_that_is_no_list_of_records_is_refused(base: Path, gold: object) -> None:
    with pytest.raises(TrainingError, match="gold is a list of records"):
        EntityExtractor.from_base(base, ["Drug"]).fit(TRAIN, gold)


def test_judging_nothing_gives_zeros(base: Path) -> None:
    assert set(EntityExtractor.from_base(base, ["Drug"]).evaluate([]).values()) == {0.0}


def test_a_loss_that_is_no_number_stops_with_the_step(base: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    with torch.no_grad():
        ner.head.classifier.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"not a number at step \d+: lower learning_rate"):
        ner.fit(TRAIN, None, FitConfig(epochs=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"plant_entities": 1.5}, "plant_entities must be between 0 and 1"),
        ({"select": "first"}, "'best' or 'last'"),
        ({"precision": "float8"}, "'float32' or 'bfloat16'"),
        ({"resume": True}, "needs output"),
        ({"lr": 1e-3}, "no setting 'lr'"),
        ({"mixing": 2.0}, "mixing is a dictionary"),
        ({"mixing": {"x": "y"}}, "mixing is a dictionary"),
        ({"class_weights": {"Drug": -1.0}}, "class_weights is a dictionary"),
        ({"head_learning_rate": -1.0}, "head_learning_rate must be above 0"),
        ({"dropout": 5.0}, "dropout must be between 0 and 1"),
        ({"warmup": None}, "warmup must be a number"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"crf": "no"}, "crf is True or False"),
        ({"report_to": "tensorboard"}, "go beside output"),
        ({"learning_rate": "3e-4"}, "must be a number"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FitConfig.from_dict(settings)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 600))
def test_every_epoch_has_the_same_number_of_batches_and_every_example_once(lengths: list[int], budget: int) -> None:
    sampler = MixedSampler([BudgetSampler(lengths, budget, seed=1)])
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sorted(drawn.index for batch in batches for drawn in batch) == list(range(len(lengths)))
        assert all(len(b) == 1 or max(lengths[drawn.index] for drawn in b) * len(b) <= budget for b in batches)
        epochs.append(batches)


def test_epochs_are_shuffled_differently() -> None:
    sampler = MixedSampler([BudgetSampler([10] * 50, 40, seed=1)])
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_words_hidden_by_the_mask_change_every_time_and_never_special_ones(base: Path) -> None:
    stage = EntityExtractor.from_base(base, ["Drug"])
    ids = [2, *range(5, 45), 3]
    torch.manual_seed(0)
    batches = [stage.windows.pad([ids]) for _ in range(2)]
    for batch in batches:
        hide_words(batch, stage.windows, 0.5)
    hidden = [batch["input_ids"][0] for batch in batches]
    assert not torch.equal(hidden[0], hidden[1])
    for row in hidden:
        assert row[0] == 2
        assert row[-1] == 3
        assert 8 < int((row == 4).sum()) < 32
    plain = stage.windows.pad([ids])
    hide_words(plain, stage.windows, 0.0)
    assert plain["input_ids"][0].tolist() == ids


def test_windows_of_long_paragraphs_move_while_training_and_keep_words_with_their_labels(base: Path) -> None:
    stage = EntityExtractor.from_base(base, ["Drug"], window=32, overlap=8)
    examples = TokenExamples(stage, [note(1, 150)], FitConfig())
    assert examples.lost == 0
    chance = torch.Generator().manual_seed(0)
    rows = set()
    for _ in range(5):
        batch = flat(examples.collate(examples.items, chance))
        rows.add(tuple(batch["input_ids"][1].tolist()))
        assert_words_have_their_labels(stage, batch)
        assert int((batch["labels"] >= 0).sum()) == sum(examples.lengths) - 2 * len(examples.items)
    assert len(rows) > 1


def test_planted_mentions_bring_their_labels_and_leave_others_whole(base: Path) -> None:
    stage = EntityExtractor.from_base(base, ["Drug"], window=32, overlap=8)
    plain = Record("took no the daily and took the daily no")
    examples = TokenExamples(stage, [plain, note(1, 20)], FitConfig(plant_entities=0.9))
    chance = torch.Generator().manual_seed(0)
    batches = [flat(examples.collate(examples.items[:1], chance)) for _ in range(20)]
    for batch in batches:
        assert_words_have_their_labels(stage, batch)
    assert 10 < sum(int((batch["labels"] > 0).sum()) for batch in batches) <= 20


def flat(batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    (part,) = batch["parts"]
    return {**part, "labels": batch["labels"]}


def assert_words_have_their_labels(stage: EntityExtractor, batch: dict[str, torch.Tensor]) -> None:
    drugs = {stage.windows.tokenizer.convert_tokens_to_ids(word) for word in DRUGS}
    inside = batch["labels"] >= 0
    is_drug = torch.tensor([[int(i) in drugs for i in row] for row in batch["input_ids"]])
    assert torch.equal((batch["labels"] > 0) & inside, is_drug & inside)


def test_strict_spans_count_only_what_is_right_in_start_end_and_type() -> None:
    gold = [[Entity(0, 3, "A"), Entity(5, 9, "B")], [Entity(0, 2, "A")]]
    found = [[Entity(0, 3, "A"), Entity(5, 8, "B")], [Entity(0, 2, "B")]]
    scores = score_spans(gold, found)
    assert (scores["precision"], scores["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert scores.per_label["A"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2.0}
    assert scores.per_label["B"]["f1"] == 0
    assert scores.counts == [(1, 2, 2), (0, 1, 1)]


def test_seqeval_agrees_with_strict_spans_where_all_gold_lies_on_words(base: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"])
    ner.fit(TRAIN[:10], None, FitConfig(epochs=1, **FAST))
    scores = ner.evaluate(DEV)
    for name in ("precision", "recall", "f1"):
        assert scores[name] == pytest.approx(scores[f"seqeval_{name}"])


def test_only_types_that_the_gold_has_count_unless_others_are_named(tmp_path: Path) -> None:
    folder = lexicon_classifier(tmp_path, {"took": "B-Event", "aspirin": "B-Drug"}, bio_labels(["Drug", "Event"]))
    ner = EntityExtractor.from_pretrained(folder)
    gold = [Record("took aspirin", entities=[Entity(5, 12, "Drug")])]
    assert ner.evaluate(gold)["precision"] == 1
    assert ner.evaluate(gold, labels=["Drug", "Event"])["precision"] == 0.5


def test_a_word_with_half_an_entity_is_judged_by_its_exact_span(tmp_path: Path) -> None:
    ner = EntityExtractor.from_pretrained(lexicon_classifier(tmp_path, {"aspirin": "B-Drug"}, bio_labels(["Drug"])))
    gold = [Record("aspirin x", entities=[Entity(0, 4, "Drug")], tokens=[Token(0, 7), Token(8, 9)])]
    assert ner.evaluate(gold)["f1"] == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=12))
def test_of_overlapping_entities_the_longest_is_kept(given_spans: list[tuple[int, int]]) -> None:
    entities = [Entity(start, start + length, "A") for start, length in given_spans]
    kept = longest_spans(entities)
    assert all(a.end <= b.start for a, b in itertools.pairwise(kept))
    for entity in entities:
        overlapping = [k for k in kept if k.start < entity.end and entity.start < k.end]
        assert any(k.end - k.start >= entity.end - entity.start for k in overlapping)


def test_settings_that_need_development_records_say_so_without_them(base: Path) -> None:
    report = EntityExtractor.from_base(base, ["Drug"]).fit(
        TRAIN[:4], None, FitConfig(epochs=1, patience=2, calibrate=True, **FAST)
    )
    assert [note for note in report.notes if "did nothing" in note] == [
        "patience did nothing: it needs development records",
        "calibrate did nothing: it needs development records",
    ]


def test_development_records_that_are_none_are_refused(base: Path) -> None:
    with pytest.raises(TrainingError, match="the development records are none"):
        EntityExtractor.from_base(base, ["Drug"]).fit(TRAIN[:4], [], FitConfig(epochs=1, **FAST))


def test_a_teacher_whose_outputs_stand_in_another_order_is_refused(base: Path, tmp_path: Path) -> None:
    teacher = EntityExtractor.from_pretrained(
        lexicon_classifier(tmp_path, {"took": "B-Drug"}, ["B-Drug", "I-Drug", "O"])
    )
    with pytest.raises(TrainingError, match="a teacher must be of its kind and have its labels in its order"):
        EntityExtractor.from_base(base, ["Drug"]).fit(TRAIN[:4], None, FitConfig(epochs=1), teacher=teacher)
