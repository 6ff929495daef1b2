"""Pictures of BUSI and PneumoniaMNIST by the small network, from random weights, on pictures that were kept out.

    python tests/benchmarks/pictures.py busi --seeds 3
    python tests/benchmarks/pictures.py pneumoniamnist --seeds 3

`busi`: three classes by five folds, so that each picture is judged once by a network that has not seen it; pictures
that are nearly the same are in one fold, and those of them that contradict each other are left out.
`pneumoniamnist`: the development part; pictures of the training part that are nearly the same as one of it are left
out. The weights are those of the last epoch, and nothing is chosen on what is judged. Needs the corpora (see `clinnlp
corpora`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import ImageClassifier
from clinnlp.training.bootstrap import score_intervals
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores
from clinnlp.training.splits import folds, image_groups

NAME = "finding"
# Bits in which the hashes of nearly the same pictures of BUSI differ: see `clinnlp.training.image_groups`.
DISTANCE = 110
Part = tuple[list[Record], list[Record]]


def busi(seed: int) -> list[Part]:
    """Give the five folds."""
    parts = clinnlp.corpora.load("busi")
    records = [r for part in parts.values() for r in part if not r.metadata.get("contradicts")]
    dealt = folds(records, 5, groups=image_groups(records, DISTANCE), name=NAME, seed=seed)
    pairs = list(zip(records, dealt, strict=True))
    return [([r for r, f in pairs if f != one], [r for r, f in pairs if f == one]) for one in range(5)]


def pneumoniamnist(seed: int) -> list[Part]:
    """Give the parts of the corpus, whatever the seed, without the nearly same pictures on both sides."""
    parts = clinnlp.corpora.load("pneumoniamnist")
    both = parts["train"] + parts["devel"]
    groups = image_groups(both)
    kept_out = set(groups[len(parts["train"]) :])
    return [([r for r, group in zip(parts["train"], groups, strict=False) if group not in kept_out], parts["devel"])]


def fitted(train: Sequence[Record], size: int, views: Sequence[str], config: FitConfig) -> ImageClassifier:
    """Fit a small network."""
    labels = sorted({label.name for record in train for label in record.images[0].labels[NAME]})
    stage = ImageClassifier.from_base(labels=labels, name=NAME, image_size=size, views=views)
    stage.fit(train, config=config)
    return stage


def judged(stages: Sequence[ImageClassifier], tests: Sequence[Sequence[Record]]) -> Scores:
    """Judge each part by its own stage, and all of them together."""
    gold, found = [], []
    for stage, records in zip(stages, tests, strict=True):
        gold += [[label.name for label in record.images[0].labels[NAME]] for record in records]
        found.append(stage.predict(stage.read([record.images[0] for record in records])))
    return score_labels(gold, np.concatenate(found), stages[0].labels)


SETTINGS = {
    "busi": (
        busi,
        64,
        ["flip"],
        FitConfig(
            epochs=40,
            learning_rate=1e-3,
            weight_decay=0.1,
            label_smoothing=0.1,
            class_weights="balanced",
            augment=["rotate=20", "shift=0.2", "zoom=0.2", "brightness", "contrast", "flip"],
            select="last",
        ),
    ),
    "pneumoniamnist": (
        pneumoniamnist,
        28,
        [],
        FitConfig(
            learning_rate=1e-3,
            select="last",
        ),
    ),
}


def main() -> None:
    """Print the figures of each seed, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=["busi", "pneumoniamnist"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--members", type=int, default=1, help="networks whose probabilities are averaged")
    options = parser.parse_args()
    made, size, views, config = SETTINGS[options.corpus]
    figures = ["accuracy", "macro_f1", "auroc"]
    print(f"| seed | pictures | {' | '.join(figures)} | AUROC by class | seconds |\n| {'--- | ' * (len(figures) + 4)}")
    rows = []
    for seed in range(options.first, options.first + options.seeds):
        began = time.perf_counter()
        parts = made(seed)
        stages = [
            ImageClassifier.ensemble(
                [
                    fitted(train, size, views, replace(config, seed=options.members * seed + i))
                    for i in range(options.members)
                ]
            )
            if options.members > 1
            else fitted(train, size, views, replace(config, seed=seed))
            for train, _ in parts
        ]
        scores = judged(stages, [test for _, test in parts])
        intervals = score_intervals(scores)
        rows.append([scores[name] for name in figures])
        told = " | ".join(f"{scores[n]:.3f} ({intervals[n][0]:.3f} to {intervals[n][1]:.3f})" for n in figures)
        by_class = ", ".join(f"{name} {found['auroc']:.3f}" for name, found in scores.per_label.items())
        print(
            f"| {seed} | {len(scores.judged)} | {told} | {by_class} | {time.perf_counter() - began:.0f} |", flush=True
        )
    print("| mean | | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)) + " | | |")


if __name__ == "__main__":
    main()
