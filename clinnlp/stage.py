"""The contract of a stage, and the registry of stages by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from inspect import iscoroutine, isgenerator
from typing import TYPE_CHECKING, Any, ClassVar

from clinnlp.errors import ClinNLPError, PipelineError, StageError
from clinnlp.record import Record

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FunctionStage", "Stage", "as_stage", "field_names", "refuse_returned", "register", "resolve", "stage_names"]

ENTRY_POINTS = "clinnlp.stages"

_REGISTRY: dict[str, str | type[Stage]] = {
    "cleaning": "clinnlp.stages.cleaning:TextCleaner",
    "tokenization": "clinnlp.stages.tokenization:Tokenizer",
    "sections": "clinnlp.stages.sections:SectionDetector",
    "entities": "clinnlp.stages.entities:EntityExtractor",
    "rules": "clinnlp.stages.rules:RuleMatcher",
    "assertion": "clinnlp.stages.assertion:AssertionDetector",
    "assertion_model": "clinnlp.stages.assertion_model:AssertionClassifier",
    "reports": "clinnlp.stages.reports:ReportClassifier",
    "vectors": "clinnlp.stages.vectors:VectorClassifier",
    "sentences": "clinnlp.stages.sentences:SentenceClassifier",
    "topics": "clinnlp.stages.topics:TopicModel",
    "deidentification": "clinnlp.stages.deidentification:Deidentifier",
    "values": "clinnlp.stages.values:ValueExtractor",
    "image_cleaning": "clinnlp.stages.image_cleaning:ImageCleaner",
    "images": "clinnlp.stages.images:ImageClassifier",
    "fusion": "clinnlp.stages.multimodal:MultimodalClassifier",
    "spacy": "clinnlp.stages.spacy_component:SpacyComponent",
}


class Stage:
    """A named step of a pipeline, which takes a batch of records and fills them in.

    Subclasses set `kind`, `requires`, `uses` and `assigns`, and write `process`. A subclass that can be saved
    in a pipeline also gives its settings in `config` and, if it has weights, has `save(folder)` and `load`.

    Parameters
    ----------
    name : str, optional
        Name in a pipeline; by default the stage's kind.
    """

    kind: ClassVar[str] = ""
    """Name in the registry, and default name in a pipeline."""
    requires: tuple[str, ...] = ()
    """Fields of a record that must be there: found by an earlier stage or brought by the record."""
    uses: tuple[str, ...] = ()
    """Fields that are used where they are there."""
    assigns: tuple[str, ...] = ()
    """Fields that this stage fills in."""
    encoder: Any = None
    """The `TextEncoder` that the stage's head is on, if it has one."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.kind or type(self).__name__

    @property
    def has_weights(self) -> bool:
        """Whether a stage that has `save` has something to save."""
        return True

    def process(self, records: Sequence[Record]) -> None:
        """Fill in a batch of records, in place."""
        raise NotImplementedError

    def __call__(self, record: Record | str) -> Record:
        """Run this stage alone on one record or text, and give the record back."""
        from clinnlp.pipeline import Pipeline

        return Pipeline([self])(record)

    def warm_up(self) -> None:
        """Load what `process` needs, such as weights; a second call does nothing."""

    def config(self) -> dict[str, Any]:
        """Give the settings that make this stage again, as plain values."""
        return {}

    def fingerprint(self) -> str | None:
        """Give a digest of what `save` writes that is no network's weights, or None: it tells runs apart."""
        return None

    def secret_digest(self) -> str | None:
        """Give a keyed digest of an unsaved secret that decides what comes out, or None: it tells runs apart."""
        return None

    @classmethod
    def load(cls, config: Mapping[str, Any], folder: Path | None = None) -> Stage:
        """Make the stage from what `config` gave and, for one with weights, the folder they were saved in."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


def refuse_returned(returned: Any, records: Sequence[Record]) -> None:
    """Refuse what a stage gives back where that would be lost: other records, or a generator that nobody runs.

    Raises
    ------
    StageError
        If it is one of these; the records themselves, or anything that is none, is let pass.
    """
    given = {id(record) for record in records}
    items = returned if isinstance(returned, (list, tuple)) else [returned]
    lost = any(isinstance(item, Record) and id(item) not in given for item in items)
    if isgenerator(returned) or iscoroutine(returned):
        returned.close()
        lost = True
    if lost:
        kind = type(returned).__name__
        raise StageError(f"it gave a {kind} back, which nobody reads: change the records that it is given, in place")


class FunctionStage(Stage):
    """A stage made of a function of one record.

    Parameters
    ----------
    function : callable
        Takes a record and changes it in place; what it returns is not used, and must not be another record.
    name : str, optional
        By default the function's name.
    requires, uses, assigns : sequence of str
        As in `Stage`.
    """

    def __init__(
        self,
        function: Callable[[Record], Any],
        name: str | None = None,
        requires: Sequence[str] = (),
        uses: Sequence[str] = (),
        assigns: Sequence[str] = (),
    ) -> None:
        super().__init__(name or getattr(function, "__name__", type(function).__name__))
        self.function = function
        self.requires, self.uses, self.assigns = field_names(requires), field_names(uses), field_names(assigns)

    def process(self, records: Sequence[Record]) -> None:
        """Call the function with each record."""
        for record in records:
            refuse_returned(self.function(record), [record])


def field_names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Give names of fields as a tuple; a text is one name, for who forgot the comma in `("tokens",)`."""
    return (given,) if isinstance(given, str) else tuple(given)


def as_stage(
    *, name: str | None = None, requires: Sequence[str] = (), uses: Sequence[str] = (), assigns: Sequence[str] = ()
) -> Callable[[Callable[[Record], Any]], FunctionStage]:
    """Make a stage of the decorated function of one record."""

    def wrap(function: Callable[[Record], Any]) -> FunctionStage:
        return FunctionStage(function, name, requires, uses, assigns)

    return wrap


def register(kind: str, stage: type[Stage] | str) -> None:
    """Add a stage class, or its `"module:Class"`, to the stages that a saved pipeline may name.

    Raises
    ------
    PipelineError
        If the name is taken by another stage.
    """
    if kind in _REGISTRY and _place(_REGISTRY[kind]) != _place(stage):
        raise PipelineError(f"the stage name {kind!r} is taken: register yours under another name")
    _REGISTRY[kind] = stage


def _place(stage: type[Stage] | str) -> str:
    """Give `"module:Class"`, which stays the same where a notebook defines the class anew."""
    return stage if isinstance(stage, str) else f"{stage.__module__}:{stage.__qualname__}"


def stage_names() -> list[str]:
    """Give the names of all stages that a saved pipeline may name."""
    return sorted({*_REGISTRY, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def resolve(kind: str) -> type[Stage]:
    """Give the stage class registered under a name, importing it.

    Raises
    ------
    PipelineError
        If no stage has that name; nothing outside the registry and the entry points is ever imported.
    """
    found = _REGISTRY.get(kind)
    if isinstance(found, str):
        return _load(kind, EntryPoint(kind, found, ENTRY_POINTS))
    if found is not None:
        return found
    for point in entry_points(group=ENTRY_POINTS, name=kind):
        return _load(kind, point)
    raise PipelineError(f"unknown stage {kind!r}: known are {', '.join(stage_names())}; register yours first")


def _load(kind: str, point: EntryPoint) -> type[Stage]:
    """Import the class that a registry's entry or an installed entry point names."""
    try:
        loaded = point.load()
    except ClinNLPError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise PipelineError(
            f"stage {kind!r} cannot be imported from {point.value}: {type(error).__name__}: {message}"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Stage)):
        raise PipelineError(f"stage {kind!r}: {point.value} is not a subclass of clinnlp.stage.Stage")
    return loaded
