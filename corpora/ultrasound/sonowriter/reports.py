"""Texts of cases, from the frames in `data/`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA.parents[1] / "notes"))  # the frames are in its language

from notewriter.chance import Chance  # noqa: E402
from notewriter.templates import Choice, Node, Slot, fits, parse  # noqa: E402

__all__ = ["Chance", "write_report", "write_request"]


def write_report(facts: Mapping[str, str], finding: str, chance: Chance) -> str:
    """Write a report that tells of a finding.

    Parameters
    ----------
    facts : mapping of str to str
        Slot -> what is written there.
    finding : str
        `normal`, `benign` or `malignant`.
    chance : Chance
    """
    data = _read("reports")
    return _write(data, {"found": data["described"][finding], "concluded": data["concluded"][finding]}, facts, chance)


def write_request(facts: Mapping[str, str], raised: bool, chance: Chance) -> str:
    """Write a request that tells where a lesion is, and whether something raises the risk, but not how it looks."""
    data = _read("requests")
    return _write(data, {"risk": data["risk"]["raised" if raised else "usual"]}, facts, chance)


_loaded: dict[str, dict[str, Any]] = {}


def _read(name: str) -> dict[str, Any]:
    if name not in _loaded:
        _loaded[name] = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return _loaded[name]


def _write(data: Mapping[str, Any], chosen: Mapping[str, str], facts: Mapping[str, str], chance: Chance) -> str:
    """Draw a layout and fill its slots by a fact or a line of a block; a slot with a capital gives text with one."""
    blocks = {**{name: block for name, block in data.items() if isinstance(block, str)}, **chosen}

    def written(nodes: Sequence[Node]) -> str:
        return "".join(part(node) for node in nodes)

    def part(node: Node) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, Choice):
            return written(chance.pick(node.options))
        if not isinstance(node, Slot):
            raise TypeError("reports of this corpus have no marks")
        if node.low:
            return str(chance.number(int(node.low), int(node.high)))
        if node.name.isupper():
            return facts[node.name.lower()].upper()
        name = node.name.lower()
        text = facts[name] if name in facts else written(parse(chance.pick(_lines(blocks[name], facts))))
        return text[0].upper() + text[1:] if node.name[0].isupper() else text

    return written(parse(chance.pick(_lines(blocks["layouts"], facts)).replace("\\n", "\n")))


def _lines(block: str, facts: Mapping[str, str]) -> list[str]:
    """Give the lines of a block that fit the patient."""
    lines = (fits(line, facts["traits"]) for line in block.strip().splitlines())
    return [line for line in lines if line is not None]
