"""Small stages that tests register, for runs in this and in other processes."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from typing import Any

from clinnlp import Assertion, Entity, Pipeline, Record, Section, Stage
from clinnlp.alignment import EditedText, replace
from clinnlp.stage import register


class WordFinder(Stage):
    """Finds a word, wherever it stands; fails on notes that hold `bad`, kills its process at those asked for."""

    kind = "test_words"
    assigns = ("entities", "sections")

    def __init__(self, word: str = "cough", label: str = "Symptom", name: str | None = None) -> None:
        super().__init__(name)
        self.word, self.label = word, label
        self.weights: Any = None
        self.loaded = 0

    def config(self) -> dict[str, Any]:
        return {"word": self.word, "label": self.label}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "weights": None}

    def warm_up(self) -> None:
        if self.weights is None:
            self.weights = re.compile(re.escape(self.word))
            self.loaded += 1

    def process(self, records: Sequence[Record]) -> None:
        self.warm_up()
        kill_at = os.environ.get("TEST_KILL_AT", "\0")
        for record in records:
            if kill_at in record.text:
                os.kill(os.getpid(), signal.SIGKILL)
            if "bad" in record.text:
                raise ValueError(record.text)
            record.entities = [
                Entity(*m.span(), self.label, score=0.75, assertion=Assertion(), source=self.name)
                for m in self.weights.finditer(record.text)
            ]
            record.sections = [Section(0, len(record.text), "note")] if record.text else []


class Masker(Stage):
    """Puts [NAME] in the place of Zebulon."""

    kind = "test_mask"
    assigns = ("identifiers", "deidentified")

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            found = [m.span() for m in re.finditer("Zebulon", record.text)]
            record.identifiers = [Entity(*span, "NAME", source=self.name) for span in found]
            record.deidentified = EditedText.of(record.text, [replace(*span, "[NAME]") for span in found])


register("test_words", WordFinder)
register("test_mask", Masker)


def pipeline(**options: Any) -> Pipeline:
    return Pipeline([WordFinder(**options)], name="words", batch_size=4)
