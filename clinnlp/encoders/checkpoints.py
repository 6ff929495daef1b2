"""Finding checkpoints and reading them, offline first."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.errors import CheckpointError
from clinnlp.shipped import HUB_ID, shipped_names, shipped_pipeline

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["find_checkpoint", "load_config", "load_model", "load_onto_base", "load_tokenizer", "pick_device", "quiet"]

_WEIGHTS = "*.safetensors"


def find_checkpoint(base: str | Path) -> str:
    """Find what a user named: a folder, a shipped pipeline, an installed package, or a Hub id.

    Parameters
    ----------
    base : str or Path
        Tried in that order. Of a shipped or saved pipeline it is the encoder of its `entities` stage, or
        of the first stage with weights.

    Returns
    -------
    str
        A folder, or the Hub id as it was given: only that may use the network, when it is loaded.

    Raises
    ------
    CheckpointError
        If it is none of them.
    """
    text = str(base)
    folder = Path(base)
    if isinstance(base, str) and (shipped := shipped_pipeline(base)) is not None:
        folder = shipped
    if folder.is_dir():
        return str(_in_folder(folder))
    if isinstance(base, str) and (package := _in_package(base)) is not None:
        return str(package)
    if isinstance(base, str) and HUB_ID.fullmatch(text):
        return text
    raise CheckpointError(
        f"no checkpoint {text!r}: it is no folder, no installed package and none of the shipped pipelines"
        f" ({', '.join(shipped_names())}); a Hub id has the form owner/name"
    )


def _in_folder(folder: Path) -> Path:
    if (folder / "config.json").is_file():
        return folder
    if (folder / "pipeline.yaml").is_file():
        for candidate in (folder / "entities", *sorted(path.parent for path in folder.glob("*/config.json"))):
            if (candidate / "config.json").is_file():
                return candidate
    raise CheckpointError(f"the folder {folder} has no config.json: give the folder of a saved model")


def _in_package(name: str) -> Path | None:
    """Find the folder of an installed package that holds a config and safetensors."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        return None
    try:
        spec = importlib.util.find_spec(re.sub(r"[-.]", "_", name))
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        for config in sorted(Path(place).glob("**/config.json"), key=lambda path: len(path.parts)):
            if any(config.parent.glob(_WEIGHTS)):
                return config.parent
    return None


def load_config(checkpoint: str, **changes: Any) -> PretrainedConfig:
    """Read a checkpoint's configuration.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be read.
    """
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(checkpoint, **changes)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(_cannot("configuration", checkpoint, error)) from None


def load_tokenizer(checkpoint: str) -> PreTrainedTokenizerBase:
    """Read a checkpoint's fast tokenizer.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot tell the offsets of its pieces.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except Exception as error:  # the tokenizers library raises bare Exceptions on broken files
        raise CheckpointError(_cannot("tokenizer", checkpoint, error)) from None
    if not tokenizer.is_fast:
        raise CheckpointError(f"the tokenizer of {checkpoint} is not a fast one: it cannot give offsets")
    pieces = tokenizer("a e 1 .", add_special_tokens=False)["input_ids"]
    if not set(pieces) - {tokenizer.unk_token_id}:
        # Where its file is missing transformers makes one that knows nothing, and every note would come out empty.
        raise CheckpointError(f"the tokenizer of {checkpoint} has no vocabulary: save it again beside the weights")
    return tokenizer


def load_model(auto_class: Any, checkpoint: str, **changes: Any) -> PreTrainedModel:
    """Read a whole checkpoint, encoder and head, in 32-bit floats.

    Parameters
    ----------
    auto_class : type
        A class of transformers such as `AutoModelForTokenClassification`.

    Raises
    ------
    CheckpointError
        If the weights are missing, corrupt, of another architecture, or have no such head.
    """
    import torch

    _check_weights(checkpoint)
    try:
        with quiet():
            model, info = auto_class.from_pretrained(
                checkpoint, dtype=torch.float32, output_loading_info=True, use_safetensors=True, **changes
            )
    except Exception as error:  # safetensors, torch and the Hub each raise their own
        raise CheckpointError(_cannot("weights", checkpoint, error)) from None
    if missing := sorted(info["missing_keys"]):
        raise CheckpointError(
            f"the weights in {checkpoint} lack {len(missing)} tensors of {type(model).__name__}, such as"
            f" {missing[0]}: it is a checkpoint of another kind; to train a new head on it use from_base"
        )
    return _ready(model)


def load_onto_base(auto_class: Any, checkpoint: str, config: PretrainedConfig) -> PreTrainedModel:
    """Build a model with a new head on the encoder of a checkpoint, whatever head that has.

    Raises
    ------
    CheckpointError
        If the encoder's weights are missing, corrupt or of another shape.
    """
    import torch
    from transformers import AutoModel

    _check_weights(checkpoint)
    model = auto_class.from_config(config, dtype=torch.float32)
    try:
        with quiet():
            encoder, info = AutoModel.from_pretrained(
                checkpoint, dtype=torch.float32, output_loading_info=True, use_safetensors=True
            )
        result = model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    except Exception as error:  # safetensors, torch and the Hub each raise their own
        raise CheckpointError(_cannot("weights", checkpoint, error)) from None
    # A pooler belongs to a head: it is fitted with the new one.
    if missing := sorted(key for key in {*info["missing_keys"], *result.missing_keys} if "pooler" not in key):
        raise CheckpointError(
            f"the weights in {checkpoint} lack {len(missing)} tensors of the encoder, such as"
            f" {missing[0]}: it is a checkpoint of another architecture"
        )
    return _ready(model)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars and warnings of transformers while it reads or writes weights: what counts is checked."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _ready(model: Any) -> PreTrainedModel:
    model.eval()
    return model


def _check_weights(checkpoint: str) -> None:
    """Refuse a local folder without safetensors: pickled weights can run code."""
    folder = Path(checkpoint)
    if folder.is_dir() and not any(folder.glob(_WEIGHTS)):
        raise CheckpointError(f"the folder {checkpoint} has no safetensors file: save the model again in that format")


def _cannot(what: str, checkpoint: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"cannot read the {what} of {checkpoint}: {type(error).__name__}: {reason}"


def pick_device(device: str | None) -> torch.device:
    """Give the named device, or the GPU where there is one, or the CPU."""
    import torch

    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
