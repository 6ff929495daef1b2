"""ImageClassifier: labels of the pictures of a record, and of the record by its pictures."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.checkpoints import check_form, find_checkpoint, find_head
from clinnlp.encoders.encoder import enough_memory
from clinnlp.encoders.heads import (
    LABEL_SET,
    check_labels,
    label_set_name,
    probabilities,
    rank,
    read_head,
)
from clinnlp.encoders.images import (
    batches,
    check_sizes,
    image_classifier,
    load_image_processor,
    model_inputs,
    new_image_processor,
    read_images,
)
from clinnlp.encoders.loading import load_config, pick_device
from clinnlp.encoders.views import check_views, views_of
from clinnlp.errors import CheckpointError, ConfigError
from clinnlp.image import Image
from clinnlp.record import Record
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages._learning_stage import LearningStage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from clinnlp.explanation import HeatMap
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import Gold
    from clinnlp.training.scores import Scores
    from clinnlp.training.task import HeadTask

__all__ = ["ImageClassifier"]


class ImageClassifier(LearningStage):
    """Classify pictures with an image classifier.

    The labels of each picture go to `image.labels[name]`, and those of the record, by the mean of its pictures'
    probabilities, to `record.labels[name]`: all labels with their probabilities, best first, in the place of what
    stood there. A record without pictures gets an empty list. A picture that cannot be decoded is its record's
    error, and leaves that record without labels. Where an `ImageCleaner` stands before it, it reads what that made.

    It is fitted on the labels under its name in `image.labels`, or for all images of a record in `record.labels`, and
    judged by macro F1.

    Parameters
    ----------
    checkpoint : str or Path, optional
        Image classifier: folder, installed package or Hub id; None for a small network of its own. Nothing is
        read before the first use.
    labels : sequence of str, optional
        Labels of a new head, on the encoder of `checkpoint` or on the small network.
    name : str, optional
        Name of the label set, and of the stage in a pipeline; by default "images".
    image_size : int, optional
        Height and width in pixels that the small network reads; 28 by default.
    width : int, optional
        Channels of the small network's first stage, 32 by default; each further one has twice as many.
    batch_size : int
        Pictures that go through the network at once.
    views : sequence of str
        Names of `clinnlp.encoders.views.VIEWS`: each picture is also read in two of each, the same two always, or as
        a mirror shows it, and the probabilities are averaged (test-time augmentation).
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.

    Raises
    ------
    ConfigError
        If there is neither a checkpoint nor labels, a size or width beside a checkpoint, or one that cannot be.
    """

    kind: ClassVar[str] = "images"
    uses = ("images",)
    assigns = ("labels",)

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        *,
        labels: Sequence[str] | None = None,
        name: str | None = None,
        image_size: int | None = None,
        width: int | None = None,
        batch_size: int = 32,
        views: Sequence[str] = (),
        device: str | None = None,
    ) -> None:
        super().__init__(name)
        if checkpoint is None and labels is None:
            raise ConfigError(f"stage {self.name!r}: give labels for a new network, or the checkpoint of one")
        if checkpoint is not None and (image_size is not None or width is not None):
            raise ConfigError(f"stage {self.name!r}: a checkpoint has its own image_size and width: leave them out")
        check_sizes(f"stage {self.name!r}", batch_size=batch_size, image_size=image_size, width=width)
        self.checkpoint = None if checkpoint is None else str(checkpoint)
        self.image_size = 28 if image_size is None else image_size
        self.width = 32 if width is None else width
        self.batch_size = batch_size
        self.views = check_views(views, f"stage {self.name!r}: views", labels or ())
        self.device = device
        self.head_changed = labels is not None
        self._new_labels = None if labels is None else check_labels(labels, 2, self.name)
        self._labels = self._new_labels
        self._model: PreTrainedModel | None = None
        self._processor: Any = None

    @classmethod
    def from_pretrained(cls, checkpoint: str | Path, name: str | None = None, **options: Any) -> ImageClassifier:
        """Take an image classifier as it is: any checkpoint of `AutoModelForImageClassification`.

        Parameters
        ----------
        checkpoint : str or Path
            Folder, installed package or Hub id.
        name : str, optional
            Name of the label set; by default the one that it was saved under.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such checkpoint; at first use, if it cannot be read or gives no classes.
        """
        found, _, settings = find_head(checkpoint, cls.kind, name)
        check_form(found, "ForImageClassification", cls.__name__)
        return cls(found, name=name or label_set_name(found), **{**settings, **options})

    @classmethod
    def from_base(
        cls, base: str | Path | None = None, *, labels: Sequence[str], name: str | None = None, **options: Any
    ) -> ImageClassifier:
        """Put a new head for `labels` on the encoder of `base`, or on a small network, to be fitted.

        Parameters
        ----------
        base : str or Path, optional
            Folder, installed package or Hub id of an image model; by default a small convolutional network with
            random weights, which learns from a few thousand pictures on a CPU.
        labels : sequence of str
            What a picture can be.
        name : str, optional
            Name of the label set.
        **options
            As for the class, such as `image_size` and `width`.

        Raises
        ------
        CheckpointError
            If there is no such base.
        """
        found = None if base is None else find_checkpoint(base)
        return cls(found, labels=labels, name=name, **options)

    @classmethod
    def load(cls, config: Mapping[str, Any], folder: Path | None = None) -> ImageClassifier:
        """Make the stage from a saved pipeline's settings and folder."""
        if folder is None:
            raise CheckpointError("an image stage needs the folder of its weights")
        return cls(folder, **config)

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults."""
        default = inspect.signature(type(self).__init__).parameters["batch_size"].default
        own = {} if self.batch_size == default else {"batch_size": self.batch_size}
        return {**own, "views": list(self.views)} if self.views else own

    @property
    def labels(self) -> list[str]:
        """What a picture can be, in the order of the head's outputs."""
        if self._labels is None:
            assert self.checkpoint is not None
            self._labels, multi_label = read_head(load_config(self.checkpoint), self.checkpoint)
            if multi_label:
                raise CheckpointError(f"{self.checkpoint} gives a picture several labels, and this stage gives one")
        return list(self._labels)

    @property
    def processor(self) -> Any:
        """The image processor of transformers that makes the network's input."""
        if self._processor is None:
            if self.checkpoint is None:
                self._processor = new_image_processor(self.image_size)
            else:
                self._processor = load_image_processor(self.checkpoint)
        return self._processor

    @property
    def model(self) -> PreTrainedModel:
        """The image classifier, loaded at first use, on its device."""
        if self._model is None:
            import torch

            with torch.inference_mode(False):  # else its weights could never be trained
                made = image_classifier(
                    self.checkpoint, self.labels, self._new_labels is not None, self.image_size, self.width
                )
                self._model = made.to(pick_device(self.device))
        return self._model

    @property
    def is_random(self) -> bool:
        """Whether this is a small network that nobody has fitted."""
        return self.checkpoint is None and self.fitted is None and not self.frozen

    @property
    def weights_changed(self) -> bool:
        """Whether the weights in memory are not those that were read."""
        return self.head_changed or bool(self.members)

    @property
    def saved_in(self) -> str | None:
        """Where the classifier was read from; None of a new one."""
        return None if self._new_labels is not None else self.checkpoint

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {"image processor": self.processor.to_dict()}

    def frozen_copy(self) -> ImageClassifier:
        """Give a stage with weights of its own, equal to those of this one."""
        made = copy.copy(self)
        if self.head_changed:
            made._model = copy.deepcopy(self.model)
        made.members, made.fitted, made.frozen = (), None, True
        return made

    @property
    def weight_folders(self) -> list[str]:
        """Where the weights were read from."""
        return [] if self.checkpoint is None else [self.checkpoint]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Give the weights by name."""
        state: dict[str, torch.Tensor] = dict(self.model.state_dict())
        for number, member in enumerate(self.members):
            state.update({f"members.{number}.{name}": tensor for name, tensor in member.state_dict().items()})
        return state

    def warm_up(self) -> None:
        """Load image processor and weights."""
        _ = self.processor, self.model
        for member in self.members:
            member.warm_up()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_processor"] = None
        if not self.head_changed:  # whoever unpickles reads them from the checkpoint
            state["_model"] = None
        return state

    def process(self, records: Sequence[Record]) -> None:
        """Classify the pictures of a batch of records, in place."""
        labels = self.labels
        scores = iter(self.predict(self.read([image for record in records for image in record.images])))
        # Nothing is written before all is read: a record either has all its labels or none.
        for record in records:
            rows = [next(scores) for _ in record.images]
            for image, row in zip(record.images, rows, strict=True):
                image.labels[self.name] = rank(row, labels)
            record.labels[self.name] = rank(np.mean(rows, axis=0), labels) if rows else []

    def read(self, images: Sequence[Image]) -> Iterator[NDArray[np.uint8]]:
        """Bring pictures one by one to the size that the network reads."""
        return read_images(images, self.processor)

    def predict(self, resized: Iterator[NDArray[np.uint8]] | Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Give the probabilities of all labels for each picture that `read` made, shape (pictures, labels)."""
        if not self.members and not self.views:
            return probabilities(self.logits(resized), multi_label=False)
        pictures = list(resized)
        scores = [
            probabilities(one.logits(view), multi_label=False)
            for one in (self, *self.members)
            for view in views_of(pictures, one.views)
        ]
        return np.mean(scores, axis=0)  # type: ignore[no-any-return]

    def logits(self, resized: Iterator[NDArray[np.uint8]] | Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Give the logits of all labels for each picture that `read` made, shape (pictures, labels)."""
        import torch

        model = self.model
        logits = [np.empty((0, len(self.labels)), dtype=np.float32)]
        for some in batches(resized, self.batch_size):
            inputs = model_inputs(self.processor, some).to(model.device)
            with torch.inference_mode(), enough_memory("batch_size", self.batch_size):
                logits.append(model(pixel_values=inputs).logits.float().cpu().numpy())
        return np.concatenate(logits)

    def explain(self, records: Record | Sequence[Record], label: str | None = None) -> list[list[HeatMap]]:
        """Tell where in its pictures a label was seen, in the coordinates of each picture as it was given.

        Parameters
        ----------
        records : Record, or a sequence of them
            Nothing is written into them.
        label : str, optional
            By default the one that is most probable, of each picture.

        Returns
        -------
        list of list of HeatMap
            One a record, of one a picture; see `clinnlp.encoders.heat_maps.class_activation`. Of an ensemble it is that
            of the first.

        Raises
        ------
        ConfigError
            If there is no such label.
        ImageError
            If a picture cannot be decoded.
        """
        if label is not None and label not in self.labels:
            raise ConfigError(f"stage {self.name!r} has no label {label!r}: its labels are {', '.join(self.labels)}")
        from clinnlp.stages._heat_maps import heat_map

        given = [records] if isinstance(records, Record) else records
        return [[heat_map(self, record, i, label) for i in range(len(record.images))] for record in given]

    def logits_of(self, part: dict[str, torch.Tensor]) -> torch.Tensor:
        """Give the logits of a batch of pixels."""
        return self.model(**{name: tensor.to(self.model.device) for name, tensor in part.items()}).logits  # type: ignore[no-any-return]

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any: a small network with random weights learns faster."""
        from clinnlp.training.config import FitConfig

        return FitConfig(learning_rate=1e-3) if self.is_random else FitConfig()

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what this stage learns, for `fit`."""
        from clinnlp.training.images import image_task

        refuse_ensemble(self, "fitted")
        return image_task(self, train, dev, config)

    def evaluate(self, records: Gold) -> Scores:
        """Compare with gold labels: of images that have their own, and else of records, by all their images.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            As for `fit`; they are not changed.

        Returns
        -------
        Scores
            "accuracy", "macro_f1", "micro_f1", "auroc", "ece" and `per_label`; see `clinnlp.training.metrics`.
        """
        from clinnlp.training.images import evaluate_images

        return evaluate_images(self, records)

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write a checkpoint that plain `AutoModelForImageClassification` and `AutoImageProcessor` open.

        Parameters
        ----------
        folder : str or Path
            Appears whole or not at all.
        dtype : {"float32", "float16", "bfloat16"}
            How the weights are written.
        """
        from clinnlp.encoders.saving import save_checkpoint
        from clinnlp.training.card import stage_card

        refuse_ensemble(self, "saved")
        card = stage_card(self, Path(folder), dtype)
        setattr(self.model.config, LABEL_SET, self.name)
        return save_checkpoint(self.model, self.processor, folder, dtype, card=card)
