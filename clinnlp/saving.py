"""Saving a pipeline to a folder, and loading one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from clinnlp.atomic import replace_folder
from clinnlp.cards import keep_foreign, put_card, read_card
from clinnlp.encoders.checkpoints import BAG_FILE, ENCODER_SETTINGS, HEAD_FILE, PIPELINE_FILE, saved_encoder
from clinnlp.errors import ClinNLPError, PipelineError
from clinnlp.pipeline import Pipeline
from clinnlp.shipped import HUB_ID, shipped_names, shipped_pipeline
from clinnlp.stage import FunctionStage, Stage, resolve, stage_names

if TYPE_CHECKING:
    from clinnlp.encoders.encoder import TextEncoder
    from clinnlp.record import Record

__all__ = ["FORMAT", "check_savable", "load", "save_pipeline"]

FORMAT = 1
FILE = PIPELINE_FILE
# A whole checkpoint that was saved where the pipeline goes: it would be read in its place.
_CHECKPOINT = ("config.json", "model*.safetensors", "*.safetensors.index.json", "tokenizer*.json", HEAD_FILE, BAG_FILE)
_KEYS = ("clinnlp", "name", "batch_size", "encoders", "stages")
_STAGE_KEYS = ("name", "stage", "config", "encoder", "weights")


def save_pipeline(
    pipeline: Pipeline,
    folder: str | Path,
    dtype: str = "float32",
    encoder_of: str | None = None,
    *,
    as_update: bool = False,
) -> Path:
    """Write `pipeline.yaml`, each encoder that stages share once, and a folder of weights for every stage with some.

    Of a stage that shares its encoder the folder holds the head alone, else a whole checkpoint. A failure leaves a
    previous save as it was; other files of the folder stay.

    Parameters
    ----------
    pipeline : Pipeline
    folder : str or Path
    dtype : {"float32", "float16", "bfloat16"}
        How weights are written.
    encoder_of : str, optional
        Name of the pipeline, in the folder beside this one or shipped, that has the encoder of all heads: it is named
        in the file and not written again.
    as_update : bool
        Whether the encoder was fitted from that one, and what it has beyond it is written, as a low-rank update.

    Raises
    ------
    PipelineError
        If a stage has no registered name, so that no one could load it again, or its settings are not plain.
    """
    from clinnlp.encoders.updates import save_update
    from clinnlp.training.card import pipeline_card

    check_savable(pipeline)
    folder = Path(folder)
    ours = _saved_before(folder)
    taken = {path.name.casefold() for path in folder.glob("*") if path.name not in ours} | {FILE}
    try:
        with replace_folder(folder, stale=[*map(escape, ours), *_CHECKPOINT]) as new:
            encoders = _save_encoders(pipeline, new, taken, dtype, encoder_of)
            for encoder, entry in encoders.values() if as_update else ():
                entry["update"] = _folder_name("update", taken)
                save_update(encoder.model, encoder.checkpoint, new / entry["update"], dtype)
            names = {id(encoder): name for name, (encoder, _) in encoders.items()}
            entries = [_save_stage(stage, new, taken, dtype, names) for stage in pipeline.stages.values()]
            document: dict[str, Any] = {"clinnlp": FORMAT, "name": pipeline.name, "batch_size": pipeline.batch_size}
            if encoders:
                document["encoders"] = {name: entry for name, (_, entry) in encoders.items()}
            document["stages"] = entries
            (new / FILE).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
            put_card(new, pipeline_card(pipeline, folder, dtype))
            for name in ours & {entry["weights"] for entry in entries if "weights" in entry}:
                keep_foreign(folder / name, new / name)
    except OSError as error:
        raise PipelineError(f"cannot save a pipeline in {folder}: {error.strerror}") from error
    return folder


def check_savable(pipeline: Pipeline) -> None:
    """Refuse a pipeline with a stage that has no registered name.

    Raises
    ------
    PipelineError
        Naming the stage.
    """
    for stage in pipeline.stages.values():
        if not stage.kind or resolve(stage.kind) is not type(stage):
            raise PipelineError(
                f"stage {stage.name!r} cannot be saved: set `kind` on its class and clinnlp.stage.register it"
            )


def _save_encoders(
    pipeline: Pipeline, folder: Path, taken: set[str], dtype: str, encoder_of: str | None
) -> dict[str, tuple[TextEncoder, dict[str, Any]]]:
    """Write each encoder that several stages share; give by name the encoder and its entry in the file."""
    from clinnlp.encoders.saving import save_encoder

    counts = Counter(
        id(stage.encoder) for stage in pipeline.stages.values() if hasattr(stage, "save_head") and stage.has_weights
    )
    shared = {
        id(s.encoder): s.encoder for s in pipeline.stages.values() if counts[id(s.encoder)] > (encoder_of is None)
    }
    found: dict[str, tuple[TextEncoder, dict[str, Any]]] = {}
    for encoder in shared.values():
        name = _folder_name("encoder", taken)
        settings = {key: getattr(encoder, key) for key in ENCODER_SETTINGS}
        if encoder_of is None:
            save_encoder(encoder, folder / name, dtype)
            found[name] = encoder, {"weights": name, **settings}
        else:
            found[name] = encoder, {"pipeline": encoder_of, **settings}
    return found


def _save_stage(stage: Stage, folder: Path, taken: set[str], dtype: str, encoders: Mapping[int, str]) -> dict[str, Any]:
    """Write the weights of a stage, if it has some, and give its entry in the file."""
    entry: dict[str, Any] = {"name": stage.name, "stage": stage.kind}
    config = stage.config()
    if id(stage.encoder) in encoders:
        config = {name: value for name, value in config.items() if name not in ENCODER_SETTINGS}
    if config:
        try:
            yaml.safe_dump(config)
        except yaml.YAMLError:
            raise PipelineError(f"stage {stage.name!r} cannot be saved: its config must be plain values") from None
        entry["config"] = config
    if id(stage.encoder) in encoders:
        entry["encoder"] = encoders[id(stage.encoder)]
        entry["weights"] = _folder_name(stage.name, taken)
        stage.save_head(folder / entry["weights"], dtype)  # type: ignore[attr-defined]
    elif hasattr(stage, "save") and stage.has_weights:
        entry["weights"] = _folder_name(stage.name, taken)
        # A stage of one's own may know nothing of dtypes.
        stage.save(folder / entry["weights"], *([dtype] if dtype != "float32" else []))
    return entry


def _saved_before(folder: Path) -> set[str]:
    """Give the names of the entries that an earlier save wrote into the folder."""
    try:
        document = _read(folder / FILE)
    except PipelineError:
        return {FILE}
    entries = [*document["stages"], *(document.get("encoders") or {}).values()]
    named = {entry.get(key) for entry in entries if isinstance(entry, dict) for key in ("weights", "update")}
    return {FILE, *(name for name in named if isinstance(name, str) and name and Path(name).name == name)}


def _folder_name(name: str, taken: set[str]) -> str:
    """Make a stage's name that of a folder of its own, on every system."""
    safe = re.sub(r"[^\w-]+", "_", name)[:80] or "_"
    while safe.casefold() in taken:
        safe += "_"
    taken.add(safe.casefold())
    return safe


def load(name: str | Path, stages: Mapping[str, Stage | Callable[[Record], Any]] | None = None) -> Pipeline:
    """Load a pipeline: a shipped name, a folder, or the id of a Hub repository.

    Nothing of the weights is read before the first use. A shipped name or a folder never uses the network.

    Parameters
    ----------
    name : str or Path
        Name, folder or Hub id.
    stages : mapping of str to Stage or callable, optional
        Stages to put in for those of the same name in the file, such as functions of your own.

    Raises
    ------
    PipelineError
        If there is no such pipeline, or its `pipeline.yaml` is not valid.
    """
    folder = _find(name)
    path = folder / FILE
    document = _read(path)
    given = dict(stages or {})
    encoders: dict[str, TextEncoder] = {}
    made = [_make(entry, path, given, _encoder(entry, document, path, encoders)) for entry in document["stages"]]
    if given:
        raise PipelineError(f"{path} has no stage {', '.join(map(repr, given))} to put yours in for")
    try:
        pipeline = Pipeline(made, str(document.get("name", folder.name)), document.get("batch_size", 64))
    except ClinNLPError as error:
        raise PipelineError(f"{path}: {error}") from None
    pipeline.card = read_card(folder).texts
    return pipeline


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        mend = "give a folder that Pipeline.save wrote"
        if (path.parent / "config.json").is_file():
            mend = "a stage that was saved alone is loaded by its class, with from_pretrained"
        raise PipelineError(f"no {FILE} in {path.parent}: {mend}") from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # PyYAML lets those of its converters through
        raise PipelineError(f"{path} is not valid YAML: {_one_line(error)}") from None
    if not isinstance(document, dict) or not isinstance(document.get("stages"), list):
        raise PipelineError(f"{path} has no list of stages: save the pipeline again")
    if document.get("clinnlp") != FORMAT:
        raise PipelineError(f"{path} is of format {document.get('clinnlp')!r}, this version reads {FORMAT}")
    _refuse_unknown(document, _KEYS, str(path))
    return document


def _refuse_unknown(given: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    if unknown := [key for key in given if key not in known]:
        raise PipelineError(f"{where} has the unknown key {unknown[0]!r}: known are {', '.join(known)}")


def _encoder(entry: Any, document: Mapping[str, Any], path: Path, made: dict[str, TextEncoder]) -> TextEncoder | None:
    """Give the encoder that a stage shares, one object for all of its stages, or None."""
    name = entry.get("encoder") if isinstance(entry, dict) else None
    if name is None:
        return None
    if name not in made:
        from clinnlp.encoders.encoder import TextEncoder

        try:
            made[name] = TextEncoder(**saved_encoder(document, name, path.parent))
        except ClinNLPError as error:
            raise PipelineError(f"{path}: stage {entry.get('name')!r}: {error}") from None
    return made[name]


def _make(
    entry: Any, path: Path, given: dict[str, Stage | Callable[[Record], Any]], encoder: TextEncoder | None
) -> Stage:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise PipelineError(f"{path}: each stage needs a name")
    name = entry["name"]
    where = f"{path}: stage {name!r}"
    _refuse_unknown(entry, _STAGE_KEYS, where)
    if name in given:
        own = given.pop(name)
        own = own if isinstance(own, Stage) else FunctionStage(own)
        own.name = name
        return own
    kind, config = entry.get("stage"), entry.get("config") or {}
    if not isinstance(kind, str):
        raise PipelineError(f"{where} does not say which `stage` it is: give one of {', '.join(stage_names())}")
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise PipelineError(f"{where}: its config is not a mapping of names to values")
    folder = _weights(entry.get("weights"), path.parent, where)
    try:
        shared = {} if encoder is None else {"encoder": encoder}
        stage = resolve(kind).load(config, folder, **shared)
    except ClinNLPError as error:
        raise PipelineError(f"{where}: {error}") from None
    except Exception as error:
        raise PipelineError(f"{where}: its config does not fit: {type(error).__name__}: {_one_line(error)}") from error
    stage.name = name
    return stage


def _weights(given: Any, folder: Path, where: str) -> Path | None:
    """Give the folder of a stage's weights, which lies inside that of the pipeline."""
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        raise PipelineError(f"{where}: its weights are not the name of a folder")
    path = folder / given
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PipelineError(f"{where}: its weights lie outside the pipeline's folder")
    if not path.is_dir():
        raise PipelineError(f"{where}: its weights are missing: no folder {given}")
    return path


def _find(name: str | Path) -> Path:
    text = str(name)
    if isinstance(name, str) and (shipped := shipped_pipeline(text)) is not None:
        return shipped
    with suppress(OSError):  # of a name that no file can have
        if Path(name).is_dir():
            return Path(name)
        if isinstance(name, str) and HUB_ID.fullmatch(text) and not Path(name).parent.is_dir():
            return _download(text)
    raise PipelineError(f"no pipeline {text[:80]!r}: give a folder, a Hub id, or one of {', '.join(shipped_names())}")


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    allowed = ["*.yaml", "*.json", "*.jsonl", "*.safetensors", "*.txt", "*.md"]
    try:
        return Path(snapshot_download(repository, allow_patterns=allowed))
    except Exception as error:
        raise PipelineError(
            f"no folder {repository!r} here, and the Hub did not give it ({type(error).__name__}):"
            " check the name, or download it first"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
