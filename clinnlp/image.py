"""Image: a picture of a record, decoded when it is needed."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from clinnlp._plain import check_unicode, clone, named_fields, to_plain
from clinnlp.errors import RecordError
from clinnlp.labels import Label, read_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clinnlp.cleaned_image import CleanedImage
    from clinnlp.encoders.image_info import ImageInfo

__all__ = ["Image"]

_BYTES = (bytes, bytearray, memoryview)
_FIELDS = ("array", "data", "labels", "name", "path")


class Image:
    """A picture given as a path, encoded bytes, an array or a DICOM data set: PNG, JPEG, TIFF, GIF or DICOM.

    Parameters
    ----------
    source : path, bytes, array or pydicom.Dataset, optional
        What the picture is read from; told apart by its type. A data set is written to `data` as it is now.
    path : path, optional
        A file.
    data : bytes, optional
        A file's bytes.
    array : ndarray, optional
        Decoded pixels, shape (height, width) or (height, width, channels).
    name : str
        Name of an image that has no path.
    labels : dict
        Gold or found labels, as `Record.labels`.

    Attributes
    ----------
    cleaned : CleanedImage or None
        The pixels that models read in the place of the raw ones, with the way back to their coordinates; see
        `clinnlp.stages.ImageCleaner`. It goes along where the image is copied or pickled; what is made again from the
        image is neither written by `to_dict` nor compared.

    Raises
    ------
    RecordError
        If not exactly one of path, data and array is given, an array holds objects, or a data set cannot be written.
    """

    __slots__ = ("array", "cleaned", "data", "labels", "name", "path")

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | NDArray[Any] | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        data: bytes | None = None,
        array: NDArray[Any] | None = None,
        name: str = "",
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        given = [value for value in (source, path, data, array) if value is not None]
        if len(given) != 1:
            raise RecordError(f"give an image one of path, data and array, not {len(given)}")
        if isinstance(source, (str, os.PathLike)):
            path = source
        elif isinstance(source, _BYTES):
            data = bytes(source)
        elif _is_dataset(source):
            from clinnlp.encoders.dicom_files import dataset_bytes

            data = dataset_bytes(source)
        elif source is not None:
            array = source
        if not isinstance(path, (str, os.PathLike, type(None))) or not isinstance(data, (*_BYTES, type(None))):
            raise RecordError(
                "an image's path is text and its data is bytes: give the source alone to have it told apart"
            )
        self.path: str | None = None if path is None else os.fspath(path)
        if self.path is not None:
            check_unicode(self.path, "the path of an image")
        self.data: bytes | None = None if data is None else bytes(data)
        self.array: NDArray[Any] | None = None if array is None else _pixels(array)
        self.name = name
        self.labels: dict[str, list[Label]] = read_labels(labels)
        self.cleaned: CleanedImage | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        if (self.path, self.data, self.name, self.labels) != (other.path, other.data, other.name, other.labels):
            return False
        if self.array is None or other.array is None:
            return self.array is other.array
        import numpy as np

        # The order of bytes is no part of a value, and pickling does not keep it.
        one, two = (array.dtype.newbyteorder("=") for array in (self.array, other.array))
        return one == two and np.array_equal(self.array, other.array, equal_nan=one.kind in "fc")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = "path" if self.path is not None else "data" if self.data is not None else "array"
        return f"Image({kind}, labels={sorted(self.labels)})"

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.path, self.data, self.array, self.name, self.labels, self.cleaned)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.path, self.data, self.array, self.name, self.labels, self.cleaned = state

    def pixels(self, frame: int = 0) -> NDArray[np.uint8]:
        """Decode the picture, or one frame or page of several.

        Parameters
        ----------
        frame : int
            From 0.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB pixels; a grey picture has three equal channels.

        Raises
        ------
        ImageError
            If it cannot be decoded, or has no such frame.
        """
        from clinnlp.encoders.pixels import decode

        return decode(self, frame)

    def view(self) -> NDArray[np.uint8]:
        """Give the pixels that models read, shape (height, width, 3): the cleaned ones where there are, else the raw.

        Raises
        ------
        ImageError
            If it cannot be decoded.
        """
        return self.pixels() if self.cleaned is None else self.cleaned.pixels

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Decode all frames or pages one after another, each when it is asked for.

        Yields
        ------
        ndarray of uint8, shape (height, width, 3)
            As from `pixels`.

        Raises
        ------
        ImageError
            If it cannot be decoded, or has more frames than `clinnlp.encoders.limits` allows.
        """
        from clinnlp.encoders.pixels import decode_all

        return decode_all(self)

    def info(self) -> ImageInfo:
        """Tell what describes the pixels, and never the patient, without decoding them.

        Returns
        -------
        ImageInfo
            Format, height, width, frames; of DICOM also modality, body part, laterality, view position, pixel spacing
            in mm, photometric interpretation and transfer syntax.

        Raises
        ------
        ImageError
            If there is no such file, it is not a picture, is damaged or too large.
        """
        from clinnlp.encoders.image_info import read_info

        return read_info(self)

    def copy(self) -> Image:
        """Copy the image and its labels; bytes, array and cleaned pixels are shared."""
        made = Image(path=self.path, data=self.data, array=self.array, name=self.name, labels=clone(self.labels))
        made.cleaned = self.cleaned
        return made

    def to_dict(self) -> dict[str, Any]:
        """Give the image as a plain dictionary; bytes and arrays (as .npy) become base64 text."""
        plain: dict[str, Any] = {}
        if self.path is not None:
            plain["path"] = self.path
        if self.data is not None:
            plain["data"] = base64.b64encode(self.data).decode("ascii")
        if self.array is not None:
            plain["array"] = base64.b64encode(array_to_bytes(self.array)).decode("ascii")
        if self.name:
            plain["name"] = self.name
        if self.labels:
            plain["labels"] = to_plain(read_labels(self.labels))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Image:
        """Make an image from what `to_dict` gave; bytes are taken as they are.

        Raises
        ------
        RecordError
            If there are other fields, or the bytes cannot be read.
        """
        if unknown := [name for name in plain if name not in _FIELDS]:
            own = sorted(_FIELDS)
            raise RecordError(
                f"an image has no field for {named_fields(unknown, own)}: its fields are {', '.join(own)}"
            )
        given = {name: value for name, value in plain.items() if value is not None}
        try:
            for field in ("data", "array"):
                if isinstance(given.get(field), str):
                    given[field] = base64.b64decode(given[field], validate=True)
            if isinstance(given.get("array"), bytes):
                given["array"] = array_from_bytes(given["array"])
        except (ValueError, EOFError, OSError):
            raise RecordError("the bytes of an image are damaged: they are not what Image.to_dict gives") from None
        return cls(**given)


def _is_dataset(source: Any) -> bool:
    """Tell a DICOM data set, of which there is none before pydicom is imported."""
    pydicom = sys.modules.get("pydicom")
    return pydicom is not None and isinstance(source, pydicom.Dataset)


def _pixels(array: Any) -> NDArray[Any]:
    """Give an array, or what turns into one, such as a tensor or a Pillow image, as a NumPy array of numbers."""
    if not (hasattr(array, "__array__") or hasattr(array, "__array_interface__")):
        raise RecordError(f"an image is a path, bytes or an array, not {type(array).__name__}")
    import numpy as np

    pixels = np.asarray(array)
    if pixels.dtype.kind == "O":
        raise RecordError("an image's array is of numbers, not of objects")
    return pixels


def array_to_bytes(array: NDArray[Any]) -> bytes:
    """Write an array in NumPy's .npy format, without pickle."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes) -> NDArray[Any]:
    """Read an array from NumPy's .npy format, without pickle."""
    import numpy as np

    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array
