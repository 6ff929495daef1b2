from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clinnlp.errors import MissingPackageError, TrainingError
from clinnlp.training.curve import write_learning_curve

HISTORY: list[dict[str, Any]] = [
    {"epoch": 1.0, "loss": 1.2, "f1": 0.5, "precision": 0.6},
    {"epoch": 2.0, "loss": 0.6, "f1": 0.8, "precision": 0.7},
    {"epoch": 3.0, "loss": 0.4, "f1": 0.7, "precision": 0.75},
]


def changed(row: int, **values: Any) -> list[dict[str, Any]]:
    return [{**entry, **values} if i == row else entry for i, entry in enumerate(HISTORY)]


def without(*names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in HISTORY]


@pytest.fixture
def drawn(tmp_path: Path) -> Any:
    def draw(*arguments: Any, **options: Any) -> NDArray[np.uint8]:
        path = write_learning_curve(arguments[0], tmp_path / "curve.png", *arguments[1:], **options)
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            return np.asarray(picture.convert("RGB"))

    return draw


def differ(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    return a.shape != b.shape or bool((a != b).any())


def test_a_picture_is_written_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "curve.png"
    assert write_learning_curve(HISTORY, str(path), "f1") == path
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10
    assert [file.name for file in path.parent.iterdir()] == ["curve.png"]


def test_other_values_give_another_picture_and_the_same_ones_the_same(drawn: Any) -> None:
    one = drawn(HISTORY, "f1", title="a")
    assert not differ(one, drawn(HISTORY, "f1", title="a"))
    assert differ(one, drawn(changed(1, loss=0.7), "f1", title="a"))
    assert differ(one, drawn(changed(1, f1=0.85), "f1", title="a"))
    assert differ(one, drawn(changed(2, precision=0.65), "f1", title="a"))
    assert differ(one, drawn(HISTORY, "f1", title="b"))


def test_loss_and_figures_have_panels_of_their_own(drawn: Any) -> None:
    both = drawn(HISTORY, "f1")
    one = drawn(without("loss"), "f1")
    other = drawn(without("f1", "precision"))
    assert len(both) > len(one) == len(other)
    red, blue = (np.array(colour) for colour in ((214, 39, 40), (31, 119, 180)))
    assert (both == red).all(axis=2).any()
    assert (both == blue).all(axis=2).any()
    assert not (one == red).all(axis=2).any()
    assert not (other == blue).all(axis=2).any()


def marked(picture: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Columns with a dashed gray line from top to bottom; the grid is lighter, the frame darker."""
    colours = picture.astype(int)
    gray = (np.ptp(colours, axis=2) < 3) & (colours[..., 0] > 90) & (colours[..., 0] < 210)
    return np.flatnonzero(gray.sum(axis=0) > len(picture) // 4)


def test_the_best_epoch_is_marked(drawn: Any) -> None:
    places = [marked(drawn(changed(row, f1=0.9), "f1")).mean() for row in range(3)]
    assert places == sorted(places)
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=3)
    assert places[1] - places[0] > 100
    # The first of equal ones, as `fit` chooses.
    assert marked(drawn(changed(2, f1=0.8), "f1")).mean() == pytest.approx(places[1], abs=3)


def test_the_only_figure_is_the_one_marked_and_none_of_many(drawn: Any) -> None:
    assert not differ(drawn(without("precision")), drawn(without("precision"), "f1"))
    assert len(marked(drawn(without("precision"))))
    assert not len(marked(drawn(HISTORY)))


def test_rows_in_any_order_and_what_is_no_number_make_no_difference(drawn: Any) -> None:
    one = drawn(HISTORY, "f1")
    odd = [{**row, "worse": math.nan, "note": "text", "none": None} for row in (HISTORY[2], HISTORY[0], HISTORY[1])]
    assert not differ(one, drawn(odd, "f1"))
    assert differ(one, drawn(changed(2, loss=math.inf), "f1"))


def test_a_title_is_drawn_as_it_is_written(drawn: Any) -> None:
    assert differ(drawn(HISTORY, title=r"$\frac$"), drawn(HISTORY))  # as a formula it could not be read


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    for history in ([], [{"epoch": 1.0}], [{"epoch": 1.0, "loss": math.nan}]):
        with pytest.raises(TrainingError, match="neither a loss nor a figure"):
            write_learning_curve(history, tmp_path / "curve.png")
    with pytest.raises(TrainingError, match="no 'recall': its figures are f1, precision"):
        write_learning_curve(HISTORY, tmp_path / "curve.png", "recall")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_gives_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"matplotlib is not installed: pip install 'clinnlp\[train\]'"):
        write_learning_curve(HISTORY, tmp_path / "curve.png", "f1")
    assert not list(tmp_path.iterdir())


def test_pyplot_is_not_loaded(tmp_path: Path) -> None:
    code = f"""
import sys
import clinnlp.training.curve
assert "matplotlib" not in sys.modules
clinnlp.training.curve.write_learning_curve([{{"epoch": 1, "loss": 1.0}}], {str(tmp_path / "curve.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
