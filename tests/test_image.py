from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinnlp import Image, Label, Record
from clinnlp.errors import RecordError


def test_the_source_is_told_apart_by_its_type(tmp_path: Path) -> None:
    assert Image("scan.png").path == "scan.png"
    assert Image(tmp_path / "scan.png").path == str(tmp_path / "scan.png")
    assert Image(b"\x89PNG").data == b"\x89PNG"
    assert Image(bytearray(b"\x89PNG")).data == b"\x89PNG"
    assert Image(memoryview(b"\x89PNG")).data == b"\x89PNG"
    assert Image(np.zeros((2, 3))).array is not None


def test_a_tensor_and_a_pillow_image_become_arrays() -> None:
    pillow = pytest.importorskip("PIL.Image")
    torch = pytest.importorskip("torch")
    image = Image(pillow.fromarray(np.eye(3, dtype=np.uint8)))
    assert image.array.tolist() == np.eye(3).tolist()  # type: ignore[union-attr]
    assert type(Image(torch.zeros(2, 3)).array) is np.ndarray


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("a.png",), {"path": "b.png"}),
        (("a.png",), {"data": b"x"}),
        ((), {"path": "a.png", "array": np.zeros((2, 2))}),
        ((3,), {}),
        (([[0, 1], [1, 0]],), {}),
        ((), {"data": 5}),
        ((), {"data": "text"}),
        ((), {"path": 5}),
        ((), {"array": "text"}),
        ((np.array([object()]),), {}),
        (("a\udcff.png",), {}),
    ],
    ids=lambda given: type(given[0]).__name__ if isinstance(given, tuple) and given else "-".join(given) or "none",
)
def test_anything_but_one_source_of_a_known_kind_is_refused(args: Any, kwargs: Any) -> None:
    with pytest.raises(RecordError):
        Image(*args, **kwargs)


def test_labels_are_given_as_names() -> None:
    assert Image("a.png", labels={"finding": ["malignant"]}).labels == {"finding": [Label("malignant")]}


@pytest.mark.parametrize(
    "image",
    [
        Image("a.png", labels={"finding": [Label("clear", 0.25)]}),
        Image(data=b"", name="empty.png"),
        Image(b"\x00\xff"),
        Image(np.arange(6, dtype=">u2").reshape(2, 3)),
        Image(np.asfortranarray(np.arange(12, dtype=np.float32).reshape(2, 2, 3))),
        Image(np.array([[np.nan, 1.0]])),
        Image(np.zeros((0, 4))),
    ],
    ids=["path", "empty bytes", "bytes", "big-endian", "fortran", "nan", "no pixels"],
)
def test_an_image_goes_through_json_and_pickle_without_loss(image: Image) -> None:
    back = Image.from_dict(json.loads(json.dumps(image.to_dict())))
    assert back == image
    assert pickle.loads(pickle.dumps(image)) == image
    assert image.copy() == image


def test_images_that_differ_are_not_equal() -> None:
    array = np.zeros((2, 2))
    images = [
        Image("a.png"),
        Image("b.png"),
        Image("a.png", name="b"),
        Image("a.png", labels={"f": ["x"]}),
        Image(b"a"),
        Image(array),
        Image(array.astype(np.uint8)),
        Image(array[:1]),
        Image(array + 1),
    ]
    for i, one in enumerate(images):
        assert [one == other for other in images] == [i == j for j in range(len(images))]
    assert images[0] != "a.png"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"")
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("array", [b"", b"junk", zipped(), pickled()], ids=["empty", "junk", "zip", "pickle"])
def test_an_array_that_is_not_a_plain_npy_is_refused(array: bytes) -> None:
    with pytest.raises(RecordError, match="damaged"):
        Image.from_dict({"array": base64.b64encode(array).decode()})


@pytest.mark.parametrize("plain", [{"data": "%%%"}, {"path": "a", "pixels": 1}, {}, {"name": "a"}], ids=str)
def test_a_dictionary_of_another_form_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        Image.from_dict(plain)


def test_bytes_in_a_dictionary_are_taken_as_they_are() -> None:
    assert Image.from_dict({"data": b"abcd", "name": "x"}).data == b"abcd"


def test_repr_shows_no_path_and_no_name(tmp_path: Path) -> None:
    shown = repr(Image(tmp_path / "Zebulon Quarry.png", name="Zebulon", labels={"finding": ["clear"]}))
    assert shown == "Image(path, labels=['finding'])"


def test_labels_that_a_stage_wrote_as_names_become_labels() -> None:
    record = Record(images=["a.png"])  # type: ignore[list-item]
    record.images[0].labels["finding"] = ["clear"]  # type: ignore[list-item]
    record.bind(["images"])
    assert record.images[0].labels == {"finding": [Label("clear")]}
