"""A patient's course: what happened before a record, in order of time, as one vector."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clinnlp._binding import record_name
from clinnlp.errors import RecordError

if TYPE_CHECKING:
    from clinnlp.record import Record

__all__ = ["CourseEncoder", "Event", "events_of"]

_TEXTS, _TIMES = ("text", "name", "description"), ("time", "start", "date")
_HEADS, _LAYERS = 4, 2


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: its text, and how many days before the record; None where nobody knows."""

    text: str
    days: int | None


def events_of(record: Record, key: str) -> list[Event]:
    """Give the events that a record's metadata hold, the oldest first.

    An event is a text, or a mapping with its `text` (or `name`, `description`) and its `time` (or `start`, `date`) as
    an ISO date. They are dated back from `metadata["time"]`, or else from the last of them; one that is after the
    record's time is what nobody could know then, and is not read.

    Raises
    ------
    RecordError
        If they are none; the message has no word of them.
    """
    given = record.metadata.get(key)
    if given is None or given == "":
        return []
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise RecordError(
            f"{record_name(record.id)}: metadata[{key!r}] is a list of events, not {type(given).__name__}"
        )
    found = [_read(item, key, record) for item in given]
    own = _day(record.metadata.get("time"))
    last = own or max((day for _, day in found if day is not None), default=None)
    events = [Event(text, None if day is None or last is None else (last - day).days) for text, day in found if text]
    return sorted(
        (event for event in events if event.days is None or event.days >= 0),
        key=lambda event: -math.inf if event.days is None else -event.days,
    )


def _read(item: Any, key: str, record: Record) -> tuple[str, datetime.date | None]:
    if isinstance(item, str):
        return item, None
    text = next((item[name] for name in _TEXTS if name in item), None) if isinstance(item, Mapping) else None
    if not isinstance(text, str):
        told = ", ".join(_TEXTS)
        raise RecordError(f"{record_name(record.id)}: an event of metadata[{key!r}] has no text under one of {told}")
    return text, _day(next((item[name] for name in _TIMES if name in item), None))


def _day(given: Any) -> datetime.date | None:
    if isinstance(given, datetime.datetime):
        return given.date()
    if isinstance(given, datetime.date):
        return given
    try:
        return datetime.date.fromisoformat(str(given)[:10]) if given else None
    except ValueError:
        return None


class CourseEncoder(nn.Module):
    """A small transformer over the vectors of events, which know how long ago they were (Vaswani et al., 2017).

    Parameters
    ----------
    event_width : int
        Of the vectors of events.
    width : int
        Of the vector of a course.
    """

    def __init__(self, event_width: int, width: int = 64) -> None:
        super().__init__()
        self.dense = nn.Linear(event_width, width)
        self.ago = nn.Sequential(nn.Linear(3, width), nn.GELU(), nn.Linear(width, width))
        self.start = nn.Parameter(torch.zeros(width))
        layer = nn.TransformerEncoderLayer(
            width, _HEADS, 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, events: torch.Tensor, days: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Give the vectors of courses, shape (courses, 2 width): of a state of its own, and the mean of the events.

        Parameters
        ----------
        events : Tensor of float, shape (courses, events, event_width)
        days : Tensor of float, shape (courses, events)
            Days ago; below 0 where nobody knows.
        there : Tensor of bool, shape (courses, events)
            Which are events and no padding.
        """
        known = (days >= 0).to(events.dtype)
        ago = days.clamp(min=0)
        when = torch.stack([torch.log1p(ago) / 5, torch.exp(-ago / 365), known], dim=-1) * known[..., None]
        single = self.dense(events) + self.ago(when)
        states = torch.cat([self.start.expand(len(events), 1, -1), single], dim=1)
        whole = nn.functional.pad(there, (1, 0), value=True)
        states = self.norm(self.layers(states, src_key_padding_mask=~whole))
        kept = there[..., None].to(states.dtype)
        mean = (states[:, 1:] * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        return torch.cat([states[:, 0], mean], dim=-1)
