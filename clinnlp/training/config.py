"""FitConfig: how a stage is fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from clinnlp.encoders.views import check_views
from clinnlp.errors import ConfigError

__all__ = ["FitConfig"]


_OPTIONAL = ("patience", "every", "lora")
_SHARES = ("warmup", "mask_words", "plant_entities", "swap_entities", "typos", "abbreviations", "label_smoothing")
_ABOVE = ("learning_rate", "head_learning_rate", "distill_temperature")
_LEAST = ("weight_decay", "max_grad_norm", "focal", "seed")
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "select": ("best", "last"),
    "precision": ("float32", "bfloat16"),
    "class_weights": (None, "balanced", "sqrt"),
    "resample": (None, "over", "under"),
    "freeze": (None, "encoder"),
    "method": (None, "linear", "nearest", "contrastive", "tuned"),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(slots=True)
class FitConfig:
    """Settings of a fine-tune; the same names stand under `fit:` in a `train.yaml`.

    Parameters
    ----------
    epochs : int
        Times that the training data is seen.
    learning_rate : float
        Highest learning rate of the encoder.
    head_learning_rate : float, optional
        Highest learning rate of the heads; by default that of the encoder, and for whole reports ten times it.
    optimizer : str
        One of the Trainer's optimizers: "adamw_torch", "adafactor", "sgd", "lion_32bit", ...
    batch_tokens : int
        Word pieces of a batch, padding counted; for images, pictures of a batch times 64; for whole reports,
        reports of a batch times 128.
    weight_decay : float
    warmup : float
        Share of the steps in which the learning rate rises from zero.
    schedule : str
        One of the Trainer's schedules: "linear", "cosine", "constant_with_warmup", ...
    max_grad_norm : float
    dropout : float, optional
        Dropout of the encoder's hidden states and the head, with that of attention off; by default the
        checkpoint's own rates.
    mask_words : float
        Share of the word pieces that are hidden by the mask token while training, new in every epoch.
    plant_entities : float
        Share of the training windows into which a gold mention from elsewhere is put, at a place by chance, so that
        entities are also found where nothing around them tells.
    swap_entities : float
        Share of the gold mentions that are exchanged for others of their type in a second copy of the training records;
        see `clinnlp.training.augmentation`.
    typos, abbreviations : float
        Share of the words with a typing error, and of the clinical terms that are abbreviated or spelled out, in
        another copy of the training records.
    augment : sequence of str
        Other views of each picture while an image network is trained, new in every epoch: names of
        `clinnlp.encoders.views.VIEWS`, with their amount or another, such as `rotate=20`. Nothing mirrors a picture
        unless "flip" is named.
    crf : bool
        Learn scores of one entity label after another with the head, as a conditional random field (Lafferty et al.,
        2001); not with `class_weights`, `focal` or `label_smoothing`, which weigh single words.
    class_weights : {"balanced", "sqrt"} or dict, optional
        Weights of the classes in the loss: inverse to their number, or to its square root, or given by label.
    focal : float
        Exponent of the focal loss (Lin et al., 2017); 0 is cross-entropy.
    label_smoothing : float
        Share of the target that is spread over all classes (Szegedy et al., 2016).
    resample : {"over", "under"}, optional
        Repeat the examples of rare classes, or leave out some of frequent ones; see `clinnlp.training.sampling`.
    freeze : {"encoder"}, optional
        Train the head alone. What the encoder gives for a window is computed once; windows stay as they are then:
        nothing in them is hidden, planted or moved.
    method : {"linear", "nearest", "contrastive", "tuned"}, optional
        How a `VectorClassifier` learns from vectors: a logistic regression on those of the encoder as it is; the class
        whose mean vector is nearest (Snell et al., 2017); the regression after pairs of reports of the same labels
        have been brought together, and others apart (Tunstall et al., 2022); or first the regression, and from there
        encoder and head together (Kumar et al., 2022). "linear" by default.
    pairs : int
        Pairs of each report for "contrastive", half of them alike.
    lora : int, optional
        Train low-rank updates of this rank in place of the encoder's own weights (Hu et al., 2021; with peft), which
        are merged into them at the end.
    distill : float
        Weight of the teacher's probabilities in the loss, where `fit` is given a teacher; the gold has the rest.
    distill_temperature : float
        By which the logits of both are divided (Hinton et al., 2015).
    calibrate : bool
        Divide the logits by a temperature that is fitted on the development records at the end (Guo et al., 2017); it
        is put into the head's last layer, so that plain transformers gives the same scores.
    tune_thresholds : bool
        Choose the threshold of each label on the development records at the end, where a report may have several
        labels; see `ReportClassifier.tune`.
    allow_shared : bool
        Let notes, or pictures, stand among both the training and the development records of a classifier, whose figures
        flatter then: else the same record, and a fifth of the development texts or pictures or more, are refused.
    mixing : dict of str to float, optional
        When heads are trained together: stage -> how often its examples are seen in an epoch; 1 by default.
    seed : int
    select : {"best", "last"}
        Keep the weights of the best epoch on the development records, or of the last one.
    patience : int, optional
        Stop when so many evaluations in a row, one an epoch or one at each of `every`, gave no better score.
    every : int, optional
        Steps after which the development records are scored and a checkpoint is written, in place of every epoch.
    output : str, optional
        Folder in which the fitted stage is saved; checkpoints stand beside it until training is over.
    resume : bool
        Go on from the last checkpoint beside `output`, if there is one.
    precision : {"float32", "bfloat16"}
        Of the computation; the weights are float32.
    gradient_accumulation : int
        Batches for one step of the optimizer.
    report_to : str
        A tracker of the Trainer, such as "tensorboard", whose files go beside `output`; "none" for none.
    progress : bool
        Show a progress bar.
    """

    epochs: int = 20
    learning_rate: float = 3e-4
    head_learning_rate: float | None = None
    optimizer: str = "adamw_torch"
    batch_tokens: int = 2048
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: str = "linear"
    max_grad_norm: float = 1.0
    dropout: float | None = None
    mask_words: float = 0.0
    plant_entities: float = 0.0
    swap_entities: float = 0.0
    typos: float = 0.0
    abbreviations: float = 0.0
    augment: Sequence[str] = ()
    crf: bool = True
    class_weights: str | dict[str, float] | None = None
    focal: float = 0.0
    label_smoothing: float = 0.0
    resample: str | None = None
    freeze: str | None = None
    method: str | None = None
    pairs: int = 8
    lora: int | None = None
    distill: float = 0.5
    distill_temperature: float = 2.0
    calibrate: bool = False
    tune_thresholds: bool = False
    allow_shared: bool = False
    mixing: dict[str, float] | None = None
    seed: int = 0
    select: str = "best"
    patience: int | None = None
    every: int | None = None
    output: str | None = None
    resume: bool = False
    precision: str = "float32"
    gradient_accumulation: int = 1
    report_to: str = "none"
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens", "gradient_accumulation", "pairs", "seed", "patience", "every", "lora"):
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"FitConfig: {name} must be a whole number")
            least = {"seed": None, "pairs": 2}.get(name, 1)
            if least is not None and value < least:
                raise ConfigError(f"FitConfig: {name} must be at least {least}")
        self._check_numbers()
        self.augment = check_views(self.augment, "FitConfig: augment")
        for name, known in _CHOICES.items():
            free = name == "class_weights" and isinstance(getattr(self, name), dict)
            if not free and getattr(self, name) not in known:
                told = " or ".join(repr(choice) for choice in known if choice is not None)
                raise ConfigError(f"FitConfig: {name} is {told}, not {getattr(self, name)!r}")
        for name in ("mixing", "class_weights"):
            given = getattr(self, name)
            if given is None or (isinstance(given, str) and name == "class_weights"):
                continue
            if not isinstance(given, dict) or not all(_is_number(value) and value > 0 for value in given.values()):
                raise ConfigError(f"FitConfig: {name} is a dictionary of names to numbers above 0")
        for name in ("crf", "calibrate", "tune_thresholds", "allow_shared"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"FitConfig: {name} is True or False")
        if self.report_to == "tensorboard" and self.output is None:
            raise ConfigError("FitConfig: tensorboard's files go beside output: name one")
        if self.freeze and self.lora:
            raise ConfigError("FitConfig: freeze trains nothing of the encoder, and lora does: leave one out")
        if self.resume and self.output is None:
            raise ConfigError("FitConfig: resume needs output, the folder beside which the checkpoints stand")

    def _check_numbers(self) -> None:
        for name in (*_SHARES, *_ABOVE, *_LEAST, "distill", "dropout"):
            value = getattr(self, name)
            if value is None and name in ("head_learning_rate", "dropout"):
                continue
            if not _is_number(value):
                raise ConfigError(f"FitConfig: {name} must be a number")
            if name in (*_SHARES, "dropout") and not 0 <= value < 1:
                raise ConfigError(f"FitConfig: {name} must be between 0 and 1")
            if name in _ABOVE and not value > 0:
                raise ConfigError(f"FitConfig: {name} must be above 0")
            if value < 0 or (name == "distill" and value > 1):
                raise ConfigError(f"FitConfig: {name} must be at least 0" + (" and at most 1" * (name == "distill")))

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> FitConfig:
        """Make a configuration from plain settings.

        Raises
        ------
        ConfigError
            If a name is unknown or a value has the wrong type.
        """
        kinds = {f.name: str(f.type) for f in fields(cls)}
        for name, value in settings.items():
            if name not in kinds:
                raise ConfigError(f"FitConfig has no setting {name!r}: it has {', '.join(kinds)}")
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and kinds[name].startswith(("int", "float")) and not number:
                raise ConfigError(f"FitConfig: {name} must be a number, not {type(value).__name__} (write 3.0e-4)")
        return cls(**settings)
