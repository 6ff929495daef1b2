"""A bag of words to judge a classifier by: what a transformer does not beat is not worth its cost.

Term frequencies weighted by inverse document frequency (TF-IDF) and a logistic regression for each label, both of
scikit-learn. Its settings are chosen by cross-validation on the training records alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.bootstrap import Difference, Interval, paired_difference, score_intervals
from clinnlp.training.fit import Gold
from clinnlp.training.gold import refuse_single_class, targets
from clinnlp.training.metrics import score_labels
from clinnlp.training.reports import with_gold
from clinnlp.training.scores import Scores
from clinnlp.training.splits import contradictions, folds, missing_labels, shared_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.alignment import EditedText

__all__ = ["Baseline", "Comparison", "check_comparable", "compare", "fit_baseline"]

# Single letters are words too: "T wave", "vitamin D". "No" and "not" are no content words in scikit-learn's list.
_WORDS = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
_VIEWS: dict[str, dict[str, Any]] = {
    "words": _WORDS,
    "content words": {**_WORDS, "stop_words": "english"},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}
# Macro F1 of the three: cross-validated on MTS-Dialog 0.48, 0.46 and 0.50; of a fifth of OHSUMED 0.49, 0.55 and 0.56,
# of another fifth 0.55, 0.60 and 0.57. Classes always weigh the same: otherwise it was lower with all of them.
_FEATURES = (("words",), ("content words",), ("words", "characters"))
_STRENGTHS = (10.0, 100.0)
_FOLDS, _FEWEST = 3, 12
# Settings are chosen on so many characters of text: on more, character n-grams take minutes.
_MOST_CHARACTERS = 1_500_000
# A term of one document says nothing of others, where there are enough of these.
_MANY = 100


@dataclass
class Baseline:
    """A bag of words that classifies texts; see `fit_baseline`.

    Parameters
    ----------
    name : str
        Of the label set.
    labels : list of str
    multi_label : bool
    threshold : float or mapping of str to float
        Least probability of a label that is given, if `multi_label`: of all, or of each.
    reads : callable
        Gives what is read of a record.
    features : tuple of str
        What is counted: "words" (one or two in a row), "content words" (without English stop words), "characters" (two
        to four in a row inside a word).
    strength : float
        Inverse of the regularization, scikit-learn's `C`.
    cross_validated : Scores or None
        Of the chosen settings, on the training records; None where these are too few.
    """

    name: str
    labels: list[str]
    multi_label: bool
    threshold: float | Mapping[str, float] = 0.5
    reads: Callable[[Record], EditedText] = attrgetter("view")
    features: tuple[str, ...] = _FEATURES[-1]
    strength: float = _STRENGTHS[0]
    cross_validated: Scores | None = None
    _vectorizers: list[Any] = field(default_factory=list, repr=False)
    _models: list[Any] = field(default_factory=list, repr=False)

    def predict(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the probabilities of all labels, as `ReportClassifier.predict` does.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        probabilities : ndarray of float, shape (texts, labels)
            Zeros for a text of white space alone.
        empty : ndarray of bool, shape (texts,)
            Which texts are that.
        """
        empty = np.array([not text.strip() for text in texts], dtype=bool)
        counted = _joined([vectorizer.transform(texts) for vectorizer in self._vectorizers]) if len(texts) else None
        scores = _probabilities(self._models, counted, len(texts), self.multi_label)
        scores[empty] = 0
        return scores, empty

    def evaluate(self, records: Gold) -> Scores:
        """Compare with gold labels, as `ReportClassifier.evaluate` does.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset

        Raises
        ------
        TrainingError
            If there is no gold.
        """
        items, gold = with_gold(self, records)
        scores, _ = self.predict([self.reads(record).text for record in items])
        return score_labels(gold, scores, self.labels, multi_label=self.multi_label, threshold=self.threshold)


def fit_baseline(
    train: Gold,
    labels: Sequence[str],
    name: str,
    *,
    multi_label: bool = False,
    threshold: float | Mapping[str, float] = 0.5,
    reads: Callable[[Record], EditedText] = attrgetter("view"),
    seed: int = 0,
) -> Baseline:
    """Fit a bag of words on gold labels.

    What is counted and how much is regularized is chosen by macro F1 in a cross-validation of three folds, on at most
    1.5 million characters of the training texts; records of one text, and of one patient where `metadata["patient"]`
    says whose they are, are in one fold. Each label is told from all others (one-vs-rest), with classes weighing the
    same; of items with one label the probabilities are brought to a sum of 1.

    Parameters
    ----------
    train : sequence of Record or datasets.Dataset
        Records with gold in `labels[name]`; others are left out.
    labels : sequence of str
        Those that a record can have; one without an example is never found.
    name : str
        Of the label set.
    multi_label : bool
        Whether a record may have any number of labels.
    threshold : float or mapping of str to float
        Least probability of a label that is given, if `multi_label`: of all, or of each.
    reads : callable
        Gives what is read of a record; by default its cleaned text, or the raw one where there is none.
    seed : int
        Of the sample and the folds.

    Returns
    -------
    Baseline

    Raises
    ------
    TrainingError
        If there is no gold, it has other labels, all of it is the same, or no text has a word.

    References
    ----------
    Wang & Manning (2012), Baselines and Bigrams: Simple, Good Sentiment and Topic Classification, ACL.
    """
    made = Baseline(name, list(labels), multi_label, threshold, reads)
    records, gold = with_gold(made, train)
    refuse_single_class(gold, made)
    aims = _aims(records, gold, made)
    if len(records) >= _FEWEST:
        _choose(made, records, gold, aims, seed)
    texts = [made.reads(record).text for record in records]
    made._vectorizers = [_vectorizer(view, texts) for view in made.features]
    made._models = _models(_joined([one.transform(texts) for one in made._vectorizers]), aims, made.strength)
    return made


def _aims(records: Sequence[Record], gold: Sequence[Sequence[str]], made: Baseline) -> NDArray[np.bool_]:
    """Give which labels each record has; bool, shape (records, labels)."""
    aims: NDArray[Any] = targets(gold, records, made.labels, made.multi_label, made.name).numpy()
    return aims > 0 if made.multi_label else aims[:, None] == np.arange(len(made.labels))


def _choose(made: Baseline, records: list[Record], gold: list[list[str]], aims: NDArray[np.bool_], seed: int) -> None:
    """Choose the settings that score best in a cross-validation, the first of equal ones."""
    chosen = _sample([made.reads(record).text for record in records], seed)
    records, gold, aims = [records[i] for i in chosen], [gold[i] for i in chosen], aims[chosen]
    texts = [made.reads(record).text for record in records]
    owned = all(record.metadata.get("patient") not in (None, "") for record in records)
    numbers = np.array(folds(records, _FOLDS, by="patient" if owned else None, name=made.name, seed=seed))
    found = {(features, strength): np.zeros(aims.shape) for features in _FEATURES for strength in _STRENGTHS}
    for fold in np.unique(numbers):
        inside, outside = np.flatnonzero(numbers == fold), np.flatnonzero(numbers != fold)
        if not len(outside):  # all records are one group
            return
        learned = [texts[i] for i in outside]
        views: dict[str, tuple[Any, Any]] = {}
        for view in _VIEWS:
            vectorizer = _vectorizer(view, learned)
            views[view] = vectorizer.transform(learned), vectorizer.transform([texts[i] for i in inside])
        for (features, strength), scores in found.items():
            ours, theirs = (_joined([views[view][side] for view in features]) for side in (0, 1))
            models = _models(ours, aims[outside], strength)
            scores[inside] = _probabilities(models, theirs, len(inside), made.multi_label)
    judged = {
        setting: score_labels(gold, scores, made.labels, multi_label=made.multi_label, threshold=made.threshold)
        for setting, scores in found.items()
    }
    best = max(judged, key=lambda setting: judged[setting].best)
    (made.features, made.strength), made.cross_validated = best, judged[best]


def _sample(texts: Sequence[str], seed: int) -> list[int]:
    """Give the places of texts of at most so many characters, drawn by chance, in their order."""
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)  # noqa: S311 - chance, not secrecy
    sizes = np.cumsum([len(texts[i]) for i in order])
    return sorted(order[: max(int(np.searchsorted(sizes, _MOST_CHARACTERS, side="right")), _FEWEST)])


def _vectorizer(view: str, texts: Sequence[str]) -> Any:
    """Fit what counts the terms of a view; where no text has any, nothing is counted."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    for least in (2, 1) if len(texts) >= _MANY else (1,):
        try:
            return TfidfVectorizer(sublinear_tf=True, min_df=least, **_VIEWS[view]).fit(texts)
        except ValueError:  # no term is left
            continue
    raise TrainingError(f"none of {len(texts)} training texts has {view}: a bag of words has nothing to count")


def _joined(views: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(views).tocsr()


def _models(counted: Any, aims: NDArray[np.bool_], strength: float) -> list[Any]:
    """Fit a logistic regression for each label, or give its probability where all records have it, or none has."""
    from sklearn.linear_model import LogisticRegression

    return [
        LogisticRegression(C=strength, class_weight="balanced", solver="liblinear", max_iter=1000).fit(counted, aim)
        if 0 < aim.sum() < len(aim)
        else float(aim.all())
        for aim in aims.T
    ]


def _probabilities(models: Sequence[Any], counted: Any, size: int, multi_label: bool) -> NDArray[np.float64]:
    scores = np.zeros((size, len(models)))
    for column, model in enumerate(models if size else ()):
        scores[:, column] = model if isinstance(model, float) else model.predict_proba(counted)[:, 1]
    return scores if multi_label else scores / np.maximum(scores.sum(axis=1, keepdims=True), np.finfo(float).tiny)


@dataclass(frozen=True)
class Comparison:
    """A classifier beside a bag of words, on the same test records.

    Parameters
    ----------
    name : str
        Of the stage.
    figure : str
        The primary figure, in which they are compared.
    stage, baseline : Scores
    stage_intervals, baseline_intervals : dict of str to (float, float)
        95% intervals of figures; see `clinnlp.training.bootstrap`.
    difference : Difference
        The stage's primary figure less that of the bag of words, with its 95% interval by the paired bootstrap.
    settings : dict
        Of the bag of words: "features", "strength" and "train_records".
    notes : list of str
        What a reader should know of the records: texts on both sides, contradictory gold, labels without an example.
    """

    name: str
    figure: str
    stage: Scores
    baseline: Scores
    stage_intervals: dict[str, Interval]
    baseline_intervals: dict[str, Interval]
    difference: Difference
    settings: dict[str, Any]
    notes: list[str]

    @property
    def better(self) -> str:
        """Which is better, "stage" or "baseline"; `""` where the interval of the difference has 0 in it."""
        if not self.difference.is_told:
            return ""
        return "stage" if self.difference.value > 0 else "baseline"

    @property
    def verdict(self) -> str:
        """Which is better, in a sentence."""
        it, value = f"stage {self.name!r}", self.difference.value
        told = f"95% interval {self.difference.low:.3f} to {self.difference.high:.3f}"
        if not self.better:
            return (
                f"{it} and the bag of words do not differ on these {len(self.stage.judged)} records: {self.figure}"
                f" differs by {value:.3f} ({told})"
            )
        first, second = (it, "the bag of words") if value > 0 else ("the bag of words", it)
        way = "higher" if value > 0 else "lower"
        return f"{first} is better than {second}: {self.figure} of the stage is {abs(value):.3f} {way} ({told})"

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold of it."""
        return {
            "figure": self.figure,
            "better": self.better,
            "verdict": self.verdict,
            "difference": {
                "value": self.difference.value,
                "low": self.difference.low,
                "high": self.difference.high,
            },
            "intervals": {name: list(pair) for name, pair in self.stage_intervals.items()},
            "baseline": {
                **self.settings,
                "scores": dict(self.baseline),
                "intervals": {name: list(pair) for name, pair in self.baseline_intervals.items()},
                "per_label": dict(self.baseline.per_label),
                "confusion": self.baseline.confusion.tolist(),
            },
            "notes": self.notes,
        }


def check_comparable(stage: Any) -> None:
    """Refuse a stage that a bag of words is no baseline of.

    Raises
    ------
    TrainingError
        If it classifies no texts.
    """
    from clinnlp.stages.reports import ReportClassifier

    if not isinstance(stage, ReportClassifier):
        raise TrainingError(
            f"stage {getattr(stage, 'name', '?')!r} does not classify texts: a bag of words is a baseline of a"
            " ReportClassifier only; leave the baseline out"
        )


def compare(stage: Any, train: Gold, test: Gold, *, allow_shared: bool = False, seed: int = 0) -> Comparison:
    """Compare a classifier of texts with a bag of words that learns from training records.

    Parameters
    ----------
    stage : ReportClassifier
        A fitted one; it stays as it is.
    train : sequence of Record or datasets.Dataset
        What the bag of words learns from: those from which the stage was fitted.
    test : sequence of Record or datasets.Dataset
        Records on which both are judged.
    allow_shared : bool
        Go on where a test record's text is a training record's too: both may remember its label.
    seed : int

    Returns
    -------
    Comparison

    Raises
    ------
    TrainingError
        If the stage classifies no texts, there is no gold, or texts are shared.
    """
    check_comparable(stage)
    ours, test = with_gold(stage, train)[0], with_gold(stage, test)[0]
    notes = _notes(stage, ours, test, allow_shared)
    options: dict[str, Any] = {"multi_label": stage.multi_label, "threshold": stage.thresholds, "reads": stage.reads}
    bag = fit_baseline(ours, stage.labels, stage.name, seed=seed, **options)
    scores, others = stage.evaluate(test), bag.evaluate(test)
    return Comparison(
        name=stage.name,
        figure=scores.primary,
        stage=scores,
        baseline=others,
        stage_intervals=score_intervals(scores),
        baseline_intervals=score_intervals(others),
        difference=paired_difference(scores, others, scores.primary),
        settings={"features": list(bag.features), "strength": bag.strength, "train_records": len(ours)},
        notes=notes,
    )


def _notes(stage: Any, train: list[Record], test: list[Record], allow_shared: bool) -> list[str]:
    """Tell what the records of a comparison lack, and refuse those that are on both sides."""
    notes: list[str] = []
    if shared := shared_texts(train, test):
        places = [place for one in shared for place in one.dev]
        told = f"{len(places)} of {len(test)} test records have the text of a training record"
        if not allow_shared:
            raise TrainingError(
                f"stage {stage.name!r}: {told}, such as record {test[min(places)].id!r}: leave them out, since their"
                " labels may be remembered, or go on with allow_shared (--allow-shared)"
            )
        notes.append(told)
    for side, records in (("training", train), ("test", test)):
        if found := contradictions(records, stage.name, multi_label=stage.multi_label):
            notes.append(f"{len(found)} {side} texts have several records with different gold")
    missing = missing_labels(train, test, stage.labels, stage.name)
    for side, names in (("training", missing.train), ("test", missing.dev)):
        if names:
            notes.append(f"no {side} record has the label {', '.join(map(repr, names))}")
    return notes
