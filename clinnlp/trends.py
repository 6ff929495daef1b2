"""Trends: how often the labels of records are given, over time."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinnlp.errors import ConfigError
from clinnlp.figures import add_legend, new_figure, write_figure
from clinnlp.record import Record

__all__ = ["Trends", "trends"]

# ISO 8601: a date alone or with a time of day. The date counts as it is written, in whatever time zone.
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)

_Date = datetime.date
# Of each period: from a date to its number, and from a number to its name.
_PERIODS: dict[str, tuple[Callable[[_Date], int], Callable[[int], str]]] = {
    "day": (_Date.toordinal, lambda n: _Date.fromordinal(n).isoformat()),
    # The first day that there is was a Monday.
    "week": (
        lambda d: (d.toordinal() - 1) // 7,
        lambda n: "{}-W{:02}".format(*_Date.fromordinal(7 * n + 1).isocalendar()),
    ),
    "month": (lambda d: 12 * d.year + d.month - 1, lambda n: f"{n // 12:04}-{n % 12 + 1:02}"),
    "quarter": (lambda d: 4 * d.year + (d.month - 1) // 3, lambda n: f"{n // 4:04}-Q{n % 4 + 1}"),
    "year": (lambda d: d.year, lambda n: f"{n:04}"),
}


@dataclass(frozen=True)
class Trends:
    """Counts of the labels of a set, period by period.

    Parameters
    ----------
    name : str
        Of the label set.
    by : str
        Kind of the periods.
    periods : list of str
        From the first to the last with a record, in order and without gaps: `2031-04-09`, `2031-W15`, `2031-04`,
        `2031-Q2` or `2031`.
    records : list of int
        For each period the records that were counted.
    counts : dict of str to list of int
        Label, the most frequent first -> for each period how many records have it.
    undated : int
        Records with labels and without a valid time, which are in no period.
    unlabelled : int
        Records without a label of this set, which are not counted.
    """

    name: str
    by: str
    periods: list[str] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)
    undated: int = 0
    unlabelled: int = 0

    @property
    def shares(self) -> dict[str, list[float | None]]:
        """Label -> for each period the share of its records that have it; None where there are no records."""
        return {
            label: [count / of if of else None for count, of in zip(counts, self.records, strict=True)]
            for label, counts in self.counts.items()
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Give a row for each period and label: "period", "label", "count", "share" and "records"."""
        shares = self.shares
        return [
            {
                "period": period,
                "label": label,
                "count": counts[i],
                "share": shares[label][i],
                "records": self.records[i],
            }
            for i, period in enumerate(self.periods)
            for label, counts in self.counts.items()
        ]

    def plot(self, path: str | Path, most: int = 10) -> Path:
        """Draw the shares of labels over time, above the number of records, as a PNG.

        Parameters
        ----------
        path : str or Path
            Where the picture is written, whole or not at all; its folder is made.
        most : int
            So many labels are drawn at most, the most frequent ones.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        ConfigError
            If no record has a time.
        MissingPackageError
            If matplotlib is not installed.
        FormatError
            If the path is a folder's.
        """
        if not self.periods:
            raise ConfigError(f"trends of {self.name!r}: nothing to draw: no record with labels has a valid time")
        figure = new_figure(8, 5)
        from matplotlib.ticker import MaxNLocator

        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        places = range(len(self.periods))
        lines: dict[str, Any] = {}
        for number, (label, shares) in enumerate(list(self.shares.items())[:most]):
            # A gap where there are no records; ten colours, then other lines.
            drawn = [float("nan") if share is None else share for share in shares]
            style = ("-", "--", ":", "-.")[number // 10 % 4]
            (lines[label],) = above.plot(places, drawn, marker=".", linestyle=style)
        above.set_ylabel(f"share of records, {self.name}".replace("$", r"\$"))
        above.set_ylim(bottom=0)
        add_legend(above, lines, loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
        below.bar(places, self.records, color="gray")
        below.set_ylabel("records")
        below.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        shown = list(places)[:: -(-len(places) // 12)]
        below.set_xticks(shown, [self.periods[i] for i in shown], rotation=45, ha="right")
        if self.undated:
            below.set_xlabel(f"{self.undated} more without a valid time")
        return write_figure(figure, path)


def trends(records: Iterable[Record], name: str, by: str = "month", *, every: bool = False) -> Trends:
    """Count the labels of a set over time, such as topics, tone or kinds of reports.

    Parameters
    ----------
    records : iterable of Record
        Read once. The time of each is `metadata["time"]`, an ISO date or date and time.
    name : str
        Of the label set in `record.labels`.
    by : {"day", "week", "month", "quarter", "year"}
        How long periods are; weeks are those of ISO 8601.
    every : bool
        Whether all labels of a record are counted, as those of a multi-label set; else its first, the best one.

    Returns
    -------
    Trends

    Raises
    ------
    ConfigError
        If `by` is another, or there are records and none has the label set.
    """
    if by not in _PERIODS:
        raise ConfigError(f"trends are by {', '.join(_PERIODS)}, not by {by!r}")
    number_of, name_of = _PERIODS[by]
    totals: Counter[int] = Counter()
    counts: dict[str, Counter[int]] = {}
    undated = unlabelled = 0
    sets: set[str] = set()
    for record in records:
        sets.update(record.labels)
        labels = [label.name for label in record.labels.get(name, [])]
        date = _date(record.metadata.get("time"))
        if not labels:
            unlabelled += 1
        elif date is None:
            undated += 1
        else:
            number = number_of(date)
            totals[number] += 1
            for label in dict.fromkeys(labels if every else labels[:1]):
                counts.setdefault(label, Counter())[number] += 1
    if unlabelled and name not in sets:
        raise ConfigError(f"no record has the label set {name!r}: they have {', '.join(sorted(sets)) or 'none'}")
    periods = range(min(totals), max(totals) + 1) if totals else range(0)
    order = sorted(counts, key=lambda label: (-counts[label].total(), label))
    return Trends(
        name,
        by,
        [name_of(number) for number in periods],
        [totals[number] for number in periods],
        {label: [counts[label][number] for number in periods] for label in order},
        undated,
        unlabelled,
    )


def _date(given: Any) -> _Date | None:
    """Read the date of a time; None of what is none."""
    found = _TIME.fullmatch(given) if isinstance(given, str) else None
    try:
        return None if found is None else _Date.fromisoformat(found[1])
    except ValueError:  # such as the 30th of February
        return None
