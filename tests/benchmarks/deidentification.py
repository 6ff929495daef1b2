"""What deidentification finds: patterns alone, and the pipeline that ships, by kind of identifier.

    python tests/benchmarks/deidentification.py measure --models patterns deid-en
    python tests/benchmarks/deidentification.py planted --models patterns deid-en --notes 300
    python tests/benchmarks/deidentification.py speed --notes 300

`measure`: notes of the project's generator, none of whose sentences, people and places `deid-en` learned from, and
Presidio's sentences of templates that are kept for development. "removed" is the share of identifiers that are replaced
whole, under whatever label; "needed" the share of replaced stretches that touch one. Years alone and ages under 90 are
no identifiers and are not counted.

`planted` puts invented identifiers, in sentences that `deid-en` did not learn from, into notes of MTSamples, which
nothing learns from, and tells how many survive; nothing of a note is shown. Half of the notes are put into capitals or
small letters (`--case`), and lines are broken inside of identifiers (`--broken`).

`speed` gives the least of five times of the processor, by patterns alone and with a patient's metadata: of notes of
MTSamples one by one, of notes of it joined to one of a million characters, and of generated notes joined likewise.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, cast

import clinnlp
from clinnlp import Entity, Pipeline, Record
from clinnlp.stages import Deidentifier

CORPUS = Path(__file__).parents[2] / "corpora" / "notes"
KNOWN = {"patient": "Zebulon Quarrington", "phone": "312-867-5309", "mrn": "88417203"}


def pipeline(model: str) -> Pipeline:
    """Give patterns alone, or a pipeline by name or folder, with the threshold behind an @."""
    if model == "patterns":
        return Pipeline([Deidentifier()])
    name, _, threshold = model.partition("@")
    nlp = clinnlp.load(name)
    if threshold:
        cast("Deidentifier", nlp["deidentification"]).threshold = float(threshold)
    return nlp


def generated(seed: int, count: int) -> list[Record]:
    """Write notes of patients who do not exist, without what else is known of them."""
    sys.path.insert(0, str(CORPUS))
    from notewriter.notes import write_notes

    notes = list(islice(write_notes(seed), count))
    for note in notes:
        note.entities, note.metadata = [], {}
    return notes


def measure(options: argparse.Namespace) -> None:
    """Print the figures by kind on each test set, a model beside the other."""
    tests = {
        "generated notes": generated(202, options.notes),
        "presidio_synth devel": clinnlp.corpora.load("presidio_synth")["devel"],
    }
    for name, records in tests.items():
        characters = sum(len(record.text) for record in records)
        print(f"\n{name}: {len(records)} texts, {characters:,} characters")
        found: dict[str, Any] = {}
        for model in options.models:
            began = time.perf_counter()
            stage = cast("Deidentifier", pipeline(model)["deidentification"])
            found[model] = stage.evaluate(records)
            print(f"{model}: {time.perf_counter() - began:.0f} s")
        print(
            f"\n| kind | gold | {' | '.join(f'removed: {model}' for model in found)} |\n|{' --- |' * (2 + len(found))}"
        )
        (first, *_) = found.values()
        for label, one in sorted(first.per_label.items()):
            if one["support"]:
                cells = (f"{scores.per_label[label]['removed']:.3f}" for scores in found.values())
                print(f"| {label} | {one['support']:.0f} | {' | '.join(cells)} |")
        for figure in ("removed", "needed", "precision", "recall"):
            print(
                f"| all: {figure} | | {' | '.join(f'{scores[figure]:.3f}' for scores in found.values())} |", flush=True
            )


def planted(options: argparse.Namespace) -> None:
    """Plant invented identifiers into real notes, and count those that survive."""
    chance = random.Random(1)
    notes = clinnlp.corpora.load("mtsamples")["all"]
    some = notes[:: max(len(notes) // options.notes, 1)][: options.notes]
    made = [plant(note.text, chance, options.case, options.broken) for note in some]
    counts: dict[str, dict[str, list[bool]]] = {}
    for model in options.models:
        nlp = pipeline(model)
        removed = total = 0
        for text, gold in made:
            record = nlp(Record(text, metadata=KNOWN))
            assert record.deidentified is not None
            for one in gold:
                hidden = all(
                    any(e.start <= at < e.end for e in record.identifiers)
                    for at in range(one.start, one.end)
                    if text[at].isalnum()
                )
                counts.setdefault(one.label, {}).setdefault(model, []).append(hidden)
            own = {at for one in gold for at in range(one.start, one.end)}
            removed += sum(at not in own for e in record.identifiers for at in range(e.start, e.end))
            total += len(text) - len(own)
        print(f"{model}: {removed / total:.4f} of the notes' own text was replaced", flush=True)
    print(f"| kind | planted | {' | '.join(options.models)} |\n|{' --- |' * (2 + len(options.models))}")
    for label, of_models in sorted(counts.items()):
        cells = (f"{sum(some) / len(some):.3f}" for some in of_models.values())
        print(f"| {label} | {len(next(iter(of_models.values())))} | {' | '.join(cells)} |")


def people(chance: random.Random, kind: str) -> str:
    """Pick a name of the generator's lists, none of which is learned from."""
    sys.path.insert(0, str(CORPUS))
    from notewriter.data import read

    return str(chance.choice(read("people")[kind]))


def _first(c: random.Random) -> str:
    return people(c, c.choice(["female", "male"]))


def _place(c: random.Random, kind: str) -> str:
    return people(c, kind).format(town=people(c, "towns"))


FORMS: dict[str, Callable[[random.Random], str]] = {
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
    "MRN": lambda c: f"{c.randint(100000, 99999999)}",
    "known name": lambda c: c.choice(["Zebulon Quarrington", "Quarrington", "ZEBULON", "quarrington, zebulon"]),
    "known number": lambda c: c.choice(["312-867-5309", "(312) 867 5309", "88417203", "884 17 203"]),
    "titled name": lambda c: people(c, "surnames"),
    "free name": lambda c: c.choice([f"{_first(c)} {people(c, 'surnames')}", _first(c), people(c, "surnames")]),
    "town": lambda c: people(c, "towns"),
    "hospital": lambda c: _place(c, c.choice(["hospitals", "clinics", "facilities"])),
    "employer": lambda c: _place(c, "employers"),
}
# Ways to say it; none of them is among those that are learned from.
FRAMES = {
    "DATE": ["The next visit will be {}.", "Symptoms date to {}.", "{}: stable."],
    "PHONE": ["The daughter's number is {}.", "Ring {} if worse.", "{}"],
    "EMAIL": ["Write to {} with questions.", "{}"],
    "SSN": ["Social security {}.", "{}"],
    "MRN": ["The chart is filed as MRN {}.", "Record number {}."],
    "known name": ["{} came in today.", "This was discussed with {}.", "We advised {} to return."],
    "known number": ["Can be found under {}.", "{} was tried."],
    "titled name": ["Dr. {} agrees.", "Mr. {} came back.", "Our colleague Dr. {} wrote to us.", "Mrs. {} called."],
    "free name": [
        "{} came alone today.",
        "We asked {} to stop smoking.",
        "The wound was dressed by {}.",
        "{} brought the old films.",
        "Next of kin, {}, was told of the result.",
        "After the talk with {} we went ahead.",
        "{} is worried about the cost.",
        "The case was presented by {} at rounds.",
    ],
    "town": ["The family resides near {}.", "The accident was in {}.", "Will go back to {} next week."],
    "hospital": ["The films come from {}.", "Was cared for in {} before.", "Will be followed by {}."],
    "employer": ["The job at {} is hard on the back.", "Has been with {} for ten years.", "{} asks for a sick note."],
}


def plant(text: str, chance: random.Random, case: bool, broken: bool) -> tuple[str, list[Entity]]:
    """Put a sentence with an identifier of each form behind sentences of a note."""
    ends = [match.end() for match in re.finditer(r"[.:,] ", text)] or [len(text)]
    places = sorted(chance.choices(ends, k=len(FORMS)))
    change = chance.choice([str.upper, str.lower, str, str]) if case else str
    pieces: list[tuple[str, str]] = []
    at = 0
    for place, label in zip(places, chance.sample(sorted(FORMS), len(FORMS)), strict=True):
        value = FORMS[label](chance)
        value = value.replace(" ", "\n", 1) if broken else value
        before, _, after = chance.choice(FRAMES[label]).partition("{}")
        pieces += [(text[at:place] + before, ""), (value, label), (f"{after} ", "")]
        at = place
    made, gold = "", []
    for piece, label in [*pieces, (text[at:], "")]:
        changed = change(piece)
        gold += [Entity(len(made), len(made) + len(changed), label)] if label else []
        made += changed
    return made, gold


def speed(options: argparse.Namespace) -> None:
    """Print how long notes take by patterns."""
    count = options.notes
    notes = [note.text for note in clinnlp.corpora.load("mtsamples")["all"]]
    dense = [note.text for note in generated(202, 900)]
    stage = Deidentifier()
    rows = {
        f"{count} notes of MTSamples": notes[:count],
        "MTSamples, one note": ["\n\n".join(notes)[:1_000_000]],
        "generated, one note": ["\n\n".join(dense)[:1_000_000]],
    }
    print("| | characters | identifiers | patterns, s | with metadata, s |\n|---|---|---|---|---|")
    for title, texts in rows.items():
        cells = []
        for metadata in ({}, KNOWN):
            seconds = []
            for _ in range(5):
                records = [Record(text, metadata=dict(metadata)) for text in texts]
                began = time.process_time()
                stage.process(records)
                seconds.append(time.process_time() - began)
            cells.append(f"{min(seconds):.2f}")
        found = sum(len(record.identifiers) for record in records)
        print(f"| {title} | {sum(map(len, texts)):,} | {found:,} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Read the arguments and run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["measure", "planted", "speed"])
    parser.add_argument(
        "--models", nargs="+", default=["patterns", "deid-en"], help="patterns, or pipelines, also deid-en@0.8"
    )
    parser.add_argument("--notes", type=int, default=150)
    parser.add_argument("--case", action="store_true")
    parser.add_argument("--broken", action="store_true")
    options = parser.parse_args()
    {"measure": measure, "planted": planted, "speed": speed}[options.part](options)


if __name__ == "__main__":
    main()
