"""Memory does not grow with the number of notes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

STATUS = Path("/proc/self/status")

# Not getrusage, whose peak a child begins with that of its parent.
PROGRAM = """
import sys
from engines.registered import pipeline
source, out, form = sys.argv[1:]
report = pipeline().process(source, out, format=form, part_size=500, batch_size=64)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(report.records, report.duplicate_ids, peak.split()[1])
"""

FEW, MANY = 500, 10_000


def write(source: Path, notes: int) -> None:
    text = "The patient has a cough. " + "No fever was found in the last days. " * 120
    if source.suffix == ".parquet":
        columns = {"id": list(map(str, range(notes))), "text": [f"{i}: {text}" for i in range(notes)]}
        pq.write_table(pa.table(columns), source, row_group_size=500)
    else:
        source.write_text("id,text\n" + "".join(f"{i},{i}: {text}\n" for i in range(notes)))


def peak(folder: Path, notes: int, kind: str, form: str) -> float:
    """Give the peak memory, in MB, of a run over so many notes."""
    source = folder / f"{notes}.{kind}"
    write(source, notes)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", PROGRAM, str(source), str(folder / f"out{notes}"), form]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300, check=True)
    records, duplicates, kilobytes = map(int, done.stdout.split())
    assert (records, duplicates) == (notes, 0)
    return kilobytes / 1024


@pytest.mark.skipif(not STATUS.exists(), reason="this system does not tell the peak memory of a process")
@pytest.mark.parametrize(("kind", "form"), [("csv", "parquet"), ("parquet", "jsonl")])
def test_twenty_times_the_notes_take_no_more_memory(tmp_path: Path, kind: str, form: str) -> None:
    few, many = peak(tmp_path, FEW, kind, form), peak(tmp_path, MANY, kind, form)
    # A run that kept texts would grow by 40 MB, one that kept records by several times that.
    assert many - few < 30, f"{few:.0f} MB for {FEW} notes, {many:.0f} MB for {MANY}"
