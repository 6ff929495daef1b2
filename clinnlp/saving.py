"""Saving a pipeline to a folder, and loading one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from clinnlp.atomic import replace_folder
from clinnlp.errors import ClinNLPError, PipelineError
from clinnlp.pipeline import Pipeline
from clinnlp.shipped import HUB_ID, shipped_names, shipped_pipeline
from clinnlp.stage import Stage, resolve

__all__ = ["FORMAT", "load", "save_pipeline"]

FORMAT = 1
FILE = "pipeline.yaml"


def save_pipeline(pipeline: Pipeline, folder: str | Path, dtype: str = "float32") -> Path:
    """Write `pipeline.yaml` and a folder of weights for every stage that has some.

    The folder appears whole or not at all: a failure leaves a previous save as it was.

    Raises
    ------
    PipelineError
        If a stage has no registered name, so that no one could load it again.
    """
    entries: list[dict[str, Any]] = []
    for stage in pipeline.stages.values():
        if not stage.kind or resolve(stage.kind) is not type(stage):
            raise PipelineError(
                f"stage {stage.name!r} cannot be saved: set `kind` on its class and clinnlp.stage.register it"
            )
    with replace_folder(Path(folder)) as new:
        for stage in pipeline.stages.values():
            entry: dict[str, Any] = {"name": stage.name, "stage": stage.kind}
            if config := stage.config():
                entry["config"] = config
            if hasattr(stage, "save"):
                stage.save(new / stage.name, dtype)
                entry["weights"] = stage.name
            entries.append(entry)
        document = {"clinnlp": FORMAT, "name": pipeline.name, "batch_size": pipeline.batch_size, "stages": entries}
        (new / FILE).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return Path(folder)


def load(name: str | Path, stages: Mapping[str, Stage] | None = None) -> Pipeline:
    """Load a pipeline: a shipped name, a folder, or the id of a Hub repository.

    Nothing of the weights is read before the first use. A shipped name or a folder never uses the network.

    Parameters
    ----------
    name : str or Path
        Name, folder or Hub id.
    stages : mapping of str to Stage, optional
        Stage objects to put in for those of the same name in the file, such as functions of your own.

    Raises
    ------
    PipelineError
        If there is no such pipeline, or its `pipeline.yaml` is not valid.
    """
    folder = _find(name)
    path = folder / FILE
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"no {FILE} in {folder}: give a folder that Pipeline.save wrote") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path} is not valid YAML: {_one_line(error)}") from None
    if not isinstance(document, dict) or not isinstance(document.get("stages"), list):
        raise PipelineError(f"{path} has no list of stages: save the pipeline again")
    if document.get("clinnlp") != FORMAT:
        raise PipelineError(f"{path} is of format {document.get('clinnlp')!r}, this version reads {FORMAT}")
    made = [_make(entry, path, stages or {}) for entry in document["stages"]]
    try:
        return Pipeline(made, str(document.get("name", folder.name)), int(document.get("batch_size", 64)))
    except ClinNLPError as error:
        raise PipelineError(f"{path}: {error}") from None


def _make(entry: Any, path: Path, given: Mapping[str, Stage]) -> Stage:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise PipelineError(f"{path}: each stage needs a name and a stage")
    name = cast("str", entry["name"])
    if name in given:
        return given[name]
    if unknown := set(entry) - {"name", "stage", "config", "weights"}:
        raise PipelineError(f"{path}: stage {name!r} has unknown keys: {', '.join(sorted(map(str, unknown)))}")
    config = entry.get("config") or {}
    if not isinstance(config, dict):
        raise PipelineError(f"{path}: the config of stage {name!r} is not a mapping")
    folder: Path | None = None
    if weights := entry.get("weights"):
        folder = path.parent / str(weights)
        if not folder.resolve().is_relative_to(path.parent.resolve()):
            raise PipelineError(f"{path}: the weights of stage {name!r} lie outside the pipeline's folder")
        if not folder.is_dir():
            raise PipelineError(f"{path}: the weights of stage {name!r} are missing: no folder {weights}")
    try:
        stage = resolve(str(entry.get("stage"))).load(config, folder)
    except ClinNLPError as error:
        raise PipelineError(f"{path}: stage {name!r}: {error}") from None
    except TypeError as error:
        raise PipelineError(f"{path}: stage {name!r}: its config does not fit: {_one_line(error)}") from None
    stage.name = name
    return stage


def _find(name: str | Path) -> Path:
    text = str(name)
    if isinstance(name, str) and (shipped := shipped_pipeline(text)) is not None:
        return shipped
    if Path(name).is_dir():
        return Path(name)
    if isinstance(name, str) and HUB_ID.fullmatch(text) and not Path(name).parent.is_dir():
        return _download(text)
    raise PipelineError(f"no pipeline {text!r}: give a folder, a Hub id, or one of {', '.join(shipped_names())}")


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    allowed = ["*.yaml", "*.json", "*.safetensors", "*.txt", "*.md"]
    try:
        return Path(snapshot_download(repository, allow_patterns=allowed))
    except Exception as error:
        raise PipelineError(
            f"no folder {repository!r} here, and the Hub did not give it ({type(error).__name__}):"
            " check the name, or download it first"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
