"""Records of the same picture are one group, whatever its size, compression and brightness."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clinnlp.training.image_groups
from clinnlp import FitConfig, Image, Record
from clinnlp.errors import TrainingError
from clinnlp.stages import ImageClassifier
from clinnlp.training.image_groups import difference_hash, joined, shared_pictures
from clinnlp.training.splits import image_groups, split

SECRET = "Zebulon"


def scene(seed: int, side: int = 96) -> PIL.Image.Image:
    """A smooth picture with structure of several sizes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((side, side), PIL.Image.Resampling.BICUBIC)


def encoded(picture: PIL.Image.Image, kind: str, **settings: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def changed(picture: PIL.Image.Image) -> list[Image]:
    """The same picture in other files: a copy, another format, size, brightness, and with its edge cut off."""
    darker = (np.asarray(picture) * 0.7 + 10).astype(np.uint8)
    return [
        Image(encoded(picture, "PNG")),
        Image(encoded(picture, "JPEG", quality=40)),
        Image(encoded(picture.resize((61, 70)), "PNG")),
        Image(array=darker),
        Image(array=np.asarray(picture)[1:, :-2]),
        Image(encoded(picture.convert("RGB"), "PNG")),
    ]


def test_a_picture_in_another_file_is_the_same_and_others_are_not() -> None:
    records = [
        Record(id=f"{seed}-{i}", images=[one]) for seed in (1, 2, 3) for i, one in enumerate(changed(scene(seed)))
    ]
    assert image_groups(records) == [0] * 6 + [6] * 6 + [12] * 6
    hashes = [difference_hash(record.images[0]) for record in records]
    assert hashes[0].shape == (512,)
    assert min(int((hashes[0] != other).sum()) for other in hashes[6:]) > 120


def test_the_distance_says_how_alike_pictures_must_be() -> None:
    pair = [Record(images=[changed(scene(1))[0]]), Record(images=[changed(scene(1))[4]])]
    differing = int((difference_hash(pair[0].images[0]) != difference_hash(pair[1].images[0])).sum())
    assert differing > 0
    assert image_groups(pair, differing) == [0, 0]
    assert image_groups(pair, differing - 1) == [0, 1]
    assert image_groups([*pair, pair[1]], 0) == [0, 1, 1]
    with pytest.raises(TrainingError, match="distance is -1"):
        image_groups(pair, -1)


def test_records_with_a_picture_in_common_are_joined_in_chains() -> None:
    one, two, three = (Image(array=np.asarray(scene(seed))) for seed in (1, 2, 3))
    records = [Record("no picture"), Record(images=[one]), Record(images=[three]), Record(images=[one, two])]
    assert image_groups([*records, Record(images=[two]), Record()]) == [0, 1, 2, 1, 1, 5]
    assert image_groups([]) == image_groups([], 0) == []
    assert joined(6, [[4, 2], [5, 0], [2, 5]]) == [0, 1, 0, 3, 0, 0]


def test_a_picture_on_both_sides_of_a_split_is_found() -> None:
    one, two, three = (changed(scene(seed)) for seed in (1, 2, 3))
    train = [Record("no picture"), Record(images=[one[0]]), Record(images=[two[0], one[1]])]
    dev = [Record(images=[three[0]]), Record(images=[one[3]]), Record(), Record(images=[three[1], two[1]])]
    assert shared_pictures(train, dev) == [(1, 1), (2, 3)]
    assert shared_pictures(train, dev, 0) in ([], [(1, 1)], [(2, 3)], [(1, 1), (2, 3)])
    assert shared_pictures(train, []) == shared_pictures([], dev) == shared_pictures([], []) == []


def test_a_fit_refuses_pictures_on_both_sides_unless_they_are_allowed() -> None:
    def records(seeds: range, form: int) -> list[Record]:
        labels = [["low", "high"][seed % 2] for seed in seeds]
        shown = [changed(scene(seed))[form] for seed in seeds]
        return [
            Record(id=f"{seed}-{form}", images=[Image(one.array, data=one.data, labels={"kind": [label]})])
            for seed, one, label in zip(seeds, shown, labels, strict=True)
        ]

    train = records(range(20), 0)
    stage = ImageClassifier.from_base(labels=["low", "high"], name="kind", image_size=16, width=2)
    few = records(range(40, 59), 1) + records(range(3, 4), 1)
    report = stage.fit(train, few, FitConfig(epochs=1))
    assert report.notes == [
        "1 of 20 development records have a picture of a training record, or nearly the same: figures on them flatter"
    ]
    many = records(range(12, 30), 1)
    with pytest.raises(TrainingError, match=r"8 of 18 development records .* such as record '12-0' and record '12-1'"):
        stage.fit(train, many, FitConfig(epochs=1))
    with pytest.raises(TrainingError, match="such as record '5-0' and record '5-0'"):
        stage.fit(train, [*few[:18], train[5]], FitConfig(epochs=1))
    allowed = stage.fit(train, many, FitConfig(epochs=1, allow_shared=True))
    assert allowed.notes[0].startswith("8 of 18 development records")


def test_more_pictures_than_a_block_are_all_compared() -> None:
    started = time.process_time()
    shown = [Image(array=np.random.default_rng(i).integers(0, 256, (16, 17), dtype=np.uint8)) for i in range(2_100)]
    numbers = image_groups([Record(images=[one]) for one in [*shown, shown[0], shown[1_500]]])
    assert numbers == [*range(2_100), 0, 1_500]
    assert time.process_time() - started < 20  # 1 on a quiet machine


def spot(row: int, column: int, side: int = 7) -> Image:
    """A bright spot on black, as masks, drawings and thin objects are: few parts are brighter than their neighbours."""
    made = np.zeros((64, 64), dtype=np.uint8)
    made[row : row + side, column : column + side] = 200
    return Image(array=made)


def test_spots_on_an_even_ground_are_told_apart_by_what_they_show() -> None:
    records = [Record(images=[spot(row, column)]) for row in (4, 24, 44) for column in (4, 24, 44)]
    again = Record(images=[Image(encoded(PIL.Image.fromarray(spot(24, 44).pixels()), "JPEG", quality=80))])
    assert image_groups([*records, again]) == [*range(9), 5]
    assert shared_pictures(records[::2], records[1::2]) == []
    assert shared_pictures(records, [records[0], again]) == [(0, 0), (5, 1)]


def test_pictures_that_show_nothing_are_like_no_other() -> None:
    blank = [Record(images=[Image(array=np.full((20, 20), shade, dtype=np.uint8))]) for shade in (0, 0, 255)]
    seen = Record(images=[Image(array=np.asarray(scene(1))), *blank[0].images])
    assert image_groups([*blank, seen, seen]) == [0, 1, 2, 3, 3]
    assert shared_pictures([*blank, seen], [blank[0], seen]) == [(3, 1)]


def test_many_pictures_that_are_the_same_cost_no_comparison_of_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    near = clinnlp.training.image_groups._near

    def counted(hashes: np.ndarray, others: np.ndarray, distance: int) -> object:
        compared.append((len(hashes), len(others)))
        return near(hashes, others, distance)

    monkeypatch.setattr("clinnlp.training.image_groups._near", counted)
    one, two = (Record(images=[Image(array=np.asarray(scene(seed, 32)))]) for seed in (1, 2))
    assert image_groups([one, two] * 300) == [0, 1] * 300
    assert compared == [(2, 2)]


def test_a_picture_that_cannot_be_decoded_names_its_record_and_no_path(tmp_path: Path) -> None:
    path = tmp_path / f"{SECRET}.png"
    path.write_bytes(b"no picture")
    good = Record(images=[Image(array=np.asarray(scene(1)))])
    for bad, told in (
        (Record(id="r7", images=[path]), "record 'r7': not an image"),
        (Record(images=[path]), "record 1"),
    ):
        with pytest.raises(TrainingError, match=told) as caught:
            image_groups([good, bad])
        assert SECRET not in str(caught.value)


def test_a_split_keeps_the_same_picture_on_one_side_and_labels_of_images_in_proportion() -> None:
    records = [
        Record(id=f"{seed}-{i}", images=[Image(one.data or one.array, labels={"finding": [str(seed % 2)]})])
        for seed in range(20)
        for i, one in enumerate(changed(scene(seed))[:2])
    ]
    apart = split(records, 0.2, name="finding")
    assert {r.id.split("-")[0] for r in apart[0]} & {r.id.split("-")[0] for r in apart[1]}  # else this tells nothing
    train, dev = split(records, 0.2, groups=image_groups(records), name="finding")
    assert {r.id.split("-")[0] for r in train}.isdisjoint(r.id.split("-")[0] for r in dev)
    assert sorted(r.images[0].labels["finding"][0].name for r in dev) == ["0"] * 4 + ["1"] * 4
    with pytest.raises(TrainingError, match="39 groups of 40 records"):
        split(records, 0.2, groups=image_groups(records)[1:], name="finding")
    with pytest.raises(TrainingError, match="40 records of 1 groups by group and text"):
        split(records, 0.2, groups=[0] * 40, name="finding")
