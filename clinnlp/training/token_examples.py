"""Training examples of an entity extractor: windows with a label for each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from clinnlp.encoders.windows import window_ranges
from clinnlp.encoders.words import Words
from clinnlp.record import Entity, Record
from clinnlp.stages.entities import find_words
from clinnlp.training.batches import hide_words
from clinnlp.training.gold import longest_spans
from clinnlp.training.losses import IGNORED
from clinnlp.training.sampling import rarest, resampled
from clinnlp.training.task import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.encoders.bio import LabelScheme
    from clinnlp.stages.entities import EntityExtractor
    from clinnlp.training.config import FitConfig

__all__ = ["TokenExamples", "tag_numbers", "tag_words"]


@dataclass(slots=True)
class _Window:
    """A window of a paragraph, and the whole paragraph, in which it may be moved."""

    ids: NDArray[np.int32]
    labels: NDArray[np.int64]
    start: int
    end: int

    @property
    def own(self) -> NDArray[np.int64]:
        """The labels of its words."""
        labels = self.labels[self.start : self.end]
        kept: NDArray[np.int64] = labels[labels != IGNORED]
        return kept


class TokenExamples:
    """The windows of records with gold entities, and how batches are made of them.

    In every batch windows are moved by chance within their paragraph, by up to half their length, so that a word
    stands elsewhere in each epoch.

    Parameters
    ----------
    stage : EntityExtractor
    records : sequence of Record
        With gold entities.
    config : FitConfig
        `mask_words`, `plant_entities`, `resample` and `freeze` are used; for a frozen encoder windows stay as they
        are.
    """

    def __init__(self, stage: EntityExtractor, records: Sequence[Record], config: FitConfig) -> None:
        self.windows, self.config = stage.windows, config
        self.numbers = tag_numbers(stage.scheme)
        self.items: list[_Window] = []
        self.mentions: dict[str, list[tuple[NDArray[np.int32], NDArray[np.int64]]]] = {}
        self.lost = 0
        by_record = self.windows.paragraphs(record.view.text for record in records)
        for record, paragraphs in zip(records, by_record, strict=True):
            gold = longest_spans(record.entities)
            held = 0
            for paragraph, words in zip(paragraphs, find_words(record, paragraphs), strict=True):
                labels = np.full(len(paragraph.ids), IGNORED, dtype=np.int64)
                tags, places = tag_words(words, gold, self.numbers)
                labels[words.first] = tags
                held += len(places)
                edges = np.append(words.first, len(paragraph.ids))
                for low, high, name in places:
                    cut = slice(edges[low], edges[high])
                    self.mentions.setdefault(name, []).append((paragraph.ids[cut], labels[cut]))
                for start, end in window_ranges(len(paragraph.ids), self.windows.content, 0):
                    self.items.append(_Window(paragraph.ids, labels, start, end))
            self.lost += len(record.entities) - held
        self.counts = np.bincount(
            np.concatenate([item.own for item in self.items] or [np.empty(0, dtype=np.int64)]),
            minlength=len(stage.scheme.tags),
        )
        if config.resample is not None:
            types = [
                [stage.scheme.types[i] for i in np.unique(item.own) if stage.scheme.types[i]] for item in self.items
            ]
            self.items = [self.items[i] for i in resampled(rarest(types), config.resample, config.seed)]

    @property
    def lengths(self) -> list[int]:
        """Word pieces of each window, special ones included."""
        special = len(self.windows.prefix) + len(self.windows.suffix)
        return [item.end - item.start + special for item in self.items]

    def collate(self, items: Sequence[_Window], chance: torch.Generator) -> Batch:
        """Make a padded batch of windows."""
        prefix, suffix = self.windows.prefix, self.windows.suffix
        if self.config.freeze is None:
            pairs = [self._planted(*_moved(item, chance), chance) for item in items]
        else:
            pairs = [(item.ids[item.start : item.end], item.labels[item.start : item.end]) for item in items]
        part = self.windows.pad([[*prefix, *ids.tolist(), *suffix] for ids, _ in pairs])
        labels = torch.full(part["input_ids"].shape, IGNORED, dtype=torch.long)
        for i, (ids, row) in enumerate(pairs):
            labels[i, len(prefix) : len(prefix) + len(ids)] = torch.from_numpy(row)
        if self.config.freeze is None:
            hide_words(part, self.windows, self.config.mask_words, chance)
        return {"parts": [part], "labels": labels}

    def _planted(
        self, ids: NDArray[np.int32], labels: NDArray[np.int64], chance: torch.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Put a gold mention from elsewhere before a word outside of all entities, for a share of the windows."""
        share = self.config.plant_entities
        outside = np.flatnonzero(labels == self.numbers["O", ""])
        if not share or float(torch.rand((), generator=chance)) >= share or not len(outside):
            return ids, labels
        names = sorted(self.mentions)
        mentions = self.mentions[names[_below(len(names), chance)]]
        mention_ids, mention_labels = mentions[_below(len(mentions), chance)]
        at = outside[_below(len(outside), chance)]
        size = max(len(ids), self.windows.content)
        planted_ids = np.concatenate([ids[:at], mention_ids, ids[at:]])[:size]
        return planted_ids, np.concatenate([labels[:at], mention_labels, labels[at:]])[:size]


def _moved(item: _Window, chance: torch.Generator) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    length = item.end - item.start
    shift = _below(2 * (length // 2) + 1, chance) - length // 2
    start = min(max(item.start + shift, 0), len(item.ids) - length)
    return item.ids[start : start + length], item.labels[start : start + length]


def _below(limit: int, chance: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=chance))


def tag_numbers(scheme: LabelScheme) -> dict[tuple[str, str], int]:
    """Give the number of each (tag, type) of a scheme."""
    return {(tag, name): i for i, (tag, name) in enumerate(zip(scheme.tags, scheme.types, strict=True))}


def tag_words(
    words: Words, gold: Sequence[Entity], numbers: dict[tuple[str, str], int]
) -> tuple[NDArray[np.int64], list[tuple[int, int, str]]]:
    """Give the label of each word, and first word, word after the last and type of the entities that are here.

    An entity whose edge lies inside a word takes the whole word; a word that two entities share goes to the
    first.
    """
    labels = np.full(len(words.first), numbers["O", ""], dtype=np.int64)
    places: list[tuple[int, int, str]] = []
    taken = 0
    for entity in gold:
        low = max(int(np.searchsorted(words.ends, entity.start, side="right")), taken)
        high = int(np.searchsorted(words.starts, entity.end, side="left"))
        if low >= high:
            continue
        places.append((low, high, entity.label))
        taken = high
        for k in range(low, high):
            labels[k] = numbers[_position_tag(numbers, entity.label, k == low, k == high - 1), entity.label]
    return labels, places


def _position_tag(numbers: dict[tuple[str, str], int], name: str, first: bool, last: bool) -> str:
    """Give the tag of a word by its place in an entity, in the scheme that the head has."""
    if first and last and ("S", name) in numbers:
        return "S"
    if last and not first and ("E", name) in numbers:
        return "E"
    return "B" if first and ("B", name) in numbers else "I"
