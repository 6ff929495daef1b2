"""Turns sentence frames into text, with the facts of one case in their slots."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from notewriter.cases import Case
from notewriter.chance import Chance
from notewriter.data import read, rules, synonyms
from notewriter.draft import Draft
from notewriter.measures import Measures
from notewriter.patients import show_date, show_phone
from notewriter.templates import Choice, Mark, Node, Slot, parse

__all__ = ["FLAGGED_SLOTS", "SLOTS", "ConflictError", "Dates", "Style", "Teller", "flagged_slot", "slot"]

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
POOLED = {
    "symptom": "Symptom", "denied": "Symptom", "ddx": "Disease", "comorbid": "Disease", "past_disease": "Disease",
    "past_surgery": "Procedure", "famdisease": "Disease", "famdenied": "Disease", "med": "Medication",
    "newmed": "Medication", "oldmed": "Medication", "allergen": "Medication", "reaction": "Symptom",
    "test": "Test", "procedure": "Procedure", "site": "Anatomy",
}  # fmt: skip
LISTS = {
    "symptoms_of": ("symptom", 2, 3, "and"), "denieds": ("denied", 2, 4, "or"), "comorbids": ("comorbid", 2, 3, "and"),
    "ddxs": ("ddx", 2, 3, "and"), "returns": ("returns", 2, 4, "or"),
}  # fmt: skip


class ConflictError(Exception):
    """A sentence would deny what the note says, or say what it denies; another one is tried."""


@dataclass
class Style:
    """How one note is written."""

    terse: bool
    abbreviates: float
    date: int
    phone: int


@dataclass
class Dates:
    """The days that one note speaks of."""

    today: datetime.date
    admitted: datetime.date


@dataclass
class Teller:
    """Tells sentences into a draft.

    Parameters
    ----------
    draft : Draft
        Where the text goes.
    case : Case
        The facts.
    chance : Chance
        Decides the words.
    style : Style
        How the note is written.
    dates : Dates
        Its days.
    own : dict
        Rules of this note alone, such as the findings of its study; they go before those of the files.
    """

    draft: Draft
    case: Case
    chance: Chance
    style: Style
    dates: Dates
    own: dict[str, list[str]] = field(default_factory=dict)
    affirmed: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    drawn: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    last: str = ""
    plural: bool = False

    def __post_init__(self) -> None:
        self.measures = Measures(self.chance)
        self.affirmed.update(plain(symptom.split("|")[0]) for symptom in self.case.present)
        self.affirmed.add(plain(self.case.dx.split("|")[0]))
        self.side = self.chance.pick(["left", "right"])

    def sentence(self, frames: list[str], end: str = ".") -> bool:
        """Tell the first of these frames that contradicts nothing; False where each of them would."""
        for frame in frames:
            state, known = self.draft.state(), (set(self.affirmed), set(self.denied))
            self.drawn.clear()
            chance = self.chance
            if frame.startswith("# "):
                frame = frame[2:]
                self.chance = Chance(f"{self.case.patient.mrn} {frame}")
            begin = len(self.draft.text)
            try:
                self.draft.capital()
                self.tell(parse(frame))
                self._say_once(self.draft.text[begin:])
            except ConflictError:
                self.draft.restore(state)
                self.affirmed, self.denied = known
                continue
            finally:
                self.chance = chance
            if end and not self.draft.text.endswith((".", "?", "!", '."')):
                self.draft.add(end)
            return True
        return False

    def _say_once(self, text: str) -> None:
        if text in self.said:
            raise ConflictError(text)
        self.said.add(text)

    def draw(self, pool: str) -> str:
        """Draw a term that the sentence does not have yet."""
        try:
            term = self.case.pools[pool].draw(self.drawn)
        except LookupError:
            raise ConflictError(pool) from None
        self.drawn.add(term)
        self.last = term
        return term

    def rule(self, name: str) -> list[str]:
        """Give the frames of a rule that fit the patient, in another order each time."""
        frames = self.own.get(name) or self.case.fitting(rules()[name])
        return self.chance.shuffled(frames)

    def tell(self, nodes: tuple[Node, ...]) -> None:
        """Tell a parsed template."""
        for node in nodes:
            if isinstance(node, str):
                self.draft.add(node)
            elif isinstance(node, Choice):
                self.tell(self.chance.pick(node.options))
            elif isinstance(node, Mark):
                self._mark(node)
            else:
                self._slot(node)

    def entity(self, text: str, label: str, flags: str = "") -> None:
        """Tell an entity."""
        self._mark(Mark((text,), label, flags))

    def identifier(self, text: str, label: str) -> None:
        """Tell an identifier."""
        self._mark(Mark((text,), label, identifier=True))

    def term(self, names: str) -> str:
        """Give one of the names of a term, `first|second|...`; notes that abbreviate take the later ones."""
        first, *others = names.split("|")
        return self.chance.pick(others) if others and self.chance.happens(self.style.abbreviates) else first

    def _mark(self, mark: Mark) -> None:
        self.draft.begin(mark.label, mark.flags, mark.identifier)
        self.tell(mark.content)
        span = self.draft.end()
        if span is None or mark.label not in ("Symptom", "Disease"):
            return
        text = self.draft.text[span.start : span.end]
        self.plural = plural(text)
        if not set("?~+") & set(mark.flags):
            self._remember(text, "-" in mark.flags)

    def _remember(self, text: str, negated: bool) -> None:
        name = plain(text)
        name = synonyms().get(name, name)
        same, opposite = (self.denied, self.affirmed) if negated else (self.affirmed, self.denied)
        if any(contains(name, other) or contains(other, name) for other in opposite):
            raise ConflictError(name)
        same.add(name)

    def _slot(self, slot: Slot) -> None:
        if slot.low:
            self.draft.add(self._number(slot))
            return
        name = slot.name
        if (name[0].isupper() and len(name) > 1) or name == "A":
            self.draft.capital()
            name = name[0].lower() + name[1:]
        if name in POOLED:
            self.entity(self.term(self.draw(name)), POOLED[name], slot.flags)
        elif name in LISTS:
            self._list(name, slot.flags)
        elif name in FLAGGED_SLOTS:
            FLAGGED_SLOTS[name](self, slot.flags)
        elif name in SLOTS:
            SLOTS[name](self)
        elif (measure := getattr(self.measures, name, None)) is not None:
            self.tell(parse(measure()))
        elif name in self.case.pools:
            self.tell(parse(self.draw(name)))
        else:
            self.tell(parse(self.rule(name)[0]))

    def _number(self, slot: Slot) -> str:
        places = len(slot.low.partition(".")[2])
        scale = 10**places
        low, high = round(float(slot.low) * scale), round(float(slot.high) * scale)
        number = self.chance.number(low, high)
        if slot.name == "w":
            return NUMBERS[number]
        if not places and low >= 300:
            number = round(number, -2 if low >= 1000 else -1)
        return f"{number / scale:.{places}f}"

    def _list(self, name: str, flags: str) -> None:
        pool, low, high, last = LISTS[name]
        count = min(self.chance.number(low, high), len(self.case.pools[pool].items))
        comma = "," if count > 2 and self.chance.happens(0.5) else ""
        for i in range(count):
            if i:
                self.draft.add(f"{comma} {last} " if i == count - 1 else ", ")
            self.entity(self.term(self.draw(pool)), POOLED.get(pool, "Symptom"), flags)

    def drug(self, names: str, flags: str) -> None:
        """Tell a drug with its dose, as one span where they stand together, as two around a route."""
        words = read("frames/words")
        dose, frequency, route = self.case.regimen(names)
        often, way = self.chance.pick(words["frequencies"][frequency]), self.chance.pick(words["routes"][route])
        drug = f"<{names}|M{flags}>"
        close = re.sub(r"(?<=\d) (?=(mg|mcg|g|mL|mEq)$)", "", dose) if self.chance.happens(0.25) else dose
        frames = [
            f"{drug} <{close} {often}|G>",
            f"{drug} <{close} {often}|G>",
            f"{drug} <{close}|G> {way} <{often}|G>",
            f"{drug} <{close}|G> {way} <{often}|G>",
            f"{drug} (<{close} {often}|G>)",
            f"{drug} <{close}|G>, <{often}|G>",
        ]
        self.tell(parse(self.chance.pick(frames)))
        if frequency in ("q4", "q6", "q8") and route == "PO" and self.chance.happens(0.4):
            self.draft.add(self.chance.pick([" PRN", " as needed", " p.r.n."]))

    def date(self, days: int) -> None:
        """Tell the date of a day so many days after the note's."""
        self.identifier(show_date(self.dates.today + datetime.timedelta(days=days), self.style.date), "DATE")

    def phone(self, number: str) -> None:
        """Tell a telephone number."""
        self.identifier(show_phone(number, self.style.phone), "PHONE")


def plain(text: str) -> str:
    """Give a text in small letters without its plural ends, to be compared."""
    return " ".join(word.removesuffix("s") for word in re.findall(r"[\w-]+", text.lower()))


def plural(text: str) -> bool:
    """Tell whether a term is one of many, such as chills, and not one such as weakness."""
    return text.endswith("s") and not text.endswith(("ss", "us", "is", "as"))


def contains(text: str, part: str) -> bool:
    """Tell whether the words of a plain text hold those of another in a row."""
    return f" {part} " in f" {text} "


Tell = Callable[[Teller], None]
TellFlagged = Callable[[Teller, str], None]
SLOTS: dict[str, Tell] = {}
"""Slots that are more than a term of a pool; `people_slots.py` and `fact_slots.py` fill them in."""
FLAGGED_SLOTS: dict[str, TellFlagged] = {}
"""Such slots that make an entity, which takes the slot's flags."""


def slot(function: Tell) -> Tell:
    """Let a function tell the slot of its name."""
    SLOTS[function.__name__[1:]] = function
    return function


def flagged_slot(function: TellFlagged) -> TellFlagged:
    """Let a function tell the slot of its name, with the flags of the slot."""
    FLAGGED_SLOTS[function.__name__[1:]] = function
    return function
