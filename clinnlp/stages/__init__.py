"""The stages that come with clinnlp; each is imported when its name is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinnlp.stages.assertion import AssertionDetector
    from clinnlp.stages.assertion_model import AssertionClassifier
    from clinnlp.stages.cleaning import TextCleaner
    from clinnlp.stages.deidentification import Deidentifier
    from clinnlp.stages.entities import EntityExtractor
    from clinnlp.stages.image_cleaning import ImageCleaner
    from clinnlp.stages.images import ImageClassifier
    from clinnlp.stages.multimodal import MultimodalClassifier
    from clinnlp.stages.reports import ReportClassifier
    from clinnlp.stages.rules import RuleMatcher
    from clinnlp.stages.sections import SectionDetector
    from clinnlp.stages.sentences import SentenceClassifier
    from clinnlp.stages.spacy_component import SpacyComponent
    from clinnlp.stages.tokenization import Tokenizer
    from clinnlp.stages.topics import TopicModel
    from clinnlp.stages.values import ValueExtractor
    from clinnlp.stages.vectors import VectorClassifier

__all__ = [
    "AssertionClassifier",
    "AssertionDetector",
    "Deidentifier",
    "EntityExtractor",
    "ImageClassifier",
    "ImageCleaner",
    "MultimodalClassifier",
    "ReportClassifier",
    "RuleMatcher",
    "SectionDetector",
    "SentenceClassifier",
    "SpacyComponent",
    "TextCleaner",
    "Tokenizer",
    "TopicModel",
    "ValueExtractor",
    "VectorClassifier",
]

_MODULES = {
    "AssertionClassifier": "assertion_model",
    "AssertionDetector": "assertion",
    "Deidentifier": "deidentification",
    "EntityExtractor": "entities",
    "ImageClassifier": "images",
    "ImageCleaner": "image_cleaning",
    "MultimodalClassifier": "multimodal",
    "ReportClassifier": "reports",
    "RuleMatcher": "rules",
    "SectionDetector": "sections",
    "SentenceClassifier": "sentences",
    "SpacyComponent": "spacy_component",
    "TextCleaner": "cleaning",
    "Tokenizer": "tokenization",
    "ValueExtractor": "values",
    "VectorClassifier": "vectors",
    "TopicModel": "topics",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"clinnlp.stages.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'clinnlp.stages' has no attribute {name!r}")
