"""Five heads on one encoder against one head: forward passes and wall time, in one run.

    python tests/benchmarks/heads.py --notes 200 --rounds 3

The first head is that of clinical-en. Two more are cut out of it, for medications and for anatomy, so that they decode
what a trained head gives; two classify whole notes. Notes are those of MTSamples, or with `--synthetic` those that this
project writes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

import clinnlp
from clinnlp import Pipeline, Record
from clinnlp.stages import EntityExtractor, ReportClassifier


def main() -> None:
    """Time both pipelines in turn, and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--notes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--synthetic", action="store_true")
    options = parser.parse_args()
    name = "notes" if options.synthetic else "mtsamples"
    texts = [record.text for record in clinnlp.corpora.load(name)["all"]][: options.notes]
    nlp = clinnlp.load("clinical-en")
    before = [stage for stage in nlp.stages.values() if stage.encoder is None]
    first: Any = nlp["entities"]
    more = [
        part_of(first, ["Medication"], "medications"),
        part_of(first, ["Anatomy"], "places"),
        ReportClassifier.from_base(first.encoder, [f"kind {i}" for i in range(20)], name="kind"),
        ReportClassifier.from_base(first.encoder, [f"topic {i}" for i in range(40)], name="topic", multi_label=True),
    ]
    pipelines = {"1 head": Pipeline([*before, first]), "5 heads": Pipeline([*before, first, *more])}
    passes = [0]
    first.encoder.model.register_forward_hook(lambda _, args, kwargs, out: count(passes, kwargs), with_kwargs=True)
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    windows: dict[str, int] = {}
    for pipeline in pipelines.values():  # loads what is to be loaded
        list(pipeline.pipe(texts[:4]))
    for _ in range(options.rounds):
        for name, pipeline in pipelines.items():
            passes[0] = 0
            started = time.perf_counter()
            for _record in pipeline.pipe(Record(text) for text in texts):
                pass
            seconds[name].append(time.perf_counter() - started)
            windows[name] = passes[0]
    expected = number_of_windows(nlp, texts)
    print("| pipeline | windows | forward passes a window | seconds, each round | median |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in seconds.items():
        each = ", ".join(f"{value:.1f}" for value in times)
        print(f"| {name} | {expected} | {windows[name] / expected:.3f} | {each} | {statistics.median(times):.1f} |")
    ratios = [five / one for one, five in zip(seconds["1 head"], seconds["5 heads"], strict=True)]
    print(f"five heads over one: {statistics.median(ratios):.3f} (each round: {', '.join(f'{r:.3f}' for r in ratios)})")


def part_of(stage: Any, types: list[str], name: str) -> EntityExtractor:
    """Cut a head for some entity types out of that of another stage."""
    part = EntityExtractor.from_base(stage.encoder, types, name=name)
    rows = [
        i
        for i, (tag, kind) in enumerate(zip(stage.scheme.tags, stage.scheme.types, strict=True))
        if tag == "O" or kind in types
    ]
    with torch.no_grad():
        part.head.classifier.weight.copy_(stage.head.classifier.weight[rows])
        part.head.classifier.bias.copy_(stage.head.classifier.bias[rows])
    return part


def count(passes: list[int], inputs: dict[str, torch.Tensor]) -> None:
    """Add the windows of a batch."""
    passes[0] += len(inputs["input_ids"])


def number_of_windows(nlp: Pipeline, texts: Sequence[str]) -> int:
    """Count the windows of texts as the first stages leave them; a text that comes twice in a batch is read once."""
    windows = nlp["entities"].encoder.windows
    total = 0
    views = [record.view.text for record in nlp.without("entities", "assertion").pipe(Record(text) for text in texts)]
    for at in range(0, len(views), nlp.batch_size):
        batch = list(dict.fromkeys(views[at : at + nlp.batch_size]))
        total += sum(len(windows.windows(paragraphs)) for paragraphs in windows.paragraphs(batch))
    return total


if __name__ == "__main__":
    main()
