"""Model cards as files: the README.md beside what is saved, whose it is, and what a user said in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clinnlp.encoders.checkpoints import PIPELINE_FILE
from clinnlp.shipped import HUB_ID

__all__ = ["CARD_FILE", "Card", "base_name", "is_foreign", "keep_foreign", "put_card", "read_card"]

CARD_FILE = "README.md"
_MARK = "<!-- clinnlp model card"
_TOLD = (
    f"{_MARK}: each save writes it anew. Say what it should tell in `card` of the stage or pipeline; a README.md"
    " without this line is left as it is. -->"
)
_OPEN, _CLOSE = "<!-- measured -->", "<!-- /measured -->"
_STATED = ("data", "licence", "intended_use", "limits")


@dataclass
class Card:
    """What a card says.

    Parameters
    ----------
    title : str
    about : list of str
        Lines on what it is.
    texts : dict of str to str
        What a user says of it: "data", "licence", "intended_use", "limits" and others, each under a heading of its
        own; "description" stands first, without one. Of the first four the card says so where nothing is said.
    base : str
        Name of the checkpoint that training began with.
    measured : str
        How it was fitted, and its figures.
    tag : str
        The Hub's name of its task.
    said : dict of str to str
        What stands under a heading for which there is no text.
    """

    title: str = ""
    about: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    base: str = ""
    measured: str = ""
    tag: str = ""
    said: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Give the card as Markdown, with what a program reads of it in front."""
        told = {"library_name": "clinnlp", "pipeline_tag": self.tag, "base": self.base, "card": dict(self.texts)}
        front = yaml.safe_dump({k: v for k, v in told.items() if v}, sort_keys=False, allow_unicode=True, width=110)
        lines = ["---", front.rstrip(), "---", _TOLD, "", f"# {self.title}", ""]
        if "description" in self.texts:
            lines += [_plain(self.texts["description"]), ""]
        lines += [*self.about, ""]
        for name, text in _headed(self.texts, self.said).items():
            lines += [f"## {name.replace('_', ' ').capitalize()}", "", _plain(text), ""]
        return "\n".join([*lines, _OPEN, self.measured.strip(), _CLOSE, ""])


def _headed(texts: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Give the texts under headings, and for those that a card should have but nobody gave, that it is so."""
    given = {name: text for name, text in texts.items() if name != "description" and text.strip()}
    given = {**{name: text for name, text in said.items() if name != "description"}, **given}
    # "data_and_licences" is one heading that tells both.
    names = " ".join(given).replace("license", "licence")
    return given | {name: "not stated" for name in _STATED if name not in names}


def _plain(text: str) -> str:
    return text.strip().replace("<!--", "&lt;!--")


def read_card(folder: str | Path) -> Card:
    """Read what a card that clinnlp wrote keeps for the next one: texts, base and figures; empty where there is none.

    Parameters
    ----------
    folder : str or Path
    """
    text = _read(Path(folder) / CARD_FILE)
    front, body = _parts(text) if text is not None else ("", "")
    if not body.startswith(_MARK):
        return Card()
    try:
        told = yaml.safe_load(front)
    except yaml.YAMLError:
        told = None
    told = told if isinstance(told, Mapping) else {}
    texts = told.get("card")
    measured = body.partition(_OPEN)[2].rpartition(_CLOSE)[0].strip()
    return Card(
        texts={str(k): str(v) for k, v in texts.items()} if isinstance(texts, Mapping) else {},
        base=str(told.get("base") or ""),
        measured=measured,
    )


def is_foreign(folder: Path) -> bool:
    """Tell whether a folder has a README.md that a user put there, which no save may replace."""
    if not folder.is_dir():
        return False
    found = [path for path in folder.iterdir() if path.name.casefold() == CARD_FILE.casefold()]
    return any(not _parts(_read(path) or "")[1].startswith(_MARK) for path in found)


def keep_foreign(old: Path, new: Path) -> None:
    """Put a user's README.md into the folder that takes the place of its own."""
    if is_foreign(old):
        (new / CARD_FILE).unlink(missing_ok=True)
        for path in old.iterdir():
            if path.name.casefold() == CARD_FILE.casefold() and path.is_file():
                (new / path.name).write_bytes(path.read_bytes())


def put_card(folder: Path, text: str | None) -> None:
    """Write a card into a folder; None where a user's own must stay."""
    if text is not None:
        (folder / CARD_FILE).write_bytes(text.encode("utf-8", "replace"))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _parts(text: str) -> tuple[str, str]:
    """Give the front matter of a card and what follows it."""
    if not text.startswith("---\n"):
        return "", text
    front, _, body = text[4:].partition("\n---\n")
    return front, body


def base_name(checkpoint: Any) -> str:
    """Give the name of a checkpoint: a pipeline's, a package's, a Hub id or a folder's, never the path to it."""
    if not checkpoint:
        return ""
    text, path = str(checkpoint), Path(checkpoint)
    if path.is_dir() and (path.resolve().parent / PIPELINE_FILE).is_file():
        return path.resolve().parent.name
    for i, part in enumerate(path.parts[:-1]):
        if part in ("site-packages", "dist-packages"):
            return path.parts[i + 1]
        if part.startswith("models--"):  # the Hub's cache
            return part.removeprefix("models--").replace("--", "/", 1)
    if HUB_ID.fullmatch(text) and not path.exists():
        return text
    return path.resolve().name if path.exists() else path.name
