"""DICOM files, whole and broken, written for the tests."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

NAME = "Quarry^Zebulon"
CT = np.array([[0, 500, 1000], [1024, 1100, 2000]], dtype=np.int16)


def written(array: np.ndarray, syntax: Any = ExplicitVRLittleEndian, preamble: bool = True, **settings: Any) -> bytes:
    """Write a DICOM file of an array; settings are elements by keyword."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    data.PatientName = NAME
    data.Rows, data.Columns = array.shape[:2] if array.ndim < 4 else array.shape[1:3]
    data.SamplesPerPixel = 3 if array.shape[-1] == 3 and array.ndim > 2 else 1
    data.PhotometricInterpretation = "RGB" if data.SamplesPerPixel == 3 else "MONOCHROME2"
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = array.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    data.PixelData = array.tobytes()
    for name, value in settings.items():
        setattr(data, name, value)
    if "BitsStored" in settings:
        data.HighBit = data.BitsStored - 1
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    if preamble:
        data.save_as(buffer, enforce_file_format=True)
    else:
        del data.file_meta
        data.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return buffer.getvalue()


def nested(depth: int, tag: bytes = b"\x08\x00\x40\x11", defined: bool = False) -> bytes:
    """Write sequences in sequences, of defined or of undefined length, before the pixels of a file."""
    if defined:
        inner = b""
        for _ in range(depth):
            lengths = struct.pack("<I", len(inner) + 8), struct.pack("<I", len(inner))
            inner = tag + b"SQ\0\0" + lengths[0] + b"\xfe\xff\x00\xe0" + lengths[1] + inner
    else:
        start = tag + b"SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
        inner = start * depth + (b"\xfe\xff\x0d\xe0" + b"\0" * 4 + b"\xfe\xff\xdd\xe0" + b"\0" * 4) * depth
    data = written(CT)
    at = data.index(struct.pack("<HH", 0x0010, 0x0010))  # the patient's name
    return data[:at] + inner + data[at:]
