"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from clinnlp.errors import FormatError

__all__ = ["replace_file", "replace_folder"]


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a new path beside `path`; what is written there takes its place when the block ends well.

    A link is followed, and a file that was there gives its permissions. What is there but no plain file,
    such as `/dev/stdout`, cannot be replaced and is given itself.

    Raises
    ------
    FormatError
        If the path is a folder's.
    """
    if path.is_dir():
        raise FormatError(f"{path} is a folder: give the path of a file")
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _beside(path)
    new.touch(exist_ok=False)
    if path.exists():
        shutil.copymode(path, new)
    try:
        yield new
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def replace_folder(folder: Path, stale: Iterable[str] = ()) -> Iterator[Path]:
    """Give a new folder; what is written there is put into `folder` when the block ends well.

    A folder that was not there appears whole. In one that was there, entries of the same names are replaced;
    all else stays. If anything fails, all is as it was.

    Parameters
    ----------
    folder : Path
        A link is followed.
    stale : iterable of str
        Patterns of names that an earlier save may have left, which must not be read with the new ones: they go.

    Raises
    ------
    FormatError
        If the path is a file's.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise FormatError(f"{folder} is a file: give the path of a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Inside the folder where there is one: it may be where another disk is mounted.
    new = _beside(folder / "new" if folder.exists() else folder)
    new.mkdir()
    try:
        yield new
        _open_to_others(new)
        if folder.exists():
            _exchange(new, folder, tuple(stale))
        else:
            new.replace(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:12]}")


def _exchange(new: Path, folder: Path, stale: tuple[str, ...]) -> None:
    """Put the entries of `new` into `folder`, or leave it as it was; old and new entries never stand side by side."""
    names = sorted(entry.name for entry in new.iterdir())
    replaced = [
        entry.name
        for entry in folder.iterdir()
        if entry != new and (entry.name in names or any(fnmatchcase(entry.name, pattern) for pattern in stale))
    ]
    old = _beside(folder / "old")
    old.mkdir()
    try:
        for name in replaced:
            (folder / name).replace(old / name)
        for name in names:
            (new / name).replace(folder / name)
    except BaseException:
        for name in names:
            if not os.path.lexists(new / name):
                (folder / name).replace(new / name)
        for name in replaced:
            if os.path.lexists(old / name):
                (old / name).replace(folder / name)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _open_to_others(folder: Path) -> None:
    """Give files the permissions of a plain open: some writers make theirs for the owner alone."""
    mask = folder.stat().st_mode & 0o666
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mask)
