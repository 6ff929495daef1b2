"""Notes a second that RuleMatcher reads with few and many terms, and what building it costs.

    python tests/benchmarks/rules.py --terms 10 1000 100000 --notes 500
    python tests/benchmarks/rules.py --terms 10 1000 100000 --notes 500 --phrase-matcher

Terms of one to five words and notes of 300 words are made up; a tenth of the words of a note begin a term of the
longest list, so that longer lists find more. `read` is the time from a CSV file to the stage, `build` that of its index
before the first note; memory is what the process grew by in both. Notes have tokens already, as behind a Tokenizer; the
last column is for notes without, which the stage then tokenizes itself. `--phrase-matcher` times spaCy's PhraseMatcher
instead, alone: over lower-cased words, with no way back to the text and no choice among matches.
"""

from __future__ import annotations

import argparse
import csv
import gc
import random
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from clinnlp import Pipeline, Record
from clinnlp.stages import RuleMatcher, Tokenizer

SYLLABLES = re.findall("..", "careodmypaneuritisosgastrichepatrenalpulmonarydermatendocrincystolithxylogram")
COMMON = re.findall(r"\w+", "the patient was seen and denies any pain in chest with history of on for no is to a")


def main() -> None:
    """Print a table, a row for each number of terms."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--terms", type=int, nargs="+", default=[10, 1000, 100_000])
    parser.add_argument("--notes", type=int, default=500)
    parser.add_argument("--phrase-matcher", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 5))) for _ in range(100_000)]
    terms: dict[str, None] = {}
    while len(terms) < max(options.terms):
        terms[" ".join(chance.choices(words, k=chance.choice([1, 2, 2, 3, 4, 5])))] = None
    notes = [note(chance, list(terms), words) for _ in range(options.notes)]
    if options.phrase_matcher:
        time_phrase_matcher(options.terms, list(terms), notes)
        return
    plain = Pipeline([])
    tokenized = list(Pipeline([Tokenizer()]).pipe(notes))
    print("| terms | read, s | build, s | memory, MB | entities a note | notes/s | without tokens |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for number in options.terms:
        stage, cells = built(list(terms)[:number])
        found, seconds = timed(stage, [record.copy() for record in tokenized])
        _, alone = timed(stage, list(plain.pipe(notes)))
        cells += [f"{found / len(notes):.1f}", f"{len(notes) / seconds:,.0f}", f"{len(notes) / alone:,.0f}"]
        print(f"| {number:,} | {' | '.join(cells)} |", flush=True)


def note(chance: random.Random, terms: Sequence[str], words: Sequence[str]) -> str:
    """Make a note of some 300 words, in lines of twelve."""
    parts: list[str] = []
    while sum(part.count(" ") + 1 for part in parts) < 300:
        kind = chance.random()
        parts.append(chance.choice(terms if kind < 0.1 else words if kind < 0.3 else COMMON))
    found = " ".join(parts).split()
    return ".\n".join(" ".join(found[i : i + 12]).capitalize() for i in range(0, len(found), 12))


def built(terms: Sequence[str]) -> tuple[RuleMatcher, list[str]]:
    """Give the stage, and what it took: seconds to read, seconds to build, memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "terms.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["term", "label", "concept_id", "system"])
            rows.writerows((term, "Finding", f"C{i:07}", "MADE-UP") for i, term in enumerate(terms))
        gc.collect()
        before, start = memory(), time.process_time()
        stage = RuleMatcher(path)
        read = time.process_time() - start
    start = time.process_time()
    stage.warm_up()
    build = time.process_time() - start
    return stage, [f"{read:.2f}", f"{build:.2f}", f"{memory() - before:.0f}"]


def timed(stage: RuleMatcher, records: list[Record]) -> tuple[int, float]:
    """Give the number of entities found, and the seconds of the processor."""
    start = time.process_time()
    stage.process(records)
    return sum(len(record.entities) for record in records), time.process_time() - start


def time_phrase_matcher(numbers: Sequence[int], terms: Sequence[str], notes: Sequence[str]) -> None:
    """Print a table for spaCy's PhraseMatcher."""
    from spacy.attrs import LOWER
    from spacy.matcher import PhraseMatcher
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

    words = [[token.text for token in record.tokens] for record in Pipeline([Tokenizer()]).pipe(notes)]
    print("| terms | build, s | memory, MB | matches a note | notes/s |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for number in numbers:
        before, start = memory(), time.process_time()
        vocab = Vocab(lex_attr_getters={LOWER: str.lower})
        matcher = PhraseMatcher(vocab, attr="LOWER")
        for i, term in enumerate(terms[:number]):
            matcher.add(str(i), [Doc(vocab, words=term.split())])
        build, grown, start = time.process_time() - start, memory() - before, time.process_time()
        found = sum(len(matcher(Doc(vocab, words=some))) for some in words)
        speed = len(notes) / (time.process_time() - start)
        print(f"| {number:,} | {build:.2f} | {grown:.0f} | {found / len(notes):.1f} | {speed:,.0f} |", flush=True)


def memory() -> float:
    """Give the resident memory of this process, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    main()
