"""Pictures of how a classifier judges: its confusion matrix, and whether its probabilities hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.errors import TrainingError
from clinnlp.figures import add_legend, new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from clinnlp.training.scores import Scores

__all__ = ["check_drawable", "write_confusion", "write_reliability"]

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")
_LONGEST = 32
# Inches: of a cell, and for titles and the labels beside the cells.
_CELL, _MARGIN = 0.36, 1.2
_FEWEST_CELLS, _MOST_CELLS, _MOST_WRITTEN = 6, 120, 60
_NOTHING = "(nothing)"
# A font that has a box for every character, which says no more than that it is one.
_LAST_RESORT = "Last Resort"


def check_drawable(stage: Any) -> None:
    """Refuse a stage whose scores cannot be drawn, before it is judged.

    Raises
    ------
    TrainingError
        If it finds spans in the place of labels.
    MissingPackageError
        If matplotlib is not installed.
    """
    if "entities" in stage.assigns:
        raise TrainingError(
            f"stage {stage.name!r}: there is nothing to draw of spans: pictures are of classified items"
        )
    new_figure()


def write_confusion(scores: Scores | Mapping[str, Scores], path: str | Path) -> Path:
    """Draw which labels were found in the place of which, as a PNG.

    Of items with one label a matrix: row the gold, column what was found, with a column for items for which nothing
    was found where there are any. Of items with any number of labels, for each label how often it was found rightly,
    was missed, and was found wrongly. Numbers are counts; the darker a cell, the larger its share of the row. Labels
    that neither the gold has nor were found are left out; a long one is cut in its middle, and one that no font on
    this machine can write stands as its number, from 1, in `Scores.labels`.

    Parameters
    ----------
    scores : Scores or mapping of str to Scores
        Of classified items; of several systems each under its name, one below the other.
    path : str or Path
        Where the picture is written, whole or not at all; its folder is made.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    TrainingError
        If there are no classified items.
    FormatError
        If the path is a folder's.
    """
    systems = _systems(scores)
    tables = [_table(one) for one in systems.values()]
    names = [name for one, (rows, _, _) in zip(systems.values(), tables, strict=True) for name in _names(one, rows)]
    figure = new_figure()
    fonts = _fonts_of([*names, *systems])
    sizes = [_size(counts) for _, _, counts in tables]
    longest = max(map(len, names)) * 0.075
    figure.set_size_inches(
        max(width for width, _ in sizes) + longest + _MARGIN,
        sum(height + longest + _MARGIN for _, height in sizes),
    )
    panels = figure.subplots(len(systems), 1, squeeze=False, height_ratios=[height for _, height in sizes])[:, 0]
    for panel, (title, one), (rows, columns, counts) in zip(panels, systems.items(), tables, strict=True):
        _draw_table(panel, _names(one, rows), columns or _names(one, rows), counts, fonts)
        panel.set(xlabel="" if one.multi_label else "found", ylabel="label" if one.multi_label else "gold")
        panel.set_title(_plain(title), parse_math=False, fontfamily=fonts)
    return write_figure(figure, path)


def write_reliability(scores: Scores | Mapping[str, Scores], path: str | Path, bins: int = 10) -> Path:
    """Draw how often what has a probability is right, against that probability, as a PNG.

    Below stands how many probabilities are in each bin; see `Scores.reliability`.

    Parameters
    ----------
    scores : Scores or mapping of str to Scores
        Of classified items; of several systems each under its name, in one diagram.
    path : str or Path
        Where the picture is written, whole or not at all; its folder is made.
    bins : int
        Number of bins, at least 1.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    TrainingError
        If there are no classified items, or no bins.
    FormatError
        If the path is a folder's.

    References
    ----------
    Niculescu-Mizil & Caruana (2005), Predicting Good Probabilities with Supervised Learning, ICML.
    """
    systems = _systems(scores)
    curves = {name: one.reliability(bins) for name, one in systems.items()}
    figure = new_figure()
    figure.set_size_inches(6, 7.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1, zorder=0)
    lines: dict[str, Any] = {}
    width = 0.8 / (bins * len(systems))
    for number, ((name, rows), one) in enumerate(zip(curves.items(), systems.values(), strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        told = ", ".join(part for part in (_plain(name), f"ECE {one['ece']:.3f}" if "ece" in one else "") if part)
        means = [row.confidence for row in rows]
        (lines[told],) = upper.plot(means, [row.accuracy for row in rows], color=colour, marker="o", markersize=5)
        # Bars of several systems stand beside each other: in the middle of their bin, not at their mean.
        middles = [(min(int(mean * bins), bins - 1) + 0.5) / bins for mean in means]
        shift = (number - (len(systems) - 1) / 2) * width
        lower.bar([middle + shift for middle in middles], [row.count for row in rows], width, color=colour)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    lower.set(xlabel="probability", ylabel="number")
    for panel in (upper, lower):
        panel.grid(alpha=0.3)
    add_legend(upper, lines, loc="upper left", prop={"family": _fonts_of(list(systems))})
    return write_figure(figure, path)


def _systems(scores: Any) -> dict[str, Scores]:
    """Give the scores by name; one that has none stands alone."""
    # Scores are a mapping too, of figures.
    systems = {"": scores} if hasattr(scores, "judged") else dict(scores)
    if not systems or not all(one.judged and one.labels for one in systems.values()):
        raise TrainingError("there is nothing to draw: the scores are not of classified items")
    return systems


def _table(scores: Scores) -> tuple[list[int], list[str], NDArray[Any]]:
    """Give the labels of the rows, the names of the columns (none: those of the rows) and the counts."""
    import numpy as np

    counts = scores.confusion
    if scores.multi_label:
        figures = np.stack([counts[:, 1, 1], counts[:, 1, 0], counts[:, 0, 1]], axis=1)
        rows = np.flatnonzero(figures.any(axis=1)).tolist() or list(range(len(figures)))
        return rows, ["found", "missed", "wrongly found"], figures[rows]
    unfound = scores.truth.sum(axis=0) - counts.sum(axis=1)
    rows = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1) | (unfound > 0)).tolist()
    square = counts[np.ix_(rows, rows)]
    if unfound.any():
        columns = [*_names(scores, rows), _NOTHING]
        return rows, columns, np.concatenate([square, unfound[rows, None]], axis=1)
    return rows, [], square


def _size(counts: NDArray[Any]) -> tuple[float, float]:
    """Give the width and height of a table in inches."""
    height, width = (max(_FEWEST_CELLS, min(size, _MOST_CELLS)) * _CELL for size in counts.shape)
    return width, height


def _draw_table(
    panel: Axes, rows: Sequence[str], columns: Sequence[str], counts: NDArray[Any], fonts: list[str]
) -> None:
    import numpy as np

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    panel.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False, fontfamily=fonts, fontsize=8)
    panel.set_yticks(range(len(rows)), rows, parse_math=False, fontfamily=fonts, fontsize=8)
    if max(counts.shape) > _MOST_WRITTEN:  # they would be too small to be read
        return
    for (row, column), number in np.ndenumerate(counts):
        if number:
            colour = "white" if shares[row, column] > 0.5 else "black"
            size = 8 if number < 1000 else 6
            panel.text(column, row, str(number), ha="center", va="center", color=colour, fontsize=size)


def _names(scores: Scores, rows: Sequence[int]) -> list[str]:
    """Give labels as they can be written in a picture, each unlike the others."""
    plain = [_plain(scores.labels[row]) for row in rows]
    missing = _fonts(frozenset().union(*plain))[1]
    shown = [
        f"#{row + 1}" if missing & set(name) or not name else _cut(name) for row, name in zip(rows, plain, strict=True)
    ]
    return [f"#{row + 1} {name}" if shown.count(name) > 1 else name for row, name in zip(rows, shown, strict=True)]


def _plain(name: str) -> str:
    """Bring a name to one line of characters that can be seen."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in name).split())


def _cut(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    # Long labels are often alike at their beginning or at their end.
    head = (_LONGEST - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - _LONGEST :]}"


def _fonts_of(names: Iterable[str]) -> list[str]:
    return list(_fonts(frozenset().union(*map(_plain, names)))[0])


@lru_cache(maxsize=16)
def _fonts(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Give the families of fonts that have some characters, matplotlib's own first, and what none of them has."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

    families = ["DejaVu Sans"]
    missing = characters - _characters(get_font(findfont(FontProperties(family=families))), characters)
    upright = [font for font in fontManager.ttflist if (font.style, font.weight) == ("normal", 400)]
    upright = [font for font in upright if not font.name.startswith(_LAST_RESORT)]
    for font in sorted(upright, key=lambda font: (font.name, font.fname)):
        if not missing:
            break
        try:
            covered = _characters(get_font(font.fname), missing)
        except (OSError, RuntimeError):  # fonts of pictures, such as emoji, cannot be read
            continue
        if covered:
            families.append(font.name)
            missing -= covered
    return tuple(families), missing


def _characters(font: Any, wanted: frozenset[str]) -> frozenset[str]:
    known = font.get_charmap()
    return frozenset(character for character in wanted if ord(character) in known)
