"""The catalogue of corpora: what each is, where it is, and its records with gold annotations.

A corpus is read from the folder that the environment variable `CLINNLP_CORPORA` names, if it is there, else from
the cache (`CLINNLP_CACHE`, by default `~/.cache/clinnlp`, in its folder `corpora`). One that is in neither is
downloaded into the cache from its own public address, and only taken if its checksums are right. Nothing else in
this module uses the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from clinnlp.errors import CorpusError
from clinnlp.record import Record
from clinnlp.shipped import corpora_folder

__all__ = ["Corpus", "folder", "info", "load", "names"]

CATALOGUE = Path(__file__).with_name("corpora.yaml")
# Written by this project, and in every installation.
_WRITTEN = ("assertion", "notes", "reports", "tone", "ultrasound")


@dataclass(frozen=True)
class Corpus:
    """An entry of the catalogue.

    Parameters
    ----------
    name, title : str
        Name to load it by, and what it is.
    task : str
        What its gold annotations are for.
    labels : list of str
        Labels of its gold annotations; empty where they are too many to list.
    parts : list of str
        Names of its parts, such as train and devel; `all` where it has none.
    licence, citation, home : str
        Licence, whom to cite, and its page.
    may_be_learned : bool
        Whether the licence lets weights that are given away be learned from it.
    note : str
        What to know before using it.
    address : str
        Where its files are downloaded from; `""` for one that is not downloaded.
    files : dict of str to str
        Name of each file -> its sha256.
    get : str
        How to put a corpus that is not downloaded on the machine.
    """

    name: str
    title: str
    task: str
    parts: list[str]
    licence: str
    citation: str
    home: str
    may_be_learned: bool
    labels: list[str] = field(default_factory=list)
    note: str = ""
    address: str = ""
    files: dict[str, str] = field(default_factory=dict)
    get: str = ""


def names() -> list[str]:
    """Give the names of all corpora."""
    return sorted(_catalogue())


def info(name: str) -> Corpus:
    """Give what is known of a corpus: licence, citation, address, and whether it may be learned from.

    Raises
    ------
    CorpusError
        If no corpus has that name.
    """
    try:
        return _catalogue()[name]
    except KeyError:
        raise CorpusError(f"no corpus {name!r}: known are {', '.join(names())}") from None


def load(name: str, part: str | None = None, *, types: Literal["all"] | None = None) -> dict[str, list[Record]]:
    """Read a corpus, downloading it first where it is not on the machine.

    Gold stands where stages put what they find: entities, `labels["section"]`, an image's `labels["finding"]`.
    Corpora without official parts are cut by their ids, sorted as text: of each five the fifth is `devel`, the
    others are `train` (maccrobat, synthea). Those of images are split so that no picture, nearly the same one or
    patient is in two parts (busi, covid_cxr); their pictures are decoded for that once.

    Parameters
    ----------
    name : str
        One of `names()`.
    part : str, optional
        Only this part, such as `"devel"`; by default all.
    types : {"all"}, optional
        For maccrobat: its own 41 types in place of the eight that `clinical-en` learns.

    Returns
    -------
    dict of str to list of Record
        Part -> records.

    Raises
    ------
    CorpusError
        If no corpus or part has that name, or the corpus cannot be had.
    FormatError
        If a file of it cannot be read.
    """
    from clinnlp._corpus_readers import ALL_TYPES_READERS, READERS

    corpus = info(name)
    if part is not None and part not in corpus.parts:
        raise CorpusError(f"corpus {name!r} has no part {part!r}: it has {', '.join(corpus.parts)}")
    if types not in (None, "all"):
        raise CorpusError(f"types is 'all' or None, not {types!r}")
    place = folder(name)
    if place is None:
        from clinnlp._corpus_download import download

        place = download(corpus, _cache_folder() / name)
    reader = ALL_TYPES_READERS.get(name, READERS[name]) if types == "all" else READERS[name]
    found = reader(place)
    return {one: found[one] for one in corpus.parts if part in (None, one)}


def folder(name: str) -> Path | None:
    """Give the folder that holds a corpus on this machine, or None; the network is not used.

    Raises
    ------
    CorpusError
        If no corpus has that name, or `CLINNLP_CORPORA` names a folder that does not exist.
    """
    info(name)
    if name in _WRITTEN:
        return corpora_folder() / name
    places = [_cache_folder()]
    if given := os.environ.get("CLINNLP_CORPORA"):
        if not Path(given).is_dir():
            raise CorpusError("CLINNLP_CORPORA names a folder that does not exist: mend or unset it")
        places.insert(0, Path(given).absolute())
    return next((place / name for place in places if (place / name).is_dir()), None)


def _cache_folder() -> Path:
    given = os.environ.get("CLINNLP_CACHE")
    return (Path(given).absolute() if given else Path.home() / ".cache" / "clinnlp") / "corpora"


@cache
def _catalogue() -> dict[str, Corpus]:
    entries = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return {name: _corpus(name, entry) for name, entry in entries.items()}


def _corpus(name: str, entry: dict[str, Any]) -> Corpus:
    lines = (line.split(maxsplit=1) for line in entry.pop("files", "").splitlines())
    return Corpus(name=name, files={file: checksum for checksum, file in lines}, **entry)
