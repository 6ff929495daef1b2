"""FitConfig: how a stage is fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from clinnlp.errors import ConfigError

__all__ = ["FitConfig"]


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
        Highest learning rate of the head; by default that of the encoder, and for whole reports ten times it.
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
    seed : int
    select : {"best", "last"}
        Keep the weights of the best epoch on the development records, or of the last one.
    patience : int, optional
        Stop after so many epochs without a better score.
    output : str, optional
        Folder in which the fitted stage is saved; checkpoints stand beside it until training is over.
    resume : bool
        Go on from the last checkpoint beside `output`, if there is one.
    precision : {"float32", "bfloat16"}
        Of the computation; the weights are float32.
    gradient_accumulation : int
        Batches for one step of the optimizer.
    report_to : str
        A tracker of the Trainer, such as "tensorboard"; "none" for none.
    progress : bool
        Show a progress bar.
    """

    epochs: int = 20
    learning_rate: float = 3e-4
    head_learning_rate: float | None = None
    batch_tokens: int = 2048
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: str = "linear"
    max_grad_norm: float = 1.0
    dropout: float | None = None
    mask_words: float = 0.0
    plant_entities: float = 0.0
    seed: int = 0
    select: str = "best"
    patience: int | None = None
    output: str | None = None
    resume: bool = False
    precision: str = "float32"
    gradient_accumulation: int = 1
    report_to: str = "none"
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens", "gradient_accumulation", "seed"):
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"FitConfig: {name} must be a whole number")
        if self.epochs < 1 or self.batch_tokens < 1 or self.gradient_accumulation < 1:
            raise ConfigError("FitConfig: epochs, batch_tokens and gradient_accumulation must be at least 1")
        if not self.learning_rate > 0:
            raise ConfigError("FitConfig: learning_rate must be above 0")
        for name in ("warmup", "mask_words", "plant_entities"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"FitConfig: {name} must be between 0 and 1")
        if self.select not in ("best", "last"):
            raise ConfigError(f"FitConfig: select is 'best' or 'last', not {self.select!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"FitConfig: precision is 'float32' or 'bfloat16', not {self.precision!r}")
        if self.resume and self.output is None:
            raise ConfigError("FitConfig: resume needs output, the folder beside which the checkpoints stand")

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
