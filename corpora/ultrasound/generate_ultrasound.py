"""Write synthetic breast ultrasound, a picture and a text each, as JSON Lines and PNG files.

    python corpora/ultrasound/generate_ultrasound.py --seed 7 --count 10 --output corpora/ultrasound

Each mode is a file of its own, such as matching.jsonl; the pictures are in the folder pictures beside it. The same
seed gives the same texts on every machine, and the same pictures but for how it rounds the last bit of a number; more
cases of a seed begin with the same cases.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from sonowriter.cases import MODES, write_cases

from clinnlp import Record

PICTURES = "pictures"


def write_mode(seed: int, mode: str, count: int, folder: Path) -> None:
    """Write so many cases of a mode; the pictures first, so that no line names one that is not there."""
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    with (folder / f"{mode}.jsonl").open("w", encoding="utf-8", newline="") as file:
        for record in islice(write_cases(seed, mode), count):
            (image,) = record.images
            grey = np.asarray(image.array)
            PIL.Image.fromarray(grey).save(folder / PICTURES / image.name, optimize=True)
            file.write(f"{to_line(record)}\n")


def to_line(record: Record) -> str:
    """Give a record as a line of JSON, with the path of its picture in the place of the pixels."""
    (image,) = record.images
    plain: dict[str, Any] = {
        "id": record.id,
        "text": record.text,
        "images": [{"path": f"{PICTURES}/{image.name}", "labels": _names(image.labels)}],
        "metadata": record.metadata,
        "labels": _names(record.labels),
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _names(labels: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [label.name for label in some] for name, some in labels.items()}


def main() -> None:
    """Read the arguments and write the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="what decides all choices (default: 7)")
    parser.add_argument("--count", type=int, default=200, help="how many cases of each mode (default: 200)")
    parser.add_argument("--mode", choices=MODES, help="one mode only; by default all")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the files")
    arguments = parser.parse_args()
    for mode in MODES if arguments.mode is None else (arguments.mode,):
        write_mode(arguments.seed, mode, arguments.count, arguments.output)


if __name__ == "__main__":
    main()
