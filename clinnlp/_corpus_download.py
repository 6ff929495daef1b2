"""Downloading a corpus from its own address; it appears whole and verified, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from urllib.request import Request, urlopen

from clinnlp.atomic import replace_folder
from clinnlp.errors import CorpusError

if TYPE_CHECKING:
    from clinnlp.corpora import Corpus

__all__ = ["download"]

TIMEOUT = 60.0
"""Seconds to wait for the other side to send something."""
_CHUNK = 1 << 16


def download(corpus: Corpus, folder: Path) -> Path:
    """Put the files of a corpus into a folder of its name in the cache, and give that folder.

    Raises
    ------
    CorpusError
        If the corpus has no address, a file cannot be had, or a checksum is wrong; then no folder appears.
    """
    if not corpus.files:
        raise CorpusError(
            f"corpus {corpus.name!r} is not on this machine and is not downloaded: get it from {corpus.home},"
            f" {corpus.get}, and let CLINNLP_CORPORA name the folder that holds {corpus.name}"
        )
    with replace_folder(folder) as new:
        for name, checksum in corpus.files.items():
            _download_file(corpus, name, checksum, new / name)
    return folder


def _download_file(corpus: Corpus, name: str, checksum: str, path: Path) -> None:
    address = corpus.address + quote(name)
    where = f"corpus {corpus.name!r}: {name}"
    mend = f"try again, or get it from {corpus.home} and let CLINNLP_CORPORA name the folder that holds {corpus.name}"
    if not address.startswith(("https://", "http://")):
        raise CorpusError(f"{where} has an address that is not http: mend the catalogue")
    found = hashlib.sha256()
    size = 0
    try:
        request = Request(address, headers={"User-Agent": "clinnlp", "Accept-Encoding": "identity"})  # noqa: S310
        with urlopen(request, timeout=TIMEOUT) as response, path.open("wb") as file:  # noqa: S310
            expected = response.headers.get("Content-Length")
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                found.update(chunk)
                size += len(chunk)
    # http.client and ssl raise exceptions of their own beside OSError.
    except Exception as error:
        code = f" {error.code}" if hasattr(error, "code") else ""
        raise CorpusError(f"{where} did not come from {address} ({type(error).__name__}{code}): {mend}") from None
    if expected is not None and size != int(expected):
        raise CorpusError(f"{where} was cut off after {size} of {expected} bytes: {mend}")
    if found.hexdigest() != checksum:
        raise CorpusError(f"{where} has a wrong checksum, so it is not the file it was: {mend}")
