"""Fine-tuning and judging an image classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import set_seed

from clinnlp.encoders.images import model_inputs
from clinnlp.errors import ImageError, TrainingError
from clinnlp.image import Image
from clinnlp.record import Record
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, FitTask, Gold, fit_task, read_gold
from clinnlp.training.gold import gold_names, targets
from clinnlp.training.metrics import score_labels
from clinnlp.training.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.stages.images import ImageClassifier

__all__ = ["evaluate_images", "fit_images"]

# What a picture counts of FitConfig.batch_tokens.
_TOKENS = 64


@dataclass(slots=True)
class _Item:
    """Images that have one gold label together: those of a record, or a single one."""

    record: Record
    images: list[Image]
    gold: list[str]


def fit_images(stage: ImageClassifier, train: Gold, dev: Gold | None, config: FitConfig | None) -> FitReport:
    """Fine-tune an image classifier in place; see `ImageClassifier.fit`."""
    config = config or FitConfig()
    items = [
        _Item(item.record, [image], item.gold) for item in _labelled(stage, read_gold(train)) for image in item.images
    ]
    aims = targets([item.gold for item in items], [item.record for item in items], stage.labels, False, stage.name)
    judged = None if dev is None else _read_items(stage, _labelled(stage, read_gold(dev)))
    set_seed(config.seed)
    model: Any = stage.model
    pictures = [pixels for _, some in _read_items(stage, items) for pixels in some]
    task = FitTask(
        model=model,
        examples=list(zip(pictures, aims, strict=True)),
        lengths=[_TOKENS] * len(pictures),
        collate=lambda batch: _collate(stage, batch),
        evaluate=None if judged is None else lambda: _score(stage, judged),
    )
    stage.weights_changed = True
    report = fit_task(task, config)
    if config.output is not None:
        report.folder = stage.save(Path(config.output))
    return report


def evaluate_images(stage: ImageClassifier, records: Gold) -> Scores:
    """Compare what an image classifier finds with gold; see `ImageClassifier.evaluate`."""
    return _score(stage, _read_items(stage, _labelled(stage, read_gold(records))))


def _labelled(stage: ImageClassifier, records: Iterable[Record]) -> list[_Item]:
    """Give the images that have gold of their own, and those whose record has it for them all."""
    items: list[_Item] = []
    for record in records:
        own = [(image, gold_names(image.labels, stage.name)) for image in record.images]
        items += [_Item(record, [image], gold) for image, gold in own if gold]
        rest = [image for image, gold in own if not gold]
        shared = gold_names(record.labels, stage.name)
        if shared and rest and len(rest) == len(own):
            items.append(_Item(record, rest, shared))
    if not items:
        raise TrainingError(f"stage {stage.name!r}: no record has images and gold under labels[{stage.name!r}]")
    return items


def _read_items(stage: ImageClassifier, items: Sequence[_Item]) -> list[tuple[_Item, list[NDArray[np.uint8]]]]:
    """Decode and resize the images of items."""
    made = []
    for item in items:
        try:
            made.append((item, list(stage.read(item.images))))
        except ImageError as error:
            raise TrainingError(f"stage {stage.name!r}: record {item.record.id!r}: {error}") from None
    return made


def _collate(stage: ImageClassifier, batch: Sequence[tuple[NDArray[np.uint8], torch.Tensor]]) -> dict[str, Any]:
    pixels = model_inputs(stage.processor, [picture for picture, _ in batch])
    return {"pixel_values": pixels, "labels": torch.stack([aim for _, aim in batch])}


def _score(stage: ImageClassifier, items: Sequence[tuple[_Item, list[NDArray[np.uint8]]]]) -> Scores:
    scores = iter(stage.predict([picture for _, pictures in items for picture in pictures]))
    means = [np.mean([next(scores) for _ in pictures], axis=0) for _, pictures in items]
    return score_labels([item.gold for item, _ in items], np.array(means), stage.labels)
