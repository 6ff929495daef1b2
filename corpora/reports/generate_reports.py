"""Write the corpus of kinds of notes, as JSON Lines: train.jsonl, devel.jsonl and test.jsonl.

    python corpora/reports/generate_reports.py --seed 7 --output corpora/reports

The same seed gives the same bytes on every Python. Train and devel have frames, words and cases of their own; the notes
of test are those of data/test.yaml, which no frame made.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "notes"))  # the frames are in its language

from notewriter.chance import Chance, Pool  # noqa: E402
from notewriter.parts import write_parts  # noqa: E402
from notewriter.templates import Choice, Node, Slot, fits, parse  # noqa: E402

KINDS = (
    "discharge_summary",
    "history_and_physical",
    "progress_note",
    "nursing_note",
    "emergency_note",
    "consult_note",
    "operation_note",
    "radiology_report",
    "pathology_report",
    "laboratory_report",
    "clinic_letter",
    "abstract",
)
COUNTS = {"train": 56, "devel": 15}  # notes of each kind
LENGTH = (30, 250)  # words
# How headings stand, and how often where a kind does not say: none, each in capitals on the line of its text, the
# same in title case, above its text, or all text in one run.
STYLES = {"plain": 4, "caps": 2, "title": 2, "block": 1, "run": 1}
TITLED = 0.3
WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
JOINS = {"": " ", "lines": "\n", "comma": ", ", "semi": "; "}
PRONOUNS = {"F": ("she", "her", "her", "woman", "girl", "Mrs."), "M": ("he", "his", "him", "man", "boy", "Mr.")}
LEFT_OUT = 0.2  # of the sentences of a case that are a list
# Facts that fill sentences: no note tells one twice.
ONCE = {
    *("hx", "exam", "data", "plan", "course", "now", "care", "advice", "meds"),
    *("says", "seen", "tech", "steps", "found", "gross", "micro", "rows", "note"),
}
TRIES = 8  # draws of a text of a part, before the part is left out


class Writer:
    """Writes the notes of a part from its frames, words and cases.

    Parameters
    ----------
    part : str
        The files of `data/PART` have them.
    seed : int
    """

    def __init__(self, part: str, seed: int) -> None:
        self.data = read(part)
        self.chance = Chance(f"{part} {seed}")
        self.words = {name: self._pool(block) for name, block in self.data["words"].items()}
        self.orders = {kind: self._pool(given["orders"]) for kind, given in self.data["kinds"].items()}
        self.texts = {
            (kind, name): self._pool(one["texts"])
            for kind, given in self.data["kinds"].items()
            for name, one in given["parts"].items()
        }
        self.cases = {
            name: Pool([str(i) for i in range(len(cases))], self.chance) for name, cases in self.data["cases"].items()
        }

    def _pool(self, block: str) -> Pool:
        return Pool(lines(block), self.chance)

    def notes(self, count: int) -> Iterator[tuple[str, str]]:
        """Give so many different notes of each kind, each with its kind."""
        seen: set[str] = set()
        for number in range(count * len(KINDS)):
            kind = KINDS[number % len(KINDS)]
            text = self._note(kind)
            while text.lower() in seen or not LENGTH[0] <= len(text.split()) <= LENGTH[1]:
                text = self._note(kind)
            seen.add(text.lower())
            yield text, kind

    def _note(self, kind: str) -> str:
        given = self.data["kinds"][kind]
        pool, _, order = self.orders[kind].draw().rpartition(":")
        pool = pool or given["cases"]
        facts = self._facts(self.data["cases"][pool][int(self.cases[pool].draw())])
        style = self.chance.weighted(list(given.get("styles", STYLES).items()))
        parts = list(self._parts(kind, order, style, facts))
        # Letters and lists keep their lines; other notes without headings have one paragraph, or one for each part.
        joined = style == "plain" and kind not in ("clinic_letter", "laboratory_report") and self.chance.happens(0.6)
        together = style == "run" or joined
        body = (" " if together else "\n").join(laid(head, text, style) for head, text in parts)
        if self.chance.happens(TITLED):
            body = f"{self.chance.pick(lines(given['titles']))}\n{body}"
        return self._cased(body)

    def _parts(self, kind: str, order: str, style: str, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Give heading and text of each part of a layout."""
        told: set[str] = set()
        minutes = self.chance.number(6 * 4, 22 * 4) * 15
        for name in order.split():
            if name.endswith("?") and self.chance.happens(0.5):
                continue
            name = name.rstrip("?")
            frame = self._frame(kind, name, facts["traits"], told)
            if frame is None:
                continue
            told |= slots(frame)
            minutes += self.chance.number(1, 8) * 15
            heads = self.data["kinds"][kind]["parts"][name].get("heads")
            head = f"{minutes // 60 % 24:02}{minutes % 60:02}" if style == "timed" else ""
            if heads and style not in ("timed", "plain"):
                head = self.chance.pick(lines(heads))
            yield head, sentence(self._written(parse(frame), facts))

    def _frame(self, kind: str, name: str, traits: str, told: set[str]) -> str | None:
        for _ in range(TRIES):
            frame = fits(self.texts[kind, name].draw(), traits)
            if frame is not None and not slots(frame) & told:
                return frame
        return None

    def _cased(self, text: str) -> str:
        """Write some notes without capitals and some in capitals, as terse and as old notes are."""
        draw = self.chance.number(1, 100)
        return text.lower() if draw <= 7 else text.upper() if draw <= 11 else text

    def _facts(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """Give what is told of a case and of its patient, who is made here."""
        sex = self.chance.pick(case.get("sex", "MF"))
        low, high = (int(age) for age in str(case.get("ages", "19-88")).split("-"))
        age = self.chance.number(low, high)
        he, his, him, adult, child, title = PRONOUNS[sex]
        name = self.words["child"].draw() if age < 16 else f"{title} {self.words['surname'].draw()}"
        own = {"he": he, "his": his, "him": him, "man": child if age < 16 else adult, "sx": sex, "yo": str(age)}
        own |= {"age": f"{age}-year-old", "name": name, "side": self.words["side"].draw()}
        return {**case, **own, "traits": f"{sex}{'C' if age < 16 else 'A'}", "day": self.chance.number(30, 300)}

    def _written(self, nodes: Sequence[Node], facts: dict[str, Any]) -> str:
        return "".join(self._part(node, facts) for node in nodes)

    def _part(self, node: Node, facts: dict[str, Any]) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, Choice):
            return self._written(self.chance.pick(node.options), facts)
        if not isinstance(node, Slot):
            raise TypeError("notes of this corpus have no marks")
        if node.low and node.name in ("n", "w"):
            number = self.chance.number(int(node.low), int(node.high))
            return WORDS[number] if node.name == "w" else str(number)
        if node.name in ("date", "before"):
            return self._date(node.name, facts)
        return self._fact(node.name, facts)

    def _date(self, name: str, facts: dict[str, Any]) -> str:
        """Give a day after those that the note has told, or one before it."""
        if name == "date":
            facts["day"] += self.chance.number(1, 6)
        day = facts["day"] - (self.chance.number(3, 27) if name == "before" else 0)
        return f"{day // 28 + 1}/{day % 28 + 1}"

    def _fact(self, name: str, facts: dict[str, Any]) -> str:
        name, _, join = name.partition("__")
        value = facts.get(name.lower())
        if value is None:
            value = self.words[name].draw()
        if isinstance(value, list):
            kept = [one for one in value if not self.chance.happens(LEFT_OUT)] or value
            text = JOINS[join].join(self._written(parse(one), facts) for one in kept)
        else:
            text = self._written(parse(value), facts)
        return sentence(text) if name[0].isupper() else text


def read(part: str) -> dict[str, dict[str, Any]]:
    """Read the files of a part: what they hold under the same name is one."""
    found: dict[str, dict[str, Any]] = {"cases": {}, "kinds": {}, "words": {}}
    for path in sorted((HERE / "data" / part).glob("*.yaml")):
        for name, held in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            found[name].update(held)
    return found


def lines(block: str) -> list[str]:
    """Give the lines of a block of YAML."""
    return block.strip().splitlines()


def slots(frame: str) -> set[str]:
    """Give the facts of a frame that a note tells once."""
    return {name.lower() for name in re.findall(r"\{([A-Za-z]+)", frame)} & ONCE


def sentence(text: str) -> str:
    """Begin with a capital, mend articles and full stops between slots, put line breaks for ¶, and < for ‹."""
    text = re.sub(r"\b([Aa]) (?=8\d?\b|8\d?-|11-|18-)", r"\1n ", text)
    text = re.sub(r"([.?])\.(?!\d)", r"\1", text).replace(".,", ",").replace(".;", ";")
    return (text[:1].upper() + text[1:]).replace("¶", "\n").replace("‹", "<")


def laid(head: str, text: str, style: str) -> str:
    """Write a part of a note with its heading."""
    if not head:
        return text
    if style == "timed":
        return f"{head} {text}"
    if style == "block":
        return f"{head}\n{text}"
    return f"{head.upper() if style in ('caps', 'run') else head}: {text}"


def part_lines(part: str, seed: int) -> Iterator[str]:
    """Give the lines of JSON of a part."""
    if part == "test":
        given = yaml.safe_load((HERE / "data" / "test.yaml").read_text(encoding="utf-8"))
        found = [(text.strip(), kind) for kind in KINDS for text in given[kind]]
    else:
        found = list(Writer(part, seed).notes(COUNTS[part]))
    for number, (text, kind) in enumerate(found, 1):
        row = {"id": f"reports-{part}-{number:04}", "text": text, "labels": {"report-type": [kind]}}
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    write_parts(__doc__, part_lines)
