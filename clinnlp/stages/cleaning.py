"""Cleaning: repairs that real notes need, as edits, so that the raw text is never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from clinnlp.alignment import Edit, EditedText
from clinnlp.errors import ConfigError
from clinnlp.record import Record
from clinnlp.stage import Stage
from clinnlp.stages._repairs.control import control
from clinnlp.stages._repairs.encoding import encoding
from clinnlp.stages._repairs.html import html_characters, html_tags
from clinnlp.stages._repairs.hyphens import hyphens
from clinnlp.stages._repairs.pages import pages
from clinnlp.stages._repairs.placeholders import placeholder_kinds, placeholders
from clinnlp.stages._repairs.spaces import line_endings, spaces
from clinnlp.stages._repairs.unicode import FORMS, Form, ligatures, normal_form, width
from clinnlp.stages._repairs.wraps import line_wraps

__all__ = ["REPAIRS", "Repair", "TextCleaner"]

Repair = Callable[[str], list[Edit]]
"""Gives the edits that mend a text."""

REPAIRS: Mapping[str, Repair] = MappingProxyType(
    {
        "html_characters": html_characters,
        "encoding": encoding,
        "html_tags": html_tags,
        "line_endings": line_endings,
        "control": control,
        "width": width,
        "ligatures": ligatures,
        "unicode": normal_form,
        "pages": pages,
        "line_wraps": line_wraps,
        "hyphens": hyphens,
        "placeholders": placeholders,
        "spaces": spaces,
    }
)
"""All repairs by name, in the order in which each is of most use to the next."""


class TextCleaner(Stage):
    r"""Repairs the text of records and puts the cleaned text, with the way back, into `Record.cleaned`.

    The repairs, in their order:

    - `html_characters`: `&nbsp;`, `&lt;`, `&#39;` become the characters they stand for.
    - `encoding`: mojibake (`donâ€™t`), Windows punctuation among control characters, signs of Word's Symbol font.
    - `html_tags`: tags, comments, scripts and styles go; tags that end a line become a line break.
    - `line_endings`: `\r\n`, `\r` and Unicode line breaks become `\n`.
    - `control`: control and zero-width characters and marks of direction go.
    - `width`: full-width letters, digits and signs and half-width kana get their usual width.
    - `ligatures`: Latin ligatures such as U+FB01 are taken apart.
    - `unicode`: a Unicode normal form, NFC by default.
    - `pages`: page numbers, and headers and footers that repeat with them, go; form feeds become line breaks.
    - `line_wraps`: lines of one paragraph that were cut at a fixed width are joined.
    - `hyphens`: words divided at a line's end are joined.
    - `placeholders`: `[**Known lastname 12**]`, `<PERSON>`, `XXXX` and `___` become a neutral word: `Name`,
      `Hospital`, `Location`, `Organization`, `Date`, `Age` or `Number`. Dates and ages that a placeholder gives stay.
      One that does not say what it stood for is a `Name` after a title and otherwise a single `_`.
    - `spaces`: one space of each run stays, none at the end of a line; indentation and tabs stay.

    A repair covers with its edits only what it changes, and leaves a clean note as it is. Where the record brings a
    cleaned text, that one is repaired further.

    Parameters
    ----------
    repairs : sequence of str, optional
        Names of the repairs to make, in order; by default all of `REPAIRS`.
    unicode_form : {"NFC", "NFD", "NFKC", "NFKD"}
        Form that the `unicode` repair brings the text into.
    placeholders : mapping of str to str, optional
        Words of your own for placeholders, by kind: name, hospital, organization, location, date, age, number.
    name : str, optional
        Name in a pipeline; by default `cleaning`.

    Raises
    ------
    ConfigError
        If a repair, a form or a kind of placeholder is unknown, or a repair is named twice.
    """

    kind = "cleaning"
    assigns = ("cleaned",)

    def __init__(
        self,
        repairs: Sequence[str] | None = None,
        *,
        unicode_form: Form = "NFC",
        placeholders: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.repairs = _checked(repairs)
        if unicode_form not in FORMS:
            raise ConfigError(f"unknown Unicode form {unicode_form!r}: give one of {', '.join(FORMS)}")
        self.unicode_form = unicode_form
        self.placeholders = dict(placeholders or {})
        if unknown := [kind for kind in self.placeholders if kind not in placeholder_kinds()]:
            raise ConfigError(
                f"unknown kind of placeholder {unknown[0]!r}: give words for {', '.join(placeholder_kinds())}"
            )

    def process(self, records: Sequence[Record]) -> None:
        """Fill in `Record.cleaned`, also where there is nothing to repair."""
        for record in records:
            record.cleaned = self.clean(record.view)

    def clean(self, text: str | EditedText) -> EditedText:
        """Repair a text, or one that was edited before.

        Returns
        -------
        EditedText
            The cleaned text, whose alignment leads back to the offsets of the first text.
        """
        edited = EditedText.of(text) if isinstance(text, str) else text
        for name in self.repairs:
            edited = edited.then(self._repair(name)(edited.text))
        return edited

    def _repair(self, name: str) -> Repair:
        if name == "unicode":
            return partial(normal_form, form=self.unicode_form)
        if name == "placeholders" and self.placeholders:
            return partial(placeholders, words=self.placeholders)
        return REPAIRS[name]

    def config(self) -> dict[str, Any]:
        """Give the settings that make this stage again."""
        config: dict[str, Any] = {"repairs": list(self.repairs), "unicode_form": self.unicode_form}
        if self.placeholders:
            config["placeholders"] = dict(self.placeholders)
        return config


def _checked(repairs: Sequence[str] | None) -> tuple[str, ...]:
    if repairs is None:
        return tuple(REPAIRS)
    if isinstance(repairs, str):
        raise ConfigError(f"repairs is a list of names, not {repairs!r}: give [{repairs!r}]")
    for i, name in enumerate(repairs):
        if name not in REPAIRS:
            raise ConfigError(f"unknown repair {name!r}: known are {', '.join(REPAIRS)}")
        if name in repairs[:i]:
            raise ConfigError(f"the repair {name!r} is named twice: name it once")
    return tuple(repairs)
