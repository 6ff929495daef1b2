"""Notes with invented identifiers in them, for a head that is to find identifiers.

Notes that may be learned from have none: they were removed before the notes were given away. Into their text come
people, places, professions, dates and numbers that do not exist, in the place of "the patient" and "our hospital", in
sentences of their own, and in forms above and below. Sentences, names and the syllables that further names are made of
are `rules/en/planted_identifiers.yaml`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.record import Entity, Record
from clinnlp.rules import load_rules
from clinnlp.stages._identifiers.found import Found, merged
from clinnlp.stages._identifiers.patterns import PatternFinder

__all__ = ["plant_identifiers"]

_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[a-z)%\d][.!?])(?= |\r?\n)")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_OF_HER = re.compile(r"\b(?:she|her|woman|female|girl)\b", re.IGNORECASE)
_OF_HIM = re.compile(r"\b(?:he|his|him|man|male|boy)\b", re.IGNORECASE)
# All ages are gold, as in other corpora, though the stage leaves those under 90.
_AGE = re.compile(r"\b\d{1,3}(?=[- ](?:years?|yrs?)[- ]old\b)")
_CHARACTERS_A_SENTENCE = 350
_HARMLESS = 0.2

Piece = tuple[str, str | None]
"""Some text, and the label of the identifier that it is."""


def plant_identifiers(records: Iterable[Record], seed: int = 0, density: float = 1.0) -> list[Record]:
    """Make copies of notes in which invented people, places, dates and numbers stand, with gold for each.

    The copies have id, metadata and text alone, and gold in `identifiers`; dates, numbers and titled names that the
    text had already, as patterns find them, are gold beside what was planted. A name that the text had elsewhere is
    none, so give notes that were de-identified.

    Parameters
    ----------
    records : iterable of Record
        English notes; they are not changed.
    seed : int
        Of the same seed, id and text the same copies come.
    density : float
        How many sentences are planted, against one for each 350 characters.

    Returns
    -------
    list of Record

    Raises
    ------
    ConfigError
        If something else than records is given, or the density is negative.
    """
    many = isinstance(records, Iterable) and not isinstance(records, (str, Mapping))
    given: list[Any] = [*records] if many else [None]
    if not all(isinstance(record, Record) for record in given):
        raise ConfigError("give a list of records to plant identifiers into, such as [Record('...')]")
    if density < 0:
        raise ConfigError(f"density must not be negative, but it is {density}")
    patterns = PatternFinder(("en",))
    made = []
    for i, record in enumerate(given):
        chance = random.Random(f"{seed}:{i}:{record.id}")  # noqa: S311 - the same seed must give the same
        made.append(_plant(record, chance, density, patterns))
    return made


def _plant(record: Record, chance: random.Random, density: float, patterns: PatternFinder) -> Record:
    rules = load_rules("planted_identifiers", "en")
    text = record.text
    cast = _Cast(chance, female=_is_female(text, chance))
    edits: list[tuple[int, int, list[Piece]]] = []
    for rule in rules["replaced"]:
        for match in _compiled(rule["pattern"]).finditer(text):
            if chance.random() < rule["share"]:
                edits.append((match.start(), match.end(), cast.tell(chance.choice(rule["frames"]), match[0])))
    ends = [match.start() for match in _SENTENCE_END.finditer(text)] or [len(text)]
    wanted = density * (len(text) / _CHARACTERS_A_SENTENCE + chance.random())
    for at in chance.sample(ends, min(round(wanted), len(ends))):
        kind = "harmless" if chance.random() < _HARMLESS else "sentences"
        front = "\n" if chance.random() < 0.15 else " "
        edits.append((at, at, [(front, None), *cast.tell(chance.choice(rules[kind]))]))
    if chance.random() < 0.5 * min(density, 1):
        lines = chance.sample(rules["headers"], chance.randint(1, 5))
        between = chance.choice(["\n", "\n", "   ", " | "])
        edits.append((0, 0, [*cast.lines(lines, between), ("\n" if between == "\n" else "\n\n", None)]))
    if chance.random() < 0.4 * min(density, 1):
        edits.append((len(text), len(text), [("\n\n", None), *cast.lines(chance.sample(rules["footers"], 1), "\n")]))
    pieces = _joined(text, edits)
    return _record(record, pieces, patterns)


def _is_female(text: str, chance: random.Random) -> bool:
    """Tell whether more is said of her than of him; where nothing is, chance decides."""
    balance = len(_OF_HER.findall(text)) - len(_OF_HIM.findall(text))
    return chance.random() < 0.5 if balance == 0 else balance > 0


def _joined(text: str, edits: list[tuple[int, int, list[Piece]]]) -> list[Piece]:
    """Put the edits into a text; of those that overlap the first stays."""
    pieces: list[Piece] = []
    at = 0
    for start, end, told in sorted(edits, key=lambda edit: edit[:2]):
        if start >= at:
            pieces += [(text[at:start], None), *told]
            at = end
    return [*pieces, (text[at:], None)]


def _record(record: Record, pieces: list[Piece], patterns: PatternFinder) -> Record:
    at, gold = 0, []
    for text, label in pieces:
        if label is not None:
            gold.append(Found(at, at + len(text), label, "record"))
        at += len(text)
    text = "".join(text for text, _ in pieces)
    # Beside what was planted: a pattern that overlaps it, such as a title, would move its borders.
    taken = [False] * len(text)
    for one in gold:
        taken[one.start : one.end] = [True] * (one.end - one.start)
    others = [*patterns.find(text), *(Found(*match.span(), "AGE") for match in _AGE.finditer(text))]
    others = [one for one in others if not any(taken[one.start : one.end])]
    found = [Entity(one.start, one.end, one.label) for one in merged([*gold, *others], text)]
    return Record(text, record.id, metadata=dict(record.metadata), identifiers=found, found={"identifiers"})


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


class _Cast:
    """The people, places and numbers of one note."""

    def __init__(self, chance: random.Random, *, female: bool) -> None:
        self.chance = chance
        self.rules: Mapping[str, Any] = load_rules("planted_identifiers", "en")
        self.female = female
        self.first, self.last = self._first(female), self._surname()
        self.town = self._town()
        self.style = chance.randrange(8)
        self.doctors = [(self._first(), self._surname()) for _ in range(2)]
        self.hospital = self._place("hospitals")
        self.relative = (self._first(), self.last if chance.random() < 0.5 else self._surname())

    def lines(self, frames: list[str], between: str) -> list[Piece]:
        """Tell frames as lines."""
        told: list[Piece] = []
        for i, frame in enumerate(frames):
            told += [(between, None)] if i else []
            told += self.tell(frame)
        return told

    def tell(self, frame: str, match: str = "") -> list[Piece]:
        """Fill in the slots of a frame."""
        pieces: list[Piece] = []
        at = 0
        for slot in _SLOT.finditer(frame):
            pieces.append((frame[at : slot.start()], None))
            pieces += [(match, None)] if slot[1] == "match" else getattr(self, f"_slot_{slot[1].lower()}")()
            at = slot.end()
        pieces.append((frame[at:], None))
        return [piece for piece in pieces if piece[0]]

    # Who and where.
    def _first(self, female: bool | None = None) -> str:
        chance = self.chance
        of = "female" if (chance.random() < 0.5 if female is None else female) else "male"
        if chance.random() < 0.12:
            return self._made_up(chance.choice([1, 2]), ["a", "o", "i", "e", "in", "an", "el", "ie", "ya", "us"])
        return str(chance.choice(self.rules[of]))

    def _surname(self) -> str:
        if self.chance.random() < 0.45:
            name = self._made_up(self.chance.choice([1, 1, 2]), self.rules["surname_endings"])
            return f"{self.chance.choice(['Mc', 'O’', 'De', 'Van '])}{name}" if self.chance.random() < 0.06 else name
        return str(self.chance.choice(self.rules["surnames"]))

    def _made_up(self, count: int, endings: list[str]) -> str:
        return "".join(
            [*(self.chance.choice(self.rules["syllables"]) for _ in range(count)), self.chance.choice(endings)]
        ).title()

    def _town(self) -> str:
        if self.chance.random() < 0.5:
            return str(self.chance.choice(self.rules["towns"]))
        name = self._made_up(self.chance.choice([1, 1, 2]), self.rules["town_endings"])
        name = f"{self.chance.choice(self.rules['town_fronts'])}{name}"
        return (
            f"{name} {self.chance.choice(['Falls', 'Springs', 'Hills', 'Beach', 'Point', 'Creek', 'City'])}"
            if self.chance.random() < 0.2
            else name
        )

    def _place(self, kind: str) -> str:
        form = str(self.chance.choice(self.rules[kind]))
        return form.format(
            town=self.town if self.chance.random() < 0.5 else self._town(),
            last=self._surname(),
            last2=self._surname(),
            first=self._first(),
        )

    def _digits(self, form: str) -> str:
        """Put a digit for each #, and a letter for each @."""
        made = re.sub("#", lambda _: str(self.chance.randint(0, 9)), form)
        return re.sub("@", lambda _: self.chance.choice("ABCDEFGHJKLMNPRSTVWX"), made)

    # The slots.
    def _slot_patient(self) -> list[Piece]:
        kind = self.chance.random()
        if kind < 0.4:
            titles = ["Ms. ", "Mrs. ", "Miss "] if self.female else ["Mr. ", "Mr "]
            return [(self.chance.choice(titles), None), *self._slot_last()]
        return self._slot_full() if kind < 0.7 else self._slot_first()

    def _slot_full(self) -> list[Piece]:
        middle = f" {self.chance.choice('ABCDEFGHJKLMRST')}." if self.chance.random() < 0.15 else ""
        return [(f"{self.first}{middle} {self.last}", "PERSON")]

    def _slot_first(self) -> list[Piece]:
        return [(self.first, "PERSON")]

    def _slot_last(self) -> list[Piece]:
        return [(self.last, "PERSON")]

    def _slot_lastfirst(self) -> list[Piece]:
        return [(f"{self.last}, {self.first}", "PERSON")]

    def _slot_relative(self) -> list[Piece]:
        first, last = self.relative
        return [(first if self.chance.random() < 0.5 else f"{first} {last}", "PERSON")]

    def _slot_relation(self) -> list[Piece]:
        return [(self.chance.choice(self.rules["relations"]), None)]

    def _slot_doctor(self) -> list[Piece]:
        first, last = self.chance.choice(self.doctors)
        kind = self.chance.random()
        if kind < 0.35:
            return [("Dr. ", None), (last, "DOCTOR")]
        if kind < 0.5:
            return [("Dr. ", None), (f"{first} {last}", "DOCTOR")]
        return [(f"{first} {last}", "DOCTOR"), *([(", MD", None)] if kind < 0.75 else [])]

    _slot_doctor2 = _slot_doctor

    def _slot_drlast(self) -> list[Piece]:
        return [(self.chance.choice(self.doctors)[1], "DOCTOR")]

    def _slot_nurse(self) -> list[Piece]:
        first, last = self._first(), self._surname()
        front = self.chance.choice(["", "", "RN ", "Nurse "])
        return [(front, None), (self.chance.choice([first, f"{first} {last}", f"{first[0]}. {last}"]), "DOCTOR")]

    def _slot_town(self) -> list[Piece]:
        town = self.town if self.chance.random() < 0.5 else self._town()
        return [
            (
                self.chance.choice(self.rules["counties"]).format(town) if self.chance.random() < 0.08 else town,
                "ADDRESS",
            )
        ]

    def _slot_street(self) -> list[Piece]:
        street = f"{self.chance.choice(self.rules['street_names'])} {self.chance.choice(self.rules['street_kinds'])}"
        return [(f"{self.chance.randint(1, 9999)} {street}", "ADDRESS")]

    def _slot_state(self) -> list[Piece]:
        return [(self.chance.choice(self.rules["states"]), None)]

    def _slot_hospital(self) -> list[Piece]:
        return [(self.hospital if self.chance.random() < 0.4 else self._place("hospitals"), "INSTITUTION")]

    def _slot_employer(self) -> list[Piece]:
        return [(self._place("employers"), "INSTITUTION")]

    def _slot_school(self) -> list[Piece]:
        return [(self._place("schools"), "INSTITUTION")]

    def _slot_profession(self) -> list[Piece]:
        return [(self.chance.choice(self.rules["professions"]), "PROFESSION")]

    def _slot_he(self) -> list[Piece]:
        return [("She" if self.female else "He", None)]

    def _slot_his(self) -> list[Piece]:
        return [("her" if self.female else "his", None)]

    def _slot_date(self) -> list[Piece]:
        year, month, day = self.chance.randint(1930, 2025), self.chance.randint(1, 12), self.chance.randint(1, 28)
        name = _MONTHS[month - 1]
        forms = (
            f"{month:02}/{day:02}/{year}", f"{month}/{day}/{year % 100:02}", f"{name} {day}, {year}",
            f"{day:02}-{name[:3]}-{year}", f"{year}-{month:02}-{day:02}", f"{name[:3]} {day}, {year}",
            f"{day} {name} {year}", f"{month}-{day}-{year}",
        )  # fmt: skip
        return [(forms[self.style], "DATE")]

    def _slot_day(self) -> list[Piece]:
        if self.chance.random() < 0.6:
            return self._slot_date()
        month, day = self.chance.randint(1, 12), self.chance.randint(1, 28)
        return [
            (
                self.chance.choice(
                    [f"{month}/{day}", f"{_MONTHS[month - 1]} {day}", f"{day} {_MONTHS[month - 1][:3]}"]
                ),
                "DATE",
            )
        ]

    def _slot_age90(self) -> list[Piece]:
        return [(str(self.chance.randint(90, 103)), "AGE")]

    def _slot_phone(self) -> list[Piece]:
        forms = ["###-###-####", "(###) ###-####", "###.###.####", "+1 ### ### ####", "###-####", "x####", "pager ####"]
        front, _, number = self._digits(self.chance.choice(forms)).rpartition("pager ")
        return (
            [(f"{front}pager ", None), (number, "PHONE")]
            if number.isdigit() and len(number) == 4
            else [(number, "PHONE")]
        )

    def _slot_mrn(self) -> list[Piece]:
        return [
            (
                self._digits(
                    self.chance.choice(["#######", "######", "###-##-##", "@#######", "MR######", "##-##-##"])
                ),
                "MRN",
            )
        ]

    def _slot_id(self) -> list[Piece]:
        return [
            (
                self._digits(
                    self.chance.choice(["@@@########", "#########", "@##-####-@", "####-####-##", "@@######"])
                ),
                "ID",
            )
        ]

    def _slot_ssn(self) -> list[Piece]:
        return [(self._digits("###-##-####"), "SSN")]

    def _slot_email(self) -> list[Piece]:
        name = "".join(c for c in f"{self.first}.{self.last}".lower() if c.isascii() and (c.isalpha() or c == "."))
        return [(f"{name}{self._digits('##')}@example.com", "EMAIL")]

    def _slot_url(self) -> list[Piece]:
        return [(f"www.{self.last.lower().replace(' ', '')}health.example.com", "URL")]
