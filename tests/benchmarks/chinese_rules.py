"""Precision and recall of the Chinese rules on sentences and snippets of our own.

    python tests/benchmarks/chinese_rules.py

`devel` was read to mend the rules; `test` was written after that.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from chinese.scores import JUDGES, figures


def main() -> None:
    """Print a row for each kind of each part."""
    print("| rules | part | kind | gold | precision | recall |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, judge in JUDGES.items():
        for part in ("devel", "test"):
            for kind, (right, found, gold) in figures(judge(part)).items():
                shares = [f"{right / number:.3f}" if number else "" for number in (found, gold)]
                print(f"| {name} | {part} | {kind} | {gold} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
