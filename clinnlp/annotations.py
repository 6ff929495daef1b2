"""What can be found in a record: spans of its raw text, answers, and why a stage failed.

Every offset counts Unicode code points of the raw `Record.text`, half-open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clinnlp.labels import Label

__all__ = ["Answer", "Assertion", "Entity", "Failure", "Section", "Sentence", "Token", "Value"]


@dataclass(slots=True)
class Token:
    """A word, number or mark of the raw text."""

    start: int
    end: int
    text: str = ""


@dataclass(slots=True)
class Sentence:
    """A sentence, list item or heading of the raw text.

    Parameters
    ----------
    start, end : int
        Raw offsets.
    text : str
        Its raw text; filled in when the sentence is put into a record.
    labels : dict of list of Label
        Label set name -> labels of this sentence, best first.
    """

    start: int
    end: int
    text: str = ""
    labels: dict[str, list[Label]] = field(default_factory=dict)


@dataclass(slots=True)
class Section:
    """A section of a note, its heading included.

    Parameters
    ----------
    start, end : int
        Raw offsets of the whole section.
    name : str
        Canonical name, such as `history_of_present_illness`; `""` for text before the first heading.
    heading : str
        The heading as the note writes it; `""` where there is none.
    body_start : int
        Raw offset at which the text after the heading starts.
    text : str
        The section's raw text.
    """

    start: int
    end: int
    name: str = ""
    heading: str = ""
    body_start: int = -1
    text: str = ""

    def __post_init__(self) -> None:
        if self.body_start < 0:
            self.body_start = self.start


@dataclass(slots=True)
class Assertion:
    """What a note says of an entity: is it absent, possible, past, or somebody else's?

    Two are equal where the four agree, whoever found them.

    Parameters
    ----------
    negated : bool
        It is not there.
    hypothetical : bool
        It is possible, to come, or a condition for something.
    historical : bool
        It was, before what the note is about.
    family : bool
        It is somebody else's.
    scores : dict of str to float
        Probability of each of the four, between 0 and 1, where a stage gave one.
    cues : dict of str to list of int
        Raw offsets, start and end, of the words that decided each of those that are true, where some did.
    """

    negated: bool = False
    hypothetical: bool = False
    historical: bool = False
    family: bool = False
    scores: dict[str, float] = field(default_factory=dict, compare=False)
    cues: dict[str, list[int]] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Entity:
    """A span with a type.

    Parameters
    ----------
    start, end : int
        Raw offsets.
    label : str
        Type of the entity, such as `Disease`.
    text : str
        Its raw text; filled in when the entity is put into a record.
    score : float
        Probability of the entity between 0 and 1; 1 for gold.
    assertion : Assertion or None
        None where no stage looked.
    attributes : dict
        Plain values that stages or users add, such as `concept_id`.
    source : str
        Name of the stage that found it; `""` for one that the record brought.
    """

    start: int
    end: int
    label: str = ""
    text: str = ""
    score: float = 1.0
    assertion: Assertion | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(slots=True)
class Value:
    """A number, dose, time or age that the text gives.

    Parameters
    ----------
    start, end : int
        Raw offsets.
    text : str
        Its raw text; filled in when the value is put into a record.
    number : float or None
        The number, or the lower one of a range; of a frequency how often a day.
    high : float or None
        The higher one of a range.
    unit : str
        Unit of both, under its common symbol, such as "mg/dL"; `""` where there is none.
    comparator : str
        `""`, "<", "<=", ">", ">=" or "~".
    kind : str
        "quantity", "size", "dose", "strength", "form", "route", "frequency", "duration", "date", "time" or "age".
    name : str
        What is measured, as the text says it, or the canonical name of a route, form or frequency.
    numbers : list of float
        All numbers of what has several, such as 120/80 or 3 x 4 cm, in the order of the text.
    normal, normal_high : float or None
        `number` and `high` in `normal_unit`.
    normal_unit : str
        One unit for all values of a dimension.
    time : str
        A date, time or duration as ISO 8601 writes it, such as "2024-03-05" or "P7D".
    target_start, target_end : int
        Raw offsets of the drug or test that it belongs to; -1 where none is known.
    """

    start: int
    end: int
    text: str = ""
    number: float | None = None
    high: float | None = None
    unit: str = ""
    comparator: str = ""
    kind: str = "quantity"
    name: str = ""
    numbers: list[float] = field(default_factory=list)
    normal: float | None = None
    normal_high: float | None = None
    normal_unit: str = ""
    time: str = ""
    target_start: int = -1
    target_end: int = -1


@dataclass(slots=True)
class Answer:
    """An answer to a question, with the place that proves it.

    `start` and `end` are offsets into the raw text of the record `record_id`, which may be another one.
    """

    text: str
    start: int = -1
    end: int = -1
    record_id: str = ""
    score: float = 1.0
    evidence: str = ""


@dataclass(slots=True)
class Failure:
    """A stage that failed on this record: its name, the class of the error and a message without text."""

    stage: str
    error: str
    message: str = ""
