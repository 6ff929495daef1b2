"""clinnlp: clinical language and images in one pipeline, with exact offsets into the raw text.

Importing this package loads neither torch nor spaCy; what needs them is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clinnlp.errors import ClinNLPError
from clinnlp.pipeline import Pipeline
from clinnlp.record import (
    Answer,
    Assertion,
    Entity,
    Failure,
    Image,
    Label,
    Record,
    Section,
    Sentence,
    Token,
    Value,
)
from clinnlp.saving import load
from clinnlp.stage import Stage, as_stage

if TYPE_CHECKING:
    from clinnlp import corpora, stages
    from clinnlp.dicom import deidentify_dicom
    from clinnlp.training.config import FitConfig

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Assertion",
    "ClinNLPError",
    "Entity",
    "Failure",
    "FitConfig",
    "Image",
    "Label",
    "Pipeline",
    "Record",
    "Section",
    "Sentence",
    "Stage",
    "Token",
    "Value",
    "as_stage",
    "corpora",
    "deidentify_dicom",
    "load",
    "stages",
]

_LAZY_MODULES = ("corpora", "stages", "training", "engines", "formats")


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"clinnlp.{name}")
    if name == "FitConfig":
        return import_module("clinnlp.training.config").FitConfig
    if name == "deidentify_dicom":
        return import_module("clinnlp.dicom").deidentify_dicom
    raise AttributeError(f"module 'clinnlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LAZY_MODULES})
