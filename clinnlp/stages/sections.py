"""Sections of a note, by its headings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from clinnlp.record import Record, Section
from clinnlp.rules import check_rules, load_rules
from clinnlp.stage import Stage
from clinnlp.stages._headings import Heading, HeadingFinder

__all__ = ["SectionDetector"]


class SectionDetector(Stage):
    """Finds the sections of a note, which follow each other without a gap from its start to its end.

    A heading is a known title at the start of a line, followed by a colon, a dash or the end of the line, also with
    a number or markdown marks before it; in capitals, a full stop after it will do, and a known title with a colon
    counts inside a line too, behind the end of a sentence. Titles are data, in `rules/LANG/sections.yaml`, with the
    canonical name of each; a title with `#`, or in capitals at the start of a line with a colon or by itself
    between blank lines, that is not known there starts a section named after its words (`DEVICE CHECK:` starts
    `device_check`). Titles of parts, such as `HEENT:` in an examination, and of values, such as `BP: 120/80`, start
    none.

    Text before the first heading is a section with the name `""`, unless it is blank: then the first section
    begins with it. A blank note has no sections. Sections that a record brings are kept.

    Parameters
    ----------
    lang : str
        Language of the titles: `en` or `zh`.
    name : str, optional
        Name in a pipeline.

    Raises
    ------
    ConfigError
        If there are no titles for the language.
    """

    kind = "sections"
    uses = ("cleaned",)
    assigns = ("sections",)

    def __init__(self, lang: str = "en", name: str | None = None) -> None:
        super().__init__(name)
        check_rules(self.kind, lang)
        self.lang = lang
        self._finder: HeadingFinder | None = None

    def config(self) -> dict[str, Any]:
        """Give the language."""
        return {"lang": self.lang}

    def warm_up(self) -> None:
        """Read the titles."""
        self._ready()

    def _ready(self) -> HeadingFinder:
        if self._finder is None:
            self._finder = HeadingFinder(load_rules(self.kind, self.lang))
        return self._finder

    def process(self, records: Sequence[Record]) -> None:
        """Find the sections of each record."""
        finder = self._ready()
        for record in records:
            if not record.has("sections"):
                record.sections = _sections(record, finder.find(record.view.text))


def _sections(record: Record, headings: Sequence[Heading]) -> list[Section]:
    """Make sections of headings, from the text that was read to raw offsets."""
    raw, view = record.text, record.view
    found: list[Section] = []
    last = 0  # where the title before ends
    for heading in headings:
        start = view.to_source(heading.start, heading.start + 1)[0]
        title_start, title_end = view.to_source(heading.title_start, heading.title_end)
        body = view.to_source(heading.body, heading.body + 1)[0] if heading.body < len(view.text) else len(raw)
        # Headings that share a replaced stretch, or one that was only inserted, cannot be told apart in the raw text.
        if title_start < title_end and (not found or start >= last):
            found.append(Section(start, start, heading.name, raw[title_start:title_end], max(body, title_end)))
            last = title_end
    if found and raw[: found[0].start].isspace():
        found[0].start = 0
    elif raw[: found[0].start].strip() if found else raw.strip():
        found.insert(0, Section(0, 0))
    for section, following in pairwise([*found, Section(len(raw), len(raw))]):
        section.end = following.start
        section.body_start = min(section.body_start, section.end)
        section.text = raw[section.start : section.end]
    return found
