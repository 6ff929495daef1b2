"""What tells one run from another: its input, its settings, its stages and their weights."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.errors import ClinNLPError
from clinnlp.stage import FunctionStage, Stage

if TYPE_CHECKING:
    from clinnlp.pipeline import Pipeline

__all__ = ["differences", "pipeline_identity"]

_CHUNK = 2**20
_SHOWN = 24


def pipeline_identity(pipeline: Pipeline) -> dict[str, Any]:
    """Give what tells a pipeline from another, as plain values: version, order, settings, weights and code."""
    import clinnlp

    stages = {name: _stage_identity(stage) for name, stage in pipeline.stages.items()}
    found = {"clinnlp": clinnlp.__version__, "order": list(stages), "stages": stages}
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what differs between two nested mappings, sorted; short values are told, long ones named."""
    before, after = dict(_flat(old)), dict(_flat(new))
    changed: list[str] = []
    for name in sorted({*before, *after}):
        one, other = (json.dumps(values.get(name)) for values in (before, after))
        if one != other or (name in before) != (name in after):
            short = max(len(one), len(other)) <= _SHOWN
            changed.append(f"{name} (was {one}, is {other})" if short else name)
    return changed


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _stage_identity(stage: Stage) -> dict[str, Any]:
    kind = type(stage)
    found: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}"}
    try:
        found["settings"] = stage.config()
    except ClinNLPError:  # one that cannot be saved
        found["settings"] = None
    if isinstance(stage, FunctionStage):
        found["code"] = _code(stage.function)
    elif not kind.__module__.startswith("clinnlp."):
        found["code"] = _code(kind)
    if (secret := stage.secret_digest()) is not None:
        found["secret"] = secret
    if (digest := stage.fingerprint()) is not None:
        found["weights"] = digest
    elif getattr(stage, "weights_changed", False):
        found["weights"] = _memory_digest(stage)
    elif places := list(filter(None, getattr(stage, "weight_folders", None) or _checkpoint(stage))):
        # A place that is empty, of a stage without a head, would be the folder that one is in, with whatever is there.
        digests = [_folder_digests(Path(place)) or {"": str(place)} for place in places]
        found["weights"] = digests[0] if len(digests) == 1 else {str(i): files for i, files in enumerate(digests)}
    return found


def _checkpoint(stage: Stage) -> list[str]:
    checkpoint = getattr(stage, "checkpoint", None)
    return [] if checkpoint is None else [str(checkpoint)]


def _code(given: Any) -> str:
    """Give a digest of a function's or class's source, or its name where there is none to be had."""
    try:
        source = inspect.getsource(given if inspect.isroutine(given) or isinstance(given, type) else type(given))
    except (OSError, TypeError):
        return f"{getattr(given, '__module__', '')}.{getattr(given, '__qualname__', type(given).__qualname__)}"
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def _folder_digests(folder: Path) -> dict[str, Any]:
    """Give size and sha256 of every file of a checkpoint but its card."""
    if not folder.is_dir():
        return {}
    digests: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            digests[path.relative_to(folder).as_posix()] = f"{path.stat().st_size} bytes, sha256 {digest.hexdigest()}"
    return digests


def _memory_digest(stage: Any) -> str:
    """Give a digest of weights that differ from what is on the disk."""
    import torch

    digest = hashlib.sha256()
    weights = stage.state_dict() if hasattr(stage, "state_dict") else stage.model.state_dict()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
