"""Notes that carry paragraphs of earlier ones forward, with and without the memo of windows.

    python tests/benchmarks/copied_forward.py --patients 8 --notes 6

Each patient's notes are made of paragraphs of MTSamples: half of a note is copied from the one before it, and half is
new. Both ways run over the same notes in turns, and what they find is compared. Needs the corpus (see `clinnlp corpora
mtsamples`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import clinnlp
from clinnlp import Pipeline, Record
from clinnlp.encoders.shared import WindowMemo
from clinnlp.execution import annotate

TURNS = 3
BATCH = 64


def copied(patients: int, notes: int) -> list[Record]:
    """Write the notes of patients, one after the other."""
    paragraphs = _paragraphs()
    made = []
    for patient in range(patients):
        before: list[str] = []
        for number in range(notes):
            new = [next(paragraphs) for _ in range(8 if not before else 4)]
            before = [*before[-4:], *new]
            made.append(Record("\n\n".join(before), f"{patient}-{number}"))
    return made


def _paragraphs() -> Iterator[str]:
    for part in clinnlp.corpora.load("mtsamples").values():
        for record in part:
            yield from (text for text in record.text.split("\n\n") if len(text) > 200)


def run(nlp: Pipeline, records: list[Record], remembers: bool) -> float:
    """Annotate copies of records batch by batch; give the seconds."""
    stages = list(nlp.stages.values())
    encoders: list[Any] = list({id(one.encoder): one.encoder for one in stages if one.encoder is not None}.values())
    for encoder in encoders:
        encoder.__dict__.pop("_remembered", None)
        if not remembers:
            encoder._remembered = lambda rows, heads, asking, _, encoder=encoder: encoder._run_heads(
                rows, heads, asking
            )
    memo, began = WindowMemo(), time.perf_counter()
    for start in range(0, len(records), BATCH):
        annotate(stages, records[start : start + BATCH], "raise", start, memo)
    return time.perf_counter() - began


def found(records: list[Record]) -> list[list[tuple[int, int, str]]]:
    """Give the entities."""
    return [[(e.start, e.end, e.label) for e in record.entities] for record in records]


def main() -> None:
    """Print notes a second of both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--notes", type=int, default=6)
    parser.add_argument("--pipeline", default="clinical-en")
    options = parser.parse_args()
    nlp = clinnlp.load(options.pipeline).warm_up()
    notes = copied(options.patients, options.notes)
    repeated = 1 - len({p for n in notes for p in n.text.split("\n\n")}) / sum(n.text.count("\n\n") + 1 for n in notes)
    print(
        f"{len(notes)} notes, {sum(len(n.text) for n in notes):,} characters, {repeated:.0%} of the paragraphs repeated"
    )
    rates = []
    for _ in range(TURNS):
        with_memo, without = [r.copy() for r in notes], [r.copy() for r in notes]
        rates.append((run(nlp, with_memo, True), run(nlp, without, False)))
        same = found(with_memo) == found(without)
    shown = np.array(rates)
    print(f"with {len(notes) / np.median(shown[:, 0]):.2f} notes/s, without {len(notes) / np.median(shown[:, 1]):.2f}")
    print(f"ratio {np.median(shown[:, 1] / shown[:, 0]):.2f}; the same entities: {same}")


if __name__ == "__main__":
    main()
