"""Headings of sections: one pass over the lines of a text, titles looked up in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Heading", "HeadingFinder", "section_name", "title_key"]

_LONGEST_TITLE = 80
_LINE = re.compile("[^\n\r\x0b\x0c\x85\u2028\u2029]+")
_OPENING = re.compile(
    r"[^\S\n]*(?P<hashes>\#{1,6}(?=[^\S\n]))?(?P<bullet>[-*+•●▪>](?=[^\S\n]))?(?P<frame>[=~*_<\[-]{0,8})[^\S\n]*"
    r"(?P<number>\(?\d{1,2}[.)](?!\d)|\(?(?:[A-Za-z]|[IVXivx]{1,5})[.)](?=[^\S\n])"
    r"|\d{1,2}、|[一二三四五六七八九十]{1,3}[、.．]|[（(][一二三四五六七八九十]{1,3}[）)])?[^\S\n]*[*_【]{0,3}"
)
_SEPARATOR = re.compile(r"[^\S\n]*】?[:：]|】|[^\S\n]+[-–—]{1,2}(?=\s|$)|\.(?=\s|$)|[^\S\n]*$")
_ALIKE = str.maketrans("：】–—", "::--")
_FRAME = "*_#=~>]- \t"
_BODY = re.compile(r"[*_]{0,3}(?:[^\S\n]*\n[-=~*]{3,}[^\S\n]*(?=\n|\Z))?\s*")
_ADDED = re.compile(r"(?:\s*\([^()\n]{0,40}\)|\s*\#?\s?\d{1,2})$")
_JOINED = re.compile(r"/|&|,|\sAND\s")
_INLINE = re.compile(r"(?:(?<=[.;!?)\]\"”]\s)|(?<=\s\s))(?P<title>[A-Z][A-Z0-9 &/,'’()-]{1,60}?) ?:(?=\s)")
# Chinese has no capitals: there a title in a line stands behind the end of a sentence.
_INLINE_HAN = re.compile(r"(?<=[。；;！？])[^\S\n]*(?P<title>[\u4e00-\u9fff]{2,8})[：:]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_SPACED_HAN = re.compile(r"(?<=[\u4e00-\u9fff])[^\S\n]+(?=[\u4e00-\u9fff])")
_PLAIN_CAPITALS = re.compile(r"[A-Z][A-Z &/'’()-]*[A-Z)]")
_WORDS = re.compile(r"[^\W_]+")
_ITEM = re.compile(r"\d{1,2}[.)](?!\d)")
_CAPITALS_SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: where it starts with its number and marks, where its title is, where its body starts."""

    start: int
    title_start: int
    title_end: int
    body: int
    name: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that may start with a heading."""

    start: int
    end: int
    after_blank: bool
    after_end: bool  # the line before is blank, or ends in a mark that ends sentences


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A stretch at the start of a line that has the form of a heading."""

    line: _Line
    title: str
    start: int
    title_start: int
    end: int  # behind the separator
    separator: str  # ":", "-", "." or "" at the end of the line
    number: str
    bullet: bool
    hashes: int


def title_key(title: str) -> str:
    """Give the form in which titles are compared: lower case, words only, singular, without articles."""
    if not title.isascii():
        title = _SPACED_HAN.sub("", title)  # 主　诉
    words = _WORDS.findall(title.lower().replace("&", " and ").replace("'s", "s").replace("’s", "s"))
    return " ".join(_singular(word) for i, word in enumerate(words) if i == 0 or word not in ("the", "this"))


def _singular(word: str) -> str:
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word == "diagnoses":
        return "diagnosis"
    if word.endswith("sses"):
        return word[:-2]
    return word[:-3] + "y" if word.endswith("ies") else word[:-1]


def section_name(title: str) -> str:
    """Make a name of a title that is not known: its words in lower case, joined by underscores."""
    return "_".join(_WORDS.findall(title.lower()))


class HeadingFinder:
    """Finds the headings of texts of one language.

    Parameters
    ----------
    rules : mapping
        What `rules/LANG/sections.yaml` holds.
    """

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self._names: dict[str, str] = {
            title_key(title): name for name, titles in rules["titles"].items() for title in titles
        }
        self._is_han = any(_HAN.match(title) for titles in rules["titles"].values() for title in titles)
        self._never = frozenset(map(title_key, rules.get("never", ())))
        self._capitals_only = frozenset(map(title_key, rules.get("capitals_only", ())))
        self._qualifiers = tuple(title_key(words) + " " for words in rules.get("qualifiers", ()))
        self._lists = frozenset(rules.get("lists", ()))
        self._parts: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for group in rules.get("parts", ()):
            for title in group["titles"]:
                self._parts.setdefault(title_key(title), []).append((group["opens"], frozenset(group["within"])))

    def find(self, text: str) -> list[Heading]:
        """Find the headings of a text, in order."""
        found: list[Heading] = []
        current = number = ""
        invents = not _is_all_capitals(text)
        for line in _lines(text):
            at = line.start + 1
            candidate, name = self._at_start(text, line, current, number, invents)
            if candidate is not None:
                body = _body(text, candidate.end)
                title_end = candidate.title_start + len(candidate.title)
                found.append(Heading(candidate.start, candidate.title_start, title_end, body, name))
                current, number, at = name, candidate.number, min(body, line.end)
            inline = _INLINE_HAN if self._is_han else _INLINE
            for match in inline.finditer(text, at, line.end):
                name = self._inline(match["title"], current)
                if name:
                    start, end = match.span("title")
                    found.append(Heading(start, start, end, _body(text, match.end()), name))
                    current, number = name, ""
        return found

    def _key(self, title: str) -> str:
        """Give the form of a title in the tables, where it has one, if need be without what was added to it."""
        key = title_key(title)
        if self._is_known(key):
            return key
        plain = title_key(_ADDED.sub("", title))
        if self._is_known(plain) or not title.isupper():
            return plain
        # Of several titles joined in one the first names the section.
        for part in (plain, title_key(_JOINED.split(title, maxsplit=1)[0])):
            for words in ("", *self._qualifiers):
                if part.startswith(words) and len(part) > len(words) + 3 and part[len(words) :] in self._names:
                    return part[len(words) :]
        return key

    def _is_known(self, key: str) -> bool:
        return key in self._names or key in self._parts or key in self._never

    def _at_start(
        self, text: str, line: _Line, current: str, number: str, invents: bool
    ) -> tuple[_Candidate | None, str]:
        """Give the heading that a line starts with, and its name."""
        unknown: tuple[_Candidate | None, str] = (None, "")
        known = unknown
        for candidate in _candidates(text, line):
            key = self._key(candidate.title)
            name = self._known(text, candidate, key, current, number)
            if name:
                known = candidate, name
            elif invents and key and self._is_new(text, candidate, key, current):
                unknown = candidate, section_name(candidate.title)
        return known if known[0] is not None else unknown

    def _known(self, text: str, candidate: _Candidate, key: str, current: str, number: str) -> str:
        """Give the name of a known title if its form and its place are those of a heading."""
        upper = candidate.title.isupper()
        colon = candidate.separator == ":"
        if key in self._parts:
            groups = self._parts[key]
            if any(current in within for _, within in groups):
                return ""
            if key not in self._names and not (upper and colon and not candidate.number):
                return ""
            name = self._names.get(key, groups[0][0])
        else:
            name = self._names.get(key, "")
        if not name or (key in self._never and not candidate.hashes):
            return ""
        if key in self._capitals_only and not (upper and (colon or len(key) > 3)) and not candidate.hashes:
            return ""
        if len(key) == 1 and (not colon or _starts_with_value(text, candidate)):
            return ""
        if candidate.title[0].islower() and not (colon and candidate.line.after_end):
            return ""
        if candidate.separator == "" and candidate.title[-1] in ".,;!?":
            return ""
        if candidate.separator == "." and (not upper or len(key) < 4 or candidate.number):
            return ""
        if candidate.bullet and not (upper and current not in self._lists):
            return ""
        if candidate.number and not self._is_numbered_heading(candidate, upper, current, number):
            return ""
        return name

    def _is_numbered_heading(self, candidate: _Candidate, upper: bool, current: str, number: str) -> bool:
        """Tell a numbered heading from an item of a list: by itself in capitals, or outside lists, or the next one."""
        if upper and candidate.separator == "":
            return True
        return current not in self._lists or (bool(number) and _is_next(number, candidate.number))

    def _is_new(self, text: str, candidate: _Candidate, key: str, current: str) -> bool:
        """Tell whether a title that is not known is one all the same: with `#`, or in capitals."""
        if key in self._names or key in self._parts or not candidate.title[0].isalpha():
            return False
        if candidate.hashes:
            # In a plan `# Asthma` and `# Asthma: stable` are problems.
            alone = not text[candidate.end : candidate.line.end].strip()
            return alone and candidate.title[0].isupper() and (candidate.hashes > 1 or current not in self._lists)
        title = candidate.title
        letters = sum(map(str.isalpha, title))
        if key in self._never or not title.isupper() or letters < 4 or key.count(" ") > 7:
            return False
        if candidate.number or candidate.bullet or (current in self._lists and not candidate.line.after_blank):
            return False
        if candidate.separator == ":":
            return not _starts_with_value(text, candidate)
        return (
            candidate.separator == ""
            and candidate.line.after_blank
            and _PLAIN_CAPITALS.fullmatch(title) is not None
            and _has_body(text, candidate.line.end)
        )

    def _inline(self, title: str, current: str) -> str:
        """Give the name of a heading inside a line: only of titles that are known and mean nothing else."""
        key = title_key(title)
        if len(key) < 2 or key in self._capitals_only or key in self._never:
            return ""
        if any(current in within for _, within in self._parts.get(key, ())):
            return ""
        return self._names.get(key, "")


def _lines(text: str) -> Iterator[_Line]:
    """Give the lines that are not blank."""
    last, blank, ended = 0, True, True
    for match in _LINE.finditer(text):
        start, end = match.span()
        breaks = text.count("\n", last, start) or text.count("\r", last, start)
        blank = blank or breaks > 1
        last = end
        if match[0].isspace():
            blank = True
            continue
        yield _Line(start, end, blank, blank or ended)
        blank = False
        ended = text[start:end].rstrip()[-1] in ".:;!?。；："


def _candidates(text: str, line: _Line) -> Iterator[_Candidate]:
    """Give the ways to read the start of a line as a heading, up to its first colon."""
    opening = _OPENING.match(text, line.start, line.end)
    if opening is None or opening.end() == line.end or not text[opening.end()].isalnum():
        return
    at = opening.end()
    for match in _SEPARATOR.finditer(text, at, min(line.end, at + _LONGEST_TITLE)):
        separator = match[0].strip()[-1:].translate(_ALIKE)
        if not separator and match.end() < line.end:
            return
        title = text[at : match.start()].rstrip(_FRAME)
        start = line.start + len(text[line.start : at]) - len(text[line.start : at].lstrip())
        if title:
            number = (opening["number"] or "").strip("().")
            bullet, hashes = bool(opening["bullet"]), len(opening["hashes"] or "")
            yield _Candidate(line, title, start, at, match.end(), separator, number, bullet, hashes)
        if separator in ("", ":"):
            return


def _body(text: str, at: int) -> int:
    match = _BODY.match(text, at)
    return at if match is None else match.end()


def _starts_with_value(text: str, candidate: _Candidate) -> bool:
    """Tell whether a number follows that is not the number of an item of a list."""
    rest = text[candidate.end : candidate.line.end][:20].lstrip()
    return rest[:1].isdigit() and _ITEM.match(rest) is None


def _has_body(text: str, at: int) -> bool:
    """Tell whether a line follows that is no heading in capitals itself."""
    following = re.compile(r"\s*").match(text, at)
    line = _LINE.match(text, following.end() if following else at)
    return line is not None and not (line[0][:_LONGEST_TITLE].isupper() and len(line[0]) < _LONGEST_TITLE)


def _is_next(number: str, following: str) -> bool:
    """Tell whether a number or letter comes right after another."""
    if number.isdigit() and following.isdigit():
        return int(following) == int(number) + 1
    romans = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]
    low, high = number.lower(), following.lower()
    if low in romans and high in romans and romans.index(high) == romans.index(low) + 1:
        return True
    return len(low) == len(high) == 1 and ord(high) == ord(low) + 1


def _is_all_capitals(text: str) -> bool:
    """Tell whether less than a tenth of the letters at the start of a note are small ones."""
    sample = text[:_CAPITALS_SAMPLE]
    return 10 * sum(map(str.islower, sample)) < sum(map(str.isalpha, sample))
