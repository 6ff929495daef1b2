from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from clinnlp.errors import FormatError, MissingPackageError, TrainingError
from clinnlp.training.metrics import score_labels
from clinnlp.training.plots import write_confusion, write_reliability
from clinnlp.training.scores import Scores

ODD = [
    "Пневмония",
    "肺炎",
    "a | b\nc",
    r"$\frac$",
    "",
    "\x1b[31mred",
    "😀",
    "x" * 300,
    "x" * 150 + "y" * 5 + "x" * 145,
    "[b]",
]


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """What no font has, or what has no place, is a warning of matplotlib's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written."""
    kept: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (kept.append(self), save(self, *args, **kw)))
    return kept


def scores(labels: list[str], multi_label: bool = False, count: int = 80, seed: int = 0, skill: float = 0.5) -> Scores:
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, len(labels), count)
    rows = (chance.dirichlet([1] * len(labels), count) + skill * np.eye(len(labels))[truth]) / (1 + skill)
    return score_labels([[labels[i]] for i in truth], rows, labels, multi_label=multi_label)


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def cells(panel: Axes) -> dict[tuple[int, int], str]:
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in panel.texts}


def rows_of(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.get_yticklabels()]


def columns_of(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.get_xticklabels()]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [["no", "yes"], ODD, [f"specialty number {i}" for i in range(40)]])
def test_few_many_and_odd_labels_are_all_in_the_picture(
    labels: list[str], multi_label: bool, tmp_path: Path, figures: list[Figure]
) -> None:
    one = scores(labels, multi_label, count=400)
    path = write_confusion(one, tmp_path / "deep" / "confusion.png")
    assert [file.name for file in path.parent.iterdir()] == ["confusion.png"]
    height, width, _ = pixels(path).shape
    assert max(height, width) < 3000
    (panel,) = figures[0].axes
    named = rows_of(panel)
    assert len(set(named)) == len(named) == len(labels)
    assert all(text.isprintable() and 0 < len(text) < 40 for text in named)
    # Text beside text: a row is as high as its label.
    extents = [text.get_window_extent() for text in panel.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(extents))
    assert all(a.x0 >= 0 and a.y0 >= 0 and a.y1 <= height for a in extents)
    across = [text.get_window_extent() for text in panel.get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(across))
    assert all(a.y0 >= 0 and a.x1 <= width for a in across)


def test_cells_hold_the_counts(tmp_path: Path, figures: list[Figure]) -> None:
    rows = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.9, 0.1, 0], [0, 0, 0]])
    one = score_labels([["a"], ["b"], ["b"], ["a"], ["b"]], rows, ["a", "b", "never"])
    write_confusion(one, tmp_path / "one.png")
    (panel,) = figures[0].axes
    assert rows_of(panel) == ["a", "b"]
    assert columns_of(panel) == ["a", "b", "(nothing)"]
    assert cells(panel) == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (1, 2): "1"}
    many = score_labels(
        [["a"], ["a", "b"], []], np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]), ["a", "b"], multi_label=True
    )
    write_confusion(many, tmp_path / "many.png")
    assert columns_of(figures[1].axes[0]) == ["found", "missed", "wrongly found"]
    assert cells(figures[1].axes[0]) == {(0, 0): "1", (0, 1): "1", (1, 0): "1", (1, 2): "1"}


def test_a_label_that_no_font_can_write_stands_as_its_number(tmp_path: Path, figures: list[Figure]) -> None:
    unknown = "\U00018b00"  # a script for which hardly any machine has a font
    write_confusion(scores(["a", unknown, ""]), tmp_path / "confusion.png")
    assert rows_of(figures[0].axes[0]) == ["a", "#2", "#3"]


def test_two_systems_stand_below_each_other_and_in_one_diagram(tmp_path: Path, figures: list[Figure]) -> None:
    good, bad = scores(["a", "b"], skill=0.9), scores(["a", "b"], skill=0.0)
    write_confusion({"Стадия $x": good, "bag of words": bad}, tmp_path / "confusion.png")
    assert [panel.get_title() for panel in figures[0].axes] == ["Стадия $x", "bag of words"]
    assert cells(figures[0].axes[0]) != cells(figures[0].axes[1])
    write_reliability({"Стадия $x": good, "bag of words": bad}, tmp_path / "reliability.png", bins=5)
    upper, lower = figures[1].axes
    assert [text.get_text() for text in upper.get_legend().get_texts()] == [
        f"Стадия $x, ECE {good['ece']:.3f}",
        f"bag of words, ECE {bad['ece']:.3f}",
    ]
    _, one, other = upper.lines
    for line, system in ((one, good), (other, bad)):
        assert list(line.get_xdata()) == [row.confidence for row in system.reliability(5)]
        assert list(line.get_ydata()) == [row.accuracy for row in system.reliability(5)]
    assert sum(bar.get_height() for bar in lower.patches) == 160


def test_what_is_no_classification_has_no_picture(tmp_path: Path) -> None:
    for nothing in (Scores({"f1": 0.5}, counts=[(1, 1, 1)]), score_labels([], np.zeros((0, 2)), ["a", "b"]), {}):
        for write in (write_confusion, write_reliability):
            with pytest.raises(TrainingError, match="nothing to draw"):
                write(nothing, tmp_path / "a.png")
    with pytest.raises(FormatError, match="is a folder"):
        write_confusion(scores(["a", "b"]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_gives_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for write in (write_confusion, write_reliability):
        with pytest.raises(MissingPackageError, match=r"matplotlib is not installed: pip install 'clinnlp\[train\]'"):
            write(scores(["a", "b"]), tmp_path / "a.png")


def test_pyplot_is_not_loaded(tmp_path: Path) -> None:
    code = f"""
import sys
from clinnlp.training.plots import write_confusion
from clinnlp.training.scores import Scores
assert "matplotlib" not in sys.modules
write_confusion(Scores({{}}, judged=[(("a",), ("a",))], labels=("a",)), {str(tmp_path / "a.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_scores_give_the_same_picture_and_others_another(tmp_path: Path) -> None:
    def drawn(write: Any, seed: int) -> NDArray[np.uint8]:
        return pixels(write(scores(["a", "b"], seed=seed), tmp_path / "a.png"))

    for write in (write_confusion, write_reliability):
        first, other = drawn(write, 0), drawn(write, 1)
        assert np.array_equal(first, drawn(write, 0))
        assert other.shape != first.shape or (other != first).any()
