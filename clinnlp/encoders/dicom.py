"""DICOM pictures to 8-bit RGB, through pydicom.

Only the elements that describe pixels are read: nothing that names a patient is ever taken out of a file.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from clinnlp.encoders.pixels import MAX_PIXELS, check_size, scale, to_eight_bits, to_rgb
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["decode_dicom", "looks_like_dicom"]

_PREAMBLE = 128
_MARK = b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_SEARCHED = 65_536
_MAX_INFLATED = 4 * MAX_PIXELS
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_READ = (
    *_PIXELS,
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
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
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


def decode_dicom(file: BinaryIO) -> NDArray[np.uint8]:
    """Decode the first frame of a DICOM file.

    Stored values are rescaled, then brought to 0-255 by the file's first lookup table or window. Without one,
    up to 8 bits keep their range, and more go from the smallest to the largest value that is not padding.
    MONOCHROME1 is turned over, so that larger is brighter; padding is black; palettes and YBR become RGB.
    Windows that only the functional groups of an enhanced multi-frame file name are not read.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    ImageError
        If it has no pixels, is damaged, too large, or compressed in a way that needs another package.
    """
    try:
        dataset = _read(file)
    except ImageError:
        raise
    except Exception as error:  # pydicom raises many kinds, whose messages may quote the file
        raise ImageError(f"a damaged DICOM file: {type(error).__name__}") from None
    if not any(name in dataset for name in _PIXELS):
        raise ImageError("the DICOM file has no pixels: it is a report, a directory or a header alone")
    codec = _codec(dataset)
    try:
        check_size(int(dataset.Rows), int(dataset.Columns))
        return _render(dataset)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"the pixels of a DICOM file cannot be decoded, they are damaged or incomplete{codec}:"
            f" {type(error).__name__}"
        ) from None


def _read(file: BinaryIO) -> Dataset:
    import pydicom
    from pydicom.dataset import FileMetaDataset

    tags = [pydicom.datadict.tag_for_keyword(name) for name in _READ]
    start = file.read(_META_SEARCHED)
    file.seek(0)
    if _DEFLATED in start:
        plain = io.BytesIO(_inflate(file, start))
        dataset = pydicom.filereader.read_dataset(plain, False, True, specific_tags=tags)
        dataset.file_meta = FileMetaDataset()
        syntax = pydicom.uid.ExplicitVRLittleEndian
    else:
        dataset = pydicom.dcmread(file, force=True, specific_tags=tags)
        syntax = dataset.file_meta.get("TransferSyntaxUID") or _guess_syntax(*dataset.original_encoding)
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


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


def _codec(dataset: Dataset) -> str:
    """Give what to say of the codec where decoding fails; refuse a syntax that nothing here decodes."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except Exception:  # a damaged header can hold anything in its place
        raise ImageError("the transfer syntax of a DICOM file is not a standard one: save it in another") from None
    advice = "pip install 'pylibjpeg[all]'"
    if not decoder.is_available:
        raise ImageError(f"no codec for {syntax.name} is installed: {advice}")
    return f", or the codec for {syntax.name} does not cover them ({advice})" if syntax.is_encapsulated else ""


def _render(dataset: Dataset) -> NDArray[np.uint8]:
    from pydicom import pixels

    stored = pixels.pixel_array(dataset, index=0)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = pixels.apply_color_lut(stored, dataset).astype(np.float64)
        # Some files say 16 bits a colour and hold 8.
        return to_rgb(scale(colours, 0, 255 if colours.max() <= 255 else 65535))
    if stored.ndim == 3:
        return to_rgb(scale(stored.astype(np.float64), 0, 2 ** int(dataset.BitsStored) - 1))
    padding = _padding(dataset, stored)
    grey = _grey(dataset, stored, padding)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = np.uint8(255) - grey
    grey[padding] = 0
    return to_rgb(grey)


def _grey(dataset: Dataset, stored: NDArray[Any], padding: NDArray[np.bool_]) -> NDArray[np.uint8]:
    from pydicom import pixels

    values = np.asarray(pixels.apply_modality_lut(stored, dataset), dtype=np.float64)
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = pixels.apply_voi(values.astype(np.int64), dataset)
        return scale(looked_up.astype(np.float64), 0, 2**bits - 1)
    centre, width = _first(dataset, "WindowCenter"), _first(dataset, "WindowWidth")
    if centre is not None and width is not None and width > 0:
        return _window(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))
    bits = int(dataset.get("BitsStored") or 64)
    if bits <= 8 and stored.dtype.kind == "u" and np.array_equal(values, stored):
        return scale(values, 0, 2**bits - 1)
    seen = np.where(padding, np.nan, values)
    return to_eight_bits(seen, unit=False) if not padding.all() else np.zeros(values.shape, dtype=np.uint8)


def _window(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.uint8]:
    """Apply a window as DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3 define its three functions."""
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return scale(1 / (1 + np.exp(-4 * (values - centre) / width)), 0, 1)
    if function == "LINEAR" and width >= 1:
        centre, width = centre - 0.5, width - 1
    return scale(values, centre - width / 2, centre + width / 2)


def _first(dataset: Dataset, name: str) -> float | None:
    value = dataset.get(name)
    if value is None or value == "":
        return None
    return float(value if isinstance(value, (int, float)) else value[0])


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = dataset.get("PixelPaddingRangeLimit")
    limit = limit if isinstance(limit, int) else value
    return np.asarray((stored >= min(value, limit)) & (stored <= max(value, limit)))
