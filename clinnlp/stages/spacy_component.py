"""SpacyComponent: any component of a spaCy pipeline as a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from clinnlp.errors import ConfigError
from clinnlp.labels import Label
from clinnlp.record import Entity, Record, Sentence, Token
from clinnlp.stage import Stage, field_names

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

    from clinnlp.alignment import EditedText

__all__ = ["SpacyComponent"]

_ASSIGNS = ("entities", "tokens", "sentences", "labels")
_OWN = "clinnlp_entity"


class SpacyComponent(Stage):
    """Run a spaCy component over the text that models read, and take over what it found.

    The component sees the record's tokens, sentences and entities, cut as `clinnlp.formats.spacy` cuts them. Entities
    that it takes out of `doc.ents` are gone from the record, and those that it adds are there under this stage's name.

    Parameters
    ----------
    component : str or callable
        A name that spaCy knows, such as `"sentencizer"`, or what takes a `Doc` and gives it back: a component, a whole
        spaCy pipeline, a function.
    config : mapping, optional
        Settings of a component given by its name.
    assigns : sequence of str
        What is taken over: entities, tokens, sentences, and labels (from `doc.cats`, as a label set of this name).
    requires : sequence of str
        As in `Stage`.
    spans : sequence of str
        Span groups whose spans are entities too, such as `"sc"`; their scores are kept.
    lang : str
        Language of the blank pipeline that a component given by its name stands in.
    name : str, optional
        Name in a pipeline; by default that of the component.

    Raises
    ------
    ConfigError
        If something else is to be assigned; at first use, if spaCy cannot make the component.
    """

    kind: ClassVar[str] = "spacy"
    uses = ("cleaned", "tokens", "sentences", "entities")

    def __init__(
        self,
        component: str | Callable[[Doc], Doc],
        *,
        config: Mapping[str, Any] | None = None,
        assigns: Sequence[str] = ("entities",),
        requires: Sequence[str] = (),
        spans: Sequence[str] = (),
        lang: str = "en",
        name: str | None = None,
    ) -> None:
        given = component if isinstance(component, str) else getattr(component, "name", None)
        super().__init__(name or (given if isinstance(given, str) else None))
        self.component, self.settings, self.lang = component, dict(config or {}), lang
        self.assigns, self.requires, self.spans = field_names(assigns), field_names(requires), field_names(spans)
        if unknown := [field for field in self.assigns if field not in _ASSIGNS]:
            raise ConfigError(f"stage {self.name!r} cannot assign {unknown[0]!r}: it can {', '.join(_ASSIGNS)}")
        if not isinstance(component, str) and (config or not callable(component)):
            raise ConfigError(f"stage {self.name!r}: give a callable component, or its name and its config")
        self._ready: Any = None
        self._vocab: Vocab | None = None

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults.

        Raises
        ------
        ConfigError
            If the component was not given by its name, so that nobody could make it again.
        """
        if not isinstance(self.component, str):
            raise ConfigError(f"stage {self.name!r} holds a component of your own: give it by the name spaCy knows")
        given: dict[str, Any] = {"component": self.component}
        given |= {"config": self.settings} if self.settings else {}
        given |= {"assigns": list(self.assigns)} if self.assigns != ("entities",) else {}
        given |= {"requires": list(self.requires)} if self.requires else {}
        given |= {"spans": list(self.spans)} if self.spans else {}
        given |= {"lang": self.lang} if self.lang != "en" else {}
        return given

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None, "_vocab": None}

    def warm_up(self) -> None:
        """Make the component."""
        if self._ready is not None:
            return
        import spacy

        if not isinstance(self.component, str):
            nlp = getattr(self.component, "nlp", self.component)
            self._vocab = getattr(self.component, "vocab", None) or getattr(nlp, "vocab", None)
            if self._vocab is None:
                self._vocab = spacy.blank(self.lang).vocab
            self._ready = self.component
            return
        try:
            pipeline = spacy.blank(self.lang)
            self._ready = pipeline.add_pipe(self.component, config=self.settings)
            self._vocab = pipeline.vocab
            return
        except Exception as error:
            kind = type(error).__name__
        raise ConfigError(
            f"stage {self.name!r}: spaCy cannot make the component {self.component!r} with this config ({kind}):"
            " import the package that registers it, and check its settings"
        )

    def process(self, records: Sequence[Record]) -> None:
        """Run the component over a batch of records, in place."""
        self.warm_up()
        from clinnlp.formats.spacy import to_spacy

        assert self._vocab is not None
        # Words that this batch brings into the vocabulary are forgotten after it, or memory would grow for ever.
        zone = nullcontext() if getattr(self._vocab, "in_memory_zone", False) else self._vocab.memory_zone()
        with zone:
            docs = [to_spacy(_as_read(record, self.name), self._vocab) for record in records]
            run = getattr(self._ready, "pipe", None)
            after: Iterable[Doc] = run(docs) if run is not None else map(self._ready, docs)
            for record, doc in zip(records, list(after), strict=True):
                self._take_over(record, doc)

    def _take_over(self, record: Record, doc: Doc) -> None:
        from clinnlp.formats.spacy import from_spacy

        found, view = from_spacy(doc), record.view
        if "entities" in self.assigns:
            spans = [self._entity(record, entity, view) for entity in (*found.entities, *self._grouped(doc))]
            record.entities = sorted(spans, key=lambda entity: (entity.start, entity.end))
        if "tokens" in self.assigns:
            record.tokens = [Token(*view.to_source(token.start, token.end)) for token in found.tokens]
        if "sentences" in self.assigns:
            record.sentences = [Sentence(*view.to_source(one.start, one.end)) for one in found.sentences]
        if "labels" in self.assigns:
            ranked = sorted(doc.cats.items(), key=lambda pair: (-pair[1], pair[0]))
            record.labels[self.name] = [Label(name, score) for name, score in ranked]

    def _entity(self, record: Record, entity: Entity, view: EditedText) -> Entity:
        own = entity.attributes.pop(_OWN, None)
        if own is not None:
            kept: Entity = record.entities[own]
            kept.attributes.update(entity.attributes)
            return kept
        start, end = view.to_source(entity.start, entity.end)
        return Entity(start, end, entity.label, score=entity.score, attributes=entity.attributes, source=self.name)

    def _grouped(self, doc: Doc) -> list[Entity]:
        found: list[Entity] = []
        for key in self.spans:
            group = doc.spans[key] if key in doc.spans else ()  # noqa: SIM401 - SpanGroups.get makes a copy
            scores = [float(score) for score in getattr(group, "attrs", {}).get("scores", ())]
            for i, span in enumerate(group):
                score = scores[i] if i < len(scores) else 1.0
                found.append(Entity(span.start_char, span.end_char, span.label_, score=score))
        return found


def _as_read(record: Record, name: str) -> Record:
    """Give a record of the text that models read, whose entities know which ones of `record` they are."""
    view = record.view

    def mapped(spans: Sequence[Any], make: Callable[[int, int], Any]) -> list[Any]:
        places = dict.fromkeys(view.to_target(span.start, span.end) for span in spans)
        return [make(start, end) for start, end in places if start < end]

    entities = [
        Entity(*view.to_target(entity.start, entity.end), entity.label, attributes={**_link(entity), _OWN: i})
        for i, entity in enumerate(record.entities)
        if entity.source != name
    ]
    tokens, sentences = mapped(record.tokens, Token), mapped(record.sentences, Sentence)
    return Record(view.text, record.id, tokens=tokens, sentences=sentences, entities=entities)


def _link(entity: Entity) -> dict[str, Any]:
    from clinnlp.formats.spacy import LINK

    return {LINK: entity.attributes[LINK]} if LINK in entity.attributes else {}
