"""Training and development records that are apart: the same note on both sides, contradictory gold, labels unseen.

Texts are compared as the records have them, raw, with case and white space folded, and by digests, so that the time
goes with the number of records. A text of white space alone, such as that of a record that is all images, is the same
as no other.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from clinnlp._binding import record_name
from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.image_groups import image_groups, joined

__all__ = [
    "Contradiction",
    "MissingLabels",
    "SharedText",
    "contradictions",
    "folds",
    "image_groups",
    "missing_labels",
    "shared_texts",
    "split",
]


@dataclass(frozen=True, slots=True)
class SharedText:
    """A text that stands on both sides of a split: the places of its records in each list, from 0."""

    train: tuple[int, ...]
    dev: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A text with different gold.

    Parameters
    ----------
    places : tuple of int
        Of its records in the list, from 0.
    gold : tuple of tuple of str
        The sorted labels of each of these records.
    """

    places: tuple[int, ...]
    gold: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class MissingLabels:
    """Labels without an example among the training and among the development records, in the order of the labels."""

    train: tuple[str, ...]
    dev: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.train or self.dev)


def shared_texts(train: Iterable[Record], dev: Iterable[Record]) -> list[SharedText]:
    """Find texts that stand among both the training and the development records.

    Parameters
    ----------
    train, dev : iterable of Record

    Returns
    -------
    list of SharedText
        In the order of the development records.
    """
    ours, theirs = _by_text(train), _by_text(dev)
    return [SharedText(tuple(ours[key]), tuple(places)) for key, places in theirs.items() if key in ours]


def contradictions(records: Iterable[Record], name: str, *, multi_label: bool = False) -> list[Contradiction]:
    """Find texts that several records have with different gold: no classifier can be right about all of them.

    Parameters
    ----------
    records : iterable of Record
    name : str
        Of the label set.
    multi_label : bool
        Whether an empty list of labels is gold: that the text has none of them.

    Returns
    -------
    list of Contradiction
        In the order of the records.
    """
    records = list(records)
    found: list[Contradiction] = []
    for places in _by_text(records).values():
        pairs = [(place, _gold(records[place], name)) for place in places]
        kept = [(place, gold) for place, gold in pairs if gold or (gold is not None and multi_label)]
        if len({gold for _, gold in kept}) > 1:
            found.append(Contradiction(tuple(place for place, _ in kept), tuple(gold or () for _, gold in kept)))
    return found


def missing_labels(train: Iterable[Record], dev: Iterable[Record], labels: Sequence[str], name: str) -> MissingLabels:
    """Find labels that cannot be learned, or cannot be judged, for want of an example.

    Parameters
    ----------
    train, dev : iterable of Record
    labels : sequence of str
        Those that a stage knows.
    name : str
        Of the label set.

    Returns
    -------
    MissingLabels
        False where there are none.
    """
    sides = [{label for record in records for label in _gold(record, name) or ()} for records in (train, dev)]
    without = [tuple(label for label in labels if label not in seen) for seen in sides]
    return MissingLabels(*without)


def split(
    records: Iterable[Record],
    share: float = 0.2,
    *,
    by: str | None = None,
    groups: Sequence[int] | None = None,
    name: str,
    seed: int = 0,
) -> tuple[list[Record], list[Record]]:
    """Split records in two, with each label's examples in the same proportion, as far as that can be.

    Records of the same text stay on one side, and with `by` those of the same patient too. A label with an example or
    two is kept for training. The labels are those of the record, or where it has none those of its images; records of
    the same picture stay together with `groups=image_groups(records)`.

    Parameters
    ----------
    records : iterable of Record
        Those without gold are shared out too.
    share : float
        Of the second side, between 0 and 1.
    by : str, optional
        Key of `metadata` whose records stay together, such as "patient"; every record must have it.
    groups : sequence of int, optional
        For each record the number of its group, whose records stay together, as `image_groups` gives it.
    name : str
        Of the label set.
    seed : int
        The same one gives the same split.

    Returns
    -------
    (list of Record, list of Record)
        Training and development records, each in the order in which they were given.

    Raises
    ------
    TrainingError
        If `share` is out of range, a record lacks `by` or a group, or one side would be empty.

    References
    ----------
    Sechidis, Tsoumakas & Vlahavas (2011), On the Stratification of Multi-Label Data, ECML PKDD; here with groups of
    records in the place of single ones.
    """
    records = list(records)
    if not 0 < share < 1:
        raise TrainingError(f"share is {share}: give one between 0 and 1")
    sides = _dealt(records, [1 - share, share], by, groups, name, seed)
    train, dev = ([record for record, at in zip(records, sides, strict=True) if at == side] for side in (0, 1))
    if not train or not dev:
        number = len(set(_groups(records, by, groups)))
        kinds = [*([] if by is None else [by]), *([] if groups is None else ["group"])]
        told = f"groups by {', '.join(kinds)} and text" if kinds else "different texts"
        raise TrainingError(
            f"{len(records)} records of {number} {told}"
            f" cannot be split with a share of {share:g}: give more records, or another share"
        )
    return train, dev


def folds(
    records: Sequence[Record],
    count: int,
    *,
    by: str | None = None,
    groups: Sequence[int] | None = None,
    name: str,
    seed: int = 0,
) -> list[int]:
    """Give the number of the fold, from 0, of each record, for cross-validation; they are dealt out as by `split`.

    Parameters
    ----------
    records : sequence of Record
    count : int
        Number of folds, at least 2. Where there are fewer groups of records, some stay empty.
    by, groups, name, seed
        As for `split`.

    Returns
    -------
    list of int

    Raises
    ------
    TrainingError
        If `count` is below 2, or a record lacks `by` or a group.
    """
    if count < 2:
        raise TrainingError(f"count is {count}: give 2 folds or more")
    return _dealt(records, [1 / count] * count, by, groups, name, seed)


def _dealt(
    records: Sequence[Record],
    shares: Sequence[float],
    by: str | None,
    groups: Sequence[int] | None,
    name: str,
    seed: int,
) -> list[int]:
    """Give the side of each record: rare labels first, each group to the side that lacks most of its label."""
    groups = _groups(records, by, groups)
    labels: dict[int, Counter[str]] = defaultdict(Counter)
    for record, group in zip(records, groups, strict=True):
        labels[group].update(_gold(record, name) or _gold_of_images(record, name))
    sizes, totals = Counter(groups), sum(labels.values(), Counter[str]())
    wanted = [{label: share * number for label, number in totals.items()} for share in shares]
    room = [share * len(records) for share in shares]
    order = list(sizes)
    random.Random(seed).shuffle(order)  # noqa: S311 - chance, not secrecy
    # Large groups first: small ones can make up for them.
    order.sort(key=lambda group: -sizes[group])
    having: dict[str, list[int]] = defaultdict(list)
    for group in order:
        for label in labels[group]:
            having[label].append(group)
    side: dict[int, int] = {}
    rarest = sorted(totals, key=lambda label: (totals[label], label))
    deals: list[tuple[str | None, list[int]]] = [*((label, having[label]) for label in rarest), (None, order)]
    for rare, some in deals:
        for group in some:
            if group in side:
                continue
            lacks = [(0.0 if rare is None else own[rare], left) for own, left in zip(wanted, room, strict=True)]
            side[group] = at = lacks.index(max(lacks))
            room[at] -= sizes[group]
            for other, number in labels[group].items():
                wanted[at][other] -= number
    return [side[group] for group in groups]


def _groups(records: Sequence[Record], by: str | None, groups: Sequence[int] | None) -> list[int]:
    """Give the group of each record, as the place of its first one: those of one text, patient or picture."""
    together: list[Mapping[Any, list[int]]] = [_by_text(records)]
    if by is not None:
        owners: dict[str, list[int]] = defaultdict(list)
        for place, record in enumerate(records):
            if record.metadata.get(by) in (None, ""):
                raise TrainingError(
                    f"{record_name(record.id, place)} has no metadata[{by!r}]: give it, or split by nothing"
                )
            owners[str(record.metadata[by])].append(place)
        together.append(owners)
    if groups is not None:
        if len(groups) != len(records):
            raise TrainingError(f"there are {len(groups)} groups of {len(records)} records: give one for each record")
        given: dict[int, list[int]] = defaultdict(list)
        for place, group in enumerate(groups):
            given[group].append(place)
        together.append(given)
    return joined(len(records), (places for one in together for places in one.values()))


def _by_text(records: Iterable[Record]) -> dict[bytes, list[int]]:
    """Give the places of the records of each text."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        if folded := " ".join(record.text.casefold().split()):
            found[blake2b(folded.encode(), digest_size=16).digest()].append(place)
    return found


def _gold(record: Record, name: str) -> tuple[str, ...] | None:
    given = record.labels.get(name)
    return None if given is None else tuple(sorted({label.name for label in given}))


def _gold_of_images(record: Record, name: str) -> tuple[str, ...]:
    return tuple(sorted({label.name for image in record.images for label in image.labels.get(name, ())}))
