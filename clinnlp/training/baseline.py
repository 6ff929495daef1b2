"""A bag of words to judge a classifier by: what a transformer does not beat is not worth its cost.

See `clinnlp.encoders.bag_of_words`; its settings are chosen by cross-validation on the training records alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.encoders.bag_of_words import VIEWS, BagOfWords, Terms, joined, regression
from clinnlp.encoders.heads import probabilities
from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.fit import Gold
from clinnlp.training.gold import refuse_single_class, targets
from clinnlp.training.metrics import score_labels
from clinnlp.training.reports import with_gold
from clinnlp.training.scores import Scores
from clinnlp.training.splits import folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.alignment import EditedText

__all__ = ["Baseline", "fit_baseline"]

# Macro F1 of the three: cross-validated on MTS-Dialog 0.48, 0.46 and 0.50; of a fifth of OHSUMED 0.49, 0.55 and 0.56,
# of another fifth 0.55, 0.60 and 0.57. Classes always weigh the same: otherwise it was lower with all of them.
_FEATURES = (("words",), ("content words",), ("words", "characters"))
_STRENGTHS = (10.0, 100.0)
_FOLDS, _FEWEST = 3, 12
# Settings are chosen on so many characters of text: on more, character n-grams take minutes.
_MOST_CHARACTERS = 1_500_000


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
    bag : BagOfWords or None
    """

    name: str
    labels: list[str]
    multi_label: bool
    threshold: float | Mapping[str, float] = 0.5
    reads: Callable[[Record], EditedText] = attrgetter("view")
    features: tuple[str, ...] = _FEATURES[-1]
    strength: float = _STRENGTHS[0]
    cross_validated: Scores | None = None
    bag: BagOfWords | None = field(default=None, repr=False)

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
        assert self.bag is not None
        scores = _probabilities(self.bag.log_odds(texts), self.multi_label)
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
    made.bag = BagOfWords.fit(texts, aims, made.features, made.strength)
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
        for view in VIEWS:
            try:
                terms, counted = Terms.fit(view, learned)
            except TrainingError:  # such as notes of stop words alone
                found = {setting: scores for setting, scores in found.items() if view not in setting[0]}
                continue
            views[view] = counted, terms.transform([texts[i] for i in inside])
        for (features, strength), scores in found.items():
            ours, theirs = (joined([views[view][side] for view in features]) for side in (0, 1))
            weights, bias = regression(ours, aims[outside], strength)
            scores[inside] = _probabilities(theirs @ weights.T + bias, made.multi_label)
    if not found:
        return
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


def _probabilities(log_odds: NDArray[np.float64], multi_label: bool) -> NDArray[np.float64]:
    scores = probabilities(log_odds, multi_label=True)
    return scores if multi_label else scores / np.maximum(scores.sum(axis=1, keepdims=True), np.finfo(float).tiny)
