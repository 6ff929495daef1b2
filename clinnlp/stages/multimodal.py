"""MultimodalClassifier: labels of a record from its text, images, metadata and course together."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import probabilities, rank
from clinnlp.encoders.images import check_sizes, load_image_processor_dict, read_images
from clinnlp.encoders.variables import encode_variables, variables_from
from clinnlp.errors import ConfigError
from clinnlp.record import Record
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages._labelling import LabellingStage
from clinnlp.stages.images import ImageClassifier

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PretrainedConfig
    from typing_extensions import Self

    from clinnlp.encoders.fusion import FusionHead
    from clinnlp.encoders.modalities import Course, Modalities
    from clinnlp.explanation import FusedExplanation
    from clinnlp.stage import Stage
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold

__all__ = ["MultimodalClassifier"]

_WAYS = ("late", "gated")
_BATCH = 32


class MultimodalClassifier(LabellingStage):
    """Classify records by text, images, metadata and course together, whichever of them there are.

    The vector of the text is that of a `VectorClassifier`: the mean of the encoder's states over the whole note, in the
    pass that other stages share. Images are read by the network of an `ImageClassifier`, and the mean of their vectors
    is taken. Metadata are numbers and categories, such as age, sex, mutations and measured values. A course is what
    happened to the patient before, such as earlier diagnoses or notes: a small transformer reads the vectors of these
    texts in order of time. What is there is fused, as `clinnlp.encoders.fusion.Fusion` says.

    The labels go to `record.labels[name]`, as those of a `ReportClassifier`, and to `record.labels["NAME.modalities"]`
    what carried the best of them: each modality that the record has, with its share of what they add to the logit of
    that label, largest first. A record without any gets an empty list. An image that cannot be decoded is its record's
    error.

    It is fitted on the labels under its name in `record.labels`. The text encoder stays as it is, and so does the
    network of an image classifier that was given, or of a saved head; one that is new is fitted with the fusion.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        What `save` wrote: folder, installed package or Hub id. Nothing is read before the first use.
    labels : sequence of str, optional
        Labels of a new head on the encoder of `checkpoint`.
    head : str or Path, optional
        Folder of a head that was saved without its encoder, for the encoder of `checkpoint`.
    name : str, optional
        Name of the label set, and of the stage in a pipeline; by default "fusion".
    images : ImageClassifier or bool, optional
        Of a new head: a fitted classifier, whose network is taken as it is; one that nobody has fitted, whose small
        network is fitted with the fusion, or True for such a one; False for a head that reads no images.
    metadata : sequence of str, optional
        Of a new head: keys of `Record.metadata` that are read, and `values.NAME` for the last value of that name that a
        `ValueExtractor` found.
    events : str, optional
        Of a new head: the key of `Record.metadata` that holds the course, a list of events as
        `clinnlp.encoders.courses.events_of` reads them.
    fusion : {"late", "gated"}
        Of a new head: whether what modalities say is added up, or each weighs by what it says.
    image_size, image_width : int, optional
        Of a new network of images, as `image_size` and `width` of an `ImageClassifier`.
    multi_label, threshold, abstain
        As for `ReportClassifier`.
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.

    Raises
    ------
    ConfigError
        If a setting cannot be.
    """

    kind: ClassVar[str] = "fusion"
    auto_class: ClassVar[str] = ""
    head_form: ClassVar[str] = "FusionHead"
    uses = ("cleaned", "images", "values")
    assigns = ("labels",)

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        labels: Sequence[str] | None = None,
        head: str | Path | None = None,
        name: str | None = None,
        images: ImageClassifier | bool = True,
        metadata: Sequence[str] = (),
        events: str | None = None,
        fusion: str = "late",
        image_size: int | None = None,
        image_width: int | None = None,
        multi_label: bool | None = None,
        threshold: float | Mapping[str, float] | None = None,
        abstain: float | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
    ) -> None:
        super().__init__(
            checkpoint,
            labels=labels,
            head=head,
            multi_label=multi_label,
            threshold=threshold,
            abstain=abstain,
            window=window,
            overlap=overlap,
            batch_tokens=batch_tokens,
            device=device,
            name=name,
        )
        if fusion not in _WAYS:
            raise ConfigError(f"stage {self.name!r}: fusion is one of {', '.join(_WAYS)}, not {fusion!r}")
        if isinstance(metadata, str) or not all(isinstance(key, str) and key for key in metadata):
            raise ConfigError(f"stage {self.name!r}: metadata is a list of keys")
        if not isinstance(images, (bool, ImageClassifier)):
            raise ConfigError(f"stage {self.name!r}: images is an ImageClassifier, True or False")
        if events is not None and not (isinstance(events, str) and events):
            raise ConfigError(f"stage {self.name!r}: events is the key of the metadata that holds them")
        check_sizes(f"stage {self.name!r}", image_size=image_size, image_width=image_width)
        self.image_size, self.image_width = image_size, image_width
        self._events, self._kept = events, False
        self._images, self._metadata, self._way = images, list(dict.fromkeys(metadata)), fusion
        self._plan: dict[str, Any] | None = None
        self._processor: Any = None

    @property
    def images(self) -> ImageClassifier | bool:
        """Of a new head: the image classifier that it was given, or whether it has a network; else whether it has."""
        return self._images if self._is_new else self.plan["images"] is not None

    @property
    def fits_images(self) -> bool:
        """Whether a fit has a network of images to learn, which is new."""
        given = self.images
        return given.is_random if isinstance(given, ImageClassifier) else given and self._is_new and not self._kept

    @property
    def plan(self) -> dict[str, Any]:
        """What the head fuses, as its configuration says it; of a new head, before a fit, text alone."""
        from clinnlp.encoders.fusion import FUSION

        if self._plan is None:
            if self._is_new:
                self._plan = {"way": self._way, "width": 64, "images": None, "variables": [], "events": None}
            else:
                self._plan = dict(getattr(self.head_config, FUSION))
        return self._plan

    @property
    def metadata(self) -> list[str]:
        """Names of the variables that the head reads."""
        return list(self._metadata) if self._is_new else [one["name"] for one in self.plan["variables"]]

    @property
    def events(self) -> str | None:
        """Key of the metadata that holds the course."""
        return self._events if self._is_new else self.plan.get("events")

    @property
    def modalities(self) -> list[str]:
        """What the head fuses, in its order."""
        return list(self.head.fusion.modalities)

    def _make_head(self, config: PretrainedConfig) -> FusionHead:
        from clinnlp.encoders.fusion import FUSION, FusionHead

        if self._is_new:
            setattr(config, FUSION, self.plan)
        return FusionHead(config)

    def rebuild(self, plan: Mapping[str, Any], network: Any = None) -> None:
        """Make the head anew for what it shall fuse, with the weights of an image network."""
        if not self._is_new:  # a head that was read is made anew of what it had
            self._images, self._metadata, self._events = self.images, self.metadata, self.events
            self._kept = self.plan["images"] is not None
        self._plan, self._head, self._processor = dict(plan), None, None
        self._is_new = self.head_changed = True
        head = self.head
        if network is not None:
            head.images.load_state_dict(network.state_dict())

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {**super().alike(), "modalities": (self.modalities, self.metadata, self.events)}

    @property
    def processor(self) -> Any:
        """The image processor of transformers that makes the image network's input."""
        if self._processor is None:
            self._processor = load_image_processor_dict(self.plan["images"]["processor"])
        return self._processor

    def read(self, records: Sequence[Record]) -> Modalities:
        """Give what records have, as vectors.

        Raises
        ------
        ImageError
            If an image cannot be decoded.
        """
        from clinnlp.encoders.modalities import Modalities, course_vectors, image_vectors

        texts, empty = self.text_vectors([record.view.text for record in records])
        vectors = {"text": texts.astype(np.float32)}
        present = [~empty]
        if self.head.images is not None:
            vectors["images"] = image_vectors(self.head.images, self.processor, self.pictures(records))
            present.append(np.array([bool(record.images) for record in records], dtype=bool))
        if self.head.course is not None:
            courses = self.courses(records)
            vectors["course"] = course_vectors(self.head.course, courses)
            present.append(np.array([bool(course.days) for course in courses], dtype=bool))
        if variables := variables_from(self.plan["variables"]):
            vectors["metadata"], known = encode_variables(variables, records)
            present.append(known)
        return Modalities(np.stack(present, axis=1), vectors)

    def pictures(self, records: Sequence[Record]) -> list[list[NDArray[np.uint8]]]:
        """Give the images of records as the image network reads them, each of shape (3, height, width)."""
        return [list(read_images(record.images, self.processor)) for record in records]

    def courses(self, records: Sequence[Record]) -> list[Course]:
        """Give the courses of records; each text is read once, however many records have it."""
        from clinnlp.encoders.courses import events_of
        from clinnlp.encoders.modalities import Course

        assert self.events is not None
        given = [events_of(record, self.events) for record in records]
        texts = list(dict.fromkeys(event.text for events in given for event in events))
        vectors, _ = self.text_vectors(texts)
        places = {text: i for i, text in enumerate(texts)}
        return [
            Course(
                vectors[[places[event.text] for event in events]].astype(np.float32),
                [-1 if event.days is None else event.days for event in events],
            )
            for events in given
        ]

    def fused(self, found: Modalities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give logits, shape (records, labels), and what each modality adds, shape (records, modalities, labels)."""
        import torch

        fusion = self.head.fusion
        device = next(fusion.parameters()).device
        fusion.eval()
        with torch.inference_mode():
            part = {name: given.to(device) for name, given in found.part().items()}
            logits, parts = fusion.parts(**part)
        return logits.double().cpu().numpy(), parts.double().cpu().numpy()

    def predict(self, records: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the probabilities of all labels, and what carried the best.

        Returns
        -------
        probabilities : ndarray of float, shape (records, labels)
            Zeros for a record that has nothing to read.
        shares : ndarray of float, shape (records, modalities)
            Of each modality in what all add to the logit of the best label, against the mean of the labels'; they sum
            up to 1, and are 0 of what the record does not have.
        """
        found = [one.judged(one.read(records)) for one in (self, *self.members)]
        return np.mean([scores for scores, _ in found], axis=0), np.mean([shares for _, shares in found], axis=0)

    def judged(self, found: Modalities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give what `predict` gives, of vectors and by this stage alone."""
        from clinnlp.encoders.modalities import shares

        logits, parts = self.fused(found)
        scores = probabilities(logits, self.multi_label)
        scores[~found.present.any(axis=1)] = 0
        return scores, shares(parts if self.multi_label else parts - parts.mean(axis=2, keepdims=True), scores, found)

    def explain(self, records: Record | Sequence[Record], label: str | None = None) -> list[FusedExplanation]:
        """Tell what in a record speaks for a label and what against it.

        Weights are parts of the label's logit: against the mean of all labels, or, where a record may have several, as
        it is. What a picture, a variable or an event weighs is the mean of two numbers: by how much the logit falls
        where it is left out, and by how much it rises where it comes alone to a record that has nothing else of its
        modality. They are the last and the first of the steps whose mean is the Shapley value (Shapley, 1953). What the
        sentences weigh, or lines where there are none, is found by integrated gradients (Sundararajan et al., 2017)
        between the mean of the vectors of all training texts and that of the text; together they weigh what the text
        says against a text that tells nothing. Of a course the last 48 events are told apart.

        Parameters
        ----------
        records : Record, or a sequence of them
            As they come out of the stages before this one; nothing is written into them.
        label : str, optional
            By default the one that is most probable, of each record.

        Returns
        -------
        list of FusedExplanation
            One a record, with a heat map of each picture; of an ensemble that of the first.

        Raises
        ------
        ConfigError
            If there is no such label.
        ImageError
            If a picture cannot be decoded.
        """
        from clinnlp.stages._findings import explain_fused

        return explain_fused(self, [records] if isinstance(records, Record) else records, label)

    def process(self, records: Sequence[Record]) -> None:
        """Classify a batch of records, in place."""
        scores, shares = self.predict(records)
        for record, labels, row in zip(records, self.choose(scores), shares, strict=True):
            record.labels[self.name] = labels
            found = rank(row, self.modalities)
            record.labels[f"{self.name}.modalities"] = [one for one in found if one.score > 0] if labels else []

    def fit(
        self,
        train: Gold,
        dev: Gold | None = None,
        config: FitConfig | None = None,
        teacher: Stage | Sequence[Stage] | None = None,
    ) -> FitReport:
        """Fit on gold, in place: the fusion, and with it an image network that is new.

        Parameters
        ----------
        train, dev : sequence of Record or datasets.Dataset
            Records with gold labels, and whatever they have of text, images and metadata.
        config : FitConfig, optional
            By default `default_fit_config()`.
        teacher
            Not used here.

        Returns
        -------
        FitReport

        Raises
        ------
        ConfigError
            If a teacher is given.
        TrainingError
            If there is no gold, or as `clinnlp.training.fit.fit_heads` raises.
        """
        from clinnlp.training.multimodal import fit_multimodal

        refuse_ensemble(self, "fitted")
        if teacher is not None:
            raise ConfigError(f"stage {self.name!r} learns from no teacher")
        return fit_multimodal(self, train, dev, config or self.default_fit_config())

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        if self.fits_images:
            # The network of images learns at the first rate, the rest at the other.
            return FitConfig(epochs=30, learning_rate=1e-3, head_learning_rate=2e-3)
        return FitConfig(epochs=60, learning_rate=2e-3, weight_decay=0.05)

    def judge(self, records: Sequence[Record]) -> tuple[list[list[str]], NDArray[np.float64]]:
        """Give the gold of the records that have some, and the probabilities that the stage finds for them."""
        from clinnlp.training.reports import with_gold

        items, gold = with_gold(self, records)
        made = [self.predict(items[i : i + _BATCH])[0] for i in range(0, len(items), _BATCH)]
        return gold, np.concatenate(made)

    def frozen_copy(self) -> Self:
        """Give a stage on the same encoder with a head of its own, which no later fit changes."""
        made = super().frozen_copy()
        made._plan = copy.deepcopy(self.plan)
        return made
