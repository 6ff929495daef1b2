"""Folders of pictures: one record a picture, whose id is its place in the folder.

Listing looks at names alone: a picture is decoded when a stage asks for its pixels, and one that cannot be is the error
of its record. `datasets` reads such folders too ("imagefolder"), but takes a class that is named like a part, such as
`test`, for that part, and leaves out the label of a single class; what it gives can be read as rows, see
`clinnlp.formats.dataset_rows`.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clinnlp.errors import FormatError
from clinnlp.formats.columns import Columns, read_row
from clinnlp.record import Record

__all__ = ["SUFFIXES", "check_classes", "files", "is_image_folder", "read"]

SUFFIXES = (".bmp", ".dcm", ".dicom", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the names of pictures, in any case."""

_PARTS = {"train", "training", "dev", "devel", "development", "val", "valid", "validation", "test", "testing"}


def is_image_folder(folder: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is one of pictures and not of texts.

    One with both is of pictures where they are in folders inside it and its `.txt` files, such as one that tells where
    they come from, are not. Else it is of texts, and a warning tells how many pictures are left out.
    """
    folder = Path(folder)
    texts, pictures = [], []
    for path in folder.rglob("*"):
        suffix = path.suffix.lower()
        if suffix == ".txt":
            texts.append(path.parent == folder)
        elif suffix in SUFFIXES:
            pictures.append(path.parent == folder)
    if not texts or not pictures:
        return bool(pictures)
    if all(texts) and not any(pictures):
        return True
    warnings.warn(
        f"{folder.name} has {len(texts)} .txt files and {len(pictures)} pictures, and the texts alone are read: give a"
        " table with a column of texts and one of images",
        stacklevel=4,
    )
    return False


def files(folder: str | os.PathLike[str]) -> list[Path]:
    """Give the pictures of a folder and the folders in it, in the order in which they are read.

    Hidden files and folders are left out.

    Raises
    ------
    FormatError
        If there is none.
    """
    folder = Path(folder)
    found = [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise FormatError(f"{folder.name} has no picture: give a folder of files that end with {', '.join(SUFFIXES)}")
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(folder)))


def read(folder: str | os.PathLike[str], label_set: str | None = None) -> Iterator[Record]:
    """Read the records of a folder one by one, sorted by the bytes of their names; no picture is opened.

    Parameters
    ----------
    folder : path
    label_set : str, optional
        The name of the folder in it that a picture is in, such as `benign` of `benign/1.png` and of
        `benign/left/1.png`, is the picture's gold label of this set.

    Yields
    ------
    Record
        With one image and without text.

    Raises
    ------
    FormatError
        If there is no picture.
    """
    folder = Path(folder)
    for place, path in enumerate(files(folder)):
        inside = path.relative_to(folder)
        label = inside.parts[0] if label_set is not None and len(inside.parts) > 1 else None
        image = {"path": os.path.abspath(path), "labels": {label_set: [label]} if label else None}  # noqa: PTH100
        yield read_row({"id": inside.as_posix(), "images": [image]}, place, Columns())


def check_classes(folder: str | os.PathLike[str]) -> None:
    """Refuse folders of classes that gold cannot be read from, and warn of what is left out or hard to learn.

    Messages count, and name no folder inside.

    Raises
    ------
    FormatError
        If there is no picture, all are in one folder, a folder has none, or the folders are the parts of a corpus.
    """
    folder = Path(folder)
    found = files(folder)
    pictures = Counter(path.relative_to(folder).parts[0] for path in found if path.parent != folder)
    classes = [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if classes and {name.lower() for name in classes} <= _PARTS:
        raise FormatError(f"the folders of {folder.name} are parts of a corpus: read each of them alone")
    if len(pictures) < 2:
        told = "one folder" if pictures else "no folder"
        raise FormatError(f"{folder.name} has {told} with pictures in it: for gold give a folder for each class")
    if empty := sum(name not in pictures for name in classes):
        raise FormatError(
            f"{empty} of the {len(classes)} folders of {folder.name} have no picture: fill or remove them"
        )
    inside = sum(path.parent != folder for path in _visible(folder))
    notes = [
        (inside - sum(pictures.values()), "files in the folders are no pictures by their names, and are left out"),
        (len(found) - sum(pictures.values()), "pictures are in no folder, and have no label"),
        (
            sum(number == 1 for number in pictures.values()),
            "folders have one picture each, which cannot both teach and judge",
        ),
    ]
    if told_of := [f"{number} {what}" for number, what in notes if number]:
        warnings.warn(f"{folder.name}: {'; '.join(told_of)}", stacklevel=3)


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and not path.is_dir():
            yield path
