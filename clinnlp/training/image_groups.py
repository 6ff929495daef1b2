"""Groups of records that show the same picture, or nearly the same, so that a split keeps them on one side.

A picture is known by its difference hash: which of its neighbouring parts are brighter. Another size, compression,
brightness or a slightly other crop leave most of the bits as they are. A picture whose hash has no bit, such as one
that is black all over, shows nothing by which it could be known, and is like no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from clinnlp._binding import record_name
from clinnlp.errors import ImageError, TrainingError
from clinnlp.record import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clinnlp.image import Image

__all__ = ["DISTANCE", "HASH_BITS", "difference_hash", "image_groups", "joined", "shared_pictures"]

_SIDE = 16
HASH_BITS = 2 * _SIDE * _SIDE
"""Bits of a hash."""
DISTANCE = 60
"""Bits in which two hashes of the same picture may differ.

Measured: of the 5,232 chest X-rays of PneumoniaMNIST 28 pairs are the same and differ in 5 bits or fewer, and no other
pair in fewer than 61; different breast ultrasounds of BUSI differ in 120 or more, and nine of ten near-duplicates in 82
or fewer, so that 110 is the better distance there.
"""
# Pictures of little on an even ground have few bits, which differ in few whatever they show: below so many that either
# of two has, the distance shrinks with them. Of 1,000 pairs of different spots on black 1 is then taken for the same,
# and 982 without; the pairs of both corpora above stay as they are.
_FULL = HASH_BITS // 4
_BLOCK = 1024  # rows of the table of distances that are held at once


def image_groups(records: Iterable[Record], distance: int = DISTANCE) -> list[int]:
    """Find records that share a picture, or have nearly the same one.

    Records are in one group where a chain of such pairs connects them. Every picture is decoded, one at a time; the
    time of the comparison goes with the square of their number (10,000 pictures: about three seconds).

    Parameters
    ----------
    records : iterable of Record
        One without images is a group of its own.
    distance : int
        Bits of `HASH_BITS` in which the hashes of two pictures may differ, fewer where they have few; 0 for the same
        hash alone. Pictures of one kind, such as chest X-rays in one view, are alike and need a small one.

    Returns
    -------
    list of int
        For each record the place of the first one of its group, from 0.

    Raises
    ------
    TrainingError
        If `distance` is negative, or a picture cannot be decoded; the record is named.
    """
    import numpy as np

    if distance < 0:
        raise TrainingError(f"distance is {distance}: give a number of bits between 0 and {HASH_BITS}")
    records = list(records)
    owners, hashes = _hashes(records)
    firsts: dict[bytes, int] = {}
    same = [[firsts.setdefault(one.tobytes(), owner), owner] for one, owner in zip(hashes, owners, strict=True)]
    # Of many that are the same one is compared: their pairs would be too many.
    distinct = np.array([np.frombuffer(one, dtype=np.bool_) for one in firsts]).reshape(-1, HASH_BITS)
    places = list(firsts.values())
    near = ([places[one], places[other]] for one, other in _near_pairs(distinct, distance))
    return joined(len(records), [*same, *near])


def shared_pictures(train: Iterable[Record], dev: Iterable[Record], distance: int = DISTANCE) -> list[tuple[int, int]]:
    """Find records on two sides of a split that share a picture, or have nearly the same one.

    Parameters
    ----------
    train, dev : iterable of Record
    distance : int
        As for `image_groups`.

    Returns
    -------
    list of (int, int)
        For each record of `dev` that shares one the place of the first such record of `train`, and its own, from 0.

    Raises
    ------
    TrainingError
        If a picture cannot be decoded; the record is named.
    """
    import numpy as np

    (owners, hashes), (others, given) = _hashes(train), _hashes(dev)
    found: dict[int, list[int]] = {}
    if hashes and given:
        for start, near in _near(np.array(hashes), np.array(given), distance):
            for other in np.flatnonzero(near.any(axis=0)).tolist():  # owners are in order: the first row is the first
                found.setdefault(others[other], []).append(owners[start + int(near[:, other].argmax())])
    return [(min(ours), theirs) for theirs, ours in sorted(found.items())]


def _hashes(records: Iterable[Record]) -> tuple[list[int], list[NDArray[np.bool_]]]:
    """Give whose each picture is, and its hash, of those whose hash has a bit."""
    owners: list[int] = []
    hashes: list[NDArray[np.bool_]] = []
    for place, record in enumerate(records):
        for image in record.images:
            try:
                found = difference_hash(image)
            except ImageError as error:
                raise TrainingError(f"{record_name(record.id, place)}: {error}") from None
            if found.any():
                hashes.append(found)
                owners.append(place)
    return owners, hashes


def difference_hash(image: Image) -> NDArray[np.bool_]:
    """Give the hash of a picture, whose grey values are brought to 17 by 16 and 16 by 17 pixels for it.

    Parameters
    ----------
    image : Image

    Returns
    -------
    ndarray of bool, shape (HASH_BITS,)

    Raises
    ------
    ImageError
        If it cannot be decoded.
    """
    import numpy as np
    import PIL.Image

    grey = PIL.Image.fromarray(image.pixels()).convert("L")

    def small(width: int, height: int) -> NDArray[np.uint8]:
        return np.asarray(grey.resize((width, height), PIL.Image.Resampling.LANCZOS))

    across, down = small(_SIDE + 1, _SIDE), small(_SIDE, _SIDE + 1)
    return np.concatenate([(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()])


def joined(count: int, together: Iterable[Sequence[int]]) -> list[int]:
    """Join places that belong together, and what they are joined with, into groups.

    Parameters
    ----------
    count : int
        Number of places.
    together : iterable of sequence of int
        Places from 0 that belong together.

    Returns
    -------
    list of int
        For each place the first one of its group.
    """
    parents = list(range(count))

    def first(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for places in together:
        for place in places[1:]:
            one, other = sorted((first(places[0]), first(place)))
            parents[other] = one
    return [first(place) for place in range(count)]


def _near(
    hashes: NDArray[np.bool_], others: NDArray[np.bool_], distance: int
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Give which hashes are near which others, a block of hashes at a time, and the place of its first."""
    import numpy as np

    ours, theirs = hashes.astype(np.float32), others.astype(np.float32)
    bits = theirs.sum(axis=1)
    for start in range(0, len(ours), _BLOCK):
        rows = ours[start : start + _BLOCK]
        own = rows.sum(axis=1)[:, None]
        differ = rows @ theirs.T
        differ *= -2
        differ += bits
        differ += own
        near = differ <= distance
        few = own[:, 0] < _FULL
        either = (own[few] + bits + differ[few]) / 2
        near[few] = differ[few] <= distance * np.minimum(either / _FULL, 1)
        yield start, near


def _near_pairs(hashes: NDArray[np.bool_], distance: int) -> Iterator[tuple[int, int]]:
    """Give pairs of places of hashes that are near one another, the smaller one first."""
    import numpy as np

    for start, near in _near(hashes, hashes, distance):
        rows, columns = np.nonzero(np.triu(near, start + 1))
        yield from zip((rows + start).tolist(), columns.tolist(), strict=True)
