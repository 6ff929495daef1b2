"""AssertionDetector: what a note says of its entities - absent, possible, past, somebody else's - by rules."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.record import Assertion, Entity, Record
from clinnlp.rules import check_rules
from clinnlp.stage import Stage
from clinnlp.stages._cues import FLAGS, CueRules, merged_rules, read_rules
from clinnlp.stages._phrases import Word, words_of
from clinnlp.stages._scopes import cues_of_sentence
from clinnlp.stages.tokenization import Tokenizer

if TYPE_CHECKING:
    from clinnlp.encoders.encoder import TextEncoder
    from clinnlp.stages.assertion_model import AssertionClassifier
    from clinnlp.training.fit import Gold
    from clinnlp.training.scores import Scores

__all__ = ["AssertionDetector"]

Found = dict[str, list[int]]
"""Flag -> raw offsets of the cue, or an empty list where no words but its place decided."""


class AssertionDetector(Stage):
    """Say of each entity whether it is negated, hypothetical, historical or somebody else's, by the cues around it.

    The rules are those of ConText (Harkema et al., 2009): a cue, such as "denies", "possible", "history of" or
    "mother", reaches the entities behind it, or before it, up to the end of the sentence, or a phrase that ends scopes,
    such as "but"; phrases that only look like cues, such as "no increase", reach none. Entities of some sections, such
    as a past medical history, are historical or family whatever their sentence says. The phrases are data, in
    `rules/LANG/assertion.yaml`.

    Entities of every source are judged, also those that a record brings; one that has an assertion keeps it. Each flag
    that is true has its cue in `assertion.cues`, and each flag its score in `assertion.scores`: 1 or 0. Where a record
    has no sentences, they are found as `Tokenizer` would find them, and not kept.

    A model that learns is `AssertionDetector.from_base(...)`, an `AssertionClassifier`.

    Parameters
    ----------
    lang : str
        Language of the rules: `en` or `zh`.
    rules : str, Path or mapping, optional
        Rules of your own, as a YAML file or a dictionary of its form, over those of the language: what they hold is
        added, and a phrase that both have means what yours say.
    overwrite : bool
        Judge also entities that have an assertion.
    name : str, optional
        Name in a pipeline.

    Raises
    ------
    ConfigError
        If there are no rules for the language, or a field of `rules` is unknown or not what it should be.
    """

    kind = "assertion"
    requires = ("entities",)
    uses = ("cleaned", "tokens", "sentences", "sections")
    assigns = ("entities",)

    def __init__(
        self,
        lang: str = "en",
        rules: str | Path | Mapping[str, Any] | None = None,
        overwrite: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        check_rules("assertion", lang)
        self.lang, self.overwrite = lang, overwrite
        self.rules = None if rules is None else read_rules(rules)
        self._tokenizer = Tokenizer(lang)
        self._rules: CueRules | None = None
        if self.rules is not None:
            self.warm_up()  # what is wrong with a user's rules is told where they are given

    @staticmethod
    def from_base(
        base: str | Path | TextEncoder, name: str | None = None, method: str = "both", **options: Any
    ) -> AssertionClassifier:
        """Put a new head on the encoder of `base`, to be fitted; see `AssertionClassifier.from_base`."""
        from clinnlp.stages.assertion_model import AssertionClassifier

        return AssertionClassifier.from_base(base, name=name, method=method, **options)

    @staticmethod
    def from_pretrained(checkpoint: str | Path, name: str | None = None, **options: Any) -> AssertionClassifier:
        """Take a saved model as it is; see `AssertionClassifier.from_pretrained`."""
        from clinnlp.stages.assertion_model import AssertionClassifier

        return AssertionClassifier.from_pretrained(checkpoint, name=name, **options)

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults, the user's rules as a dictionary."""
        given = {"lang": self.lang, "rules": self.rules, "overwrite": self.overwrite}
        return {name: value for name, value in given.items() if value not in (None, False, "en")}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rules": None}

    def warm_up(self) -> None:
        """Read the rules."""
        self._ready()

    def _ready(self) -> CueRules:
        if self._rules is None:
            self._rules = merged_rules(self.lang, self.rules)
        return self._rules

    def process(self, records: Sequence[Record]) -> None:
        """Fill in the assertion of the entities of each record."""
        for record in records:
            entities = [entity for entity in record.entities if self.overwrite or entity.assertion is None]
            for entity, found in zip(entities, self.cues(record, entities), strict=True):
                entity.assertion = Assertion(
                    **{flag: flag in found for flag in FLAGS},
                    scores={flag: float(flag in found) for flag in FLAGS},
                    cues={flag: cue for flag, cue in found.items() if cue},
                )

    def cues(self, record: Record, entities: Sequence[Entity]) -> list[Found]:
        """Give for each entity the flags that are true, and the raw offsets of the cue of each.

        Parameters
        ----------
        record : Record
            Is not changed.
        entities : sequence of Entity
            With raw offsets in the record's text.

        Returns
        -------
        list of dict of str to list of int
            Flag -> start and end of its cue; an empty list where a section without a heading decided, or that it
            stands alone.
        """
        if not entities:
            return []
        rules = self._ready()
        found, alone = _cues_in_sentences(record, entities, rules, self._starts(record))
        for flags, of_alone, (section, start, end) in zip(found, alone, _sections(record, entities), strict=True):
            for flag in rules.sections.get(section, ()):
                flags.setdefault(flag, [start, end] if start < end else [])
            for flag in of_alone if not section else ():
                flags.setdefault(flag, [])
            for flag in [flag for flag in FLAGS if flag in flags]:
                for silent in rules.silences.get(flag, ()) if flag in flags else ():
                    flags.pop(silent, None)
        return found

    def _starts(self, record: Record) -> list[int]:
        """Give the raw offsets at which sentences start."""
        if not record.has("sentences"):
            record = record.copy(without=["entities", "images", "sections"])
            self._tokenizer.process([record])
        return sorted({0, *(sentence.start for sentence in record.sentences)})

    def evaluate(self, records: Gold) -> Scores:
        """Compare with gold: the assertions that entities have.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Entities without an assertion are left out. They are not changed.

        Returns
        -------
        Scores
            "macro_f1" over the flags that occur, "micro_f1", "accuracy" (all flags right), "auroc", "ece", and
            "precision", "recall", "f1" and "support" of each flag in `per_label`.

        Raises
        ------
        TrainingError
            If no entity has an assertion.
        """
        from clinnlp.training.assertion import evaluate_rules

        return evaluate_rules(self, records)


def _cues_in_sentences(
    record: Record, entities: Sequence[Entity], rules: CueRules, starts: Sequence[int]
) -> tuple[list[Found], list[tuple[str, ...]]]:
    """Read each sentence that has entities once, and no other; give cues, and the flags of what is all of its own."""
    view = record.view
    text = view.text
    cuts = [view.to_target(start, start)[0] for start in starts]
    inside: dict[int, list[tuple[int, int, int]]] = {}
    for i, entity in enumerate(entities):
        start, end = view.to_target(entity.start, entity.end)
        inside.setdefault(max(bisect_right(cuts, start) - 1, 0), []).append((i, start, end))
    found: list[Found] = [{} for _ in entities]
    alone: list[tuple[str, ...]] = [()] * len(found)
    for sentence, spans in inside.items():
        low, high = cuts[sentence], cuts[sentence + 1] if sentence + 1 < len(cuts) else len(text)
        words = words_of(text[low:high])
        numbers, places = _places(words, spans, low)
        for i, reach in zip(numbers, cues_of_sentence(rules.finder, words, places), strict=True):
            for flag, (first, last) in reach.items():
                start, end = words[first].start, words[min(last, len(words)) - 1].end
                found[i][flag] = [*view.to_source(low + start, low + end)]
        for i, (first, last) in zip(numbers, places, strict=True):
            if len(places) == 1 and not any(word.form.isalpha() for word in (*words[:first], *words[last:])):
                match = next(rules.alone.find(words[first:last]), None)
                if match is not None and match.last - match.first == last - first:
                    alone[i] = match.meanings
    return found, alone


def _places(
    words: Sequence[Word], spans: Sequence[tuple[int, int, int]], low: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Give the numbers of the entities that have a word in their sentence, and the places of each in its words."""
    starts, ends = [word.start for word in words], [word.end for word in words]
    numbers, places = [], []
    for i, start, end in spans:
        first, last = bisect_right(ends, start - low), bisect_left(starts, end - low)
        if first < last:
            numbers.append(i)
            places.append((first, last))
    return numbers, places


def _sections(record: Record, entities: Sequence[Entity]) -> Iterator[tuple[str, int, int]]:
    """Give for each entity the name of the section whose body it is in, and the raw offsets of its heading."""
    sections = sorted(record.sections, key=lambda section: section.start)
    starts = [section.start for section in sections]
    for entity in entities:
        i = bisect_right(starts, entity.start) - 1
        section = sections[i] if i >= 0 else None
        if section is None or not section.body_start <= entity.start < section.end:
            yield "", 0, 0
            continue
        at = record.text.find(section.heading, section.start, section.body_start) if section.heading else -1
        yield section.name, max(at, 0), at + len(section.heading) if at >= 0 else 0
