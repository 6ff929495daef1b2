"""Chest X-rays of PneumoniaMNIST with the small network and the default fit.

    python tests/benchmarks/pneumonia.py

Needs the corpus `pneumoniamnist` (see `clinnlp corpora pneumoniamnist`).
"""

from __future__ import annotations

import time

import clinnlp
from clinnlp.stages import ImageClassifier


def main() -> None:
    """Fit on the training part, and print the figures on the development part."""
    parts = clinnlp.corpora.load("pneumoniamnist")
    labels = sorted({label.name for record in parts["train"] for label in record.images[0].labels["finding"]})
    stage = ImageClassifier.from_base(labels=labels, name="finding", image_size=28)
    started = time.monotonic()
    report = stage.fit(parts["train"], parts["devel"])
    seconds = time.monotonic() - started
    scores = ", ".join(f"{name} {value:.3f}" for name, value in stage.evaluate(parts["devel"]).items())
    print(f"{scores}; epoch {report.best_epoch:g} of {report.config.epochs}; {seconds:.0f} s")


if __name__ == "__main__":
    main()
