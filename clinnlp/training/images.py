"""Fine-tuning and judging an image classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clinnlp.encoders.fusion import LastLayer, image_features
from clinnlp.encoders.images import batches, model_inputs
from clinnlp.encoders.views import Views, check_views
from clinnlp.errors import ConfigError, ImageError, TrainingError
from clinnlp.image import Image
from clinnlp.record import Record
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import Gold, read_gold
from clinnlp.training.gold import gold_name, gold_names, refuse_single_class, targets
from clinnlp.training.image_groups import shared_pictures
from clinnlp.training.labelling import refuse_shared
from clinnlp.training.losses import ClassificationLoss, class_weights
from clinnlp.training.metrics import score_labels
from clinnlp.training.sampling import resampled
from clinnlp.training.scores import Scores
from clinnlp.training.task import Batch, HeadTask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.stage import Stage
    from clinnlp.stages.images import ImageClassifier

__all__ = ["check_pictures", "evaluate_images", "image_task"]

# What a picture counts of FitConfig.batch_tokens.
_TOKENS = 64


@dataclass(slots=True)
class _Item:
    """Images that have one gold label together: those of a record, or a single one."""

    record: Record
    images: list[Image]
    gold: list[str]


def image_task(
    stage: ImageClassifier, records: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig
) -> HeadTask:
    """Give what an image classifier learns from gold labels.

    Raises
    ------
    TrainingError
        If there is no gold, it has labels that the head does not know, or all of it is the same.
    """
    items = [_Item(item.record, [image], item.gold) for item in _labelled(stage, records) for image in item.images]
    aims = targets([item.gold for item in items], [item.record for item in items], stage.labels, False, stage.name)
    judged = None if dev is None else _read_items(stage, _labelled(stage, dev))
    pictures: Sequence[Any] = [pixels for _, some in _read_items(stage, items) for pixels in some]
    refuse_single_class([item.gold for item in items], stage)
    counts = [int((aims == i).sum()) for i in range(len(stage.labels))]
    loss = ClassificationLoss(config, weights=class_weights(config.class_weights, counts, stage.labels))
    chosen = resampled(aims.tolist(), config.resample, config.seed)

    notes = [] if dev is None else check_pictures(stage, records, dev, config)
    check_views(config.augment, "FitConfig: augment", stage.labels)
    views = Views(config.augment) if config.augment else None
    if frozen := config.freeze == "encoder":
        if views is not None:
            raise ConfigError("FitConfig: a frozen network reads each picture once: leave augment out, or freeze")
        pictures = _features(stage, pictures)

    def give_loss(outputs: list[torch.Tensor], batch: Batch, taught: list[list[torch.Tensor]]) -> torch.Tensor:
        teacher = torch.stack([rows[0].float().softmax(-1) for rows in taught]).mean(0) if taught else None
        return loss(outputs[0], batch["labels"], teacher)

    return HeadTask(
        stage=stage,
        head=LastLayer(stage.model) if frozen else stage.model,
        examples=[(pictures[i], aims[i]) for i in chosen],
        lengths=[_TOKENS] * len(chosen),
        collate=lambda batch, chance: _collate_features(batch) if frozen else _collate(stage, batch, views, chance),
        loss=give_loss,
        evaluate=None if judged is None else lambda: _score(stage, judged),
        logits=None if judged is None else lambda: _image_logits(stage, judged),
        records=len({id(item.record) for item in items}),
        notes=notes,
    )


def check_pictures(stage: Stage, train: Sequence[Record], dev: Sequence[Record], config: FitConfig) -> list[str]:
    """Refuse pictures that stand on both sides of a split, as `check_split` does texts; tell of those that may.

    Returns
    -------
    list of str
        What the report should say of those that are allowed.

    Raises
    ------
    TrainingError
        With the number of such records, and two that share a picture.
    """
    shared = shared_pictures(train, dev)
    if not shared:
        return []
    told = f"{len(shared)} of {len(dev)} development records have a picture of a training record, or nearly the same"
    advice = "keep them on one side (see clinnlp.training.splits.image_groups and split)"
    return refuse_shared(stage, train, dev, shared, told, advice, config)


def _image_logits(
    stage: ImageClassifier, items: Sequence[tuple[_Item, list[NDArray[np.uint8]]]]
) -> tuple[Any, Any, bool]:
    """Give the logits of pictures whose gold the head knows, and that gold."""
    pairs = [(item.gold[0], pixels) for item, some in items for pixels in some if item.gold[0] in stage.labels]
    logits = stage.logits([pixels for _, pixels in pairs])
    return logits, np.array([stage.labels.index(name) for name, _ in pairs]), False


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
            raise TrainingError(
                f"stage {stage.name!r}: {gold_name(item.record, (one.record for one in items))}: {error}"
            ) from None
    return made


def _features(stage: ImageClassifier, pictures: Sequence[NDArray[np.uint8]]) -> list[Any]:
    """Give what the last layer reads of each picture."""
    device = next(stage.model.parameters()).device
    made: list[Any] = []
    for some in batches(pictures, stage.batch_size):
        with torch.no_grad():
            made += image_features(stage.model, model_inputs(stage.processor, some).to(device)).cpu()
    return made


def _collate(
    stage: ImageClassifier,
    batch: Sequence[tuple[NDArray[np.uint8], torch.Tensor]],
    views: Views | None,
    chance: torch.Generator,
) -> Batch:
    pictures = [picture for picture, _ in batch]
    if views is not None:
        seeds = torch.randint(2**31, (len(pictures),), generator=chance).tolist()
        pictures = [views(picture, seed) for picture, seed in zip(pictures, seeds, strict=True)]
    pixels = model_inputs(stage.processor, pictures)
    return {"parts": [{"pixel_values": pixels}], "labels": torch.stack([aim for _, aim in batch])}


def _collate_features(batch: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Batch:
    features = torch.stack([row for row, _ in batch])
    return {"parts": [{"features": features}], "labels": torch.stack([aim for _, aim in batch])}


def _score(stage: ImageClassifier, items: Sequence[tuple[_Item, list[NDArray[np.uint8]]]]) -> Scores:
    scores = iter(stage.predict([picture for _, pictures in items for picture in pictures]))
    means = [np.mean([next(scores) for _ in pictures], axis=0) for _, pictures in items]
    return score_labels([item.gold for item, _ in items], np.array(means), stage.labels)
