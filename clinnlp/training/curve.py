"""A picture of how a training went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.errors import TrainingError
from clinnlp.figures import add_legend, new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_learning_curve"]

_LOSS_COLOUR, _MAIN_COLOUR = "tab:red", "tab:blue"
_OTHER_COLOURS = ("tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink", "tab:olive", "tab:cyan", "tab:gray")
_STYLES = ("-", "--", ":", "-.")

_Points = tuple[list[float], list[float]]


def write_learning_curve(
    history: Sequence[Mapping[str, Any]], path: str | Path, metric: str = "", title: str = ""
) -> Path:
    """Draw the training loss and the development figures of each epoch, one above the other, as a PNG.

    Parameters
    ----------
    history : sequence of mapping
        `FitReport.history`: "epoch" and, where there are, "loss" and figures of any name. What is no finite number
        is left out.
    path : str or Path
        Where the picture is written, whole or not at all; its folder is made.
    metric : str
        The figure that is drawn thickest and whose highest value is marked as the best epoch, the first of equal
        ones. By default the only figure; where there are many, none is marked.
    title : str
        Stands above the picture; do not put what only patients' files may hold there.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    TrainingError
        If the history has nothing to draw, or no `metric`.
    FormatError
        If the path is a folder's.
    """
    curves = _curves(history)
    if not curves:
        raise TrainingError("there is no learning curve to draw: the history has neither a loss nor a figure")
    losses = curves.pop("loss", None)
    if metric and metric not in curves:
        raise TrainingError(f"the history has no {metric!r}: its figures are {', '.join(curves) or 'none'}")
    main = metric or (next(iter(curves)) if len(curves) == 1 else "")

    panels = (losses is not None) + bool(curves)
    figure = new_figure(7, 0.8 + 2.8 * panels)
    from matplotlib.ticker import MaxNLocator

    axes = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    if losses is not None:
        axes[0].plot(*losses, color=_LOSS_COLOUR, marker="o", markersize=4)
        axes[0].set_ylabel("training loss")
    if curves:
        _draw_figures(axes[-1], curves, main)
        if main:
            best = _best(curves[main])
            for panel in axes:
                panel.axvline(best[0], color="gray", linestyle="--", linewidth=1, zorder=0)
    for panel in axes:
        panel.grid(alpha=0.3)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if title:
        figure.suptitle(title, parse_math=False)
    return write_figure(figure, path)


def _curves(history: Iterable[Mapping[str, Any]]) -> dict[str, _Points]:
    """Give the epochs and values of each name, in the order of the epochs."""
    curves: dict[str, _Points] = {}
    for row in sorted(history, key=lambda row: float(row["epoch"])):
        for name, value in row.items():
            if name != "epoch" and isinstance(value, Real) and math.isfinite(value):
                epochs, values = curves.setdefault(name, ([], []))
                epochs.append(float(row["epoch"]))
                values.append(float(value))
    return curves


def _best(points: _Points) -> tuple[float, float]:
    at = points[1].index(max(points[1]))
    return points[0][at], points[1][at]


def _draw_figures(panel: Axes, curves: Mapping[str, _Points], main: str) -> None:
    others = [name for name in curves if name != main]
    lines: dict[str, Any] = {}
    if main:
        epoch, value = _best(curves[main])
        (lines[main],) = panel.plot(
            *curves[main], color=_MAIN_COLOUR, marker="o", markersize=4, linewidth=2.5, zorder=3
        )
        (lines[f"best: {value:.3f}, epoch {epoch:g}"],) = panel.plot(
            [epoch], [value], color=_MAIN_COLOUR, marker="*", markersize=15, markeredgecolor="black", linestyle="",
            zorder=4,
        )  # fmt: skip
    for i, name in enumerate(others):
        style = _STYLES[i // len(_OTHER_COLOURS) % len(_STYLES)]
        colour = _OTHER_COLOURS[i % len(_OTHER_COLOURS)]
        (lines[name],) = panel.plot(
            *curves[name], color=colour, marker=".", markersize=4, linewidth=1.2, linestyle=style
        )
    panel.set_ylabel("on development records")
    # Below the panel: inside it would hide curves that are many or close.
    add_legend(panel, lines, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, fontsize="small", frameon=False)
