"""What a record's metadata says of a patient, as numbers: age, sex, mutations, values that were measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.record import Record

__all__ = ["Variable", "encode_variables", "learn_variables", "variables_from"]

_VALUES = "values."
# More categories than this, each for fewer than so many records, name the records and do not describe them.
_MANY, _FEW = 20, 3
# So many deviations from the mean a number is cut off, which would else be none in single precision.
_FAR = 1e6


@dataclass
class Variable:
    """A field of the metadata and how it becomes numbers.

    A number becomes its distance from the mean in standard deviations, and whether it is known; a category, or each
    of a list of them, a 1 at its place. What is not known, or was never met, is 0.

    Parameters
    ----------
    name : str
        Key of `Record.metadata`, or `values.NAME` for the last value of that name in `Record.values`.
    mean, deviation : float
        Of a number, over the training records.
    categories : list of str
        That were met; none of a number.
    """

    name: str
    mean: float = 0.0
    deviation: float = 1.0
    categories: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        return len(self.categories) or 2

    def read(self, record: Record) -> list[Any]:
        """Give what a record has of it, without what is missing."""
        return _items(record, self.name)

    def encode(self, record: Record) -> list[float]:
        """Give its numbers for a record."""
        items = self.read(record)
        if self.categories:
            found = {str(item) for item in items}
            return [float(category in found) for category in self.categories]
        numbers = [number for number in map(_number, items) if number is not None]
        if not numbers:
            return [0.0, 0.0]
        return [min(max((numbers[-1] - self.mean) / self.deviation, -_FAR), _FAR), 1.0]

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)


def variables_from(plain: Sequence[Mapping[str, Any]]) -> list[Variable]:
    """Make variables from what their `to_dict` gave."""
    return [Variable(**one) for one in plain]


def learn_variables(names: Sequence[str], records: Sequence[Record], stage: str) -> list[Variable]:
    """Look in training records for what each field holds.

    Raises
    ------
    TrainingError
        If no record has it, or its values name the records in place of describing them.
    """
    return [_learn(name, records, stage) for name in names]


def _learn(name: str, records: Sequence[Record], stage: str) -> Variable:
    found = [item for record in records for item in _items(record, name)]
    if not found:
        raise TrainingError(f"stage {stage!r}: no training record has the variable {name!r}: leave it out")
    numbers = [_number(item) for item in found]
    if all(number is not None for number in numbers):
        values = np.array(numbers, dtype=np.float64)
        # The deviation of equal numbers may be a rounding error, by which nothing can be divided.
        return Variable(name, float(values.mean()), float(values.std()) if np.ptp(values) else 1.0)
    counts = Counter(str(item) for item in found)
    if len(counts) > _MANY and len(found) < _FEW * len(counts):
        raise TrainingError(
            f"stage {stage!r}: the variable {name!r} has {len(counts)} different values in {len(records)} records: it"
            " names them and does not describe them; leave it out"
        )
    return Variable(name, categories=sorted(counts))


def encode_variables(
    variables: Sequence[Variable], records: Sequence[Record]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give the numbers of records.

    Returns
    -------
    numbers : ndarray of float, shape (records, sum of the widths)
    known : ndarray of bool, shape (records,)
        Whether anything is known of a record.
    """
    width = sum(variable.width for variable in variables)
    rows = [[number for variable in variables for number in variable.encode(record)] for record in records]
    numbers = np.array(rows, dtype=np.float32).reshape(len(records), width)
    return numbers, np.asarray(numbers.any(axis=1), dtype=np.bool_)


def _items(record: Record, name: str) -> list[Any]:
    """Give what a record has under a name, without what is missing."""
    if name.startswith(_VALUES):
        wanted = name.removeprefix(_VALUES).casefold()
        found = [value.numbers[0] for value in record.values if value.numbers and value.name.casefold() == wanted]
        return found[-1:]
    given = record.metadata.get(name)
    items = given if isinstance(given, (list, tuple, set, frozenset)) else [given]
    return [item for item in items if item not in (None, "") and not (isinstance(item, float) and math.isnan(item))]


def _number(item: Any) -> float | None:
    """Give a finite number, also from its digits; a truth value is a category."""
    if isinstance(item, bool):
        return None
    try:
        number = float(item)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
