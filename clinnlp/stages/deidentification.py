"""Deidentifier: finds what identifies a patient, and puts something else in its place."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from clinnlp.alignment import EditedText
from clinnlp.encoders.encoder import TextEncoder
from clinnlp.errors import CheckpointError, ClinNLPError, ConfigError, StageError, TrainingError
from clinnlp.record import Entity, Record
from clinnlp.rules import check_rules
from clinnlp.stages._decision import check_share
from clinnlp.stages._identifiers.found import Found, merged
from clinnlp.stages._identifiers.keyed import Keyed, read_key
from clinnlp.stages._identifiers.known import KnownStrings
from clinnlp.stages._identifiers.metadata import further_keys, known_values
from clinnlp.stages._identifiers.patterns import PatternFinder
from clinnlp.stages._identifiers.replacing import KEYED, MARK, MODES, Mode, Replacer, check_output
from clinnlp.stages._identifiers.searched import searched
from clinnlp.stages._identifiers.sparing import has_form, is_spared, may_stay
from clinnlp.stages._learning_stage import LearningStage
from clinnlp.stages.entities import EntityExtractor

if TYPE_CHECKING:
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import Gold
    from clinnlp.training.scores import Scores
    from clinnlp.training.task import HeadTask

__all__ = ["Deidentifier"]

KEY_VARIABLE = "CLINNLP_KEY"
THRESHOLD = 0.6


class Deidentifier(EntityExtractor):
    """Find identifiers in the raw text, and give the text without them in `Record.deidentified`.

    What is found by any of three ways is replaced: patterns (`rules/LANG/identifiers.yaml`: dates, ages over 89,
    telephone numbers, addresses, numbers by their form, check digits or context, and names beside a title, a
    credential or the label of a form); what the record's own metadata knows, in any letter case and over line ends;
    and, where there is a checkpoint, a token classifier in the one pass over the note.

    Without a checkpoint, **names and places that stand in a sentence without such a context are not found**, unless
    the metadata has them. Nothing finds every identifier: see `docs/deidentification.md` for what was measured.

    A name that an entity of the record covers, such as of a disease, is left where only its looks say that it is a
    person's; one that the metadata has is always replaced. Identifiers that a record brings are replaced too.

    If any part fails, the stage fails, and `Record.deidentified` stays None. The new text is searched once more, and
    not given out if something known is left in it.

    It is fitted on `Record.identifiers`, and judged on them.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder, optional
        Token classifier of identifiers, as for `EntityExtractor`; without one, patterns and metadata find alone.
    mode : {"label", "redact", "hash", "surrogate"}
        What is put in: `[NAME]`; a fixed mark; a keyed hash, the same for the same value; or a surrogate. Those of a
        patient (`metadata["patient"]`) agree in all their notes: names by their parts, dates moved by one number of
        days, numbers in their form. Ages over 89 become `90+` then; a date that does not exist gets its label.
    key : str or bytes, optional
        Secret of the modes "hash" and "surrogate"; by default what the environment variable `CLINNLP_KEY` says. It is
        never saved.
    mark : str
        What "redact" puts; a record whose metadata knows something in it fails.
    known : sequence of str, or mapping of str to str, optional
        Further keys of metadata, at any depth, whose values identify, beside those under `metadata` in
        `rules/en/identifiers.yaml`: patient, name, doctor, mrn, phone, address, birth_date and others. A mapping gives
        the label of each, such as PERSON, whose parts are looked for alone; of a list all are ID, looked for whole.
    languages : sequence of str
        Whose patterns are looked for.
    threshold : float
        Least score, 0 to 1, of what the head finds: lower finds more names, and takes more other words for names.
    labels, head, window, overlap, batch_tokens, device
        As for `EntityExtractor`.
    name : str, optional
        Name in a pipeline; by default `deidentification`.

    Raises
    ------
    ConfigError
        If a mode or language is unknown, or the key, the mark or a key of metadata cannot be one.
    """

    kind: ClassVar[str] = "deidentification"
    uses = ("cleaned", "tokens", "entities")
    assigns = ("identifiers", "deidentified")

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder | None = None,
        *,
        mode: Mode = "label",
        key: str | bytes | None = None,
        mark: str = MARK,
        known: Sequence[str] | Mapping[str, str] | None = None,
        languages: Sequence[str] = ("en", "zh"),
        threshold: float = THRESHOLD,
        labels: Sequence[str] | None = None,
        head: str | Path | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        if checkpoint is None:
            self._without_head(name)
        else:
            super().__init__(
                checkpoint,
                labels=labels,
                head=head,
                window=window,
                overlap=overlap,
                batch_tokens=batch_tokens,
                device=device,
                name=name,
            )
        if mode not in MODES:
            raise ConfigError(f"unknown mode {mode!r}: give one of {', '.join(MODES)}")
        self.threshold = check_share(threshold, "threshold", self.name)
        if not isinstance(mark, str):
            raise ConfigError(f"the mark must be a text, but it is of the type {type(mark).__name__}")
        self.mode, self.mark = mode, mark
        self.known = further_keys(known)
        self.languages = tuple([languages] if isinstance(languages, str) else languages)
        for lang in self.languages:
            check_rules("identifiers", lang)
        self.key = key
        self._patterns: PatternFinder | None = None

    def _without_head(self, name: str | None) -> None:
        LearningStage.__init__(self, name)
        self._encoder = None  # type: ignore[assignment]
        self.checkpoint, self.head_checkpoint = "", None
        self.head_changed = self._is_new = False
        self._head = self._new_labels = self._scheme = None

    @property
    def key(self) -> bytes | None:
        """The secret, if one was given."""
        return self._key

    @key.setter
    def key(self, key: str | bytes | None) -> None:
        self._key = None if key is None else read_key(key)

    def _found_key(self) -> bytes:
        return self._key or os.fsencode(os.environ.get(KEY_VARIABLE, ""))

    def _secret(self) -> bytes | None:
        """Give the key that the mode needs."""
        if self.mode not in KEYED:
            return None
        found = self._found_key()
        if not found:
            raise ConfigError(
                f"stage {self.name!r}: the mode {self.mode!r} needs a key:"
                f" set nlp[{self.name!r}].key = ... or the environment variable {KEY_VARIABLE}"
            )
        return found

    def secret_digest(self) -> str | None:
        """Give what tells one key from another, so that no run goes on with a second key; None without one."""
        found = self._found_key()
        return Keyed(found).token("which key is this") if found and self.mode in KEYED else None

    @property
    def has_weights(self) -> bool:
        """Whether there is a head, so that the stage can be fitted and has weights to save."""
        return self._encoder is not None

    @property
    def labels(self) -> list[str]:
        """Kinds of identifiers that the head can find."""
        return super().labels if self.has_weights else []

    @property
    def saved_in(self) -> str | None:
        """Where the head was read from; None of a new one, or of none."""
        return super().saved_in or None

    def config(self) -> dict[str, Any]:
        """Give the settings that differ from the defaults; never the key."""
        given: dict[str, Any] = super().config() if self.has_weights else {}
        if self.mode != "label":
            given["mode"] = self.mode
        if self.mark != MARK:
            given["mark"] = self.mark
        if self.known:
            given["known"] = dict(self.known)
        if self.threshold != THRESHOLD:
            given["threshold"] = self.threshold
        if self.languages != ("en", "zh"):
            given["languages"] = list(self.languages)
        return given

    @classmethod
    def load(
        cls, config: Mapping[str, Any], folder: Path | None = None, encoder: TextEncoder | None = None
    ) -> Deidentifier:
        """Make the stage from a saved pipeline's settings, and the folder of its head, if it has one."""
        if "key" in config:
            raise ConfigError("a key does not belong in a file: set it on the stage, or in the environment")
        if folder is None:
            return cls(**config)
        return super().load(config, folder, encoder)  # type: ignore[return-value]

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write encoder and head as one checkpoint, as `EntityExtractor` does; settings and key are not in it."""
        if not self.has_weights:
            raise CheckpointError(f"stage {self.name!r} has no head to save: save the pipeline around it")
        return super().save(folder, dtype)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._encoder is not None:
            self._encoder.users.add(self)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__() if self.has_weights else self.__dict__
        return {**state, "_patterns": None}

    def warm_up(self) -> None:
        """Read the patterns, ask for the key, and load the head's weights."""
        self._secret()
        self._ready()
        if self.has_weights:
            super().warm_up()

    def _ready(self) -> PatternFinder:
        if self._patterns is None:
            self._patterns = PatternFinder(self.languages)
        return self._patterns

    def process(self, records: Sequence[Record]) -> None:
        """Find the identifiers of a batch of records, and give each its text without them.

        Raises
        ------
        StageError
            If anything fails; no record of the batch has a de-identified text then.
        """
        for record in records:
            record.deidentified = None
        key = self._secret()
        with self._guarded():
            known = [self._known(record) for record in records]
            found = self._find(records, known)
            texts = [self._replaced(*each, key) for each in zip(records, found, known, strict=True)]
        for record, some, text in zip(records, found, texts, strict=True):
            record.identifiers = self._identifiers(record, some)
            record.deidentified = text

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let no foreign error out, whose message may quote the text."""
        try:
            yield
        except ClinNLPError:
            raise
        except Exception as error:
            raise StageError(f"stage {self.name!r}: de-identification failed: {type(error).__name__}") from None

    def find(self, records: Sequence[Record]) -> list[list[Entity]]:
        """Give the identifiers of records, as entities with raw offsets, without changing the records.

        An entity's attribute `by` says what found it: "metadata", "pattern" or "model".
        """
        with self._guarded():
            found = self._find(records, [self._known(record) for record in records])
            return [[self._entity(one) for one in some] for some in found]

    def _entity(self, one: Found) -> Entity:
        return Entity(one.start, one.end, one.label, score=one.score, attributes={"by": one.by}, source=self.name)

    def _find(self, records: Sequence[Record], known: Sequence[KnownStrings]) -> list[list[Found]]:
        return [self._found_in(*each) for each in zip(records, self._found_by_head(records), known, strict=True)]

    def _found_by_head(self, records: Sequence[Record]) -> list[list[Found]]:
        found: list[list[Found]] = [[] for _ in records]
        if self.has_weights:
            for number, words, log_probs in self.read_words(records):
                found[number] += [
                    Found(one.start, one.end, one.label, "model", one.score, sure=False)
                    for one in self._decode(log_probs, words)
                ]
        return found

    def _found_in(self, record: Record, from_model: Sequence[Found], known: KnownStrings) -> list[Found]:
        """Join what patterns, metadata, the head and the record itself say."""
        found = [Found(e.start, e.end, e.label, "record", e.score) for e in self._brought(record)]
        found += [one for one in from_model if self._counts(one, record.text[one.start : one.end])]
        found += self._found_in_text(record.text, known)
        if record.cleaned is not None and record.cleaned.alignment.edits:
            found += _in_source(record.cleaned, self._found_in_text(record.cleaned.text, known))
        own = {*self.labels, *(one.label for one in found)}
        others = sorted((e.start, e.end) for e in record.entities if e.label not in own)
        return merged([one for one in found if one.sure or not is_spared(one, record.text, others)], record.text)

    def _counts(self, one: Found, text: str) -> bool:
        """Tell whether what the head found is sure enough, has the form of its kind, and is nothing that may stay."""
        return one.score >= self.threshold and has_form(text, one.label) and not may_stay(text, one.label)

    def _found_in_text(self, text: str, known: KnownStrings) -> list[Found]:
        view = searched(text)
        return [*self._ready().find(text, view), *known.find(text, view)]

    def _known(self, record: Record) -> KnownStrings:
        return KnownStrings(known_values(record.metadata, self.known))

    def _brought(self, record: Record) -> list[Entity]:
        return [entity for entity in record.identifiers if entity.source != self.name]

    def _identifiers(self, record: Record, found: Sequence[Found]) -> list[Entity]:
        """Give the identifiers that the record brought as they are, and beside them what else was found."""
        brought = self._brought(record)
        places = {(entity.start, entity.end) for entity in brought}
        new = [self._entity(one) for one in found if (one.start, one.end) not in places]
        return sorted([*brought, *new], key=lambda entity: (entity.start, entity.end))

    def _replaced(self, record: Record, found: Sequence[Found], known: KnownStrings, key: bytes | None) -> EditedText:
        replacer = Replacer(self.mode, self.mark, key, record.metadata, known)
        edited, marked = replacer.replace(record.text, found)
        return check_output(edited, marked, self._ready(), known)

    def fit_task(self, train: Sequence[Record], dev: Sequence[Record] | None, config: FitConfig) -> HeadTask:
        """Give what the head learns from gold identifiers, for `fit` and `Pipeline.fit`."""
        from clinnlp.training.identifiers import identifier_task

        if not self.has_weights:
            raise TrainingError(f"stage {self.name!r} has no head to fit: make it with {type(self).__name__}.from_base")
        return identifier_task(self, train, dev, config)

    def has_gold(self, record: Record) -> bool:
        """Tell whether a record has gold identifiers."""
        return record.has("identifiers") and not any(entity.source for entity in record.identifiers)

    def own_gold(self, record: Record) -> Record:
        """Give a record without identifiers of labels that are none of the head's."""
        made = copy.copy(record)
        made.identifiers = [entity for entity in record.identifiers if entity.label in self.labels]
        return made

    def place_gold(self, record: Record) -> Record:
        """Give a record whose gold identifiers stand where the head learns them, as entities."""
        made = copy.copy(record)
        made.entities = [Entity(e.start, e.end, e.label, e.text) for e in record.identifiers if not e.source]
        made.found = {*record.found, "entities"}
        return made

    def evaluate(self, records: Gold, labels: Sequence[str] | None = None) -> Scores:
        """Compare what the whole stage finds with gold identifiers.

        Years alone and ages under 90 are no identifiers, and do not count.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Records with gold identifiers; they are not changed.
        labels : sequence of str, optional
            Kinds of gold that count; by default all.

        Returns
        -------
        Scores
            "precision", "recall", "f1" of strict spans with their label; "removed", the share of gold identifiers
            that are replaced whole, under whatever label, the figure that privacy hangs on; and "needed", the share of
            what is replaced that shares text with gold. `per_label` has "removed" too.

        Raises
        ------
        TrainingError
            If no record has gold identifiers.
        """
        from clinnlp.training.identifiers import evaluate_identifiers

        return evaluate_identifiers(self, records, labels)


def _in_source(edited: EditedText, found: Sequence[Found]) -> Iterator[Found]:
    """Bring what was found in an edited text to raw offsets."""
    for one in found:
        start, end = edited.to_source(one.start, one.end)
        if start < end:
            yield Found(start, end, one.label, one.by, one.score, one.sure)
