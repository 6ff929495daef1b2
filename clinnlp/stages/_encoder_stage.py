"""What stages with a head on a text encoder have in common: their weights, shared or their own."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.checkpoints import ENCODER_SETTINGS, base_settings, check_form, find_checkpoint, find_head
from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.loading import load_config, load_model
from clinnlp.encoders.text import TextWindows, check_sizes
from clinnlp.errors import CheckpointError
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages._learning_stage import LearningStage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PretrainedConfig, PreTrainedModel
    from typing_extensions import Self

__all__ = ["EncoderStage"]


class EncoderStage(LearningStage):
    """A stage that learns: a head of transformers on a text encoder, which other stages may share.

    Subclasses name the `auto_class` of the whole model, or else make the head in `_make_head`, and say in
    `_new_settings` what a new head's configuration is.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        Of the whole model; where the head is new or has a folder of its own, of the encoder. Nothing is read before
        the first use.
    head : str or Path, optional
        Folder of the head alone.
    window, overlap, batch_tokens, device
        As for `TextEncoder`; not used where one is given.
    name : str, optional
    """

    auto_class: ClassVar[str] = ""
    head_form: ClassVar[str] = ""
    """Name of the class of a head that transformers has no model for."""
    in_config: ClassVar[tuple[str, ...]] = ()
    """Weights of the head that are saved in its configuration, because transformers' model has no place for them."""

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        head: str | Path | None,
        new: bool,
        window: int,
        overlap: int,
        batch_tokens: int,
        device: str | None,
        name: str | None,
    ) -> None:
        super().__init__(name)
        check_sizes(self.name, window=window, overlap=overlap, batch_tokens=batch_tokens)
        if not isinstance(checkpoint, TextEncoder):
            checkpoint = TextEncoder(str(checkpoint), window, overlap, batch_tokens, device)
        self._encoder: TextEncoder = checkpoint
        checkpoint.users.add(self)
        self.checkpoint = checkpoint.checkpoint
        self.head_checkpoint = None if head is None else str(head)
        self.head_changed = new
        self._is_new = new
        self._head: PreTrainedModel | None = None

    @property
    def saved_in(self) -> str | None:
        """Where the head was read from; None of a new one."""
        return None if self._is_new else self.head_checkpoint or self.checkpoint

    def alike(self) -> dict[str, Any]:
        """Give what the stages of an ensemble must have in common besides their labels."""
        return {
            "windows": (self.windows.content, self.windows.overlap),
            "vocabulary": self.windows.tokenizer.get_vocab(),
        }

    def frozen_copy(self) -> Self:
        """Give a stage on the same encoder with a head of its own, which no later fit changes."""
        if self.head_changed:
            _ = self.head
        made = copy.copy(self)
        if self.head_changed:
            made._head = copy.deepcopy(self._head)
        made.members, made.fitted, made.frozen = (), None, True
        return made

    @classmethod
    def _pretrained(
        cls, checkpoint: str | Path, options: dict[str, Any], name: str | None
    ) -> tuple[str | TextEncoder, dict[str, Any]]:
        """Find a head and its encoder: in a pipeline, the stage of this kind and name, or the first of this kind."""
        encoder, head, settings = find_head(checkpoint, cls.kind, name)
        check_form(head or encoder, cls._form(), cls.__name__)
        given = {**settings, "head": head, **options}
        return _updated(encoder, given), given

    @classmethod
    def _form(cls) -> str:
        return cls.auto_class.removeprefix("AutoModel") or cls.head_form

    @classmethod
    def _on_base(cls, base: str | Path | TextEncoder, **options: Any) -> Self:
        """Make a stage with a new head; on the encoder of a pipeline it has its windows, unless others are given."""
        if isinstance(base, TextEncoder):
            return cls(base, **options)
        checkpoint = find_checkpoint(base)
        settings = base_settings(base)
        if {"window", "overlap"} & set(options):
            settings = {name: given for name, given in settings.items() if name == "update"}
        given = {**settings, **options}
        return cls(_updated(checkpoint, given), **given)

    @classmethod
    def load(
        cls, config: Mapping[str, Any], folder: Path | None = None, encoder: TextEncoder | None = None
    ) -> EncoderStage:
        """Make the stage from a saved pipeline's settings, its folder, and the encoder that it shares, if it does."""
        if folder is None:
            raise CheckpointError(f"a stage of kind {cls.kind!r} needs the folder of its weights")
        if encoder is None:
            return cls(folder, **config)
        if Path(encoder.checkpoint) == folder:  # a whole checkpoint, whose encoder other stages are on
            return cls(encoder, **config)
        return cls(encoder, head=folder, **config)

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults."""
        defaults = inspect.signature(type(self).__init__).parameters
        given = {name: getattr(self.encoder, name) for name in ENCODER_SETTINGS}
        given.update({name: getattr(self, name) for name in self._own_settings()})
        return {name: value for name, value in given.items() if value != defaults[name].default}

    def _own_settings(self) -> tuple[str, ...]:
        return ()

    def _new_settings(self) -> dict[str, Any]:
        """Give what the configuration of a new head says."""
        raise NotImplementedError

    @property
    def encoder(self) -> TextEncoder:
        """The encoder under the head."""
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: TextEncoder) -> None:
        self._encoder.users.discard(self)
        self._encoder = encoder
        encoder.users.add(self)

    @property
    def windows(self) -> TextWindows:
        """The tokenizer and the windows of the encoder."""
        return self.encoder.windows

    @property
    def head_config(self) -> PretrainedConfig:
        """The configuration of the head, as it was saved."""
        return load_config(self.head_checkpoint or self.checkpoint)

    @property
    def head(self) -> PreTrainedModel:
        """The head: a model of transformers without its encoder, loaded at first use, on the encoder's device."""
        if self._head is None:
            import torch

            # Made where gradients are switched off for good, its weights could never be trained.
            with torch.inference_mode(False):
                self._head = self._load_head().to(next(self.encoder.model.parameters()).device).eval()
        return self._head

    def _load_head(self) -> Any:
        from clinnlp.encoders.saving import load_head

        if self._is_new:
            return self._make_head(load_config(self.checkpoint, **self._new_settings()))
        read = self.head_checkpoint or self.checkpoint
        check_form(read, self._form(), type(self).__name__, load_config(read).architectures)
        if self.head_checkpoint is not None:
            return load_head(self._make_head, self.head_checkpoint, self.checkpoint)
        if not self.auto_class:
            return load_head(self._make_head, self.checkpoint, self.checkpoint)
        import transformers

        from clinnlp.encoders.model_heads import split_model

        model = load_model(getattr(transformers, self.auto_class), self.checkpoint)
        self.encoder.adopt(split_model(model, self.checkpoint))
        return model

    def _make_head(self, config: PretrainedConfig) -> Any:
        """Make a head with random weights; a subclass whose head is none of transformers' makes its own."""
        import transformers

        from clinnlp.encoders.model_heads import new_head

        return new_head(getattr(transformers, self.auto_class), config, self.encoder.pooler, self.checkpoint)

    def head_outputs(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give what is kept of the head's outputs: its logits."""
        from clinnlp.encoders.model_heads import head_logits

        return head_logits(self.head, states, mask)

    def _pooled(self, texts: Sequence[str], width: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Average what the head gives for the windows of each text, shape (texts, width); tell which have no word."""
        pooled = np.zeros((len(texts), width))
        weights = np.zeros(len(texts))
        for number, item in enumerate(self.encoder.read(texts, self)):
            for window, output in zip(item.windows, item.outputs[self], strict=True):
                share = window.keep_end - window.keep_start
                pooled[number] += share * output
                weights[number] += share
        empty = weights == 0
        pooled[~empty] /= weights[~empty, None]
        return pooled, empty

    def pooled(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give what `_pooled` gives of a head that passes states on, shape (texts, width), and which have no word."""
        return self._pooled(texts, self.head.config.hidden_size)

    def text_vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give what `pooled` gives, brought to length 1, and which have no word."""
        means, empty = self.pooled(texts)
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), empty

    def logits_of(self, part: dict[str, torch.Tensor]) -> torch.Tensor:
        """Give the logits of the head for a padded batch, with encoder and head as they are."""
        from clinnlp.encoders.model_heads import head_logits

        inputs = self.encoder.to_device(part)
        return head_logits(self.head, self.encoder.states(inputs), inputs["attention_mask"])

    @property
    def weights_changed(self) -> bool:
        """Whether the weights in memory are not those that were read."""
        return self.head_changed or self.encoder.changed or bool(self.members)

    @property
    def weight_folders(self) -> list[str]:
        """Where the weights were read from."""
        return [path for path in (self.checkpoint, self.encoder.update, self.head_checkpoint) if path is not None]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Give the weights of encoder and head, under the names that the whole model of transformers has for them."""
        from clinnlp.encoders.model_heads import joined_state

        head = self.head
        state = joined_state(self.encoder.model, head)
        for number, member in enumerate(self.members):
            state.update({f"members.{number}.{name}": tensor for name, tensor in member.state_dict().items()})
        return state

    def warm_up(self) -> None:
        """Load tokenizer and weights."""
        _ = self.windows, self.head
        self.encoder.warm_up()
        for member in self.members:
            member.warm_up()

    def __getstate__(self) -> dict[str, Any]:
        # Whoever unpickles reads weights that have not changed from the checkpoint; a new head is the same everywhere.
        if self.head_changed:
            _ = self.head
        return self.__dict__ if self.head_changed else {**self.__dict__, "_head": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._encoder.users.add(self)

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write encoder and head as one checkpoint, which plain transformers opens with the stage's `auto_class`.

        Of a head that transformers has no model for, the head lies beside the encoder.

        Parameters
        ----------
        folder : str or Path
            Appears whole or not at all.
        dtype : {"float32", "float16", "bfloat16"}
            How the weights are written.
        """
        from clinnlp.encoders.model_heads import joined_state
        from clinnlp.encoders.saving import save_checkpoint, save_with_encoder
        from clinnlp.training.card import stage_card

        refuse_ensemble(self, "saved")
        card = stage_card(self, Path(folder), dtype)
        if not self.auto_class:
            return save_with_encoder(self._saved_head(), self.encoder, folder, dtype, card, self._save_beside)
        state = joined_state(self.encoder.model, self.head)
        state = {name: tensor for name, tensor in state.items() if name not in self.in_config}
        tokenizer = self.windows.tokenizer
        return save_checkpoint(self._saved_head(), tokenizer, folder, dtype, state, card, self._save_beside)

    def save_head(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write the head alone, for a pipeline that saves the encoder once for all heads on it."""
        from clinnlp.encoders.saving import save_head
        from clinnlp.training.card import stage_card

        refuse_ensemble(self, "saved")
        state = {name: tensor for name, tensor in self.head.state_dict().items() if name not in self.in_config}
        card = stage_card(self, Path(folder), dtype)
        return save_head(self._saved_head(), folder, dtype, card, state, self._save_beside)

    def _save_beside(self, folder: Path, dtype: str) -> None:
        """Write what else the stage has learned into the folder of its head."""

    def _saved_head(self) -> Any:
        return self.head


def _updated(checkpoint: str, settings: dict[str, Any]) -> str | TextEncoder:
    """Give the encoder of a checkpoint with the update that settings name, which are left without what it takes."""
    if "update" not in settings:
        return checkpoint
    taken = {name: settings.pop(name) for name in ("update", "device", *ENCODER_SETTINGS) if name in settings}
    return TextEncoder(checkpoint, **taken)
