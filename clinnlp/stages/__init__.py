"""The stages that come with clinnlp; each is imported when its name is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinnlp.stages.cleaning import TextCleaner
    from clinnlp.stages.entities import EntityExtractor
    from clinnlp.stages.images import ImageClassifier
    from clinnlp.stages.reports import ReportClassifier
    from clinnlp.stages.sections import SectionDetector
    from clinnlp.stages.spacy_component import SpacyComponent
    from clinnlp.stages.tokenization import Tokenizer
    from clinnlp.stages.topics import TopicModel

__all__ = [
    "EntityExtractor",
    "ImageClassifier",
    "ReportClassifier",
    "SectionDetector",
    "SpacyComponent",
    "TextCleaner",
    "Tokenizer",
    "TopicModel",
]

_MODULES = {
    "EntityExtractor": "entities",
    "ImageClassifier": "images",
    "ReportClassifier": "reports",
    "SectionDetector": "sections",
    "SpacyComponent": "spacy_component",
    "TextCleaner": "cleaning",
    "Tokenizer": "tokenization",
    "TopicModel": "topics",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"clinnlp.stages.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'clinnlp.stages' has no attribute {name!r}")
