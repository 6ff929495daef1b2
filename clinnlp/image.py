"""Image: a picture of a record, decoded when it is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.errors import RecordError
from clinnlp.labels import Label, read_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Image"]


class Image:
    """A picture given as a path, encoded bytes or an array: PNG, JPEG, TIFF or DICOM.

    Parameters
    ----------
    source : path, bytes or array, optional
        What the picture is read from; told apart by its type.
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

    Raises
    ------
    RecordError
        If not exactly one of path, data and array is given.
    """

    __slots__ = ("array", "data", "labels", "name", "path")

    def __init__(
        self,
        source: str | Path | bytes | NDArray[Any] | None = None,
        *,
        path: str | Path | None = None,
        data: bytes | None = None,
        array: NDArray[Any] | None = None,
        name: str = "",
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(source, (str, Path)):
            path = source if path is None else path
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source) if data is None else data
        elif source is not None:
            if not hasattr(source, "__array__"):
                raise RecordError(f"an image is a path, bytes or an array, not {type(source).__name__}")
            array = source if array is None else array
        if sum(given is not None for given in (path, data, array)) != 1:
            raise RecordError("give an image exactly one of path, data and array")
        self.path: str | None = None if path is None else str(path)
        self.data = data
        self.array: NDArray[Any] | None = array
        self.name = name
        self.labels: dict[str, list[Label]] = read_labels(labels)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        if (self.path, self.data, self.name, self.labels) != (other.path, other.data, other.name, other.labels):
            return False
        if self.array is None or other.array is None:
            return self.array is other.array
        return (
            self.array.shape == other.array.shape
            and self.array.dtype == other.array.dtype
            and bool((self.array == other.array).all())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = "path" if self.path is not None else "data" if self.data is not None else "array"
        return f"Image({kind}, labels={sorted(self.labels)})"

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.path, self.data, self.array, self.name, self.labels)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.path, self.data, self.array, self.name, self.labels = state

    def pixels(self) -> NDArray[np.uint8]:
        """Decode the picture.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB pixels; a grey picture has three equal channels.

        Raises
        ------
        ImageError
            If it cannot be decoded.
        """
        from clinnlp.encoders.pixels import decode

        return decode(self)

    def copy(self) -> Image:
        """Copy the image and its labels; bytes and array are shared."""
        labels = {name: [Label(label.name, label.score) for label in given] for name, given in self.labels.items()}
        return Image(path=self.path, data=self.data, array=self.array, name=self.name, labels=labels)

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
            plain["labels"] = {
                name: [{"name": label.name, "score": label.score} for label in given]
                for name, given in self.labels.items()
            }
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Image:
        """Make an image from what `to_dict` gave; bytes are taken as they are."""
        data, array = plain.get("data"), plain.get("array")
        if isinstance(data, str):
            data = base64.b64decode(data)
        if isinstance(array, str):
            array = base64.b64decode(array)
        return cls(
            path=plain.get("path"),
            data=data,
            array=array_from_bytes(array) if isinstance(array, bytes) else array,
            name=plain.get("name") or "",
            labels=plain.get("labels"),
        )


def array_to_bytes(array: NDArray[Any]) -> bytes:
    """Write an array in NumPy's .npy format, without pickle."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes) -> NDArray[Any]:
    """Read an array from NumPy's .npy format, without pickle."""
    import numpy as np

    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
