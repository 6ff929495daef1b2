from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from properties.edited import any_text
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from stages.test_reports import LABELS, notes

from clinnlp.encoders import bag_of_words
from clinnlp.encoders.bag_of_words import VIEWS, BagOfWords, Terms
from clinnlp.encoders.checkpoints import BAG_FILE
from clinnlp.errors import CheckpointError, TrainingError

TRAIN = [record.text for record in notes(0, 120)]
TEST = [*(record.text for record in notes(900, 12)), "No murmur; BP 130/80, vitamin D.", "", "unknown Ünïcode İstanbul"]
AIMS = np.eye(3, dtype=bool)[np.arange(120) % 3]


@pytest.fixture(scope="module")
def bag() -> BagOfWords:
    return BagOfWords.fit(TRAIN, AIMS, ("words", "characters"), 10.0)


def test_it_is_scikit_learns_tf_idf_and_logistic_regression(bag: BagOfWords) -> None:
    views = [
        TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b"),
        TfidfVectorizer(sublinear_tf=True, min_df=2, analyzer="char_wb", ngram_range=(2, 4)),
    ]
    counted = hstack([view.fit_transform(TRAIN) for view in views]).tocsr()
    unseen = hstack([view.transform(TEST) for view in views]).tocsr()
    assert bag.weights.shape == (3, counted.shape[1])
    for label in range(3):
        model = LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear", max_iter=1000)
        model.fit(counted, AIMS[:, label])
        assert bag.log_odds(TEST)[:, label] == pytest.approx(model.decision_function(unseen), abs=2e-3)
    content = TfidfVectorizer(
        sublinear_tf=True, min_df=2, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", stop_words="english"
    ).fit(TRAIN)
    terms, _ = Terms.fit("content words", TRAIN)
    ours, theirs = terms.transform(TEST), content.transform(TEST)
    assert (ours @ ours.T).toarray() == pytest.approx((theirs @ theirs.T).toarray(), abs=1e-6)


def test_many_texts_are_counted_in_parts_with_the_same_result(bag: BagOfWords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_of_words, "_AT_ONCE", 150)
    again = BagOfWords.fit(TRAIN, AIMS, ("words", "characters"), 10.0)
    assert np.array_equal(again.weights, bag.weights)
    assert np.array_equal(again.log_odds(TEST), bag.log_odds(TEST))
    assert bag.log_odds([]).shape == (0, 3)


@given(text=any_text)
def test_what_words_weigh_sums_up_to_the_log_odds(bag: BagOfWords, text: str) -> None:
    text += " murmur"
    for label, log_odds in enumerate(bag.log_odds([text])[0]):
        carried = bag.carried(text, label)
        assert sum(carried.values()) + bag.bias[label] == pytest.approx(log_odds, abs=1e-4)
        assert all(text[start:end].strip() == text[start:end] != "" for start, end in carried)


def test_the_word_that_tells_weighs_most(bag: BagOfWords) -> None:
    text = "Took the MURMUR, and was seen"
    carried = bag.carried(text, LABELS.index("heart"))
    start, end = max(carried, key=lambda span: carried[span])
    assert text[start:end] in ("MURMUR", "MURMUR,")
    assert bag.carried(" \n", 0) == {}
    assert bag.carried("zzzzzz", 0).get((0, 6), 0.0) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_saved_has_no_word_of_the_texts(bag: BagOfWords, tmp_path: Path, dtype: str) -> None:
    bag.save(tmp_path, dtype)
    again = BagOfWords.load(tmp_path, 3)
    assert again.log_odds(TEST) == pytest.approx(bag.log_odds(TEST), abs=0 if dtype == "float32" else 0.1)
    data = (tmp_path / BAG_FILE).read_bytes()
    assert not any(word.encode() in data for word in ("murmur", "itch", "took"))


def test_files_that_are_none_are_told_in_one_line(bag: BagOfWords, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*save the stage again"):
        BagOfWords.load(tmp_path, 3)
    bag.save(tmp_path)
    with pytest.raises(CheckpointError, match="is not that of this head"):
        BagOfWords.load(tmp_path, 4)
    whole = (tmp_path / BAG_FILE).read_bytes()
    for broken in (whole[:-5], b"", whole.replace(b"characters", b"characterz")):
        (tmp_path / BAG_FILE).write_bytes(broken)
        with pytest.raises(CheckpointError) as caught:
            BagOfWords.load(tmp_path, 3)
        assert "\n" not in str(caught.value)


def test_texts_without_terms_have_nothing_to_learn_from() -> None:
    for view in VIEWS:
        with pytest.raises(TrainingError, match="nothing to count"):
            Terms.fit(view, ["", " "])
    # Of a hundred texts or more, terms of one alone are left out, but where there are no others.
    terms, _ = Terms.fit("words", [f"word{i}" for i in range(120)])
    assert len(terms.buckets) == 120


def test_what_words_weigh_is_the_same_however_many_terms_are_read_at_once(
    bag: BagOfWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(TEST)
    want = bag.carried(text, 1)
    assert sum(want.values()) == pytest.approx(bag.log_odds([text])[0, 1] - bag.bias[1])
    monkeypatch.setattr(bag_of_words, "_TERMS_AT_ONCE", 7)
    assert bag.carried(text, 1) == want
    assert bag.carried("?", 1) == bag.carried("", 1) == {}
