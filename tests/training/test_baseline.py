from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_base

from clinnlp import Record
from clinnlp.alignment import EditedText, replace
from clinnlp.errors import TrainingError
from clinnlp.stages import EntityExtractor, ReportClassifier
from clinnlp.training.baseline import fit_baseline
from clinnlp.training.bootstrap import paired_difference
from clinnlp.training.comparison import compare
from clinnlp.training.metrics import score_labels

SECRET = "Zebulon"
LABELS = ["heart, or vessels", "肺\n|", "skin"]
WORDS = dict(zip(LABELS, (["murmur", "angina"], ["cough", "wheeze"], ["rash", "itch"]), strict=True))
FILLER = ["took", "no", "the", "daily", "seen", "and"]


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """A solver that comes to no end warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="sklearn")
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


def note(seed: int, *labels: str, **fields: Any) -> Record:
    chance = random.Random(seed)
    words = [chance.choice(FILLER) for _ in range(10)] + [f"{SECRET}{seed}"]
    for label in labels:
        words.insert(chance.randrange(len(words)), chance.choice(WORDS[label]))
    return Record(" ".join(words), id=f"r{seed}", labels={"organ": list(labels)}, **fields)


def notes(first: int, count: int) -> list[Record]:
    return [note(seed, LABELS[seed % 3]) for seed in range(first, first + count)]


TRAIN, TEST = notes(0, 45), notes(1000, 30)


class Told(ReportClassifier):
    """A classifier that is told a share of the answers, and says the first label otherwise."""

    share = 1.0

    def predict(self, texts: Sequence[str]) -> tuple[Any, Any]:
        rows = np.full((len(texts), len(LABELS)), 0.1)
        for place, text in enumerate(texts):
            right = [i for i, label in enumerate(LABELS) if set(WORDS[label]) & set(text.split())]
            rows[place, right if place < self.share * len(texts) else 0] = 0.8
        return rows, np.zeros(len(texts), dtype=bool)


def told(base: Path, share: float) -> Told:
    stage = Told.from_base(base, LABELS, "organ")
    stage.share = share
    return stage


def test_it_learns_words_and_gives_probabilities() -> None:
    bag = fit_baseline(TRAIN, LABELS, "organ")
    assert bag.evaluate(TEST)["accuracy"] > 0.9
    scores, empty = bag.predict([TEST[0].text, " \n", "unknown"])
    assert scores.shape == (3, 3)
    assert empty.tolist() == [False, True, False]
    assert scores.sum(axis=1) == pytest.approx([1, 0, 1])
    assert bag.predict([])[0].shape == (0, 3)
    assert bag.cross_validated is not None
    assert len(bag.cross_validated.judged) == len(TRAIN)


def test_of_several_labels_each_is_told_from_the_others() -> None:
    train = [note(seed, *[label for i, label in enumerate(LABELS) if seed >> i & 1]) for seed in range(64)]
    test = [note(900, *LABELS[:2]), note(901), note(902, LABELS[2])]
    scores = fit_baseline(train, LABELS, "organ", multi_label=True).evaluate(test)
    assert scores["accuracy"] == 1.0
    assert scores.multi_label
    strict = fit_baseline(train, LABELS, "organ", multi_label=True, threshold=1.0)
    assert strict.evaluate(test)["micro_f1"] == 0.0


def test_settings_are_chosen_on_training_records_by_what_these_need() -> None:
    # What tells these apart is inside of words that never come again: only characters can see it.
    chance = random.Random(0)
    letters = "bcdfghjklmnpqrstvwz"

    def odd(count: int) -> list[Record]:
        def word(ending: str) -> str:
            return "".join(chance.choice(letters) for _ in range(5)) + ending

        return [
            Record(f"{word('o')} {word(('itis', 'osis')[i % 2])}", labels={"x": ("a", "b")[i % 2]})
            for i in range(count)
        ]

    bag = fit_baseline(odd(60), ["a", "b"], "x")
    assert bag.features == ("words", "characters")
    assert bag.evaluate(odd(40))["accuracy"] > 0.9
    # "No" and "not" are left out of content words: where they decide, words are chosen.
    plain = [Record(f"{('no', 'some')[i % 2]} fever {i}", labels={"x": ("a", "b")[i % 2]}) for i in range(60)]
    assert fit_baseline(plain, ["a", "b"], "x").features == ("words",)


def test_the_same_records_give_the_same_figures_and_a_patient_is_in_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    from clinnlp.training import baseline

    asked: list[Any] = []
    folds = baseline.folds
    monkeypatch.setattr(baseline, "folds", lambda *args, **kw: (asked.append(kw["by"]), folds(*args, **kw))[1])
    one, other = (fit_baseline(TRAIN, LABELS, "organ") for _ in range(2))
    assert np.array_equal(one.predict([TEST[0].text])[0], other.predict([TEST[0].text])[0])
    fit_baseline([note(i, LABELS[i % 3], metadata={"patient": i % 9}) for i in range(45)], LABELS, "organ")
    assert asked == [None, None, "patient"]


def test_few_records_and_labels_without_examples_are_learned_from_too() -> None:
    bag = fit_baseline(TRAIN[:2], LABELS, "organ")
    assert bag.cross_validated is None
    assert bag.evaluate(TRAIN[:2])["accuracy"] == 1.0
    assert bag.predict([TEST[2].text])[0][0, 2] < 1e-6
    always = [note(seed, LABELS[0], *LABELS[1 : 1 + seed % 2]) for seed in range(20)]
    found = fit_baseline(always, LABELS, "organ", multi_label=True).predict([TEST[0].text])[0]
    assert found[0, 0] > 1 - 1e-6
    assert found[0, 2] < 1e-6


def test_the_cleaned_text_is_read() -> None:
    train = [
        Record(record.text, labels=record.labels, cleaned=EditedText.of(record.text, [replace(0, 4, word)]))
        for record, word in ((note(i, LABELS[2]), ("zero", "one")[i % 2]) for i in range(20))
    ]
    for i, record in enumerate(train):
        record.labels = {"x": [("a", "b")[i % 2]]}
    assert fit_baseline(train, ["a", "b"], "x").evaluate(train)["accuracy"] == 1.0


def test_gold_that_cannot_be_learned_is_refused_without_its_text() -> None:
    for records, message in (
        ([], "no record has gold"),
        (TRAIN[:1], "nothing to tell apart"),
        ([*TRAIN, Record(SECRET, id="r7", labels={"organ": "brain"})], "record 'r7' has the gold label 'brain'"),
        ([Record(" ", labels={"organ": label}) for label in LABELS], "none of 3 training texts has words"),
    ):
        with pytest.raises(TrainingError, match=message) as caught:
            fit_baseline(records, LABELS, "organ")
        assert SECRET not in str(caught.value)


def test_a_comparison_says_which_is_better(base: Path) -> None:
    worse = compare(told(base, 0.0), TRAIN, TEST)
    assert worse.better == "baseline"
    assert worse.verdict.startswith("the bag of words is better than stage 'organ': macro_f1 of the stage is ")
    assert worse.difference.high < 0
    level = compare(told(base, 1.0), TRAIN, TEST)
    assert level.better == ""
    assert level.difference.low <= 0 <= level.difference.high
    assert "do not differ on these 30 records: macro_f1 differs by 0.0" in level.verdict
    hopeless = [Record(f"{SECRET} {i}", labels={"organ": LABELS[i % 3]}) for i in range(30)]
    better = compare(told(base, 1.0), hopeless, TEST)
    assert better.better == "stage"
    assert better.verdict.startswith("stage 'organ' is better than the bag of words: macro_f1 of the stage is ")
    assert better.difference.value == better.stage["macro_f1"] - better.baseline["macro_f1"]
    plain = json.loads(json.dumps(better.to_dict()))
    assert plain["better"] == "stage"
    assert plain["baseline"]["scores"] == dict(better.baseline)
    assert set(plain["intervals"]) == {"accuracy", "macro_f1", "micro_f1", "auroc"}
    assert plain["baseline"]["train_records"] == 30


def test_texts_on_both_sides_are_refused_unless_they_are_allowed(base: Path) -> None:
    copy = Record(TRAIN[3].text.upper(), id="r9", labels=TRAIN[3].labels)
    with pytest.raises(TrainingError, match=r"1 of 31 test records have the text of a training record.*'r9'") as caught:
        compare(told(base, 1.0), TRAIN, [*TEST, copy])
    assert SECRET not in str(caught.value)
    found = compare(told(base, 1.0), TRAIN, [*TEST, copy], allow_shared=True)
    assert found.notes == ["1 of 31 test records have the text of a training record"]


def test_contradictions_and_labels_without_an_example_are_told(base: Path) -> None:
    other = Record(TRAIN[0].text, labels={"organ": LABELS[1]})
    test = [record for record in TEST if record.labels["organ"][0].name != LABELS[2]]
    assert compare(told(base, 1.0), [*TRAIN, other], test).notes == [
        "1 training texts have several records with different gold",
        "no test record has the label 'skin'",
    ]


def test_a_stage_that_classifies_no_texts_has_no_bag_of_words(base: Path) -> None:
    with pytest.raises(TrainingError, match="stage 'entities' does not classify texts"):
        compare(EntityExtractor.from_base(base, ["Drug"]), TRAIN, TEST)


def test_a_paired_difference_is_that_of_resampled_items() -> None:
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 2, 60)
    gold = [[LABELS[i]] for i in truth]
    rows = [chance.dirichlet([1, 1], 60) + boost * np.eye(2)[truth] for boost in (0.6, 0.3)]
    rows = [(some / some.sum(axis=1, keepdims=True)).round(2) for some in rows]
    one, other = (score_labels(gold, some, LABELS[:2]) for some in rows)
    draws, values = np.random.default_rng(5), []
    for _ in range(80):
        places = draws.integers(60, size=60)
        pair = [score_labels([gold[i] for i in places], some[places], LABELS[:2]) for some in rows]
        values.append([pair[0][figure] - pair[1][figure] for figure in ("macro_f1", "auroc")])
    for column, figure in enumerate(("macro_f1", "auroc")):
        found = paired_difference(one, other, figure, rounds=80, seed=5)
        ordered = sorted(row[column] for row in values)
        assert found.value == one[figure] - other[figure]
        assert (found.low, found.high) == pytest.approx((ordered[2], ordered[77]))
        assert found.is_told == (ordered[2] > 0 or ordered[77] < 0)
    # A system does not differ from itself, however few the items.
    assert not paired_difference(one, one, "macro_f1").is_told
    with pytest.raises(TrainingError, match="different items"):
        paired_difference(one, score_labels(gold[:59], rows[0][:59], LABELS[:2]), "macro_f1")
    with pytest.raises(TrainingError, match="no samples of 'ece'"):
        paired_difference(one, other, "ece", rounds=10)


def test_a_bag_of_words_is_fitted_where_some_settings_have_nothing_to_count() -> None:
    texts = ("he was", "she is")  # stop words alone
    gold = [Record(texts[i % 2], labels={"whose": ["his" if i % 2 == 0 else "hers"]}, id=str(i)) for i in range(24)]
    made = fit_baseline(gold, ["his", "hers"], "whose")
    assert "content words" not in made.features
    assert made.evaluate(gold)["accuracy"] == 1.0
    one = [Record("!!" if i else "word", labels={"whose": ["his" if i % 2 else "hers"]}, id=str(i)) for i in range(14)]
    assert fit_baseline(one, ["his", "hers"], "whose").bag is not None
