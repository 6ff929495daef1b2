"""DICOM headers without what identifies a patient, after the basic profile of PS3.15, Annex E."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from clinnlp.encoders.pixels import quiet_decoders
from clinnlp.errors import ClinNLPError, ConfigError, ImageError, StageError
from clinnlp.stages._identifiers.days import shifted
from clinnlp.stages._identifiers.keyed import Keyed, read_key
from clinnlp.stages._identifiers.known import KnownStrings
from clinnlp.stages._identifiers.surrogates import Surrogates

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

__all__ = ["deidentify_dicom"]

_RULES = Path(__file__).parent / "rules" / "dicom.yaml"
_TIME = re.compile(r"(?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?")
_AGE = re.compile(r"\d{3}[DWMY]")
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "AdmissionID")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def deidentify_dicom(
    source: str | Path | bytes,
    key: str | bytes,
    *,
    patient: str | None = None,
    dates: Literal["shift", "remove"] = "shift",
) -> bytes:
    """Give a DICOM file without what its header says of the patient; pixels stay as they are.

    Bytes behind the pixels, of which the header says how many there are, are cut off.

    UIDs are mapped by the key, the same one to the same; dates move by as many days as those of the patient's notes
    under that key; name and number of the patient become a hash; private elements, and text that nothing names as
    harmless, are removed. What is done with each element is in `rules/dicom.yaml`.

    Parameters
    ----------
    source : str, Path or bytes
        The file, or its contents.
    key : str or bytes
        Secret, as `Deidentifier` takes it.
    patient : str, optional
        What `Record.metadata["patient"]` says of the patient; by default the number in the file.
    dates : {"shift", "remove"}

    Returns
    -------
    bytes
        The new file.

    Raises
    ------
    ImageError
        If it cannot be read or written.
    ConfigError
        If the key or another argument is none.
    StageError
        If a number of the patient, or the name of anybody whom the header names, is still in the new one.

    Warns
    -----
    UserWarning
        If the file does not say that nothing is written into its pixels, which are not changed.
    """
    if not isinstance(source, (str, Path, bytes)):
        raise ConfigError(f"a DICOM file is given as a path or as bytes, not {type(source).__name__}")
    if patient is not None and not isinstance(patient, str):
        raise ConfigError(f"the patient is a text, not {type(patient).__name__}")
    if dates not in ("shift", "remove"):
        raise ConfigError(f"dates is 'shift' or 'remove', not {dates!r}")
    secret = read_key(key)
    try:
        with quiet_decoders():
            data, clean = _rewritten(source, secret, patient, dates)
    except ClinNLPError:
        raise
    except Exception as error:  # pydicom's messages may quote the file
        raise ImageError(f"a DICOM file cannot be de-identified: {type(error).__name__}") from None
    if not clean:
        warnings.warn("a DICOM file may have names written into its pixels, which stay as they are", stacklevel=2)
    return data


def _rewritten(source: str | Path | bytes, key: bytes, patient: str | None, dates: str) -> tuple[bytes, bool]:
    """Give the new file, and whether it says that nothing is written into its pixels."""
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source, force=True)
    if not len(dataset):
        raise ImageError("the file has no DICOM elements")
    known = _known(dataset)
    keyed = Keyed(key, str(dataset.get("PatientID", "")) if patient is None else patient)
    change = _Change(Keyed(key), keyed, None if dates == "remove" else Surrogates(keyed).days)
    clean = str(dataset.get("BurnedInAnnotation", "")) == "NO"
    change.dataset(dataset)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "clinnlp, after PS3.15 Annex E"
    dataset.LongitudinalTemporalInformationModified = "REMOVED" if dates == "remove" else "MODIFIED"
    _check(dataset, known)
    return _written(dataset, change), clean


class _Change:
    """What becomes of each element of a data set, in place."""

    def __init__(self, all_keyed: Keyed, keyed: Keyed, days: int | None) -> None:
        self._all, self._keyed, self._days, self._rules = all_keyed, keyed, days, _rules()

    def dataset(self, dataset: Dataset) -> None:
        """Change all elements, those of sequences too."""
        for tag in list(dataset.keys()):
            element = dataset[tag]
            if not self._keep(element):
                del dataset[tag]
        for name in _PIXELS:
            if name in dataset:
                _cut(dataset, name)

    def _keep(self, element: DataElement) -> bool:
        """Change an element; tell whether it stays."""
        name, kind, rules = element.keyword, element.VR, self._rules
        repeating = 0x5000 <= element.tag.group < 0x5100 or 0x6000 <= element.tag.group < 0x6100
        if element.tag.is_private or not name or repeating or name in rules["X"]:
            return False
        if kind not in _kinds(name):  # a file may call an address a code, which would stay
            return False
        if name in rules["Z"]:
            element.value = None
        elif name in rules["D"]:
            element.value = self._keyed.token("DICOM patient")
        elif name in rules["dates"]:
            element.value = self._date(str(element.value or ""))
        elif kind == "SQ":
            for item in element.value:
                self.dataset(item)
        elif kind == "UI":
            values = element.value if element.VM > 1 else [element.value]
            element.value = [self.uid(str(value or "")) for value in values]
        elif name == "PatientAge":
            element.value = _age(str(element.value or ""))
        else:
            return (
                name in rules["keep"] or kind in rules["kinds"] or (name in rules["times"] and self._days is not None)
            )
        return True

    def _date(self, value: str) -> str:
        moved = None if self._days is None else shifted(value[:8], self._days, 2001)
        # Behind a day only a time and its zone: a range would keep its second day.
        return "" if moved is None or _TIME.fullmatch(value, 8) is None else moved + value[8:]

    def uid(self, value: str) -> str:
        """Map a UID, unless the standard defines it."""
        from pydicom.uid import UID_dictionary

        if not value or value in UID_dictionary:
            return value
        return f"2.25.{int(self._all.token(f'UID {value}', 32), 16)}"


def _kinds(name: str) -> set[str]:
    """Give the value representations that the standard allows an element."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(name)
    assert tag is not None
    return set(dictionary_VR(tag).split(" or "))


def _age(value: str) -> str:
    """Give an age in the form of the standard; over 89 years it is 90, and what is no age is nothing."""
    if not _AGE.fullmatch(value):
        return ""
    years = int(value[:3]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[value[3]]
    return "090Y" if years > 89 else value


def _cut(dataset: Dataset, name: str) -> None:
    """Cut off what stands behind the pixels, where they are not compressed: it may be anything."""
    from pydicom.pixels.utils import get_expected_length

    element = dataset[name]
    if element.is_undefined_length:  # fragments of compressed pixels, each with its own length
        return
    try:
        length = int(get_expected_length(dataset))
    except Exception:  # pydicom raises many kinds, whose messages may quote the file
        raise ImageError("a DICOM file does not say how many pixels it has: complete its header first") from None
    if len(element.value or b"") > length:
        element.value = element.value[:length] + b"\0" * (length % 2)


def _known(dataset: Dataset) -> KnownStrings:
    """Give the names, of whomever the old header names, and the numbers that the new one must not have."""
    values = []
    for element in dataset.iterall():
        label = "PERSON" if element.VR == "PN" else "MRN" if element.keyword in _NUMBERS else ""
        if label and element.value:
            several = element.value if element.VM > 1 else [element.value]
            values += [(re.sub(r"[\^=]+", " ", str(value)), label) for value in several]
    return KnownStrings(list(dict.fromkeys(values)))


def _check(dataset: Dataset, known: KnownStrings) -> None:
    # A hash that stands for the patient may hold the few letters of a short name by chance.
    texts = [
        str(e.value)
        for e in dataset.iterall()
        if e.VR not in ("SQ", "UI", "OB", "OW", "UN", "IS", "DS") and e.keyword not in ("PatientName", "PatientID")
    ]
    left = sum(bool(known.find(text)) for text in texts)
    if left:
        raise StageError(
            f"{left} elements of a DICOM file still name the patient or another person: it is not given out, so empty"
            " the text elements first that are no names"
        )


def _written(dataset: Dataset, change: _Change) -> bytes:
    import pydicom
    from pydicom.dataset import FileMetaDataset

    before = getattr(dataset, "file_meta", None) or FileMetaDataset()
    implicit, little = dataset.original_encoding
    meta = FileMetaDataset()
    syntax = before.get("TransferSyntaxUID")
    if syntax is None:
        explicit = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else explicit
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID") or before.get("MediaStorageSOPClassUID")
    if not meta.MediaStorageSOPClassUID:
        raise ImageError("a DICOM file does not say what kind of image it is: write its SOPClassUID first")
    instance = dataset.get("SOPInstanceUID") or change.uid(str(before.get("MediaStorageSOPInstanceUID", "") or ""))
    meta.MediaStorageSOPInstanceUID = instance or f"2.25.{int(hashlib.sha256(b'none').hexdigest()[:30], 16)}"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128  # which may hold anything
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@cache
def _rules() -> dict[str, frozenset[str]]:
    rules = yaml.safe_load(_RULES.read_text(encoding="utf-8"))
    return {name: frozenset(words) for name, words in rules.items()}
