"""Write synthetic clinical notes with gold annotations as JSON Lines.

    python corpora/notes/generate.py --seed 7 --count 40 --output corpora/notes/sample.jsonl

The same seed gives the same bytes on every Python; more notes of a seed begin with the same notes.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

from notewriter.notes import write_notes

from clinnlp import Record


def to_line(record: Record) -> str:
    """Give a record as a line of JSON that `Record.from_dict` reads; what it fills in itself is left out."""
    plain: dict[str, Any] = record.to_dict()
    for section in plain["sections"]:
        section.pop("text", None)
    for span in [*plain["entities"], *plain["identifiers"]]:
        span.pop("score", None)
    plain["labels"] = {name: [label["name"] for label in labels] for name, labels in plain["labels"].items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def main() -> None:
    """Read the arguments and write the notes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="what decides all choices (default: 7)")
    parser.add_argument("--count", type=int, default=200, help="how many notes (default: 200)")
    parser.add_argument("--output", type=Path, required=True, help="the JSON Lines file to write")
    arguments = parser.parse_args()
    with arguments.output.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{to_line(record)}\n" for record in islice(write_notes(arguments.seed), arguments.count))
    print(f"{arguments.count} notes written to {arguments.output}")


if __name__ == "__main__":
    main()
