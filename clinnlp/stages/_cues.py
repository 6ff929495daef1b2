"""Rules of assertion: read from YAML or a dictionary, checked, and made into a finder of cues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.rules import load_rules
from clinnlp.stages._phrases import PhraseFinder, parse
from clinnlp.stages._rule_yaml import read_yaml

__all__ = ["FLAGS", "CueRules", "Meaning", "merged_rules", "read_rules"]

FLAGS = ("negated", "hypothetical", "historical", "family")
SCOPES = ("forward", "backward", "both")
_FIELDS = ("words", "cues", "pseudo", "ends", "sections", "headings", "alone", "silences")
_CUE_FIELDS = ("flag", "scope", "words", "clause", "ends", "phrases")
_END_FIELDS = ("flags", "phrases")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a phrase means.

    Parameters
    ----------
    flags : tuple of str
        Flags whose scope it opens.
    forward, backward : bool
        Where the scope is.
    limit : int
        Its greatest length in words; 0 for none.
    ends : tuple of str
        Flags whose open scopes it ends.
    own : bool
        Whether a user gave it: then what the language says of the same phrase does not count.
    clause : bool
        Whether its scope ends with the clause, at a comma or semicolon.
    """

    flags: tuple[str, ...] = ()
    forward: bool = False
    backward: bool = False
    limit: int = 0
    ends: tuple[str, ...] = ()
    own: bool = False
    clause: bool = False


PSEUDO = Meaning()


class CueRules:
    """Rules of one language, ready to be used.

    Parameters
    ----------
    given : sequence of mapping
        What files of rules hold; later ones are added to earlier ones, and win over them where both have a phrase.

    Raises
    ------
    ConfigError
        If a field is unknown, or a value is not what it should be; the message names the field.
    """

    def __init__(self, given: Sequence[Mapping[str, Any]]) -> None:
        self.finder: PhraseFinder[Meaning] = PhraseFinder()
        self.alone: PhraseFinder[str] = PhraseFinder()
        """Flags of what is all of its sentence."""
        self.sections: dict[str, tuple[str, ...]] = {}
        self.silences: dict[str, tuple[str, ...]] = {}
        lists: dict[str, list[str]] = {}
        for rules in given:
            _refuse_unknown(rules, _FIELDS, "")
            for name, phrases in _mapping(rules, "words").items():
                lists[name] = [*lists.get(name, ()), *_texts(phrases, f"words.{name}")]
        for number, rules in enumerate(given):
            for flag, names in _mapping(rules, "sections").items():
                for name in _texts(names, f"sections.{_flag(flag, 'sections')}"):
                    self.sections[name] = tuple(dict.fromkeys([*self.sections.get(name, ()), flag]))
            for flag, phrases in _mapping(rules, "alone").items():
                for phrase in _texts(phrases, f"alone.{_flag(flag, 'alone')}"):
                    self.alone.add(parse(phrase, lists, f"alone.{flag}"), flag)
            for flag, silent in _mapping(rules, "silences").items():
                names = tuple(_flag(one, f"silences.{flag}") for one in _texts(silent, f"silences.{flag}"))
                self.silences[_flag(flag, "silences")] = names
            for pattern, meaning, where in meanings_of(rules, own=number > 0):
                self.finder.add(parse(pattern, lists, where), meaning)


def meanings_of(rules: Mapping[str, Any], *, own: bool = False) -> Iterator[tuple[str, Meaning, str]]:
    """Give the phrases of rules, what each means, and where it stands."""
    for number, group in enumerate(_groups(rules, "cues", _CUE_FIELDS)):
        where = f"cues[{number}]"
        flags = tuple(_flag(flag, f"{where}.flag") for flag in _texts(group.get("flag"), f"{where}.flag"))
        scope, limit = group.get("scope", "forward"), group.get("words", 0)
        if scope not in SCOPES:
            raise ConfigError(f"{where}.scope is one of {', '.join(SCOPES)}, not {scope!r}")
        if type(limit) is not int or limit < 0:
            raise ConfigError(f"{where}.words is a number of words, not {limit!r}")
        if type(clause := group.get("clause", False)) is not bool:
            raise ConfigError(f"{where}.clause is true or false, not {clause!r}")
        ends = tuple(_flag(flag, f"{where}.ends") for flag in _texts(group.get("ends", []), f"{where}.ends"))
        meaning = Meaning(flags, scope != "backward", scope != "forward", limit, ends, own, clause)
        for phrase in _texts(group.get("phrases"), f"{where}.phrases"):
            yield phrase, meaning, f"{where}.phrases"
    for phrase in _texts(rules.get("pseudo") or [], "pseudo"):
        yield phrase, Meaning(own=own), "pseudo"
    for number, group in enumerate(_groups(rules, "ends", _END_FIELDS)):
        where = f"ends[{number}]"
        ends = tuple(_flag(flag, f"{where}.flags") for flag in _texts(group.get("flags"), f"{where}.flags"))
        for phrase in _texts(group.get("phrases"), f"{where}.phrases"):
            yield phrase, Meaning(ends=ends, own=own), f"{where}.phrases"
    for flag, titles in _mapping(rules, "headings").items():
        flags = () if flag == "none" else (_flag(flag, "headings"),)
        for title in _texts(titles, f"headings.{flag}"):
            yield f"{title} [:|：|-]", Meaning(flags, forward=bool(flags), ends=FLAGS, own=own), f"headings.{flag}"


def read_rules(given: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Read a user's rules: a YAML file, or a dictionary of the same form.

    Raises
    ------
    ConfigError
        If the file cannot be read or holds no mapping.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, (str, Path)):
        raise ConfigError(f"rules are the path of a YAML file or a dictionary, not {type(given).__name__}")
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the rules in {given} cannot be read: {type(error).__name__}") from None
    found = read_yaml(text, Path(given).name)
    if not isinstance(found, dict):
        raise ConfigError(f"the rules in {given} are no mapping: give fields such as {', '.join(_FIELDS)}")
    return found


def merged_rules(lang: str, own: Mapping[str, Any] | None) -> CueRules:
    """Make the rules of a language, with a user's over them."""
    return CueRules([load_rules("assertion", lang), *([] if own is None else [own])])


def _refuse_unknown(given: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"the rules of assertion have no field {where}{name}: known are {', '.join(known)}")


def _groups(rules: Mapping[str, Any], name: str, known: Sequence[str]) -> list[Mapping[str, Any]]:
    groups = rules.get(name) or []
    if not isinstance(groups, Sequence) or not all(isinstance(group, Mapping) for group in groups):
        raise ConfigError(f"{name} is a list of mappings with {', '.join(known)}")
    for number, group in enumerate(groups):
        _refuse_unknown(group, known, f"{name}[{number}].")
    return [*groups]


def _mapping(rules: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = rules.get(name) or {}
    if not isinstance(found, Mapping):
        raise ConfigError(f"{name} is a mapping of names to lists, not {type(found).__name__}")
    return found


def _texts(given: Any, where: str) -> list[str]:
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{where} is a text or a list of texts, not {type(given).__name__}")
    return found


def _flag(given: Any, where: str) -> str:
    if given not in FLAGS:
        raise ConfigError(f"{where}: {given!r} is no flag: give {', '.join(FLAGS)}")
    return str(given)
