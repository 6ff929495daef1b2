"""A record that is full of secrets, one stage of every kind, and an ear for all that is told while they run."""

from __future__ import annotations

import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from clinnlp import Entity, FitConfig, Image, Record, Stage
from clinnlp.formats import parquet
from clinnlp.stages import (
    AssertionDetector,
    Deidentifier,
    EntityExtractor,
    ImageClassifier,
    ImageCleaner,
    MultimodalClassifier,
    ReportClassifier,
    RuleMatcher,
    SectionDetector,
    SentenceClassifier,
    SpacyComponent,
    TextCleaner,
    Tokenizer,
    TopicModel,
    ValueExtractor,
    VectorClassifier,
)

__all__ = [
    "ALL",
    "BUILDERS",
    "SECRETS",
    "TEXT",
    "Ear",
    "Odd",
    "asked",
    "assert_silent",
    "fail",
    "leaks",
    "picture",
    "planted",
    "told_in",
]

TEXT = (
    "Patient: Zanzibarov, Kiril. Seen by Dr. Kilimanjarev on March 5, 2024, call 555-867-5309.\n"
    "HISTORY: No fever, possible pneumonia, s/p stent; mother had gout. BP 120/80 mmHg.\n"
    "PLAN: aspirin 81 mg PO BID, ask Mrs. Ouagadougova."
)
SECRETS = {
    "text": "zanzibarov",
    "doctor": "kilimanjarev",
    "text near its end": "ouagadougova",
    "telephone": "867-5309",
    "finding": "pneumonia",
    "metadata": "quarrymetova",
    "path": "montblancky",
    "bytes": "bytezuela",
    "question": "timbuktuska",
    "label": "labelovska",
}
"""What stands in the text, or beside it in a record, in small letters. The id may be told."""


ALL = " ".join([TEXT, *SECRETS.values()])


def planted(**changes: Any) -> Record:
    """Make a record with a secret wherever one can stand."""
    start = TEXT.index("pneumonia")
    fields: dict[str, Any] = {
        "images": [Image(path="/nowhere/Montblancky/scan.png"), Image(data=b"Bytezuela", name="Montblancky.jpg")],
        "metadata": {
            "patient": "Quarrymetova",
            "deep": {"doctor": ["Quarrymetova"]},
            "time": "2024-03-05",
            "past": [{"text": "Quarrymetova", "time": "2024-01-02"}],
        },
        "questions": ["Is Timbuktuska well?"],
        "entities": [Entity(start, start + 9, "Disease", attributes={"note": "Quarrymetova"})],
        "identifiers": [Entity(TEXT.index("Ouag"), TEXT.index("Ouag") + 12, "PERSON")],
    }
    return Record(**{"text": TEXT, "id": "r1", **fields, **changes})


class Odd:
    """What no record can hold, and says much when it is shown."""

    def __repr__(self) -> str:
        return ALL

    __str__ = __repr__


def picture() -> Image:
    """Give an image that can be read."""
    return Image(np.arange(300, dtype=np.uint8).reshape(10, 10, 3) % 251)


def _spacy(base: Path) -> Stage:
    import spacy

    return SpacyComponent(spacy.blank("en").add_pipe("entity_ruler"))


def _topics(base: Path) -> Stage:
    model = TopicModel.from_base(base, topics=2)
    model.fit([Record(f"fever and cough number {i % 3}" * 4, id=str(i)) for i in range(8)])
    return model


def _fusion(base: Path) -> Stage:
    """Make a classifier that has seen text, a picture, a variable and a past."""
    stage = MultimodalClassifier.from_base(base, ["few", "many"], metadata=["age"], events="past", image_size=8)
    records = [
        Record("fever", images=[picture()], metadata={"age": i, "past": ["cough"]}, labels={"fusion": [name]})
        for i, name in enumerate(["few", "many"])
    ]
    stage.fit(records, config=FitConfig(epochs=1))
    return stage


BUILDERS: Mapping[str, Callable[[Path], Stage]] = {
    "cleaning": lambda base: TextCleaner(),
    "tokenization": lambda base: Tokenizer(),
    "sections": lambda base: SectionDetector(),
    "entities": lambda base: EntityExtractor.from_base(base, ["Disease", "Drug"]),
    "rules": lambda base: RuleMatcher(terms={"Disease": ["pneumonia"]}),
    "assertion": lambda base: AssertionDetector(),
    "assertion_model": lambda base: AssertionDetector.from_base(base, method="both"),
    "reports": lambda base: ReportClassifier.from_base(base, ["few", "many"]),
    "vectors": lambda base: VectorClassifier.from_base(base, labels=["few", "many"], bag_of_words=False),
    "sentences": lambda base: SentenceClassifier.from_base(base, ["few", "many"]),
    "topics": _topics,
    "deidentification": lambda base: Deidentifier(),
    "values": lambda base: ValueExtractor(),
    "images": lambda base: ImageClassifier.from_base(labels=["few", "many"], image_size=8),
    "image_cleaning": lambda base: ImageCleaner(),
    "fusion": _fusion,
    "spacy": _spacy,
}
"""How a small stage of each kind of the registry is made on a random encoder."""


class Ear(logging.Handler):
    """Keeps all that is told: log records of every level, warnings, and what is printed."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.logged: list[str] = []
        self.warned: list[warnings.WarningMessage] = []
        self.printed = io.StringIO()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(f"{self.format(record)} {record.args!r}")

    def fail(self, error: BaseException) -> None:
        """Keep all that an error says: by itself, as Python shows it, and with the errors that it came from."""
        self.errors += [str(error), repr(error), "".join(traceback.format_exception(error))]

    def heard(self) -> str:
        """Give all of it."""
        warned = [f"{one.message} {one.filename}" for one in self.warned]
        return "\n".join([*self.logged, *warned, self.printed.getvalue(), *self.errors])


@contextmanager
def listening() -> Iterator[Ear]:
    """Listen to the root logger and to those that keep to themselves, to warnings, and to what is printed."""
    ear = Ear()
    every = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    alone = [logger for logger in every if logger is logging.root or not logger.propagate]
    levels = [(logger, logger.level) for logger in every]
    for logger in every:
        logger.setLevel(logging.DEBUG)
    for logger in alone:
        logger.addHandler(ear)
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(ear.printed), redirect_stderr(ear.printed):
            warnings.simplefilter("always")
            ear.warned = warned
            yield ear
    finally:
        for logger in alone:
            logger.removeHandler(ear)
        for logger, level in levels:
            logger.setLevel(level)


def asked(call: Callable[[], Any]) -> Ear:
    """Call, and give the ear that listened, with the error where there was one."""
    with listening() as ear:
        try:
            call()
        except Exception as error:
            ear.fail(error)
    return ear


def leaks(told: str) -> list[str]:
    """Give which of the secrets are told; the lines of code that a traceback shows are none."""
    low = told.lower()
    return [name for name, secret in SECRETS.items() if secret in low]


def assert_silent(ear: Ear) -> None:
    told = leaks(ear.heard())
    assert told == [], ear.heard()


def fail(*_: Any, **__: Any) -> Any:
    """Fail as foreign code might that says what it was given, with a cause, a context and a note that say it too."""
    try:
        raise KeyError(ALL)
    except KeyError as cause:
        error = ValueError(ALL)
        if hasattr(error, "add_note"):
            error.add_note(ALL)
        raise error from cause


def told_in(folder: Path) -> Ear:
    """Give what the files of a run say beside its records, and what its records say of failures."""
    ear = Ear()
    for path in folder.iterdir():
        if path.suffix == ".parquet":
            ear.logged += [repr(record.errors) for record in parquet.read(path)]
        else:
            ear.logged.append(path.read_text(encoding="utf-8"))
    return ear
