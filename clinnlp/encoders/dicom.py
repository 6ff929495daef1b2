"""DICOM pictures to 8-bit RGB, through pydicom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from clinnlp.encoders.dicom_files import FRAME_GROUPS, looks_like_dicom, read_dicom
from clinnlp.encoders.eight_bits import scale, to_eight_bits, to_rgb
from clinnlp.encoders.limits import check_frame, check_size, check_total
from clinnlp.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["decode_frame", "decode_frames", "looks_like_dicom"]

_MODALITY_WINDOWS = {"CT": (40.0, 400.0)}
_GREY = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "Modality",
    "BitsStored",
    "PixelRepresentation",
)
# Where the groups of a frame say again what a file of one frame says at its top (PS3.3, C.7.6.16.2).
_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def decode_frame(file: BinaryIO, frame: int) -> NDArray[np.uint8]:
    """Decode one frame of a DICOM file.

    Stored values are rescaled, then brought to 0-255 by the first lookup table or window that the file, or its
    groups for this frame, name. Without one, up to 8 bits keep their range; Hounsfield units of a CT go through the
    window of soft tissue, centre 40 and width 400, which shows most organs; all others go from the smallest to the
    largest value of the frame that is not padding. MONOCHROME1 is turned over, so that larger is brighter; padding is
    black; palettes and YBR become RGB.

    Parameters
    ----------
    file : binary file
    frame : int
        From 0.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    ImageError
        If it has no pixels or no such frame, is damaged, too large, or compressed in a way that needs another package.
    """
    from pydicom import pixels

    dataset = read_dicom(file)
    codec = _codec(dataset)
    try:
        check_size(int(dataset.Rows), int(dataset.Columns))
        check_frame(frame, frame_count(dataset))
        return _render(dataset, pixels.pixel_array(dataset, index=frame), frame)
    except Exception as error:
        raise _undecoded(error, codec) from None


def decode_frames(file: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    """Decode all frames one after another, each when it is asked for; see `decode_frame`."""
    from pydicom import pixels

    dataset = read_dicom(file)
    codec = _codec(dataset)
    try:
        height, width, frames = int(dataset.Rows), int(dataset.Columns), frame_count(dataset)
        check_size(height, width)
        check_total(height * width * 3 * frames, frames)
        found = 0
        for stored in pixels.iter_pixels(dataset, indices=range(frames)):
            yield _render(dataset, stored, found)
            found += 1
    except Exception as error:
        raise _undecoded(error, codec) from None
    if found < frames:
        raise ImageError(f"a DICOM file has {found:,} of the {frames:,} frames that it announces")


def frame_count(dataset: Dataset) -> int:
    """Give how many frames a file says that it has; none at all is one."""
    return max(int(dataset.get("NumberOfFrames") or 1), 1)


def _undecoded(error: Exception, codec: str) -> ImageError:
    if isinstance(error, ImageError):
        return error
    return ImageError(
        f"the pixels of a DICOM file cannot be decoded, they are damaged or incomplete{codec}: {type(error).__name__}"
    )


def _codec(dataset: Dataset) -> str:
    """Give what to say of the codec where decoding fails; refuse a syntax that nothing here decodes."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except Exception:  # a damaged header can hold anything in its place
        raise ImageError("the transfer syntax of a DICOM file is not a standard one: save it in another") from None
    advice = "pip install 'clinnlp[dicom]'"
    if not decoder.is_available:
        raise ImageError(f"no codec for {syntax.name} is installed: {advice}")
    return f", or the codec for {syntax.name} does not cover them ({advice})" if syntax.is_encapsulated else ""


def _render(dataset: Dataset, stored: NDArray[Any], frame: int) -> NDArray[np.uint8]:
    from pydicom import pixels

    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = pixels.apply_color_lut(stored, dataset).astype(np.float64)
        # Some files say 16 bits a colour and hold 8.
        return to_rgb(scale(colours, 0, 255 if colours.max() <= 255 else 65535))
    if stored.ndim == 3:
        return to_rgb(scale(stored.astype(np.float64), 0, 2 ** int(dataset.BitsStored) - 1))
    padding = _padding(dataset, stored)
    grey = _grey(_of_frame(dataset, frame), stored, padding)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = np.uint8(255) - grey
    grey[padding] = 0
    return to_rgb(grey)


def _of_frame(dataset: Dataset, frame: int) -> Dataset:
    """Give what a file says of the values of one frame, which an enhanced file says in groups."""
    from pydicom import Dataset

    groups = [item for name in FRAME_GROUPS[:1] for item in (dataset.get(name) or [])[:1]]
    groups += [item for name in FRAME_GROUPS[1:] for item in (dataset.get(name) or [])[frame : frame + 1]]
    if not groups:
        return dataset
    found = Dataset()
    for said in (dataset, *(item for group in groups for name in _GROUPS for item in (group.get(name) or [])[:1])):
        for name in _GREY:
            if name in said:
                found[name] = said[name]
    return found


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
    if known := _modality_window(dataset):
        return _window(values, *known, "LINEAR")
    seen = np.where(padding, np.nan, values)
    return to_eight_bits(seen, unit=False) if not padding.all() else np.zeros(values.shape, dtype=np.uint8)


def _modality_window(dataset: Dataset) -> tuple[float, float] | None:
    """Give centre and width for a modality whose values have a unit, where the file says that they are in it."""
    rescaled = "RescaleSlope" in dataset and "RescaleIntercept" in dataset
    if not rescaled or str(dataset.get("RescaleType") or "HU") != "HU":
        return None
    return _MODALITY_WINDOWS.get(str(dataset.get("Modality")))


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
