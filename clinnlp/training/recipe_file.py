"""The file of a recipe: read, and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from clinnlp.encoders.checkpoints import ENCODER_SETTINGS
from clinnlp.errors import ConfigError
from clinnlp.shipped import shipped_pipeline

__all__ = ["COLUMNS", "PLANTED", "RELABEL", "check_encoder", "parse_recipe", "read_recipe"]

_KEYS = {"name", "description", "dtype", "encoder", "fit", "stages", "card", "beside"}
_BESIDE_KEYS = {"description", "stages", "card"}
_ENCODER_KEYS = {"base", "save", *ENCODER_SETTINGS}
_SAVED = ("whole", "update", "reference")
_STAGE_KEYS = {"stage", "name", "from", "config", "base", "labels", "train", "dev", "fit"}


# What says which labels of a corpus or file are a stage's gold, and what they are called in it.
RELABEL = {"label_set", "names"}
_WITHOUT_LABELS = {"entities", "topics", "deidentification"}
# Columns of a table or fields of a file, as `clinnlp.formats.sources.read_all` takes them.
COLUMNS = {"text_column", "id_column", "images_column", "label_columns"}
# The seed of identifiers that are planted into a corpus or file, as gold of a deidentification stage.
PLANTED = "plant_identifiers"


def read_recipe(path: Path) -> bytes:
    """Give the contents of a recipe.

    Raises
    ------
    ConfigError
        If there is none.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {type(error).__name__}") from None


def parse_recipe(source: bytes, path: Path) -> dict[str, Any]:
    """Give what a recipe says, all of whose keys and shapes are known.

    Raises
    ------
    ConfigError
        Naming the place of what is not.
    """
    try:
        document = yaml.safe_load(source)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("stages"), list) or not document["stages"]:
        raise ConfigError(f"{path} has no list of stages")
    _known(document, _KEYS, str(path))
    beside = document.get("beside") or {}
    if not isinstance(beside, dict) or not all(
        isinstance(one, dict) and isinstance(one.get("stages"), list) for one in beside.values()
    ):
        raise ConfigError(f"{path}: beside is a mapping of the names of pipelines to their stages")
    for name, one in beside.items():
        if Path(str(name)).name != str(name) or name in ("..", path.absolute().parent.name):
            raise ConfigError(f"{path}: beside {name!r} is not the name of a folder beside this one")
        _known(one, _BESIDE_KEYS, f"{path}: beside {name!r}")
    for plan in (document, *beside.values()):
        _strings(plan.get("card"), f"{path}: card")
        for entry in plan["stages"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("stage"), str):
                raise ConfigError(f"{path}: each stage needs `stage`, its registered name")
            _check_entry(entry, f"{path}: stage {entry['stage']!r}", path.parent)
    return document


def check_encoder(entry: Any, document: Mapping[str, Any], path: Path) -> None:
    """Refuse an encoder of a recipe that has no base, or cannot be saved as the recipe says.

    Raises
    ------
    ConfigError
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("base"), str):
        raise ConfigError(f"{path}: encoder needs a base: a shipped pipeline, folder, installed package or Hub id")
    _known(entry, _ENCODER_KEYS, f"{path}: encoder")
    if (saved := entry.get("save", "whole")) not in _SAVED:
        raise ConfigError(f"{path}: encoder: save is {' or '.join(_SAVED)}, not {saved!r}")
    if saved != "whole" and (shipped_pipeline(entry["base"]) is None or document.get("beside")):
        raise ConfigError(
            f"{path}: encoder: save: {saved} is for a recipe without pipelines beside it, on the encoder of a shipped"
            " pipeline"
        )


def _check_entry(entry: Mapping[str, Any], where: str, folder: Path) -> None:
    _known(entry, _STAGE_KEYS, where)
    if not isinstance(entry.get("name", "x"), str) or not entry.get("name", "x"):
        raise ConfigError(f"{where}: its name is a text")
    if "from" in entry:
        if not isinstance(entry["from"], str):
            raise ConfigError(f"{where}: from is the name or folder of a pipeline that has the stage")
        if more := sorted(set(entry) - {"stage", "name", "from"}):
            raise ConfigError(f"{where}: it is taken from a pipeline as it is there: leave {more[0]} out")
    config = entry.get("config") or {}
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise ConfigError(f"{where}: its config is a mapping of names to values")
    for part in ("train", "dev"):
        named = entry.get(part, [])
        for item in named if isinstance(named, list) else [named]:
            own = set(item) - RELABEL - {PLANTED} if isinstance(item, dict) else set()
            if own != {"corpus", "part"} and own - COLUMNS != {"file"}:
                raise ConfigError(
                    f"{where}: {part} is a corpus and a part of it, as {{corpus: a, part: b}}, a file, as {{file: a}},"
                    " or a list"
                )
            others = ("names", PLANTED, "label_columns")
            _strings({key: item[key] for key in item if key not in others}, f"{where}: {part}")
            columns = item.get("label_columns", [])
            if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
                raise ConfigError(f"{where}: {part}: label_columns is a list of names of columns")
            if not isinstance(item.get(PLANTED, 0), int):
                raise ConfigError(f"{where}: {part}: {PLANTED} is a seed, a whole number")
            _strings(item.get("names"), f"{where}: names of {part}")
            if entry["stage"] in _WITHOUT_LABELS and (given := sorted(RELABEL & set(item))):
                raise ConfigError(f"{where}: {part} has {given[0]}, and the stage's gold is no label set: leave it out")
            if "file" in item and not (folder / item["file"]).exists():
                raise ConfigError(
                    f"{where}: {part} names the file {item['file']!r}, and there is none in the recipe's folder: give"
                    " its path from there"
                )
        if part in entry and not named:
            raise ConfigError(f"{where}: {part} names no corpus and no file")


def _strings(given: Any, where: str) -> None:
    if given is not None and not (
        isinstance(given, dict) and all(isinstance(x, str) for x in (*given, *given.values()))
    ):
        raise ConfigError(f"{where} is a mapping of names to texts")


def _known(given: Mapping[str, Any], names: set[str], where: str) -> None:
    if unknown := sorted(set(given) - names):
        raise ConfigError(f"{where} has the unknown key {unknown[0]!r}: known are {', '.join(sorted(names))}")
