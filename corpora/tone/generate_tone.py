"""Write the corpus of the tone of a patient's course, as JSON Lines: train.jsonl, devel.jsonl and test.jsonl.

    python corpora/tone/generate_tone.py --seed 7 --output corpora/tone

The same seed gives the same bytes on every Python. Train and devel have frames and words of their own; the sentences of
test are those of data/test.yaml, which no frame made. A sentence of train that has three words in a row with one of
devel or test is not written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "notes"))  # the frames are in its language

from notewriter.chance import Chance, Pool  # noqa: E402
from notewriter.parts import write_parts  # noqa: E402
from notewriter.templates import Choice, Node, Slot, parse  # noqa: E402

TONES = ("worse", "stable", "better")
COUNTS = {"train": 3900, "devel": 405}
# Of all sentences those in which a measured value moves, or does not.
MOVED = 0.12
# Words in a row, numbers aside, that no sentence of train has in common with devel or test: in a thousand frames of
# ordinary English such runs come by chance, and a model would know them.
APART = 3
WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


class Writer:
    """Writes sentences of a part from its frames and words.

    Parameters
    ----------
    part : str
        `data/PART.yaml` has them.
    seed : int
    """

    def __init__(self, part: str, seed: int) -> None:
        self.data: dict[str, Any] = yaml.safe_load((HERE / "data" / f"{part}.yaml").read_text(encoding="utf-8"))
        self.chance = Chance(f"{part} {seed}")
        self.frames = {tone: Pool(lines(self.data["frames"][tone]), self.chance) for tone in TONES}
        self.words = {name: Pool(lines(given), self.chance) for name, given in self.data["words"].items()}

    def sentences(self, count: int, apart: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        """Give so many different sentences, each with its tone, in equal numbers of each, and apart from others."""
        others = {run for text in apart for run in runs(text)}
        seen: set[str] = set()
        for number in range(count):
            tone = TONES[number % len(TONES)]
            text = self._sentence(tone)
            while _key(text) in seen or not others.isdisjoint(runs(text)):
                text = self._sentence(tone)
            seen.add(_key(text))
            yield text, tone

    def _sentence(self, tone: str) -> str:
        facts: dict[str, str] = {}
        if self.chance.happens(MOVED):
            frame, facts = self.chance.pick(lines(self.data["moved_frames"])), self._moved(tone)
        else:
            frame = self.frames[tone].draw()
        text = self._written(parse(frame), facts)
        text = text[0].upper() + text[1:]
        # Terse notes: no full stop, or no capitals at all.
        if self.chance.happens(0.15):
            text = text.rstrip(".")
        return text.lower() if self.chance.happens(0.1) else text

    def _moved(self, tone: str) -> dict[str, str]:
        """Make a laboratory value and where it came from: towards the worse, the better, or neither."""
        labs = self.data["labs"]
        lab = self.chance.pick(sorted(labs))
        low, high, decimals, worse = labs[lab]
        way = "same" if tone == "stable" else worse if tone == "worse" else {"up": "down", "down": "up"}[worse]
        step = 10**decimals
        span = round((high - low) * step)
        smaller = self.chance.number(0, span // 2)
        larger = smaller + self.chance.number(span // 4 + 1, span // 2)
        if way == "same":
            larger = smaller + self.chance.number(0, max(span // 50, 0))
        before, now = (larger, smaller) if way == "down" else (smaller, larger)
        shown = [f"{low + value / step:.{decimals}f}" for value in (before, now)]
        return {"lab": lab, "from": shown[0], "to": shown[1], "moves": self.chance.pick(lines(self.data["moved"][way]))}

    def _written(self, nodes: Sequence[Node], facts: dict[str, str]) -> str:
        return "".join(self._part(node, facts) for node in nodes)

    def _part(self, node: Node, facts: dict[str, str]) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, Choice):
            return self._written(self.chance.pick(node.options), facts)
        if not isinstance(node, Slot):
            raise TypeError("sentences of this corpus have no marks")
        if node.low:
            number = self.chance.number(int(node.low), int(node.high))
            return WORDS[number] if node.name == "w" else str(number)
        text = facts[node.name] if node.name in facts else self.words[node.name].draw()
        return self._written(parse(text), facts)


def lines(block: str) -> list[str]:
    """Give the lines of a block of YAML."""
    return block.strip().splitlines()


def runs(text: str) -> set[tuple[str, ...]]:
    """Give the words of a text by threes, as they follow each other."""
    words = re.findall(r"[^\W\d]+", text.lower())
    return {tuple(words[at : at + APART]) for at in range(len(words) - APART + 1)}


def _key(text: str) -> str:
    return text.lower().rstrip(".")


def part_sentences(part: str, seed: int) -> list[tuple[str, str]]:
    """Give the sentences of a part, each with its tone."""
    if part == "test":
        given = yaml.safe_load((HERE / "data" / "test.yaml").read_text(encoding="utf-8"))
        return [(text, tone) for tone in TONES for text in lines(given[tone])]
    held = ("devel", "test") if part == "train" else ()
    apart = [text for other in held for text, _ in part_sentences(other, seed)]
    return list(Writer(part, seed).sentences(COUNTS[part], apart))


def part_lines(part: str, seed: int) -> Iterator[str]:
    """Give the lines of JSON of a part."""
    for number, (text, tone) in enumerate(part_sentences(part, seed), 1):
        row = {"id": f"tone-{part}-{number:04}", "text": text, "labels": {"tone": [tone]}}
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    write_parts(__doc__, part_lines)
