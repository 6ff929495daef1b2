"""Finding checkpoints, offline first."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from clinnlp.errors import CheckpointError
from clinnlp.shipped import HUB_ID, shipped_names, shipped_pipeline

__all__ = [
    "BAG_FILE",
    "ENCODER_SETTINGS",
    "HEAD_FILE",
    "PIPELINE_FILE",
    "UPDATE_FILE",
    "base_settings",
    "check_form",
    "find_checkpoint",
    "find_head",
    "saved_encoder",
]

PIPELINE_FILE = "pipeline.yaml"
HEAD_FILE = "head.safetensors"
"""Weights of a head that lies apart from its encoder."""
UPDATE_FILE = "update.safetensors"
"""What an encoder has beyond that of another pipeline."""
BAG_FILE = "bag_of_words.safetensors"
"""A bag of words that votes with a head, beside it."""
ENCODER_SETTINGS = ("window", "overlap", "batch_tokens")
"""Settings that belong to an encoder, and are saved with it where it is shared."""
_WEIGHTS = "*.safetensors"
_READERS = {
    "ForTokenClassification": "EntityExtractor",
    "ForSequenceClassification": "ReportClassifier",
    "ForImageClassification": "ImageClassifier",
    "LabelledVectorHead": "VectorClassifier",
    "SpanHead": "SentenceClassifier",
    "CentreHead": "TopicModel",
}
"""How the name of a saved model ends -> the stage that reads it."""


def find_checkpoint(base: str | Path) -> str:
    """Find what a user named: a folder, a shipped pipeline, an installed package, or a Hub id.

    Parameters
    ----------
    base : str or Path
        Tried in that order. Of a shipped or saved pipeline it is the encoder that its stages share, or else that of
        its `entities` stage, or of the first stage with weights.

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


def base_settings(base: str | Path) -> dict[str, Any]:
    """Give the windows of a shipped or saved pipeline's encoder, which a new head on it needs to read in its pass.

    Parameters
    ----------
    base : str or Path
        As for `find_checkpoint`.

    Returns
    -------
    dict
        Settings of `TextEncoder`; empty where the base is no pipeline.
    """
    folder = (shipped_pipeline(base) if isinstance(base, str) else None) or Path(base)
    if (folder / "config.json").is_file() or not (folder / PIPELINE_FILE).is_file():
        return {}
    document = _read_pipeline(folder)
    if encoders := document.get("encoders"):
        found = saved_encoder(document, next(iter(encoders)), folder)
    else:
        chosen = _in_folder(folder).name
        found = next((one.get("config") or {} for one in document["stages"] if one.get("weights") == chosen), {})
    return {name: found[name] for name in (*ENCODER_SETTINGS, "update") if name in found}


def find_head(checkpoint: str | Path, kind: str, name: str | None = None) -> tuple[str, str | None, dict[str, Any]]:
    """Find a head and its encoder: a whole checkpoint, or the first stage of a kind in a saved or shipped pipeline.

    Parameters
    ----------
    checkpoint : str or Path
        As for `find_checkpoint`.
    kind : str
        Registered name of the stage.
    name : str, optional
        Name of the stage, where the pipeline has several of that kind.

    Returns
    -------
    encoder : str
        Checkpoint of the encoder, or of both.
    head : str or None
        Folder of the head, where it is apart.
    settings : dict
        What the pipeline says of stage and encoder.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    folder = Path(checkpoint)
    if isinstance(checkpoint, str) and (shipped := shipped_pipeline(checkpoint)) is not None:
        folder = shipped
    if (folder / "config.json").is_file() or not (folder / PIPELINE_FILE).is_file():
        return find_checkpoint(checkpoint), None, {}
    document = _read_pipeline(folder)
    of_kind = [one for one in document["stages"] if one.get("stage") == kind and one.get("weights")]
    named = [one for one in of_kind if one.get("name") == name]
    if name is not None and not named and len(of_kind) > 1:
        told = ", ".join(str(one.get("name")) for one in of_kind)
        raise CheckpointError(f"the pipeline in {folder} has no stage {name!r} of kind {kind!r}: it has {told}")
    entry = next(iter(named or of_kind), None)
    if entry is None:
        raise CheckpointError(f"the pipeline in {folder} has no stage {kind!r} with weights: to fit one use from_base")
    settings, weights = dict(entry.get("config") or {}), str(folder / entry["weights"])
    if "encoder" not in entry:
        return weights, None, settings
    encoder = saved_encoder(document, entry["encoder"], folder)
    return encoder.pop("checkpoint"), weights, {**settings, **encoder}


def check_form(checkpoint: str, form: str, reader: str, architectures: Any = None) -> None:
    """Refuse a checkpoint whose head is that of another kind of stage; one that does not say what it is passes.

    Parameters
    ----------
    checkpoint : str
    form : str
        How the names of the models end that the stage reads; `""` where it does not know.
    reader : str
        Its class.
    architectures : sequence of str, optional
        What the configuration says; by default read from the folder, if it is one.

    Raises
    ------
    CheckpointError
        Naming the class that reads it.
    """
    if architectures is None:
        try:
            config = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
            architectures = config.get("architectures")
        except (OSError, ValueError, AttributeError):
            return  # what is wrong with it is told when the weights are loaded
    named = [one for one in architectures or () if isinstance(one, str)] if isinstance(architectures, list) else []
    if not form or any(one.endswith(form) for one in named):
        return
    for name in named:
        other = next((kind for end, kind in _READERS.items() if name.endswith(end)), None)
        if other is not None:
            image = "ForImageClassification"
            base = (
                "" if image in (form, name[-len(image) :]) else f", or {reader}.from_base for a new head on its encoder"
            )
            raise CheckpointError(
                f"{checkpoint} is a {name}, which {other} reads and {reader} does not: use"
                f" {other}.from_pretrained{base}"
            )


def saved_encoder(document: Mapping[str, Any], name: Any, folder: Path) -> dict[str, Any]:
    """Read what a pipeline's file says of an encoder that its stages share.

    Parameters
    ----------
    document : mapping
        The file.
    name : str
        Name of the encoder in it.
    folder : Path
        Where the file lies.

    Returns
    -------
    dict
        "checkpoint" and the settings of `TextEncoder`, with "update" where the pipeline has one to it.

    Raises
    ------
    CheckpointError
        If there is no such encoder, or its weights are neither inside the folder nor in another pipeline, beside it
        or shipped.
    """
    entries = document.get("encoders")
    entry = entries.get(name) if isinstance(entries, Mapping) and isinstance(name, str) else None
    if not isinstance(entry, Mapping) or ("weights" in entry) == ("pipeline" in entry):
        raise CheckpointError(
            f"the pipeline has no encoder {name!r}: under `encoders` give it `weights`, a folder, or `pipeline`,"
            " the name of another that has them"
        )
    settings = {key: value for key, value in entry.items() if key not in ("weights", "pipeline", "update")}
    if unknown := sorted(set(settings) - set(ENCODER_SETTINGS)):
        raise CheckpointError(f"the encoder {name!r} has the unknown key {unknown[0]!r}")
    if "pipeline" in entry:
        other = str(entry["pipeline"])
        beside = folder.resolve().parent / other
        found = beside if Path(other).name == other and (beside / PIPELINE_FILE).is_file() else shipped_pipeline(other)
        if found is None or found.resolve() == folder.resolve():
            raise CheckpointError(
                f"the encoder {name!r} is that of {other!r}, which is no pipeline beside this one and none of the"
                f" shipped ones: {', '.join(shipped_names())}"
            )
        return {"checkpoint": str(_in_folder(found)), **settings, **_update(entry, name, folder)}
    place = folder / str(entry["weights"])
    if not place.resolve().is_relative_to(folder.resolve()) or not place.is_dir():
        raise CheckpointError(f"the weights of the encoder {name!r} are missing: no folder {entry['weights']} inside")
    return {"checkpoint": str(place), **settings}


def _update(entry: Mapping[str, Any], name: Any, folder: Path) -> dict[str, str]:
    """Give where the update of an encoder lies, if it has one."""
    if "update" not in entry:
        return {}
    place = folder / str(entry["update"])
    if not place.resolve().is_relative_to(folder.resolve()) or not (place / UPDATE_FILE).is_file():
        raise CheckpointError(f"the update of the encoder {name!r} is missing: no {UPDATE_FILE} in {entry['update']}")
    return {"update": str(place)}


def _read_pipeline(folder: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load((folder / PIPELINE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"cannot read the pipeline in {folder}: {type(error).__name__}: {reason}") from None
    stages = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(stages, list) or not all(isinstance(entry, dict) for entry in stages):
        raise CheckpointError(f"{folder / PIPELINE_FILE} has no list of stages")
    return document  # type: ignore[no-any-return]


def _in_folder(folder: Path) -> Path:
    if (folder / "config.json").is_file():
        if {path.name for path in folder.glob(_WEIGHTS)} - {BAG_FILE} == {HEAD_FILE}:
            raise CheckpointError(
                f"the folder {folder} has a head without its encoder: give the folder of the pipeline around it"
            )
        return folder
    if (folder / PIPELINE_FILE).is_file():
        document = _read_pipeline(folder)
        for name in document.get("encoders") or {}:
            return Path(saved_encoder(document, name, folder)["checkpoint"])
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
