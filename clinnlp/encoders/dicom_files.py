"""DICOM files to what describes their pixels, through pydicom.

Only those elements are read: nothing that names a patient is ever taken out of a file.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

from clinnlp.encoders.limits import MAX_PIXELS
from clinnlp.errors import ImageError, RecordError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["FRAME_GROUPS", "PIXELS", "dataset_bytes", "looks_like_dicom", "read_dicom"]

_PREAMBLE = 128
_MARK = b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_SEARCHED = 65_536
_MAX_INFLATED = 4 * MAX_PIXELS
_UNDEFINED = 0xFFFFFFFF

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
"""The elements that hold pixels."""
FRAME_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""What an enhanced multi-frame file says of all of its frames, and of each."""
_READ = (
    *PIXELS,
    *FRAME_GROUPS,
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "Modality",
    "BodyPartExamined",
    "Laterality",
    "ImageLaterality",
    "ViewPosition",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Data", "Descriptor")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
)


def looks_like_dicom(file: BinaryIO) -> bool:
    """Tell whether a file starts as DICOM does: with a preamble, or at once with its first group of elements."""
    start = file.read(_PREAMBLE + len(_MARK))
    file.seek(0)
    return start[_PREAMBLE:] == _MARK or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00")


def read_dicom(file: BinaryIO, pixels: bool = True) -> Dataset:
    """Read the elements of a DICOM file that describe its pixels.

    Parameters
    ----------
    file : binary file
    pixels : bool
        Whether to read the pixels themselves, which stay compressed.

    Returns
    -------
    Dataset
        With a transfer syntax in its `file_meta`, guessed where the file has none.

    Raises
    ------
    ImageError
        If the file is damaged, cut off, unpacks to too much, has sequences too deep within one another, or no pixels.
    """
    try:
        dataset = _read(file, pixels)
    except ImageError:
        raise
    except RecursionError:
        raise ImageError("sequences of a DICOM file lie too deep within one another: write the file anew") from None
    except Exception as error:  # pydicom raises many kinds, whose messages may quote the file
        raise ImageError(f"a damaged DICOM file: {type(error).__name__}") from None
    if not any(name in dataset for name in (PIXELS if pixels else ("Rows",))):
        raise ImageError("the DICOM file has no pixels: it is a report, a directory or a header alone")
    return dataset


def _read(file: BinaryIO, pixels: bool) -> Dataset:
    import pydicom
    from pydicom.dataset import FileMetaDataset

    tags = [pydicom.datadict.tag_for_keyword(name) for name in _READ]
    start = file.read(_META_SEARCHED)
    file.seek(0)
    if _DEFLATED in start:
        file = io.BytesIO(_inflate(file, start))
        stop = None if pixels else _at_pixels
        dataset = pydicom.filereader.read_dataset(file, False, True, stop_when=stop, specific_tags=tags)
        dataset.file_meta = FileMetaDataset()
        # What was unpacked is written plainly.
        syntax = pydicom.uid.ExplicitVRLittleEndian if pixels else pydicom.uid.DeflatedExplicitVRLittleEndian
    else:
        dataset = pydicom.dcmread(file, force=True, specific_tags=tags, stop_before_pixels=not pixels)
        syntax = dataset.file_meta.get("TransferSyntaxUID") or _guess_syntax(*dataset.original_encoding)
    _check_ends(file, dataset, tags, pixels)
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _at_pixels(tag: int, *_: Any) -> bool:
    return tag in (0x7FE00008, 0x7FE00009, 0x7FE00010)


def _check_ends(file: BinaryIO, dataset: Dataset, tags: Iterable[int], pixels: bool) -> None:
    """Refuse a file that ends before its elements do: pydicom reads it as if it had none after them."""
    from pydicom.dataelem import RawDataElement

    position, end = file.tell(), file.seek(0, io.SEEK_END)
    found = [dataset.get_item(tag) for tag in tags if tag in dataset]
    short = any(
        isinstance(element, RawDataElement)
        and element.length != _UNDEFINED
        and len(element.value or b"") < element.length
        for element in found
    )
    lost = pixels and position < end and not any(name in dataset for name in PIXELS)
    if short or lost or position > end:
        raise ImageError("a DICOM file is cut off: it ends before an element that it announces does")


def _guess_syntax(implicit: bool | None, little: bool | None) -> Any:
    from pydicom import uid

    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _inflate(file: BinaryIO, start: bytes) -> bytes:
    """Unpack the deflated part of a file, which follows the group of elements that gives its own length."""
    length_at = _PREAMBLE + len(_MARK) + 8
    length = int.from_bytes(start[length_at : length_at + 4], "little")
    file.seek(length_at + 4 + length)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = unpacker.decompress(file.read(), _MAX_INFLATED)
    if unpacker.unconsumed_tail:
        raise ImageError(f"the DICOM file unpacks to more than {_MAX_INFLATED:,} bytes: make it smaller first")
    return plain


def dataset_bytes(dataset: Dataset) -> bytes:
    """Write a data set as a file, with all that it holds; the data set stays as it is.

    Raises
    ------
    RecordError
        If that fails.
    """
    import pydicom
    from pydicom.dataset import FileMetaDataset

    from clinnlp.encoders.pixels import quiet_decoders

    buffer = io.BytesIO()
    try:
        made = pydicom.Dataset({tag: dataset.get_item(tag) for tag in dataset.keys()})  # noqa: SIM118
        implicit, little = dataset.original_encoding
        made.set_original_encoding(implicit, little, dataset.original_character_set)
        made.preamble = b"\0" * _PREAMBLE
        made.file_meta = FileMetaDataset()
        made.file_meta.FileMetaInformationGroupLength = 0  # pydicom counts it
        syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
        made.file_meta.TransferSyntaxUID = syntax or _guess_syntax(implicit, little is not False)
        with quiet_decoders():
            pydicom.dcmwrite(buffer, made)
    except Exception as error:  # whose message may quote what the data set holds
        raise RecordError(f"a DICOM data set cannot be written as a file: {type(error).__name__}") from None
    return buffer.getvalue()
