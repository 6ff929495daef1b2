"""Text and picture together beside each alone, and what is left of the answer when one is taken away.

    python tests/benchmarks/multimodal.py halves --seeds 3
    python tests/benchmarks/multimodal.py covid_cxr --seeds 3

`halves`: synthetic ultrasounds of `corpora/ultrasound`, whose picture holds one half of the answer and whose text the
other; the pictures and texts that are judged are drawn from another seed.

`covid_cxr`: COVID-19 or another finding, of X-rays with clinical notes, by five folds, each of which is judged once;
patients, and pictures that are nearly the same, are in one fold. Words that name the virus or its test are taken out
of the notes first. Needs the corpus (see `clinnlp corpora covid_cxr`).

"Text alone" and "image alone" are fitted without the other; "text left" and "image left" are what the fused
classifier says when the other is taken from the records that are judged.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import clinnlp
from clinnlp import Image, Record
from clinnlp.stages import MultimodalClassifier
from clinnlp.training.bootstrap import paired_difference, score_intervals
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores
from clinnlp.training.splits import folds, image_groups

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "corpora" / "ultrasound"))

_NAMED = re.compile(
    r"(?i)\b(covid\S*|sars\S*|coronavir\w*|\S*ncov\S*|(rt-?)?pcr|pneumocystis|pjp|pcp|streptococc\w*|pneumococc\w*"
    r"|legionella|klebsiella|varicella|influenza|h1n1|e\.? ?coli|lipoid|wuhan)\b"
)

Part = tuple[list[Record], list[Record]]


def without(records: Sequence[Record], what: str) -> list[Record]:
    """Give copies of records that lack their texts or their pictures."""
    gone = []
    for record in records:
        given = record.copy(without=["images"]) if what == "images" else record
        text = "" if what == "text" else given.text
        gone.append(Record(text, given.id, images=given.images, metadata=given.metadata, labels=given.labels))
    return gone


def halves(seed: int, train: int, test: int) -> list[Part]:
    """Give cases to learn from and to judge."""
    from sonowriter.cases import write_cases

    return [(list(islice(write_cases(seed, "halves"), train)), list(islice(write_cases(1000 + seed, "halves"), test)))]


def covid(seed: int) -> list[Part]:
    """Give the five folds of the X-rays."""
    parts = clinnlp.corpora.load("covid_cxr")
    records = []
    for record in (one for part in parts.values() for one in part):
        if record.labels.get("finding"):
            name = "COVID-19" if record.labels["finding"][0].name == "COVID-19" else "other"
            text = _NAMED.sub(" ", record.text)
            pictures = [Image(image.path) for image in record.images]
            records.append(
                Record(text, record.id, images=pictures, metadata=record.metadata, labels={"finding": [name]})
            )
    dealt = folds(records, 5, by="patient", groups=image_groups(records), name="finding", seed=seed)
    return [
        (
            [record for record, fold in zip(records, dealt, strict=True) if fold != number],
            [record for record, fold in zip(records, dealt, strict=True) if fold == number],
        )
        for number in range(5)
    ]


def fitted(
    train: Sequence[Record], name: str, images: bool, size: int, changes: dict[str, Any], way: str = "late"
) -> MultimodalClassifier:
    """Fit a classifier on records with whatever they have."""
    labels = sorted({getattr(label, "name", label) for record in train for label in record.labels[name]})
    of_images: dict[str, Any] = {"image_size": size} if images else {}
    stage = MultimodalClassifier.from_base("clinical-en", labels, name, images=images, fusion=way, **of_images)
    config = replace(stage.default_fit_config(), **changes) if changes else None
    stage.fit(train, config=config)
    return stage


def pooled(stages: Sequence[MultimodalClassifier], tests: Sequence[Sequence[Record]]) -> Scores:
    """Judge each part by its own stage, and all of them together."""
    found = [stage.judge(part) for stage, part in zip(stages, tests, strict=True)]
    gold = [names for own, _ in found for names in own]
    return score_labels(gold, np.concatenate([scores for _, scores in found]), stages[0].labels)


def run(parts: list[Part], name: str, size: int, augment: Sequence[str], seed: int, way: str) -> dict[str, Scores]:
    """Fit the three classifiers on each part, and give what is found of all parts together."""
    common: dict[str, Any] = {"seed": seed}
    seen: dict[str, Any] = {**common, "augment": list(augment)}
    text, image, both = [], [], []
    for train, _ in parts:
        text.append(fitted(without(train, "images"), name, False, size, common))
        image.append(fitted(without(train, "text"), name, True, size, seen))
        both.append(fitted(train, name, True, size, seen, way))
    tests = [test for _, test in parts]
    return {
        "text alone": pooled(text, [without(test, "images") for test in tests]),
        "image alone": pooled(image, [without(test, "text") for test in tests]),
        "fused": pooled(both, tests),
        "fused, text left": pooled(both, [without(test, "images") for test in tests]),
        "fused, image left": pooled(both, [without(test, "text") for test in tests]),
    }


def main() -> None:
    """Print what each finds, and how far they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=["halves", "covid_cxr"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--train", type=int, default=300, help="synthetic cases to learn from")
    parser.add_argument("--test", type=int, default=1000, help="synthetic cases to judge")
    parser.add_argument("--fusion", choices=["late", "gated"], default="late")
    parser.add_argument("--size", type=int, default=48, help="of the pictures that are read")
    options = parser.parse_args()
    made: dict[str, Callable[[int], list[Part]]] = {
        "halves": lambda seed: halves(seed, options.train, options.test),
        "covid_cxr": covid,
    }
    name = {"halves": "urgency", "covid_cxr": "finding"}[options.corpus]
    augment = {"halves": [], "covid_cxr": ["rotate", "shift", "zoom", "contrast"]}[options.corpus]
    figure = "auroc" if options.corpus == "covid_cxr" else "accuracy"
    print(
        f"| seed | what | accuracy | auroc | 95% of {figure} | fused less it |\n| --- | --- | --- | --- | --- | --- |"
    )
    for seed in range(options.first, options.first + options.seeds):
        began = time.perf_counter()
        found = run(made[options.corpus](seed), name, options.size, augment, seed, options.fusion)
        for what, scores in found.items():
            low, high = score_intervals(scores)[figure]
            more = paired_difference(found["fused"], scores, figure)
            print(
                f"| {seed} | {what} | {scores['accuracy']:.3f} | {scores['auroc']:.3f} | {low:.3f} to {high:.3f}"
                f" | {more.value:+.3f} ({more.low:+.3f} to {more.high:+.3f}) |",
                flush=True,
            )
        print(f"seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
