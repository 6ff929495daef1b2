"""Finding the topics of a corpus, and judging them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.stages.topics import Topic
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, Gold, read_gold
from clinnlp.training.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.stages.topics import TopicModel

__all__ = ["class_terms", "evaluate_topics", "fit_topics"]

_TERMS, _CENTRAL, _IN_NAME = 10, 5, 3
# k-means begins so many times anew, and the closest fit is kept.
_STARTS = 10
# Of more records the silhouette is that of a sample: it compares each with each.
_SILHOUETTE_RECORDS = 5000
# Words of two letters or more that begin with one: numbers and single letters name no topic.
_WORD = r"\b[^\W\d_][\w'-]*\w\b"
_USED = ("seed", "output", "progress")


def fit_topics(model: TopicModel, train: Gold, dev: Gold | None, config: FitConfig | None, teacher: Any) -> FitReport:
    """Find the topics of a corpus; see `TopicModel.fit`.

    Parameters
    ----------
    model : TopicModel
        Gets them.
    train, dev : sequence of Record or datasets.Dataset
    config : FitConfig or None
    teacher : None

    Raises
    ------
    TrainingError
        If there are fewer different records than topics, or a teacher is given.
    """
    started = time.monotonic()
    config = config or FitConfig()
    if teacher is not None:
        raise TrainingError(f"stage {model.name!r}: topics are found without a teacher: leave it out")
    records = read_gold(train)
    vectors, empty = model.vectors([record.view.text for record in records])
    count = len(model.head.centres)
    vectors, records = vectors[~empty], [record for record, without in zip(records, empty, strict=True) if not without]
    different = len(np.unique(vectors.round(5), axis=0))
    if different < count:
        raise TrainingError(
            f"stage {model.name!r}: {count} topics need at least as many different records with words, and there are"
            f" {different}: give more, or make the model with fewer topics"
        )
    centres, members = _clusters(vectors, count, config.seed)
    model.adopt(centres, list(_topics(records, vectors, centres, members)))
    report = FitReport(config, records={model.name: len(records)}, base=model.encoder.checkpoint)
    report.notes = [f"{name} did nothing: topics are found by clustering" for name in _idle(config)]
    if empty.any():
        report.notes.append(f"{int(empty.sum())} records without a word were left out")
    if dev is not None:
        report.scores[model.name] = evaluate_topics(model, dev)
        report.metric, report.best_score = "silhouette", report.scores[model.name].best
    report.seconds = time.monotonic() - started
    model.fitted, model.fitted_as = report, model.name
    if config.output is not None:
        report.folder = Path(config.output)
        model.save(report.folder)
    return report


def _idle(config: FitConfig) -> list[str]:
    usual = FitConfig()
    names = [f.name for f in fields(config) if f.name not in _USED]
    return [name for name in names if getattr(config, name) != getattr(usual, name)]


def _clusters(
    vectors: NDArray[np.float32], count: int, seed: int
) -> tuple[NDArray[np.float32], list[NDArray[np.int64]]]:
    """Cluster vectors; give the centres, brought to length 1, and the numbers of the vectors nearest to each."""
    from sklearn.cluster import KMeans

    means = KMeans(count, n_init=_STARTS, random_state=seed).fit(vectors.astype(np.float64)).cluster_centers_
    centres = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    nearest = (vectors @ centres.T).argmax(axis=1)
    members = [np.flatnonzero(nearest == number) for number in range(count)]
    order = sorted(range(count), key=lambda number: (-len(members[number]), *members[number][:1]))
    return centres[order], [members[number] for number in order]


def _topics(
    records: Sequence[Record],
    vectors: NDArray[np.float32],
    centres: NDArray[np.float32],
    members: Sequence[NDArray[np.int64]],
) -> Iterator[Topic]:
    """Describe clusters."""
    topic_of = np.zeros(len(records), dtype=np.int64)
    for number, some in enumerate(members):
        topic_of[some] = number
    taken: Counter[str] = Counter()
    for number, terms in enumerate(class_terms([r.view.text for r in records], topic_of, len(members))):
        name = ", ".join(_distinct(term for term, _ in terms)) or "without terms"
        taken[name] += 1
        if taken[name] > 1:
            name = f"{name} ({taken[name]})"
        near = members[number][np.argsort(-(vectors[members[number]] @ centres[number]), kind="stable")]
        yield Topic(name, terms, len(members[number]), [records[i].id for i in near[:_CENTRAL]])


def _distinct(terms: Iterable[str]) -> list[str]:
    """Give the first terms that repeat no word of those before them."""
    found: list[str] = []
    for term in terms:
        if not set(term.split()) & {word for one in found for word in one.split()}:
            found.append(term)
    return found[:_IN_NAME]


def class_terms(texts: Sequence[str], classes: NDArray[np.int64], count: int) -> list[list[tuple[str, float]]]:
    """Give the terms of classes of texts, with their weights by class-based TF-IDF.

    The weight of a term in a class is the square root of its share of the class's terms, times log(1 + A / f): f counts
    the term in all classes, and A is the mean number of terms of a class (Grootendorst M. BERTopic: neural topic
    modeling with a class-based TF-IDF procedure. arXiv 2203.05794, 2022; share and root, against words that all classes
    have, are those of its implementation).

    Parameters
    ----------
    texts : sequence of str
    classes : ndarray of int64, shape (texts,)
        Number of the class of each text.
    count : int
        How many classes there are.

    Returns
    -------
    list of list of (str, float)
        For each class at most ten terms, highest first, of equal ones in alphabetical order.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    least = 3 if len(texts) >= 30 else min(2, len(texts))
    counter = CountVectorizer(stop_words="english", ngram_range=(1, 2), token_pattern=_WORD, min_df=least)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # there are none but stop words, or none that several texts have
        return [[] for _ in range(count)]
    words = counter.get_feature_names_out()
    of_classes = np.stack([np.asarray(counts[classes == number].sum(axis=0)).ravel() for number in range(count)])
    sums = of_classes.sum(axis=1, keepdims=True)
    weights = np.sqrt(of_classes / np.maximum(sums, 1)) * np.log1p(sums.mean() / of_classes.sum(axis=0))
    return [_heaviest(row, words) for row in weights]


def _heaviest(weights: NDArray[np.float64], words: NDArray[Any]) -> list[tuple[str, float]]:
    best = sorted(np.flatnonzero(weights), key=lambda i: (-weights[i], words[i]))[:_TERMS]
    return [(str(words[i]), float(weights[i])) for i in best]


def evaluate_topics(model: TopicModel, records: Gold, against: str | None = None) -> Scores:
    """Judge topics; see `TopicModel.evaluate`."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    if not model.labels:
        raise TrainingError(f"stage {model.name!r} has no topics yet: fit it on the records of a corpus first")
    found = [record for record in read_gold(records) if against is None or record.labels.get(against)]
    vectors, empty = model.vectors([record.view.text for record in found])
    vectors, found = vectors[~empty], [record for record, without in zip(found, empty, strict=True) if not without]
    if len(found) < 2:
        with_labels = "" if against is None else f" and labels under {against!r}"
        raise TrainingError(
            f"stage {model.name!r}: {len(found)} records with words{with_labels}: topics are judged on at least 2"
        )
    nearest = (vectors @ model.head.centres.cpu().numpy().T).argmax(axis=1)
    # Defined for two topics or more, and not where each record has one of its own.
    values = {"silhouette": 0.0}
    if 1 < len(set(nearest)) < len(found):
        size = min(len(found), _SILHOUETTE_RECORDS)
        values["silhouette"] = float(
            silhouette_score(vectors, nearest, metric="cosine", sample_size=size, random_state=0)
        )
    if against is not None:
        gold = [record.labels[against][0].name for record in found]
        values["nmi"] = float(normalized_mutual_info_score(gold, nearest))
        values["ari"] = float(adjusted_rand_score(gold, nearest))
    return Scores(values, primary="silhouette")
