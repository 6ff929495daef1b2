"""Cases: a picture, a text, and what is true of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinnlp import Image, Record
from clinnlp.record import Label
from sonowriter.pictures import MM_PER_PIXEL, Picture, draw_picture
from sonowriter.reports import Chance, write_report, write_request

__all__ = ["MODES", "Case", "draw_cases", "write_cases"]

MODES = ("matching", "contradicting", "halves")

FINDINGS = ("normal", "benign", "malignant")
_SHAPES = {"normal": None, "benign": "oval", "malignant": "spiculated"}
_LARGEST_MM = (9, 18)
# Of twenty cases of the halves in a row how many are spiculated and of raised risk, each of the two alone, and neither.
# The first are urgent. With these shares a picture alone, or a text alone, tells urgent from routine in three of four
# cases, and each class has about as many cases as the other.
_HALVES = {(True, True): 9, (True, False): 5, (False, True): 5, (False, False): 1}


@dataclass(frozen=True)
class Case:
    """A record, and where the lesion of its picture is.

    Parameters
    ----------
    record : Record
        With one image, an array of uint8 with shape (96, 96).
    mask : ndarray of bool, shape (96, 96)
        True where the lesion is; nowhere if there is none.
    """

    record: Record
    mask: NDArray[np.bool_]


def write_cases(seed: int, mode: str) -> Iterator[Record]:
    """Give the records of a mode one after the other, without end; the same ones for the same seed.

    Parameters
    ----------
    seed : int
    mode : str
        `matching`: the text tells what the picture shows. `contradicting`: it tells of another finding. `halves`: the
        label `urgency` needs the shape, which only the picture shows, and the risk, of which only the text tells.

    Yields
    ------
    Record

    Raises
    ------
    ValueError
        If there is no such mode.
    """
    return (case.record for case in draw_cases(seed, mode))


def draw_cases(seed: int, mode: str) -> Iterator[Case]:
    """Give the cases of a mode as `write_cases` does, with the mask of each lesion."""
    if mode not in MODES:
        raise ValueError(f"no mode {mode!r}: there are {', '.join(MODES)}")
    # Each case has a generator of its own, so that a change to one leaves the others as they are.
    numbered = ((number, Chance(f"ultrasound {mode} {seed} {number}")) for number in count(1))
    if mode == "halves":
        return (_halves(number, *_attributes(seed, number), chance) for number, chance in numbered)
    return (_pair(number, mode, chance) for number, chance in numbered)


def _pair(number: int, mode: str, chance: Chance) -> Case:
    """Make a pair whose text tells of the finding of the picture, or of another one."""
    shown = FINDINGS[number % 3]
    told = shown if mode == "matching" else chance.pick([name for name in FINDINGS if name != shown])
    patient, facts = _patient(chance)
    largest = chance.number(*_LARGEST_MM)
    picture = draw_picture(_SHAPES[shown], largest, _seed(chance))
    extent = _extent(picture)
    facts["size"] = _size(_told_extent(told, extent, largest, chance), chance)
    text = write_report(facts, told, chance)
    labels = {"reported": [told], "agreement": ["agrees" if told == shown else "contradicts"]}
    if told == shown:
        labels["finding"] = [shown]
    if picture.box is not None:
        patient |= {"box": picture.box, "size_mm": extent}
    return _case(number, mode, text, patient, labels, {"finding": [shown]}, picture)


def _attributes(seed: int, number: int) -> tuple[bool, bool]:
    """Tell whether the lesion of a case is spiculated, and whether its risk is raised: so many of each in a row."""
    row = [both for both, times in _HALVES.items() for _ in range(times)]
    block, at = divmod(number - 1, len(row))
    return Chance(f"ultrasound halves {seed} from {block}").shuffled(row)[at]


def _halves(number: int, spiculated: bool, raised: bool, chance: Chance) -> Case:
    """Make a case whose picture has one half of the answer, and whose text has the other."""
    patient, facts = _patient(chance)
    largest = chance.number(*_LARGEST_MM)
    picture = draw_picture("spiculated" if spiculated else "oval", largest, _seed(chance))
    facts["largest"] = f"{largest} mm" if chance.happens(0.5) else f"{largest / 10:.1f} cm"
    text = write_request(facts, raised, chance)
    labels = {
        "urgency": ["urgent" if spiculated and raised else "routine"],
        "risk": ["raised" if raised else "usual"],
    }
    patient |= {"box": picture.box, "largest_mm": largest}
    shown = {"shape": ["spiculated" if spiculated else "oval"]}
    return _case(number, "halves", text, patient, labels, shown, picture)


def _case(
    number: int,
    mode: str,
    text: str,
    metadata: dict[str, Any],
    labels: dict[str, list[str]],
    shown: dict[str, list[str]],
    picture: Picture,
) -> Case:
    name = f"{mode}-{number:04}"
    gold = {key: [Label(label) for label in some] for key, some in labels.items()}
    image = Image(array=picture.pixels, name=f"{name}.png", labels=shown)
    return Case(Record(text, id=name, images=[image], metadata=metadata, labels=gold), picture.mask)


def _patient(chance: Chance) -> tuple[dict[str, Any], dict[str, str]]:
    """Make a patient and where the lesion is: as metadata, and as facts of the text."""
    sex = "M" if chance.happens(0.03) else "F"
    age, side, clock = chance.number(28, 84), chance.pick(["left", "right"]), chance.number(1, 12)
    distance = chance.number(1, 8)
    place = f"{clock} o'clock" if chance.happens(0.3) else f"{clock} o'clock, {distance} cm from the nipple"
    facts = {
        "traits": sex,
        "who": "woman" if sex == "F" else "man",
        "self": "herself" if sex == "F" else "himself",
        "yo": str(age),
        "side": side,
        "clock": str(clock),
        "place": place,
    }
    return {"age": age, "sex": sex, "side": side, "clock": clock}, facts


def _seed(chance: Chance) -> int:
    return chance.number(0, 2**32 - 1)


def _extent(picture: Picture) -> list[int] | None:
    """Give width and height of the lesion of a picture in mm."""
    if picture.box is None:
        return None
    left, top, right, bottom = picture.box
    return [round((right - left) * MM_PER_PIXEL), round((bottom - top) * MM_PER_PIXEL)]


def _told_extent(told: str, extent: list[int] | None, largest: int, chance: Chance) -> list[int]:
    """Give width and height in mm that fit what the text tells, so that no text contradicts itself."""
    if extent is None:
        low, high = (50, 75) if told == "benign" else (64, 82)
        extent = [largest, round(largest * chance.number(low, high) / 100)]
    return sorted(extent, reverse=told == "benign")


def _size(extent: list[int], chance: Chance) -> str:
    if chance.happens(0.5):
        return f"{extent[0]} x {extent[1]} mm"
    return f"{extent[0] / 10:.1f} x {extent[1] / 10:.1f} cm"
