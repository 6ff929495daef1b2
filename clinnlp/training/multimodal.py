"""Fitting a multimodal classifier: the fusion of vectors, and with it an image network that is new."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import set_seed

from clinnlp.encoders.fusion import FusionWithParts
from clinnlp.encoders.images import model_inputs
from clinnlp.encoders.modalities import Modalities, course_vectors, image_vectors, pad_courses
from clinnlp.encoders.variables import learn_variables
from clinnlp.encoders.views import Views, check_views
from clinnlp.errors import ConfigError
from clinnlp.record import Record
from clinnlp.stages.images import ImageClassifier
from clinnlp.training.config import FitConfig
from clinnlp.training.fit import FitReport, Gold, fit_heads, read_gold
from clinnlp.training.gold import refuse_single_class, targets
from clinnlp.training.images import check_pictures
from clinnlp.training.labelling import gold_notes, tune_labels
from clinnlp.training.losses import ClassificationLoss, class_weights
from clinnlp.training.metrics import score_labels
from clinnlp.training.reports import with_gold
from clinnlp.training.resume import gold_checksums
from clinnlp.training.sampling import resampled
from clinnlp.training.scores import Scores
from clinnlp.training.stages import finish, save_fitted
from clinnlp.training.task import HeadTask

if TYPE_CHECKING:
    from clinnlp.stages.multimodal import MultimodalClassifier

__all__ = ["fit_multimodal"]

# What a record counts of FitConfig.batch_tokens.
_TOKENS = 64
_READ = 32


def fit_multimodal(stage: MultimodalClassifier, train: Gold, dev: Gold | None, config: FitConfig) -> FitReport:
    """Fit a multimodal classifier; see `MultimodalClassifier.fit`."""
    if config.method is not None or config.lora is not None:
        raise ConfigError(f"stage {stage.name!r}: FitConfig's method and lora are not for a fusion: leave them out")
    started = time.monotonic()
    set_seed(config.seed)
    items, gold = with_gold(stage, read_gold(train))
    aims = targets(gold, items, stage.labels, stage.multi_label, stage.name)
    refuse_single_class(gold, stage)
    judged = None if dev is None else with_gold(stage, read_gold(dev))
    notes = gold_notes(stage, gold, None if judged is None else judged[1])
    network, images = _image_network(stage, items, notes)
    if images is not None and judged is not None:
        notes += check_pictures(stage, items, judged[0], config)
    variables = learn_variables(stage.metadata, items, stage.name)
    plan = {**stage.plan, "images": images, "variables": [one.to_dict() for one in variables], "events": stage.events}
    joint = network is not None and stage.fits_images
    stage.rebuild(plan, network)
    stage.fitted = None  # what was said of the head before holds no longer, even where the rest comes to nothing
    read = _Read(stage, items, joint)
    kept = np.flatnonzero(read.found.present.any(axis=1)).tolist()
    if len(kept) < len(items):
        notes.append(f"{len(items) - len(kept)} training records have nothing to read, and were left out")
        refuse_single_class([gold[i] for i in kept], stage)
    _standardize(stage, read)
    task = _task(read, aims, kept, config)
    task.records, task.notes = len(items), notes
    if judged is not None:
        _judge(task, _Read(stage, judged[0], joint), judged[1], config)
    task.gold = gold_checksums(items, None if judged is None else judged[0])
    report = fit_heads([task], None, config)
    stage.head_changed = True
    finish([task], report, config)
    report.seconds = time.monotonic() - started
    save_fitted(report, config, stage.save)
    return report


def _image_network(
    stage: MultimodalClassifier, records: Sequence[Record], notes: list[str]
) -> tuple[Any, dict[str, Any] | None]:
    """Give the network of the images, and what the head's configuration says of it; none where nobody has images."""
    given = stage.images
    if given is False:
        return None, None
    if given is True and not stage.fits_images:  # the network of a head that was read
        return copy.deepcopy(stage.head.images), stage.plan["images"]
    if stage.fits_images and not any(record.images for record in records):
        notes.append("no training record has an image: the fusion reads none")
        return None, None
    if given is True:
        labels = stage.labels if len(stage.labels) > 1 else [*stage.labels, "none"]
        given = ImageClassifier.from_base(
            labels=labels,
            name=stage.name,
            device=stage.encoder.device,
            image_size=stage.image_size,
            width=stage.image_width,
        )
    given.warm_up()
    settings = {"config": _plain(given.model.config.to_dict()), "processor": _plain(given.processor.to_dict())}
    return copy.deepcopy(given.model).eval(), settings


def _plain(given: Any) -> Any:
    """Give what JSON holds of a configuration."""
    if isinstance(given, dict):
        return {str(key): _plain(value) for key, value in given.items() if value is not None}
    if isinstance(given, (list, tuple)):
        return [_plain(value) for value in given]
    return given if isinstance(given, (str, int, float, bool)) else str(given)


class _Read:
    """What records have, read once: vectors, and what they are made of where that is fitted: pixels and events."""

    def __init__(self, stage: MultimodalClassifier, records: Sequence[Record], joint: bool) -> None:
        self.stage, self.records = stage, records
        self.pictures = stage.pictures(records) if joint else None
        self.courses = stage.courses(records) if stage.events is not None else None
        bare = [record.copy(without=["images"]) for record in records] if joint else records
        made = [stage.read(bare[i : i + _READ]) for i in range(0, len(bare), _READ)]
        vectors = {name: np.concatenate([one.vectors[name] for one in made]) for name in made[0].vectors}
        self.found = Modalities(np.concatenate([one.present for one in made]), vectors)
        if self.pictures is not None:
            self.found.present[:, stage.modalities.index("images")] = [bool(some) for some in self.pictures]

    @property
    def fitted(self) -> list[str]:
        """Modalities whose vectors change while the fusion is fitted."""
        return [*(["images"] if self.pictures is not None else []), *(["course"] if self.courses is not None else [])]

    def whole(self) -> Modalities:
        """Give all vectors, those that are fitted as they are now."""
        vectors = dict(self.found.vectors)
        if self.pictures is not None:
            vectors["images"] = image_vectors(self.stage.head.images, self.stage.processor, self.pictures)
        if self.courses is not None:
            parts = [self.courses[i : i + _READ] for i in range(0, len(self.courses), _READ)]
            vectors["course"] = np.concatenate([course_vectors(self.stage.head.course, part) for part in parts])
        return Modalities(self.found.present, vectors)

    def part(self, rows: list[int], views: Views | None, chance: torch.Generator) -> dict[str, torch.Tensor]:
        """Give what is trained takes of some of the records, in other views of their pictures."""
        part = {name: tensor for name, tensor in self.found.part(rows).items() if name not in self.fitted}
        if self.pictures is not None:
            some = [(place, picture) for place, i in enumerate(rows) for picture in self.pictures[i]]
            if views is not None:
                seeds = torch.randint(2**31, (len(some),), generator=chance).tolist()
                some = [(place, views(one, seed)) for (place, one), seed in zip(some, seeds, strict=True)]
            # Of no picture at all the processor would make nothing.
            part["pixels"] = (
                model_inputs(self.stage.processor, [picture for _, picture in some])
                if some
                else torch.zeros((0, 3, 1, 1))
            )
            part["owners"] = torch.tensor([place for place, _ in some], dtype=torch.int64)
        if self.courses is not None:
            own = [self.courses[i] for i in rows]
            part.update(pad_courses([course.vectors for course in own], [course.days for course in own]))
        return part


def _standardize(stage: MultimodalClassifier, read: _Read) -> None:
    """Let the fusion know how vectors lie; those of an image network that still learns, as it gives them now."""
    fusion = stage.head.fusion
    whole = read.whole()
    for i, (name, norm) in enumerate(zip(fusion.modalities, fusion.norms, strict=True)):
        there = np.flatnonzero(whole.present[:, i])
        if len(there) and name != "course":  # which has a norm of its own
            norm.learn(torch.from_numpy(whole.vectors[name][there]))


def _task(read: _Read, aims: torch.Tensor, kept: list[int], config: FitConfig) -> HeadTask:
    stage = read.stage
    numbers = aims[kept].argmax(dim=1) if stage.multi_label else aims[kept]
    counts = Counter(int(i) for row in aims[kept] for i in (row.nonzero().flatten() if stage.multi_label else [row]))
    weights = class_weights(config.class_weights, [counts[i] for i in range(len(stage.labels))], stage.labels)
    loss = ClassificationLoss(config, stage.multi_label, weights)
    chosen = [kept[i] for i in resampled(numbers.tolist(), config.resample, config.seed)]
    joint = read.pictures is not None
    rate = config.head_learning_rate or config.learning_rate
    head = stage.head
    check_views(config.augment, "FitConfig: augment", stage.labels)
    if config.augment and not joint:
        raise ConfigError("FitConfig: augment is for a network of images that is fitted: leave it out")
    views = Views(config.augment) if config.augment else None
    return HeadTask(
        stage=stage,
        head=FusionWithParts(head.images if joint else None, head.course, head.fusion) if read.fitted else head.fusion,
        examples=chosen,
        lengths=[_TOKENS] * len(chosen),
        collate=lambda rows, chance: {"parts": [read.part(rows, views, chance)], "labels": aims[rows]},
        loss=lambda outputs, batch, _: _fused_loss(loss, outputs[0], batch["labels"]),
        head_rate=config.learning_rate if joint else rate,
        rates={"fusion": rate, "course": rate} if joint else {},
    )


def _fused_loss(loss: ClassificationLoss, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Give the loss of what a fusion gives while it is trained: of the fused labels, and as much of those alone."""
    fused, *alone = torch.split(logits, len(labels))
    return loss(fused, labels, None) + torch.stack([loss(one, labels, None) for one in alone]).mean()


def _judge(task: HeadTask, read: _Read, gold: list[list[str]], config: FitConfig) -> None:
    """Let a task be judged on development records, which are read once."""
    stage, records = read.stage, read.records

    def evaluate() -> Scores:
        scores, _ = stage.judged(read.whole())
        return score_labels(gold, scores, stage.labels, multi_label=stage.multi_label, threshold=stage.thresholds)

    def logits() -> tuple[Any, Any, bool]:
        known = [
            i
            for i, (names, there) in enumerate(zip(gold, read.found.present, strict=True))
            if there.any() and set(names) <= set(stage.labels)
        ]
        own = [records[i] for i in known]
        aims = targets([gold[i] for i in known], own, stage.labels, stage.multi_label, stage.name)
        return stage.fused(read.whole())[0][known], aims.numpy(), stage.multi_label

    task.evaluate, task.logits = evaluate, logits
    if stage.multi_label and config.tune_thresholds:
        task.tune = lambda: tune_labels(stage, records)
