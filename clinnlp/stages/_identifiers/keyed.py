"""Choices that a secret key decides: the same for the same value, and not to be guessed without the key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from unicodedata import normalize

from clinnlp.errors import ConfigError

__all__ = ["Keyed", "read_key"]


def read_key(key: str | bytes) -> bytes:
    """Give the bytes of a key.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if not isinstance(key, (str, bytes)) or not key:
        raise ConfigError("the key must be a text or bytes, and not empty")
    try:
        return key.encode() if isinstance(key, str) else key
    except UnicodeEncodeError:
        raise ConfigError("the key has a lone surrogate, which is no character: give bytes instead") from None


class Keyed:
    """Choices for one patient.

    Parameters
    ----------
    key : bytes
    patient : str
        Whose values; the same value of another patient is given something else. Letter case, width and blanks do not
        make it another patient.
    """

    def __init__(self, key: bytes, patient: str = "") -> None:
        patient = " ".join(normalize("NFKC", normalize("NFKC", patient).casefold()).split())
        self._key = hmac.new(key, _bytes(f"patient\x00{patient}"), hashlib.sha256).digest() if patient else key

    def token(self, value: str, length: int = 16) -> str:
        """Give `length` hexadecimal digits that stand for a value."""
        return hmac.new(self._key, _bytes(value), hashlib.sha256).hexdigest()[:length]

    def number(self, value: str, below: int) -> int:
        """Give a whole number of at least 0 and below `below`."""
        digest = hmac.new(self._key, _bytes(f"number\x00{value}"), hashlib.sha256).digest()
        return int.from_bytes(digest[:8], "big") % below

    def pick(self, value: str, items: Sequence[str], besides: Collection[str] = ()) -> str:
        """Give one item, none that is in `besides` in small letters, if there is another."""
        first = self.number(value, len(items))
        for step in range(len(items)):
            item = items[(first + step) % len(items)]
            if item.lower() not in besides:
                return item
        return items[first]

    def digits(self, value: str, count: int) -> str:
        """Give digits, of any number."""
        made = ""
        while len(made) < count:
            made += str(int(self.token(f"digits\x00{value}\x00{len(made)}", 15), 16)).zfill(19)[-15:]
        return made[:count]


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
