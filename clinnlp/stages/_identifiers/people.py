"""Names read word by word, from a title, a credential or the label of a form; and names of places likewise."""

from __future__ import annotations

import re

import numpy as np

from clinnlp.stages._identifiers.words import first_names, word_set

__all__ = ["Style", "name_after", "name_before", "place_before"]

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
# A digit that a scanner put for a letter.
_MISREAD = r"(?<=[^\W\d_]{2})\d(?=[^\W\d_]{2})"
# Which a hyphen at the end of a line may part.
_PARTED_WORD = re.compile(rf"[^\W\d_]+(?:(?:['’\-]|{_MISREAD}|-[ \t]{{0,2}}(?:\r\n|\r|\n)[ \t]{{0,3}})([^\W\d_]+))*")
_GAP = re.compile(r"[ \t]{0,3}(?:\.[ \t]{0,3})?(?:(?:\r\n|\r|\n)[ \t]{0,3})?")
_COMMA = re.compile(r"[ \t]{0,2},[ \t]{0,2}(?:(?:\r\n|\r|\n)[ \t]{0,3})?")
# These read a stretch from its end, in reverse: a search for what ends at a place would try each place before it. One
# more end of a line does not count.
_WORD_BACK = re.compile(
    rf"\n?(\.?[^\W\d_]+(?:(?:['’\-]|{_MISREAD}|[ \t]{{0,3}}(?:\n\r|\r|\n)[ \t]{{0,2}}-)[^\W\d_]+)*)"
)
_GAP_BACK = re.compile(r"\n?[ \t]{0,3}(?:(?:\n\r|\r|\n)[ \t]{0,3})?")
_REACH = 60

Style = str
"""How a text uses letter case: "mixed", "upper" or "lower"."""


def style_of(text: str) -> Style:
    """Tell whether capitals mean something in a text."""
    counts = np.bincount(np.frombuffer(text[:20_000].encode("utf-32-le"), dtype="<u4"))
    signs = [(chr(code), int(counts[code])) for code in np.flatnonzero(counts).tolist()]
    letters = sum(count for sign, count in signs if sign.isalpha())
    capitals = sum(count for sign, count in signs if sign.isupper())
    if letters and capitals / letters > 0.7:
        return "upper"
    return "lower" if capitals <= letters / 100 else "mixed"


def name_after(text: str, at: int, style: Style, *, form: bool = False, cased: bool = False) -> tuple[int, int] | None:
    """Read the name that starts at a place.

    Parameters
    ----------
    text : str
    at : int
    style : {"mixed", "upper", "lower"}
    form : bool
        Whether it is the value of a form's field: "Last, First" is one name then, and small letters are none.
    cased : bool
        Whether only capitals make a name, in a text of any style.

    Returns
    -------
    (int, int) or None
        Where it starts and ends.
    """
    start, end, count, most = at, at, 0, 4 if form or style == "mixed" else 2
    last = ""
    for _ in range(most + 2):
        if count >= most:
            break
        gap = _gap(text, end, count, last, form)
        word = _name_word(text, gap) if gap is not None else None
        if word is None or gap is None:
            break
        bare = word.group().lower()
        if count == 0 and bare in word_set("titles") and bare not in ("md", "do", "pa", "np", "rn"):
            end = word.end() + (text[word.end() : word.end() + 1] == ".")
            start = end
            continue
        if not _may_be_name(word.group(), text, word.end(), style, count, form, cased):
            break
        start = word.start() if count == 0 else start
        end, last = word.end(), bare
        count += bare not in word_set("particles") and len(bare) > 1
    if not count:
        return None
    return start, end


def _name_word(text: str, at: int) -> re.Match[str] | None:
    """Read a word; what follows a hyphen at the end of a line is part of it, but where it is no part of a name."""
    word = _PARTED_WORD.match(text, at)
    if word is not None and word.group(1) and word.group(1).lower() in word_set("not_names"):
        return _WORD.match(text, at)
    return word


def _gap(text: str, end: int, count: int, last: str, form: bool) -> int | None:
    """Give where the next word of a name may start, or None: over blanks, a comma of a form, or a line's end."""
    if form and count == 1 and (comma := _COMMA.match(text, end)) is not None:
        return comma.end()
    gap = _GAP.match(text, end)
    assert gap is not None
    crossed, dotted = ("\n" in gap.group() or "\r" in gap.group()), "." in gap.group()
    if count and dotted and len(last) > 1:
        return None  # the end of a sentence
    if crossed and count:
        # A name goes on in the next line after a first name or an initial alone.
        return gap.end() if count == 1 and (len(last) == 1 or last in first_names()) else None
    return gap.end()


def _may_be_name(word: str, text: str, end: int, style: Style, count: int, form: bool, cased: bool) -> bool:
    bare = word.lower().removesuffix("'s").removesuffix("’s")
    if len(bare) == 1:  # an initial
        return (word.isupper() and (count > 0 or text[end : end + 1] == ".")) or (style == "lower" and count > 0)
    if bare in word_set("not_names") or (count and bare in word_set("titles")):
        return False
    following = text[end : end + 1]
    if following == ":" or following == "(" or (following.isdigit() and style != "mixed"):
        return False
    if word[0].isupper():
        return True
    if count and bare in word_set("particles"):
        return True
    if cased or form:
        return style == "lower" and not cased and count < 3
    return style == "lower" or count == 0


def name_before(text: str, at: int, style: Style) -> tuple[int, int] | None:
    """Read the name that ends at a place, such as before "MD"; in mixed case its words are capitalised."""
    start, count = at, 0
    while count < 4:
        low = max(start - _REACH, 0)
        edge = _gap_before(text, low, start) if count else start
        if count == 1 and text[max(edge - 1, 0) : edge] == ",":  # "Smith, John, MD"
            edge -= 1
        word, begin = _word_before(text, low, edge)
        if not word or ("\n" in text[edge:start] and count > 1):
            break
        bare = word.rstrip(".").lower()
        if bare in word_set("not_names") or bare in word_set("titles"):
            break
        if word.endswith(".") and len(bare) > 1:
            break
        if style == "mixed" and not word[0].isupper() and bare not in word_set("particles"):
            break
        start, count = begin, count + (len(bare) > 1)
    if count < 2 and style != "mixed":
        return None
    end = at
    return (start, end) if count else None


def _gap_before(text: str, low: int, at: int) -> int:
    """Give where the blanks, and perhaps the end of a line, before a place begin."""
    gap = _GAP_BACK.match(text[low:at][::-1])
    assert gap is not None
    return at - gap.end()


def _word_before(text: str, low: int, at: int) -> tuple[str, int]:
    """Give the word before a place, with its full stop, and where it begins; an empty one if there is none."""
    word = _WORD_BACK.match(text[low:at][::-1])
    return ("", at) if word is None else (word.group(1)[::-1], at - word.end())


def place_before(text: str, at: int, end: int, style: Style) -> tuple[int, int] | None:
    """Read the name of a place whose last word, such as "Hospital", starts at `at` and ends at `end`."""
    start, proper, count = at, 0, 0
    most = 5 if style == "mixed" else 3
    while count < most:
        low = max(start - _REACH, 0)
        edge = _gap_before(text, low, start)
        word, begin = _word_before(text, low, edge)
        if not word or edge == start:
            break
        bare = word.rstrip(".").lower()
        saint = bare in ("st", "saint")
        if word.endswith(".") and not saint:
            break
        if not saint and style == "mixed" and not word[0].isupper() and bare not in ("of", "and", "the", "for"):
            break
        if not saint and bare in word_set("not_names") and bare not in word_set("generic_places"):
            break
        if style != "mixed" and not saint and bare in word_set("generic_places") and not proper and count > 1:
            break
        generic = not saint and (bare in word_set("generic_places") or bare.removesuffix("'s") in word_set("not_names"))
        if style != "mixed" and generic and proper:
            break
        proper += not generic
        start, count = begin, count + 1
        if saint:
            break
    if not proper:
        return None
    return _without_lead(text, start, end)


def _without_lead(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out small words at the start of a place's name."""
    while (word := _WORD.match(text, start)) is not None and word.group().lower() in (
        "the", "of", "and", "for", "at", "in", "to", "from", "a", "an", "our", "this",
    ):  # fmt: skip
        following = _GAP.match(text, word.end())
        assert following is not None
        start = following.end()
    return start, end
