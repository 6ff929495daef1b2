"""Writing the parts of a corpus of its own as files, for the generators beside this one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["write_parts"]

PARTS = ("train", "devel", "test")


def write_parts(description: str | None, part_lines: Callable[[str, int], Iterable[str]]) -> None:
    """Read the arguments of a generator, and write its three parts.

    Parameters
    ----------
    description : str or None
        What `--help` says.
    part_lines : callable
        Gives the lines of a part for a seed.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="what decides all choices (default: 7)")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the files")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        with (arguments.output / f"{part}.jsonl").open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in part_lines(part, arguments.seed))
