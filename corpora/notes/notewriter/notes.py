"""From a patient to whole notes."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any

from clinnlp import Assertion, Entity, Label, Record, Section
from notewriter import fact_slots, people_slots  # noqa: F401 - they fill in the slots of the teller
from notewriter.cases import Case
from notewriter.chance import Chance
from notewriter.data import read, rules, specialties
from notewriter.draft import Draft, Span
from notewriter.layout import Layout, make_layout, wear
from notewriter.patients import make_patient
from notewriter.studies import make_study
from notewriter.teller import Dates, Style, Teller
from notewriter.templates import FLAGS, parse

__all__ = ["write_notes"]

ASSERTED = ("Disease", "Symptom", "Medication", "Procedure")
# Rules whose sentences keep the order of the file, and those that say one thing of each part of the body.
ORDERED = (
    "op_start", "op_end", "op_risk", "nursing", "phone_call", "course", "ed_course", "exam_item", "ros_item",
    "vitals_item", "impression_extra", "mse", "interval",
)  # fmt: skip
ONCE = ("exam_item", "ros_item")
REPORTS = ("operation_note", "procedure_note", "radiology_report", "pathology_report")
COURSES = [
    ["emergency_note", "history_and_physical", "progress_note", "discharge_summary"],
    ["office_visit", "telephone_note", "office_visit", "consult_note"],
    ["history_and_physical", "consult_note", "nursing_note", "progress_note", "discharge_summary"],
    ["emergency_note", "nursing_note", "discharge_summary", "office_visit"],
    ["consult_note", "progress_note", "clinic_letter"],
]


def write_notes(seed: int) -> Iterator[Record]:
    """Write notes without end; each twelfth patient has several, at different times."""
    number = patient = 0
    while True:
        chance = Chance(f"{seed}:{patient}")
        kinds = chance.pick(COURSES) if patient % 12 == 5 else [_kind(chance)]
        for record in _patient_notes(f"{seed}:{patient}", kinds, chance):
            number += 1
            record.id = f"note-{number:04}"
            record.metadata = {"patient": f"patient-{patient:04}", **record.metadata}
            yield record
        patient += 1


def _kind(chance: Chance) -> str:
    return chance.weighted([(str(name), kind["weight"]) for name, kind in read("note_types").items()])


def _patient_notes(seed: str, kinds: list[str], chance: Chance) -> Iterator[Record]:
    kind = read("note_types")[kinds[0]]
    study = make_study(kinds[0], chance)
    names = list(specialties())
    if kinds[0] == "psychiatric_evaluation":
        names = [kind["service"]]
    elif len(kinds) > 1 or kinds[0] != "office_visit":
        names.remove("Psychiatry")
    service = study.service if study else chance.pick(names)
    specialty = specialties()[service]
    sex = (study.sex if study else "") or specialty.get("sex") or chance.pick("FM")
    low, high = study.ages if study and study.ages else tuple(specialty["age"])
    today = datetime.date(2008, 1, 1) + datetime.timedelta(days=chance.number(0, 5800))
    patient = make_patient(chance, sex, (low, high), today)
    case = Case(patient, specialty, chance)
    for i, name in enumerate(kinds):
        chance = Chance(f"{seed}:{i}")
        if i:
            today += datetime.timedelta(days=chance.number(1, 3 if "office_visit" not in kinds else 50))
        admitted = today - datetime.timedelta(days=chance.number(2, 9))
        writer = _Writer(name, case, chance, Dates(today, admitted), study.rules if study else {})
        yield writer.write()


class _Writer:
    """Writes one note."""

    def __init__(self, kind: str, case: Case, chance: Chance, dates: Dates, rules: dict[str, list[str]]) -> None:
        self.kind, self.case, self.chance, self.dates = kind, case, chance, dates
        formal = kind in (*REPORTS, "clinic_letter")
        terse = kind == "nursing_note" or (not formal and chance.happens(0.3))
        style = Style(terse, 0.7 if terse else 0.15, chance.number(0, 7), chance.number(0, 3))
        self.draft = Draft()
        self.layout: Layout = make_layout(chance, terse)
        self.teller = Teller(self.draft, case, chance, style, dates, rules)
        self.teller.measures.prefer(case.pools["lab"].items)

    def write(self) -> Record:
        kind = read("note_types")[self.kind]
        if self.kind == "clinic_letter":
            self._salutation()
        else:
            self._head(kind)
        number = 0
        written: list[str] = []
        for names, chance in kind["sections"].items():
            name = self.chance.pick(names.split("|"))
            if self.case.patient.child and name == "social_history":
                name = "child_social_history"
            if self.chance.happens(chance) and not (name == "plan" and "assessment_and_plan" in written):
                number += self._section(name, number + 1)
                written.append(name)
        self._foot()
        wear(self.draft, self.layout, self.chance)
        return self._record()

    def _head(self, kind: dict[str, Any]) -> None:
        title = self.chance.pick(kind["titles"])
        if title:
            self.draft.add(f"{title}\n")
        low, high = kind["header"].split("-")
        frames = self.teller.rule("header")
        said: set[str] = set()
        lines = []
        for frame in frames:
            slot = re.sub(r"_.*", "", frame.partition("{")[2].partition("}")[0])
            if slot not in said:
                said.add(slot)
                lines.append(frame)
        separator = self.chance.pick(["\n", "\n", "\n", "   ", " | "])
        lines = lines[: self.chance.number(int(low), int(high))]
        for i, frame in enumerate(lines):
            self.teller.tell(parse(frame))
            self.draft.add("\n" if i == len(lines) - 1 else separator)
        if self.draft.text and self.chance.happens(0.8):
            self.draft.add("\n")

    def _salutation(self) -> None:
        frames = ["{hospital}\n", "{clinic}\n{phone}\n", "{today}\n", "{dr_pcp}\n{clinic}\n{address}\n"]
        for frame in frames[self.chance.number(0, 2) :]:
            self.teller.tell(parse(frame))
        self.teller.tell(parse("\n[RE|Re]: {name}, [DOB|date of birth] {dob}[, MRN {mrn}|]\n\nDear Dr. "))
        self.teller.identifier(self.case.patient.pcp.partition(" ")[2], "DOCTOR")
        self.draft.add(self.chance.pick([",", ":"]) + "\n")

    def _foot(self) -> None:
        if self.kind == "clinic_letter":
            self.draft.add("\n\n" + self.chance.pick(["Sincerely,", "With kind regards,", "Yours truly,"]) + "\n")
            self.teller.tell(parse("{attending}, [MD|DO]\n{service}, {hospital}"))
        elif self.chance.happens(0.6):
            self.draft.add("\n\n")
            self.teller.tell(parse(self.teller.rule("sign_nurse" if self.kind == "nursing_note" else "sign")[0]))
        if self.chance.happens(0.5):
            self.draft.add("\n")

    def _section(self, name: str, number: int) -> int:
        """Write a section; give 1 if it has a heading."""
        section = read("sections")[name]
        title = bool(section["headings"])
        self.teller.said.clear()
        state = self.draft.state()
        self.draft.add("\n" * (1 + self.layout.gap) if self.draft.text and not self.draft.text.endswith("\n\n") else "")
        if title:
            self.layout.heading(self.draft, section["headings"], number, self.chance)
        shapes = [shape for shape in ("prose", "list", "lines", "terse") if shape in section]
        if "terse" in shapes and not self.teller.style.terse:
            shapes.remove("terse")
        shape = self.chance.pick(shapes)
        frames = [frames for rule, count in section[shape].items() for frames in self._frames(rule, str(count))]
        if shape == "list" and self.layout.bullet != ",":
            told = self._list(frames)
        elif shape == "list":
            told = self._run(frames, "; " if self.chance.happens(0.5) else ", ", "")
        else:
            told = self._run(frames, "\n", "") if shape == "lines" else self._run(frames, " ", ".")
        if not told:
            # Every sentence would have contradicted the note: it has no such section.
            self.draft.restore(state)
            self.draft.headings = [heading for heading in self.draft.headings if heading.start < len(self.draft.text)]
            return 0
        return int(title)

    def _frames(self, rule: str, count: str) -> list[list[str]]:
        """Give, for each sentence that a rule shall make, the frames to try."""
        low, _, high = count.partition("-")
        number = self.chance.number(int(low), int(high or low))
        if rule in self.teller.own:
            return [[frame] for frame in self.teller.own[rule]]
        frames = self.teller.rule(rule)
        # Rules of few frames, such as those of drugs, make several sentences of one frame.
        if not any("{" in frame for frame in frames):
            number = min(number, len(frames))
        if rule in ONCE:
            frames = list({re.split(r"[|\]:]", frame)[0]: frame for frame in frames}.values())
        chosen, others = frames[:number], frames[number:]
        if rule in ORDERED:
            chosen.sort(key=self.case.fitting(rules()[rule]).index)
        return [[chosen[i % len(chosen)], *others] for i in range(number)]

    def _list(self, sentences: list[list[str]]) -> int:
        if self.draft.text.endswith(" "):
            self._break_heading()
        number = 0
        for frames in sentences:
            state = self.draft.state()
            self.draft.add("\n" if number else "")
            self.draft.add(self.layout.item(number + 1))
            if self.teller.sentence(frames, ""):
                number += 1
            else:
                self.draft.restore(state)
        return number

    def _break_heading(self) -> None:
        """Let a list begin in the line below an inline heading."""
        heading = self.draft.headings.pop()
        self.draft.text = self.draft.text[:-1] + "\n"
        self.draft.headings.append(heading)

    def _run(self, sentences: list[list[str]], between: str, end: str) -> int:
        number = 0
        for frames in sentences:
            state = self.draft.state()
            self.draft.add(between if number else "")
            stop = end if self.chance.happens(self.layout.stops) else ""
            if self.teller.sentence(frames, stop):
                number += 1
                if end and not stop and between == " ":
                    self.draft.add("\n")
            else:
                self.draft.restore(state)
        return number

    def _record(self) -> Record:
        text = self.draft.text
        identifiers = [_entity(span) for span in self.draft.spans if span.identifier]
        entities = [_entity(span) for span in self.draft.spans if not span.identifier]
        for found in (identifiers, entities):
            found.sort(key=lambda entity: (entity.start, entity.end))
        record = Record(
            text,
            entities=entities,
            identifiers=identifiers,
            sections=_sections(self.draft),
            labels={
                "note_type": [Label(self.kind)],
                "specialty": [Label(self.case.specialty["service"])],
            },
            metadata={"time": self.dates.today.isoformat()},
        )
        record.found.update(("entities", "identifiers", "sections"))
        return record


def _entity(span: Span) -> Entity:
    assertion = None
    if not span.identifier and span.label in ASSERTED:
        assertion = Assertion()
        for flag in span.flags:
            setattr(assertion, FLAGS[flag], True)
    return Entity(span.start, span.end, span.label, assertion=assertion)


def _sections(draft: Draft) -> list[Section]:
    headings = draft.headings
    starts = [heading.start for heading in headings]
    found = []
    if not starts or starts[0] > 0:
        found.append(Section(0, starts[0] if starts else len(draft.text)))
    for heading, end in zip(headings, [*starts, len(draft.text)][1:], strict=True):
        title = draft.text[heading.title_start : heading.title_end]
        found.append(Section(heading.start, end, heading.name, title, heading.body_start))
    return found
