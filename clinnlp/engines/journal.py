"""The journal of a run: which parts of its output are finished, so that a run that was cut off can go on.

A run's folder holds `run.json`, what tells this run from another; `journal.jsonl`, one line for each finished part;
and the parts, `part-00000.parquet` and so on. A part is there whole or not at all, and counts as finished only once
its line is in the journal. Nothing in the folder depends on when or how often the run was cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from clinnlp.atomic import replace_file
from clinnlp.engines.identity import differences
from clinnlp.errors import PipelineError

__all__ = ["Journal"]

JOURNAL = "journal.jsonl"
RUN = "run.json"
_CHUNK = 2**20
_SHOWN = 3


class Journal:
    """The journal of one run, locked against other processes until it is closed.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    identity : mapping
        What tells this run from another, as plain values.
    suffix : str
        Of the parts' names, such as `".parquet"`.
    resume : bool
        Whether to go on with the run that the folder holds; else its files are removed first.

    Raises
    ------
    PipelineError
        If the folder holds another run or parts of unknown origin, if another process is writing to it, or if
        its journal is damaged.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], suffix: str, resume: bool) -> None:
        self.folder, self.suffix = folder, suffix
        self.entries: dict[int, dict[str, Any]] = {}
        if folder.exists() and not folder.is_dir():
            raise PipelineError(f"{folder.name} is a file: give a folder, or a name that ends with .parquet or .jsonl")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / RUN).exists() and any(folder.glob("part-*")):
                raise PipelineError(f"{folder.name} holds parts without a {RUN}: give an empty folder")
            self._file: BinaryIO = (folder / JOURNAL).open("a+b")
        except OSError as error:
            raise PipelineError(f"cannot write into the folder {folder.name}: {error.strerror}") from None
        try:
            _lock(self._file, folder)
            for leftover in folder.glob(".part-*"):  # of a process that was killed
                leftover.unlink()
            if resume and (folder / RUN).exists():
                self._read()
            if self.entries:
                self._check(identity)
            else:
                self._begin(identity)
        except BaseException:
            self._file.close()
            raise

    def path(self, part: int) -> Path:
        """Give the path of a part."""
        return self.folder / f"part-{part:05d}{self.suffix}"

    def finished(self, part: int) -> dict[str, Any] | None:
        """Give the line of a part that is finished and whole, else None.

        Raises
        ------
        PipelineError
            If its file is not what the run wrote.
        """
        entry = self.entries.get(part)
        path = self.path(part)
        if entry is None or not path.exists():
            return None
        if _digest(path) != entry["sha256"]:
            raise PipelineError(f"{path.name} is not what this run wrote: remove it, and it is made again")
        return entry

    def add(self, part: int, first_row: int, rows: int, counts: Mapping[str, Any]) -> None:
        """Write down that a part is finished."""
        path = self.path(part)
        entry = {"part": part, "file": path.name, "first_row": first_row, "rows": rows, "sha256": _digest(path)}
        self._append({**entry, "counts": counts}, part)

    def end(self, parts: int, rows: int) -> None:
        """Write down that the run is at its end."""
        self._append({"end": True, "parts": parts, "rows": rows}, -1)

    def close(self) -> None:
        """Let other processes write to the folder."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, entry: dict[str, Any], key: int) -> None:
        if self.entries.get(key) == entry:  # a part that was lost and made again
            return
        self.entries[key] = entry
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _begin(self, identity: Mapping[str, Any]) -> None:
        # In this order, so that a run cut off here leaves a folder that a run can still begin in.
        for path in (*self.folder.glob("part-*"), self.folder / RUN):
            path.unlink(missing_ok=True)
        self._file.truncate(0)
        with replace_file(self.folder / RUN) as new:
            new.write_text(json.dumps(identity, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _check(self, identity: Mapping[str, Any]) -> None:
        try:
            old = json.loads((self.folder / RUN).read_bytes())
        except ValueError:
            old = None
        if not isinstance(old, dict):
            raise PipelineError(
                f"{RUN} in {self.folder.name} is damaged: give another folder, or resume=False (--no-resume)"
            )
        if changed := differences(old, identity):
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise PipelineError(
                f"{self.folder.name} holds a run that differs in {', '.join(changed[:_SHOWN])}{more}:"
                " give another folder, or resume=False (--no-resume) to begin again"
            )

    def _read(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # the line that was being written when the process was killed
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = json.loads(line)
                self.entries[-1 if entry.get("end") else entry["part"]] = entry
            except (ValueError, KeyError, TypeError, AttributeError):
                damaged = number
            else:
                continue
            raise PipelineError(
                f"{JOURNAL}, line {damaged} is damaged: give another folder, or resume=False (--no-resume)"
            )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _lock(file: BinaryIO, folder: Path) -> None:
    """Lock a file until it is closed, where the system can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        pass
    except OSError:  # a file system without locks
        return
    raise PipelineError(f"another process is writing to {folder.name}: wait for it, or give another folder")
