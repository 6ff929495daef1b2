"""How a note looks: its headings, its lists, and the wear of real notes: wrapped lines, slips of the keyboard."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from clinnlp.alignment import Edit, EditedText
from notewriter.chance import Chance
from notewriter.draft import Draft, Heading

__all__ = ["Layout", "make_layout", "wear"]


@dataclass(frozen=True)
class Layout:
    """The look of one note.

    Parameters
    ----------
    upper : bool
        Headings in capital letters.
    short : float
        How often a heading is an abbreviation, such as HPI.
    mark : str
        What follows a heading, such as a colon.
    inline : bool
        Whether the text goes on in the line of its heading.
    numbered : bool
        Whether headings are numbered.
    bullet : str
        What begins the item of a list; `"1."` and `"1)"` count, `""` makes bare lines, `","` one line of all.
    gap : int
        Empty lines between sections.
    width : int
        Letters in a line; 0 where lines are not wrapped.
    slips : float
        How often a word has a slip of the keyboard.
    stops : float
        How often a sentence keeps its full stop.
    shout : bool
        All in capital letters.
    crlf : bool
        Lines end as on Windows.
    """

    upper: bool
    short: float
    mark: str
    inline: bool
    numbered: bool
    bullet: str
    gap: int
    width: int
    slips: float
    stops: float
    shout: bool
    crlf: bool

    def heading(self, draft: Draft, titles: dict[str, list[str]], number: int, chance: Chance) -> None:
        """Write the heading of a section, one of the titles of each name."""
        pairs = [(title, name) for name, given in titles.items() for title in given]
        short = [pair for pair in pairs if pair[0].isupper() or len(pair[0]) < 5]
        long = [pair for pair in pairs if pair not in short] or pairs
        title, name = chance.pick(short if short and chance.happens(self.short) else long)
        title = title.upper() if self.upper else title
        start = len(draft.text)
        draft.add(f"{number}. " if self.numbered else "")
        at = len(draft.text)
        draft.add(title + self.mark)
        draft.add(" " if self.inline else "\n")
        draft.headings.append(Heading(name, start, at, at + len(title), len(draft.text)))

    def item(self, number: int) -> str:
        """Give what stands before the item of a list, but the line end."""
        if self.bullet in ("1.", "1)"):
            return f"{number}{self.bullet[1]} "
        return self.bullet


def make_layout(chance: Chance, terse: bool) -> Layout:
    """Choose a look."""
    inline = chance.happens(0.45)
    return Layout(
        upper=chance.happens(0.55),
        short=0.75 if terse else 0.15,
        mark=chance.weighted([(":", 8), (" -", 1), (":" if inline else "", 1.5)]),
        inline=inline,
        numbered=chance.happens(0.05),
        bullet=chance.weighted([("- ", 4), ("* ", 1), ("1.", 4), ("1)", 1.5), ("• ", 1), ("", 2), (",", 2)]),
        gap=chance.weighted([(0, 2), (1, 6), (2, 0.6)]),
        width=chance.weighted([(0, 6), (72, 1), (80, 1.5), (96, 1)]),
        slips=chance.weighted([(0.0, 5), (0.004, 2), (0.012, 1)]),
        stops=chance.weighted([(1.0, 5), (0.9, 2), (0.5, 1)]),
        shout=chance.happens(0.03),
        crlf=chance.happens(0.05),
    )


def wear(draft: Draft, layout: Layout, chance: Chance) -> None:
    """Wrap lines, make slips, change letters and line ends; all spans move along."""
    if layout.shout and len(draft.text.upper()) == len(draft.text):
        draft.text = draft.text.upper()
    _edit(draft, _slips(draft, layout.slips, chance))
    if layout.width:
        _edit(draft, _wraps(draft.text, layout.width))
    if layout.crlf:
        _edit(draft, [Edit(m.start(), m.end(), "\r\n") for m in re.finditer("\n", draft.text)])


def _edit(draft: Draft, edits: list[Edit]) -> None:
    if not edits:
        return
    edited = EditedText.of(draft.text, edits)
    draft.text = edited.text

    def moved(start: int, end: int) -> tuple[int, int]:
        return edited.to_target(start, end)

    spans = [(span, moved(span.start, span.end)) for span in draft.spans]
    draft.spans = [replace(span, start=start, end=end) for span, (start, end) in spans]
    headings = []
    for heading in draft.headings:
        start, body = moved(heading.start, heading.body_start)
        title_start, title_end = moved(heading.title_start, heading.title_end)
        headings.append(Heading(heading.name, start, title_start, title_end, body))
    draft.headings = headings


def _slips(draft: Draft, rate: float, chance: Chance) -> list[Edit]:
    """Swap, drop or double a letter inside a word now and then, but not in headings or identifiers."""
    closed = [(s.start, s.end) for s in draft.spans if s.identifier]
    closed += [(heading.start, heading.body_start) for heading in draft.headings]
    edits: list[Edit] = []
    for match in re.finditer(r"\b[a-z]{5,}\b", draft.text):
        if not chance.happens(rate):
            continue
        at = match.start() + chance.number(1, len(match[0]) - 3)
        if any(start <= at < end for start, end in closed):
            continue
        one, two = draft.text[at], draft.text[at + 1]
        new = chance.pick([two + one, one, one + one + two])
        if new != one + two:
            edits.append(Edit(at, at + 2, new))
    return edits


def _wraps(text: str, width: int) -> list[Edit]:
    edits: list[Edit] = []
    begin = 0
    for line in text.split("\n"):
        at = begin
        while begin + len(line) - at > width:
            space = text.rfind(" ", at + 1, at + width)
            # No break before a lone mark, in a list number or in a heading of the note's first words.
            if space <= at + 20:
                break
            edits.append(Edit(space, space + 1, "\n"))
            at = space + 1
        begin += len(line) + 1
    return edits
