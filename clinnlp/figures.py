"""Pictures: figures of matplotlib without a display, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinnlp.atomic import replace_file
from clinnlp.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

__all__ = ["add_legend", "new_figure", "write_figure"]


def new_figure(width: float = 6.4, height: float = 4.8) -> Figure:
    """Make an empty figure, in inches.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    # Figure and canvas by themselves: pyplot would keep every figure, and may look for a display.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("matplotlib", "train") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_legend(axes: Axes, handles: Mapping[str, Artist], **options: Any) -> Legend:
    """Add a legend of handles by name, but for an empty one.

    Names stand as they are, also with signs that mean something to matplotlib.
    """
    named = {name: handle for name, handle in handles.items() if name}
    # What begins with an underscore matplotlib leaves out, unless it is written into the legend afterwards.
    legend = axes.legend(list(named.values()), ["name"] * len(named), **options)
    for text, name in zip(legend.get_texts(), named, strict=True):
        text.set_text(name)
        text.set_parse_math(False)
    return legend


def write_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as a PNG, and give the path.

    Raises
    ------
    FormatError
        If the path is a folder's.
    """
    path = Path(path)
    with replace_file(path) as new:
        figure.savefig(new, format="png")
    return path
