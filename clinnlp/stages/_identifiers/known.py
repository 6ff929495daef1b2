"""Identifiers that a record's own metadata knows, found wherever the text has them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice, permutations, product
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.alignment import EditedText
from clinnlp.stages._identifiers.found import Found
from clinnlp.stages._identifiers.searched import searched
from clinnlp.stages._identifiers.words import look_alikes, rule, word_set

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KnownStrings"]

_NAMES = ("PERSON", "DOCTOR")
_PART = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_WRAPPED = re.compile(r"[-\s]*[\r\n][-\s>]*|[-'’.]")
_HAN = re.compile("[\u4e00-\u9fff]")
_MOST_VARIANTS = 32


@dataclass(frozen=True, slots=True)
class _Needle:
    """Letters and digits to look for, with the places inside where parts of it meet."""

    letters: str
    seams: frozenset[int]
    label: str
    word: bool
    """Whether it is a short common word, which is a name in capitals only."""


class KnownStrings:
    """What is known of one record, to be looked for in texts: in any letter case, over line ends, hyphens and blanks.

    Each part of a name is looked for alone too, and the parts in any order; digits that a scanner puts for letters
    count as the letters, and letters in a number as the digits. A number of fewer than four digits is not looked for.

    Parameters
    ----------
    values : iterable of (str, str)
        As `known_values` gives them.
    """

    def __init__(self, values: Collection[tuple[str, str]]) -> None:
        needles = [needle for value, label in values for needle in _needles(value, label)]
        self._needles = sorted(set(needles), key=lambda n: (-len(n.letters), n.letters, n.label, n.word))
        self._initials = {part[0] for value, label in values if label in _NAMES for part in _parts(value)}

    @property
    def words(self) -> frozenset[str]:
        """All that is looked for, in small letters without anything else."""
        return frozenset(needle.letters for needle in self._needles)

    def find(self, text: str, view: EditedText | None = None) -> list[Found]:
        """Give what is found, with offsets of the text; `view` is what `searched` gives for it, where that is known."""
        if not self._needles:
            return []
        view = searched(text) if view is None else view
        read = _Letters(view.text)
        found = [
            self._with_initials(view.text, start, end, needle.label)
            for needle in self._needles
            for start, end in read.find(needle)
        ]
        spans = [(*view.to_source(start, end), label) for start, end, label in dict.fromkeys(found)]
        return [Found(start, end, label, by="metadata") for start, end, label in spans]

    def _with_initials(self, text: str, start: int, end: int, label: str) -> tuple[int, int, str]:
        """Take in the initial of a known name beside a part of one, such as in "J. Smith"."""
        if label not in _NAMES:
            return start, end, label
        before = re.search(r"(?<![^\W_\u4e00-\u9fff])([^\W\d_])\.?[ \t]?$", text[max(start - 5, 0) : start])
        if before and _folded(before.group(1)) in self._initials and before.group(1).isupper():
            start -= len(before.group())
        after = re.match(r",?[ \t]([^\W\d_])(?![^\W_])\.?", text[end : end + 5])
        if after and _folded(after.group(1)) in self._initials and after.group(1).isupper():
            end += after.end()
        return start, end, label


class _Letters:
    """A text without all that is no letter or digit, folded, and the way back to offsets."""

    def __init__(self, text: str) -> None:
        self.text = text
        codes = _codes(text)
        signs = np.flatnonzero(np.bincount(codes))
        folded = [_folded(chr(code)) for code in signs.tolist()]
        sizes = np.zeros(signs.max(initial=0) + 1, dtype=np.uint8)
        sizes[signs] = [*map(len, folded)]
        first = np.zeros(len(sizes), dtype=np.int32)
        first[signs] = np.cumsum(sizes[signs], dtype=np.int32) - sizes[signs]
        counts = sizes.take(codes)
        self.places = np.flatnonzero(counts)
        numbers = first.take(codes[self.places])
        if counts.max(initial=0) > 1:  # the letters of a sign such as "ß", one behind the other
            begins = np.cumsum(counts, dtype=np.int64) - counts
            self.places = np.repeat(np.arange(len(codes)), counts)
            numbers = first.take(codes[self.places]) + np.arange(len(self.places)) - begins[self.places]
        every = "".join(folded)
        self.letters = _text(_codes(every).take(numbers))
        self.confused = _text(_codes(every.translate(_one_form())).take(numbers))

    def find(self, needle: _Needle) -> Iterator[tuple[int, int]]:
        wanted = needle.letters
        fuzzy = len(wanted) >= 4
        where, looked = (self.confused, wanted.translate(_one_form())) if fuzzy else (self.letters, wanted)
        at = where.find(looked)
        while at >= 0:
            stop = at + len(looked)
            if (not fuzzy or self._alike(at, wanted)) and self._fits(needle, at, stop):
                yield int(self.places[at]), int(self.places[stop - 1]) + 1
            at = where.find(looked, at + 1)

    def _alike(self, at: int, wanted: str) -> bool:
        """Tell whether digits stand for letters, and letters for digits, but no letter for another.

        At least half of the signs must be the same; in a number, half must be digits, in the text or where it is known.
        """
        own = self.letters[at : at + len(wanted)]
        if own == wanted:
            return True
        digits, known_digits = (sum(map(str.isdigit, letters)) for letters in (own, wanted))
        numeric = digits and known_digits and 2 * max(digits, known_digits) >= len(wanted)
        if not numeric and 2 * sum(a == b for a, b in zip(own, wanted, strict=True)) < len(wanted):
            return False
        confused = rule("misread")
        return all(
            a == b or b in confused.get(a, "") or a in confused.get(b, "") for a, b in zip(own, wanted, strict=True)
        )

    def _fits(self, needle: _Needle, at: int, stop: int) -> bool:
        """Tell whether what lies between the letters, before and after lets them be the known string."""
        text, places = self.text, self.places[at:stop]
        first, last = int(places[0]), int(places[-1])
        if last - first != len(places) - 1:
            for i in np.flatnonzero(np.diff(places) > 1).tolist():
                if not _may_part(text[places[i] + 1 : places[i + 1]], i + 1 in needle.seams, needle.letters):
                    return False
        if needle.word and not _capital_inside(text, first, last + 1):
            return False
        if needle.letters.isdigit() and not self._in_number(places):
            return False
        if _HAN.search(needle.letters) or (len(needle.seams) and len(needle.letters) >= 8):
            return True
        return _edge(text, first - 1, first) and _end(text, last, len(needle.letters))

    def _in_number(self, places: NDArray[np.intp]) -> bool:
        """Tell whether each letter that stands for a digit is beside one, and beside no letter of another word."""
        for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
            first, last = int(run[0]), int(run[-1])
            word = self.text[first : last + 1]
            if not word.isdigit():
                outside = (self.text[max(first - 1, 0) : first], word[0]), (self.text[last + 1 : last + 2], word[-1])
                if not any(map(str.isdigit, word)) or any(
                    _kind(a) and (_kind(a) == 2 or _kind(b) == 1) for a, b in outside
                ):
                    return False
        return True


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text(codes: NDArray[np.uint32]) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def _may_part(gap: str, seam: bool, letters: str) -> bool:
    if seam:
        return len(gap) <= 8
    if any(char.isdigit() for char in letters):
        return len(gap) <= 4
    if ("-" in gap or len(letters) >= 3) and len(gap) <= 12 and _WRAPPED.fullmatch(gap):
        return True
    return len(letters) >= 5 and len(gap) <= 3


def _kind(char: str) -> int:
    """Give 1 for a letter, 2 for a digit, and 0 for another sign or none."""
    return 1 if char.isalpha() else 2 if char.isdigit() else 0


def _edge(text: str, before: int, after: int) -> bool:
    """Tell whether a word starts here: there is no letter, or digit, of the same kind before it."""
    if before < 0:
        return True
    left, right = text[before], text[after]
    return _kind(left) != _kind(right) or (left.islower() and right.isupper()) or bool(_HAN.match(left))


def _end(text: str, last: int, length: int) -> bool:
    following = text[last + 1 : last + 3]
    if not following or _kind(following[0]) != _kind(text[last]) or _HAN.match(following[0]):
        return True
    if text[last].islower() and following[0].isupper():
        return True
    return length >= 4 and following[0] in "sS" and (len(following) == 1 or not following[1].isalnum())


def _capital_inside(text: str, start: int, end: int) -> bool:
    """Tell whether a word is capitalised as a name is, and not because a sentence begins or all is in capitals."""
    word = text[start:end]
    if not word[0].isupper() or (word.isupper() and len(word) > 1):
        return False
    before = text[max(start - 12, 0) : start].rstrip(" \t")
    title = re.search(r"([^\W\d_]+)\.\Z", before)
    if title is not None and title.group(1).lower() in word_set("titles"):
        return True
    return bool(before) and before[-1] not in ".!?\r\n:;•*-"


@cache
def _one_form() -> dict[int, str]:
    """Give one sign for all that a scanner takes for each other, be it over a third."""
    groups: list[set[str]] = []
    for digit, letters in rule("misread").items():
        met = [group for group in groups if group & {digit, *letters}]
        groups = [group for group in groups if group not in met] + [{digit, *letters}.union(*met)]
    return str.maketrans({sign: max(group) for group in groups for sign in group})


@lru_cache(maxsize=4096)
def _folded(char: str) -> str:
    """Give a letter without case and accents, as the Latin one that it looks like, and a digit as it is."""
    if not char.isalnum():
        return "i" if char == "|" else ""
    plain = "".join(look_alikes().get(c, c) for c in unicodedata.normalize("NFKD", char))
    return "".join(c for c in plain.casefold() if c.isalnum())


def _parts(value: str) -> list[str]:
    """Give the parts of a name that are looked for, without titles and particles."""
    pieces = [re.split(r"['’]", part) if part[0].islower() else [part] for part in _PART.findall(value)]
    parts = [(part.lower(), _fold(part)) for piece in pieces for part in piece]
    return [folded for part, folded in parts if len(folded) >= 2 and part not in _no_names()]


@cache
def _no_names() -> frozenset[str]:
    return word_set("titles") | word_set("suffixes") | word_set("particles") | word_set("nobody")


def _fold(text: str) -> str:
    return "".join(map(_folded, text))


def _needles(value: str, label: str) -> Iterator[_Needle]:
    ways = (value, *_transcribed(value))
    value = searched(value).text
    if label in _NAMES:
        numbered = any(char.isdigit() for char in value)
        for way in map(searched, ways):
            # Of "Quarry, MRN 12" or "X500-CT-31" words of three letters are the name's, not shorter ones.
            words = re.split(r"[\s()（）\-]+|[^\W_]*\d[^\W_]*", way.text)
            name = " ".join(word for word in words if len(word) > 2) if numbered else way.text
            yield from _name_needles(re.sub(r"[()（）]", " ", name), label)
        if not numbered:
            return
    pieces = [value]
    if label == "ADDRESS":
        pieces += [*re.split(r"[,\n;]", value), *re.findall(r"\b\d{5}(?:-\d{4})?\b", value)]
        pieces = [way for piece in pieces for part in (piece, *_street_of(piece)) for way in _ways_to_write(part)]
    if label == "PHONE":
        digits = re.sub(r"\D", "", value)
        pieces += [digits[-length:] for length in (11, 10, 7) if len(digits) > length]
    for piece in pieces:
        parts = [_fold(part) for part in re.findall(r"[^\W_]+", piece)]
        letters = "".join(parts)
        least = 4 if label != "ADDRESS" else 5 if letters.isdigit() else 4
        if len(letters) >= least and letters not in word_set("nobody"):
            yield _Needle(letters, _seams(parts), label, False)


def _street_of(address: str) -> Iterator[str]:
    """Give the number and street of an address, and both without what kind of street it is, and the street alone."""
    words = re.findall(r"[^\W_]+", address.lower())
    kinds = [at for at, word in enumerate(words) if at > 1 and word in _street_words()]
    if kinds and words[0].isdigit():
        number, *name, kind = words[: kinds[-1] + 1]
        yield " ".join([number, *name, kind])
        # What is long enough not to be said of something else: "5 high", "high ST" may be.
        yield from (
            " ".join(some) for some in ([number, *name], [*name, _street_words()[kind]]) if len("".join(some)) > 7
        )


def _ways_to_write(address: str) -> Iterator[str]:
    """Give an address, and it with its street and other words written out and shortened."""
    yield address
    words = [word.lower() for word in re.findall(r"[^\W_]+", address)]
    # A town, such as "Fort Lee", and a street without a number are left as they are.
    if any(map(str.isdigit, words)):
        groups = [*rule("street_words"), *rule("address_words")]
        ways = [sorted({word}.union(*(group for group in groups if word in group))) for word in words]
        yield from (" ".join(some) for some in islice(product(*ways), _MOST_VARIANTS))


@cache
def _street_words() -> dict[str, str]:
    """Give the words for kinds of streets, each with how it is written out."""
    return {word: group[0] for group in rule("street_words") for word in group}


def _name_needles(value: str, label: str) -> Iterator[_Needle]:
    if _HAN.search(value):
        yield from _chinese_needles(value, label)
        value = _HAN.sub(" ", value)
    every = [_fold(part) for part in _PART.findall(value)]
    whole = "".join(every)
    if len(whole) >= 2 and len(every) > 1 and whole not in word_set("nobody"):
        yield _Needle(whole, _seams(every), label, False)
    parts = _parts(value)
    for count in (2, 3):
        if len(parts) >= count and len(parts) <= 4:
            for some in permutations(parts, count):
                yield _Needle("".join(some), _seams(some), label, False)
    for part in parts:
        yield _Needle(part, frozenset(), label, len(part) <= 4 and part in word_set("common_words"))


def _transcribed(name: str) -> Iterator[str]:
    """Give a name with "ue" for "ü" and the like; or a name that has them without, where its words are long."""
    small, letters = unicodedata.normalize("NFC", name.lower()), rule("transcribed")
    plain = "".join(letters.get(char, char) for char in small)
    if plain == small:
        short = {written: _fold(letter) for letter, written in letters.items()}
        found = re.compile("|".join(short))
        words = (found.sub(lambda match: short[match[0]], word) if len(word) > 5 else word for word in small.split())
        plain = " ".join(words)
    if plain != small:
        yield plain


def _chinese_needles(value: str, label: str) -> Iterator[_Needle]:
    name = "".join(_HAN.findall(value))
    surnames = 2 if name[:2] in rule("double_surnames", "zh") else 1
    if len(name) >= 2:
        yield _Needle(name, frozenset(range(1, len(name))), label, False)
    if len(name) - surnames >= 2:
        yield _Needle(name[surnames:], frozenset(), label, False)


def _seams(parts: Collection[str]) -> frozenset[int]:
    """Give the places where parts meet."""
    at, made = 0, []
    for part in parts:
        at += len(part)
        made.append(at)
    return frozenset(made[:-1])
