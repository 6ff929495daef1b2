"""Record: a note, its images, and all that can be found in them.

Every offset counts Unicode code points of the raw `Record.text`, half-open; `text[s.start:s.end] == s.text`
holds for every span at all times that a stage can see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from clinnlp._binding import (
    read_edited,
    read_id,
    read_images,
    read_items,
    read_label_sets,
    read_metadata,
    read_spans,
    read_texts,
    record_name,
)
from clinnlp._plain import check_unicode, clone, named_fields, to_plain
from clinnlp.alignment import EditedText
from clinnlp.annotations import Answer, Assertion, Entity, Failure, Section, Sentence, Token, Value
from clinnlp.errors import RecordError
from clinnlp.image import Image
from clinnlp.labels import Label

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = [
    "Answer",
    "Assertion",
    "Entity",
    "Failure",
    "Image",
    "Label",
    "Record",
    "Section",
    "Sentence",
    "Token",
    "Value",
]


SPAN_FIELDS = ("tokens", "sentences", "sections", "entities", "values", "identifiers")


@dataclass(eq=True, repr=False, slots=True)
class Record:
    """A clinical record: raw text, images, what is known of them, and what stages found.

    Parameters
    ----------
    text : str
        The raw note. Never changed.
    id : str
        Name of the record; numbers are turned into text. Need not be unique.
    images : list of Image, path or bytes
        Images of the record.
    metadata : dict
        JSON values; dates become ISO text. `patient` and `time` have a meaning to stages.
    cleaned, deidentified : EditedText or None
        An edited text with the way back to raw offsets.
    tokens, sentences, sections, entities, values, identifiers : list
        Spans with raw offsets. Identifiers are entities.
    labels : dict of list of Label
        Label set name -> labels, best first. Plain strings are taken as labels.
    questions : list of str
        Questions to answer from the record.
    answers : list of Answer
        Their answers.
    errors : list of Failure
        What failed on this record.

    Raises
    ------
    RecordError
        If the text has a lone surrogate, a span leaves the text, or metadata holds what JSON cannot.
    """

    text: str = ""
    id: str = ""
    images: list[Image] = field(default_factory=list, kw_only=True)
    metadata: dict[str, Any] = field(default_factory=dict, kw_only=True)
    cleaned: EditedText | None = field(default=None, kw_only=True)
    tokens: list[Token] = field(default_factory=list, kw_only=True)
    sentences: list[Sentence] = field(default_factory=list, kw_only=True)
    sections: list[Section] = field(default_factory=list, kw_only=True)
    entities: list[Entity] = field(default_factory=list, kw_only=True)
    labels: dict[str, list[Label]] = field(default_factory=dict, kw_only=True)
    values: list[Value] = field(default_factory=list, kw_only=True)
    identifiers: list[Entity] = field(default_factory=list, kw_only=True)
    deidentified: EditedText | None = field(default=None, kw_only=True)
    questions: list[str] = field(default_factory=list, kw_only=True)
    answers: list[Answer] = field(default_factory=list, kw_only=True)
    errors: list[Failure] = field(default_factory=list, kw_only=True)
    found: set[str] = field(default_factory=set, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise RecordError(f"a record's text must be str, not {type(self.text).__name__}")
        self.id = read_id(self.id)
        check_unicode(self.text, f"record {self.id!r}")
        self.bind()
        self.found.update(name for name in FIELDS if getattr(self, name))

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in SPAN_FIELDS if getattr(self, name))
        return f"Record(id={self.id!r}, {len(self.text)} characters{', ' if counts else ''}{counts})"

    def bind(self, names: Iterable[str] | None = None, place: int | None = None) -> None:
        """Bring the named fields, by default all, to their form: spans get their text, label names become labels.

        Parameters
        ----------
        names : iterable of str, optional
        place : int, optional
            Of the record in its list, by which an error names it where it has no id.

        Raises
        ------
        RecordError
            If a span leaves the text or carries a text that is not at its offsets, or a field holds what it cannot.
        """
        for name in FIELDS if names is None else names:
            if name not in FIELDS:
                continue
            value = getattr(self, name)
            if type(value) is _EMPTY[name] and not value:
                continue
            where = f"{record_name(self.id, place)}: {name}"
            if name in SPAN_FIELDS:
                value = read_spans(value, _ITEMS[name], self.text, where)
            elif name in _ITEMS:
                value = read_items(value, _ITEMS[name], where)
            elif name in _READERS:
                value = _READERS[name](value, where)
            else:
                value = read_edited(value, self.text, where)
            setattr(self, name, value)

    def has(self, name: str) -> bool:
        """Tell whether a field was given or a stage looked for it, even if nothing was found."""
        value = getattr(self, name, None)
        if name in _EDITED:
            return value is not None
        return name == "text" or name in self.found or bool(value)

    @property
    def view(self) -> EditedText:
        """The text that models read: the cleaned one where there is one, else the raw one."""
        return self.cleaned if self.cleaned is not None else EditedText.of(self.text)

    def copy(self, *, without: Iterable[str] = ()) -> Record:
        """Copy the record, all but the named fields; images' pixels are shared.

        Raises
        ------
        RecordError
            If the record is not valid; see `bind`.
        """
        left_out = set(without)
        values = {name: clone(getattr(self, name)) for name in FIELDS if name not in left_out}
        return Record(self.text, self.id, **values, found=self.found - left_out)

    def to_dict(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """Give the record as plain dictionaries, lists, texts and numbers that JSON can hold.

        Fields that nobody looked for are left out.

        Raises
        ------
        RecordError
            If the record is not valid; see `bind`.
        """
        left_out = set(without)
        names = [name for name in FIELDS if name not in left_out and self.has(name)]
        self.bind(names)
        return {"id": self.id, "text": self.text, **{name: to_plain(getattr(self, name)) for name in names}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Make a record from what `to_dict` gave; a field of None was not looked for.

        Raises
        ------
        RecordError
            If a field is unknown or has another form.
        """
        if not isinstance(data, Mapping):
            raise RecordError(f"a record is made from a dictionary, not from {type(data).__name__}")
        unknown = [name for name in data if name not in FIELDS and name not in ("id", "text")]
        if unknown:
            own = ("id", "text", *FIELDS)
            raise RecordError(
                f"a record has no field for {named_fields(unknown, own)}: its fields are {', '.join(own)}"
            )
        values = {name: value for name, value in data.items() if value is not None}
        return cls(**values, found=set(values) & set(FIELDS))

    def to_spacy(self) -> Doc:
        """Give the record as a spaCy `Doc`; see `clinnlp.formats.spacy`."""
        from clinnlp.formats.spacy import to_spacy

        return to_spacy(self)

    @classmethod
    def from_spacy(cls, doc: Doc) -> Record:
        """Make a record from a spaCy `Doc`; see `clinnlp.formats.spacy`."""
        from clinnlp.formats.spacy import from_spacy

        return from_spacy(doc)


FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("text", "id", "found"))
"""All that a record holds beside its text and id."""

_ITEMS: dict[str, type[Any]] = {
    "tokens": Token,
    "sentences": Sentence,
    "sections": Section,
    "entities": Entity,
    "values": Value,
    "identifiers": Entity,
    "answers": Answer,
    "errors": Failure,
}
_EDITED = ("cleaned", "deidentified")
_READERS: dict[str, Callable[[Any, str], Any]] = {
    "images": read_images,
    "metadata": read_metadata,
    "questions": read_texts,
    "labels": read_label_sets,
}
_EMPTY = {name: dict if name in ("metadata", "labels") else type(None) if name in _EDITED else list for name in FIELDS}
