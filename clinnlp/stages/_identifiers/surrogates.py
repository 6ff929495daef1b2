"""Surrogates: names, days, numbers and places that do not exist, in the form of those that they stand for.

All is a function of key, patient and value, so nothing is remembered from one note to the next. A person's name is
replaced word by word, so that "John Smith", "Mr. Smith" and "Smith, John" agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from clinnlp.rules import load_rules
from clinnlp.stages._identifiers.checks import digits_of
from clinnlp.stages._identifiers.days import shifted
from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.keyed import Keyed
from clinnlp.stages._identifiers.searched import searched
from clinnlp.stages._identifiers.words import first_names, word_set

__all__ = ["Surrogates", "looks_day_first"]

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_HAN = re.compile("[\u4e00-\u9fff]")
_HAN_RUN = re.compile("[\u4e00-\u9fff]+")
_DEFAULT_YEAR = 2001
_DAYS = 365


class Surrogates:
    """What stands for the identifiers of one patient.

    Parameters
    ----------
    keyed : Keyed
        Choices for that patient.
    avoid : collection of str
        Words in small letters that no surrogate may have: what is known of the patient.
    year : int
        Of dates that name none.
    day_first : bool
        Whether 3/5 is the third of May.
    """

    def __init__(self, keyed: Keyed, avoid: Collection[str] = (), year: int = _DEFAULT_YEAR, day_first: bool = False):
        self._keyed, self._avoid, self._year, self._day_first = keyed, frozenset(avoid), year, day_first
        self.days = -1 - keyed.number("days", _DAYS)
        """By how many days dates are moved: one to 365 back."""

    def of(self, text: str, label: str) -> str | None:
        """Give the surrogate of an identifier, or None where there is none, as of a date that does not exist."""
        text = searched(text).text  # else a digit or letter that only looks plain would stay
        make = _MAKERS.get(label)
        made = None if make is None else make(self, text)
        return None if made is None or made.casefold() == text.casefold() else made

    def person(self, text: str) -> str:
        """Replace a name word by word; titles, initials' points and particles stay as they are."""
        if _HAN.search(text):
            return _HAN_RUN.sub(lambda match: self._chinese(match.group()), text)
        return _WORD.sub(lambda match: _in_case(match.group(), self._name_word(match.group())), text)

    def _name_word(self, word: str) -> str:
        names = load_rules("surrogates", "en")
        bare = word.lower()
        for ending in ("'s", "’s"):
            if bare.endswith(ending):
                return self._name_word(word[: -len(ending)]) + word[-len(ending) :]
        if bare in word_set("titles") | word_set("suffixes") | word_set("particles"):
            return word
        if len(bare) == 1:
            return self._keyed.pick(f"initial {bare}", "ABCDEFGHJKLMNPRSTW", {bare})
        sex = first_names().get(bare)
        return self._keyed.pick(f"name {_plain(bare)}", names[sex or "last"], self._avoid | {bare})

    def _chinese(self, text: str) -> str:
        names = load_rules("surrogates", "zh")
        double = load_rules("identifiers", "zh")["double_surnames"]
        cut = 2 if text[:2] in double else 1
        given = self._keyed.pick(f"given {text[cut:]}", names["given"], {text[cut:]})[: max(len(text) - cut, 0)]
        return self._keyed.pick(f"surname {text[:cut]}", names["surnames"], {text[:cut]}) + given

    def date(self, text: str) -> str | None:
        """Move a date by the patient's number of days."""
        return shifted(text, self.days, self._year, day_first=self._day_first)

    def number(self, text: str) -> str:
        """Replace the digits and letters of a number, in its form; the same number in another form agrees."""
        digits = iter(self._keyed.digits(_plain(text), len(text)))
        return "".join(self._sign(char, next(digits)) if char.isalnum() else char for char in text)

    def phone(self, text: str) -> str:
        """Replace the digits in their form; a number with and without a code for the country agrees."""
        own = digits_of(text)
        digits = iter(self._keyed.digits(own[-10:], 10)[-len(own) :].rjust(len(own), "1"))
        return "".join(self._sign(char, next(digits)) if char in "0123456789" else char for char in text)

    @staticmethod
    def _sign(char: str, digit: str) -> str:
        if char in "0123456789":
            return digit if digit != "0" or char == "0" else "7"  # it does not begin with a zero that was none
        if "a" <= char.lower() <= "z":
            letter = "ABCDEFGHJK"[int(digit)]
            return letter if char.isupper() else letter.lower()
        return char

    def email(self, text: str) -> str:
        """Make an address at example.org."""
        names = load_rules("surrogates", "en")
        value = _plain(text)
        user = self._keyed.pick(value, names["last"], self._avoid).lower()
        return f"{user}{self._keyed.number(value, 90) + 10}@example.org"

    def url(self, text: str) -> str:
        """Make an address below example.org."""
        return f"{'https://' if '://' in text else ''}www.example.org/{self._keyed.token(_plain(text), 6)}"

    def ip(self, text: str) -> str:
        """Make an address of those kept for documentation (RFC 5737, RFC 3849)."""
        number = self._keyed.number(_plain(text), 254) + 1
        return f"2001:db8::{number:x}" if ":" in text else f"192.0.2.{number}"

    def address(self, text: str) -> str:
        """Make a street and number, a town, or both, as the old one has them."""
        names, value = load_rules("surrogates", "en"), _plain(text)
        if _HAN.search(text):
            return self._keyed.pick(value, load_rules("surrogates", "zh")["places"])
        if re.fullmatch(r"[\d\-]+", text):
            return self.number(text)
        town = self._keyed.pick(f"town {value}", names["towns"])
        if not any(char.isdigit() for char in text):
            return _in_case(text, town)
        street = f"{self._keyed.number(value, 980) + 10} {self._keyed.pick(value, names['streets'])} Street"
        return _in_case(text, f"{street}, {town}" if "," in text or "\n" in text else street)

    def institution(self, text: str) -> str:
        """Make a place of the same kind."""
        names, value = load_rules("surrogates", "en"), _plain(text)
        if _HAN.search(text):
            return self._keyed.pick(value, load_rules("surrogates", "zh")["institutions"], {text})
        kind = next((kind for kind in names["institution_kinds"] if kind in " ".join(text.lower().split())), "hospital")
        return _in_case(text, f"{self._keyed.pick(value, names['institutions'])} {kind.title()}")

    def profession(self, text: str) -> str:
        """Make another profession."""
        names, value = load_rules("surrogates", "en"), _plain(text)
        return _in_case(text, self._keyed.pick(f"profession {value}", names["professions"], {text.lower()}))

    def age(self, text: str) -> str | None:
        """Give "90+" for every age over 89, as the rule allows."""
        digits = digits_of(text)
        return "90+" if not digits or int(digits) > 89 else None


_MAKERS: dict[str, Callable[[Any, str], str | None]] = {
    "PERSON": Surrogates.person,
    "DOCTOR": Surrogates.person,
    "DATE": Surrogates.date,
    "AGE": Surrogates.age,
    "PHONE": Surrogates.phone,
    "EMAIL": Surrogates.email,
    "URL": Surrogates.url,
    "IP": Surrogates.ip,
    "SSN": Surrogates.number,
    "MRN": Surrogates.number,
    "ID": Surrogates.number,
    "ADDRESS": Surrogates.address,
    "INSTITUTION": Surrogates.institution,
    "PROFESSION": Surrogates.profession,
}


def _plain(text: str) -> str:
    """Give letters and digits alone, in small letters: what makes two ways of writing one value the same."""
    return "".join(char for char in text.casefold() if char.isalnum())


def _in_case(old: str, new: str) -> str:
    letters = [char for char in old if char.isalpha()]
    if len(letters) > 1 and all(map(str.isupper, letters)):
        return new.upper()
    return new.lower() if letters and all(map(str.islower, letters)) else new


def looks_day_first(dates: Collection[Found], text: str) -> bool:
    """Tell whether the dates of a note put the day first: one can only be read so, and none only the other way."""
    pairs = [re.match(r"(\d{1,2})[-./](\d{1,2})[-./]\d", text[one.start : one.end]) for one in dates]
    firsts = [(int(pair.group(1)) > 12, int(pair.group(2)) > 12) for pair in pairs if pair]
    return any(first for first, _ in firsts) and not any(second for _, second in firsts)
