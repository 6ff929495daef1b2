"""Rules of a RuleMatcher, read from files, lists and mappings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.stages._rule_yaml import read_yaml
from clinnlp.stages._rules import FIELDS, Rule, check_rule, shown

__all__ = ["SUFFIXES", "read_rules"]

SUFFIXES = (".csv", ".tsv", ".yaml", ".yml", ".jsonl")
_SWITCH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LONGEST_CELL = 2**28


def read_rules(given: Any) -> list[Rule]:
    """Read rules.

    Parameters
    ----------
    given : path, list of mapping, or mapping
        A file, rules as mappings, or a mapping of labels to lists of terms or of rules without a label.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a rule is not valid; the message tells the place of the rule.
    """
    if isinstance(given, (str, Path)):
        return [check_rule(item, place) for place, item in _read_file(Path(given))]
    return [check_rule(item, place) for place, item in _items(given, "")]


def _items(given: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Give each rule of a list, or of a mapping of labels, with its place."""
    if isinstance(given, Mapping):
        for label, rules in given.items():
            if isinstance(rules, (str, Mapping)) or not isinstance(rules, Iterable):
                raise ConfigError(f"{where or 'rules: '}the label {shown(label)} has no list of terms: give it one")
            for number, item in enumerate(rules, 1):
                place = f"{where}rule {number} of {shown(label)}"
                rule: Mapping[Any, Any] = item if isinstance(item, Mapping) else {"term": item}
                if "label" in rule:
                    raise ConfigError(f"{place} has a label of its own: leave it out, or give a list of rules")
                yield place, {"label": label, **rule}
    elif isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        what = type(given).__name__
        raise ConfigError(f"{where or 'rules: '}give a list of rules, or a mapping of labels to terms, not {what}")
    else:
        yield from ((f"{where}rule {number}", item) for number, item in enumerate(given, 1))


def _read_file(path: Path) -> Iterator[tuple[str, Any]]:
    """Give what stands for each rule in a file, with its place."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{path.name}: rules are read from {', '.join(SUFFIXES)} files")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text (byte {error.start}): convert it first") from None
    if suffix == ".jsonl":
        return _json_lines(text, path.name)
    if suffix in (".csv", ".tsv"):
        return _table(text, path.name, "\t" if suffix == ".tsv" else ",")
    found = read_yaml(text, path.name)
    return _items([] if found is None else found, f"{path.name}, ")


def _json_lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line, object_pairs_hook=_once)
        except ConfigError as error:
            raise ConfigError(f"{name}, line {number} {error}") from None
        except (ValueError, RecursionError):
            raise ConfigError(f"{name}, line {number} is not valid JSON") from None
        yield f"{name}, line {number}", item


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a mapping, in which no key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ConfigError(f"has the key {shown(twice)} twice: take one out")
    return found


def _table(text: str, name: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    """Give the rows of a table, whose first line names the columns; an empty cell is not there."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = _header(next(rows, None), name)
        line = rows.line_num + 1
        for row in rows:
            if len(row) > len(header):
                raise ConfigError(f"{name}, line {line}: {len(row)} cells, and the header has {len(header)}: quote it")
            if any(cell.strip() for cell in row):
                yield f"{name}, line {line}", _cells(header, row, f"{name}, line {line}")
            line = rows.line_num + 1
    except csv.Error:
        raise ConfigError(f"{name}, line {line}: its quotes are broken: write a quote inside a cell twice") from None


def _header(row: Sequence[str] | None, name: str) -> list[str]:
    header = [cell.strip() for cell in row or ()]
    if "label" not in header or not {"term", "regex"} & set(header):
        raise ConfigError(f"{name}, line 1: name the columns label, and term or regex")
    if wrong := [column for column in header if column in ("pattern", "attributes", "")]:
        what = f"the column {wrong[0]!r}" if wrong[0] else "a column without a name"
        raise ConfigError(f"{name}, line 1 has {what}: attributes are columns of their own, patterns go into YAML")
    if twice := [column for i, column in enumerate(header) if column in header[:i]]:
        raise ConfigError(f"{name}, line 1 has two columns named {shown(twice[0])}: rename one")
    return header


def _cells(header: Sequence[str], row: Sequence[str], place: str) -> dict[str, Any]:
    item: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for column, cell in zip(header, row, strict=False):  # a row may leave cells out at its end
        if not cell.strip():
            continue
        if column == "case":
            if (switch := _SWITCH.get(cell.strip().lower())) is None:
                raise ConfigError(f"{place}: case is true or false")
            item[column] = switch
        elif column in FIELDS:
            item[column] = cell
        else:
            attributes[column] = cell.strip()
    return {**item, "attributes": attributes} if attributes else item
