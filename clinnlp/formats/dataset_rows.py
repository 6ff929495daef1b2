"""Rows of a `datasets` dataset: its pictures stay encoded, and its classes get their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from clinnlp.formats.columns import Columns

__all__ = ["read_features"]


def read_features(items: Iterable[Any], columns: Columns) -> tuple[Iterable[Any], Columns]:
    """Read what the features of a dataset say of its columns; anything else is given back as it is.

    A column of pictures is cast so that a row holds their path or bytes: iterating would decode each. Where there is
    no column of the name that `columns` has by default, the one column of pictures is taken. A class, `ClassLabel`, is
    gold: the column is the label set, and its numbers become names.

    Parameters
    ----------
    items : iterable
        Such as `datasets.load_dataset("imagefolder", ...)["train"]`.
    columns : Columns

    Returns
    -------
    (iterable, Columns)
        The rows, to be iterated as often as the items, and what their columns hold.
    """
    features = getattr(items, "features", None)
    if not isinstance(features, Mapping) or not hasattr(items, "cast_column"):
        return items, columns
    import datasets

    pictures, classes = [], {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", None)
        if isinstance(feature, datasets.ClassLabel):
            classes[name] = feature
        elif isinstance(feature, datasets.Image) or isinstance(inner, datasets.Image):
            pictures.append(name)
            plain = datasets.Image(decode=False)
            items = items.cast_column(name, plain if inner is None else datasets.List(plain))
    if columns.images == Columns.images and columns.images not in features and len(pictures) == 1:
        columns = replace(columns, images=pictures[0])
    columns = replace(columns, labels=tuple(dict.fromkeys((*columns.labels, *classes))))
    return (_Named(items, classes) if classes else items), columns


class _Named:
    """Rows whose numbers of classes are names."""

    def __init__(self, rows: Iterable[Any], classes: Mapping[str, Any]) -> None:
        self.rows, self.classes = rows, classes

    def __iter__(self) -> Iterator[Any]:
        for row in self.rows:
            yield {**row, **{name: self._name(name, row[name]) for name in self.classes}}

    def _name(self, column: str, number: int | None) -> str | None:
        # -1 is a row of which no class is known.
        return None if number is None or number < 0 else str(self.classes[column].int2str(number))
