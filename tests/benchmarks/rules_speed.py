"""Notes a second of the pipeline of rules, and of medspaCy's, over the same notes and terms.

    CLINNLP_CORPORA=... OMP_NUM_THREADS=1 python tests/benchmarks/rules_speed.py --medspacy PYTHON

Ours is `Tokenizer`, `SectionDetector`, `RuleMatcher` and `AssertionDetector`; theirs is `medspacy.load()` with
`medspacy_sectionizer`, run by the Python of an environment that has it (`pip install medspacy==1.3.1`), its log of each
token turned off. Both read notes of MTSamples and look for the diseases and symptoms that the notes of `corpora/notes`
name. Each is one process on one thread, loaded and warmed before; they take turns, so that what else the machine does
meets both, and while one works the other waits. A turn is as many passes over the notes as take `--seconds`, at least
one. Figures are medians over the rounds, with the lowest and highest; notes a second are by the clock, all else is
of the processor: on a machine that does nothing else they are the same. The stages are timed by themselves behind each
round, in one pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import clinnlp
from clinnlp import Pipeline, Record
from clinnlp.stages import AssertionDetector, RuleMatcher, SectionDetector, Tokenizer

THEIRS = Path(__file__).with_name("medspacy_pipeline.py")
TOLD = ("READY", "FIGURES")
STAGES = {"tokenization": "tokens, sentences", "sections": "sections", "rules": "terms", "assertion": "assertion"}
COUNTS = ("sentences", "sections", "terms", "negated", "historical", "family")

Terms = dict[str, list[str]]
Figures = dict[str, Any]
"""Of a round: "wall" and "cpu" in seconds a pass, "stages" in seconds of the processor by name, "counts" by name."""


def main() -> None:
    """Print one table: ours, theirs, and how many times as fast ours is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="least length of a turn")
    parser.add_argument("--medspacy", help="the Python of an environment with medspacy")
    options = parser.parse_args()
    texts = [note.text for note in clinnlp.corpora.load("mtsamples")["all"][: options.notes]]
    terms = named()
    ours: list[Figures] = []
    theirs: list[Figures] = []
    run = ours_over(texts, terms, options.seconds)
    with medspacy_over(texts, terms, options.seconds, options.medspacy) as other:
        for _ in range(options.rounds):
            ours.append(run())
            theirs += [] if other is None else [other()]
    characters, count = sum(map(len, texts)), sum(map(len, terms.values()))
    print(f"{len(texts)} notes, {characters:,} characters, {count} terms, {options.rounds} rounds\n")
    print(f"| | notes/s | processor, ms a note | {' | '.join(f'{told}, ms' for told in STAGES.values())} | found |")
    print(f"|---|---|---|{'---|' * len(STAGES)}---|")
    show("clinnlp", ours, len(texts))
    if theirs:
        show("medspaCy 1.3.1", theirs, len(texts))
        print("\nTimes as fast as medspaCy:")
        for told, name in (("the clock", "wall"), ("the processor", "cpu")):
            times = sorted(b[name] / a[name] for a, b in zip(ours, theirs, strict=True))
            print(f"- by {told}: {median(times):.1f} ({times[0]:.1f} to {times[-1]:.1f})")


def named() -> Terms:
    """Give the diseases and symptoms that the project's own notes name, in small letters."""
    found: dict[str, dict[str, None]] = {"Disease": {}, "Symptom": {}}
    for note in clinnlp.corpora.load("notes")["all"]:
        for entity in note.entities:
            if entity.label in found:
                found[entity.label][" ".join(entity.text.lower().split())] = None
    return {label: list(terms) for label, terms in found.items()}


def ours_over(texts: Sequence[str], terms: Terms, least: float) -> Callable[[], Figures]:
    """Give what runs our pipeline once, after it was warmed."""
    stages = [Tokenizer(), SectionDetector(), RuleMatcher(terms=terms), AssertionDetector()]
    nlp = Pipeline(stages).warm_up()
    list(nlp.pipe(texts))

    def run() -> Figures:
        wall, cpu, passes = time.perf_counter(), time.process_time(), 0
        while not passes or time.perf_counter() - wall < least:
            records = list(nlp.pipe(texts))
            passes += 1
        wall, cpu = (time.perf_counter() - wall) / passes, (time.process_time() - cpu) / passes
        entities = [entity for record in records for entity in record.entities]
        counts = {
            "sentences": sum(len(record.sentences) for record in records),
            "sections": sum(len(record.sections) for record in records),
            "terms": len(entities),
            **{flag: sum(getattr(entity.assertion, flag) for entity in entities) for flag in COUNTS[3:]},
        }
        del records, entities
        return {"wall": wall, "cpu": cpu, "counts": counts, "stages": by_stage()}

    def by_stage() -> dict[str, float]:
        records = [Record(text) for text in texts]
        seconds: dict[str, float] = {}
        for stage in stages:
            started = time.process_time()
            stage.process(records)
            seconds[stage.name] = time.process_time() - started
        return seconds

    return run


@contextmanager
def medspacy_over(
    texts: Sequence[str], terms: Terms, least: float, python: str | None
) -> Iterator[Callable[[], Figures] | None]:
    """Start medspaCy, wait until it is warm, and give what runs it once; None where no Python was named."""
    if python is None:
        yield None
        return
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [python, str(THEIRS)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        given, told = process.stdin, process.stdout
        assert given is not None
        assert told is not None

        def ask(line: str) -> Any:
            with suppress(BrokenPipeError):
                print(line, file=given, flush=True)
            for answer in told:  # what its libraries print is passed over
                if answer.startswith(TOLD):
                    return json.loads(answer.split(" ", 1)[1])
            raise SystemExit(f"medspaCy ended with {process.wait()}: run {python} {THEIRS} to see why")

        ask(json.dumps({"texts": list(texts), "terms": terms, "least": least}))
        yield lambda: ask("run")


def show(name: str, rounds: Sequence[Figures], notes: int) -> None:
    """Print a row of the table."""
    speeds = sorted(notes / one["wall"] for one in rounds)
    cpu = median(one["cpu"] for one in rounds) / notes * 1e3
    stages = [median(one["stages"][stage] for one in rounds) / notes * 1e3 for stage in STAGES]
    found = ", ".join(f"{rounds[-1]['counts'][what]:,} {what}" for what in COUNTS)
    cells = [f"{median(speeds):.1f} ({speeds[0]:.1f} to {speeds[-1]:.1f})", f"{cpu:.2f}", *(f"{s:.2f}" for s in stages)]
    print(f"| {name} | {' | '.join(cells)} | {found} |")


if __name__ == "__main__":
    main()
