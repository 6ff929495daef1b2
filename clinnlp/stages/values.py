"""Values: measurements, doses, routes, frequencies, durations, dates, times and ages, by rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from clinnlp.alignment import EditedText
from clinnlp.record import Record, Value
from clinnlp.rules import check_rules
from clinnlp.stage import Stage
from clinnlp.stages._values.dates import Calendar
from clinnlp.stages._values.drugs import keep_beside, link, sentence_starts
from clinnlp.stages._values.finder import Finder
from clinnlp.stages._values.found import Found, longest
from clinnlp.stages._values.quantities import Marks
from clinnlp.stages._values.rules import check_own, read_own, value_rules

__all__ = ["ValueExtractor", "normalize"]

_TESTS = ("Test", "LabValue")
_DRUGS = ("Medication", "Chemical", "Drug")


class ValueExtractor(Stage):
    """Finds the numbers, doses, times and ages that a note gives.

    - `quantity` and `size`: a number, range or several numbers (120/80, 3 x 4 cm) with a unit, or with a known name
      (`INR 2.5`). `name` is what is measured, as the text says it, and the target its place: that of an entity
      `Test` or `LabValue` where there is one. Of several numbers, all are in `numbers` and `number` is None.
    - `strength`, `dose`, `form`, `route`, `frequency`, `duration`: of a drug, the nearest entity `Medication`,
      `Chemical` or `Drug` before it in its sentence, which is its target. An amount without a drug is a `quantity`.
      The number of a frequency is how often a day; `name` is canonical: "oral", "2/day", "as needed". The `time` of a
      duration is ISO: "P7D", of a range its lower end.
    - `date` and `time`: `time` is ISO 8601. Relative ones (`3 days ago`) are resolved against `metadata["time"]`
      of the record, to the month or year where they count months or years; postoperative and hospital days against
      `metadata["surgery_date"]` and `["admission_date"]`. What cannot be resolved has the time `""`. A date without a
      year is of the record's year, or of the year before if it would lie more than half a year ahead; where the
      record has no date it is written "--03-05".
    - `age`: a number, and its unit: year, month, week, day.

    Units have their common symbol; `normal` is the number in one unit for each dimension: g, L, m, m², °C, mmHg, day,
    mol, Eq, U, IU, g/L, mol/L, U/L, 1/L (counts), /min and others that `rules/en/values.yaml` lists under `normal`.
    Values do not overlap: the longest of those that do is kept. Values that a record brings are kept.

    Parameters
    ----------
    lang : str
        Language of the rules: `en` or `zh`.
    day_first : bool
        Whether 03/05/2024 is the third of May, where both are possible.
    rules : path or mapping, optional
        Rules of your own, added to those of the language, in the form of `rules/LANG/values.yaml`: its fields
        definitions, normal, units, exact, names, forms, routes and frequencies. They are saved with the stage.
    name : str, optional
        Name in a pipeline.

    Raises
    ------
    ConfigError
        If there are no rules for the language, or your own have another form.
    """

    kind = "values"
    uses = ("cleaned", "tokens", "sentences", "entities")
    assigns = ("values",)

    def __init__(
        self,
        lang: str = "en",
        *,
        day_first: bool = False,
        rules: str | Path | Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        check_rules(self.kind, lang)
        self.lang, self.day_first = lang, day_first
        self.rules = read_own(rules) if isinstance(rules, (str, Path)) else check_own(rules or {})
        self._finder: Finder | None = None

    def config(self) -> dict[str, Any]:
        """Give the settings that make this stage again."""
        config: dict[str, Any] = {"lang": self.lang, "day_first": self.day_first}
        return {**config, "rules": self.rules} if self.rules else config

    def __getstate__(self) -> dict[str, Any]:
        # Expressions and pint's registry are made again where the stage arrives.
        return {**self.__dict__, "_finder": None}

    def warm_up(self) -> None:
        """Read the rules and make their expressions."""
        self._ready()

    def _ready(self) -> Finder:
        if self._finder is None:
            self._finder = Finder(value_rules(self.lang, self.rules)) if self.rules else _finder(self.lang)
        return self._finder

    def process(self, records: Sequence[Record]) -> None:
        """Find the values of each record."""
        finder = self._ready()
        for record in records:
            if not record.has("values"):
                record.values = self._values(record, finder)

    def _values(self, record: Record, finder: Finder) -> list[Value]:
        view = record.view
        calendar = Calendar.of(record.metadata, self.day_first)
        found = longest(finder.find(view.text, calendar, _marks(record, view)))
        drugs = sorted({(e.start, e.end) for e in record.entities if e.label in _DRUGS and e.start < e.end})
        starts = [s.start for s in record.sentences] if record.sentences else list(sentence_starts(record.text))
        found = _to_raw(found, record, view)
        link(found, record.text, drugs, starts)
        return [item.value for item in keep_beside(found, record.text)]


def normalize(number: float, unit: str, lang: str = "en") -> tuple[float, str] | None:
    """Give a number in the one unit of its dimension, for numbers of which a value has several.

    Parameters
    ----------
    number : float
    unit : str
        Symbol, as `Value.unit` has it.
    lang : str
        Language of the rules that the unit is looked up in.

    Returns
    -------
    number, unit : float, str
        None where the number is too large.

    Raises
    ------
    ConfigError
        If no unit has this symbol.
    """
    return _finder(lang).units.normal(number, unit)


@cache
def _finder(lang: str) -> Finder:
    return Finder(value_rules(lang))


def _marks(record: Record, view: EditedText) -> Marks:
    """Give the tests, and values of a laboratory, among the entities of a record, in offsets of the view."""
    names: dict[int, int] = {}
    values: list[tuple[int, int]] = []
    for entity in record.entities:
        if entity.label not in (*_TESTS, *_DRUGS) or entity.start == entity.end:
            continue
        start, end = view.to_target(entity.start, entity.end)
        if entity.label == "LabValue" and any(map(str.isdigit, entity.text)):
            values.append((start, end))
        elif start < end:
            names[end] = -1 if entity.label in _DRUGS else start
    return Marks(names, sorted(values))


def _to_raw(found: Sequence[Found], record: Record, view: EditedText) -> list[Found]:
    """Map what was found to the raw text; of two that share a replaced stretch the first is kept."""
    kept: list[Found] = []
    for item in found:
        value = item.value
        start, end = _trimmed(record.text, *view.to_source(value.start, value.end))
        if start == end or (kept and start < kept[-1].end):
            continue
        value.start, value.end, value.text = start, end, record.text[start:end]
        if value.target_start >= 0:
            _target(value, record.text, view)
        kept.append(item)
    return kept


def _target(value: Value, raw: str, view: EditedText) -> None:
    start, end = _trimmed(raw, *view.to_source(value.target_start, value.target_end))
    value.target_start, value.target_end = (start, end) if start < end else (-1, -1)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
