from __future__ import annotations

import datetime
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from clinnlp import Label, Record
from clinnlp.errors import ConfigError, MissingPackageError
from clinnlp.trends import Trends, trends


def dated(time: object, *labels: str) -> Record:
    return Record(metadata={"time": time}, labels={"tone": [Label(name, 1 / (i + 1)) for i, name in enumerate(labels)]})


RECORDS = [
    dated("2031-01-31", "worse"),
    dated("2031-01-02T23:30:00+02:00", "better", "worse"),
    dated("2031-01-05 08:15", "better"),
    dated("2031-04-01T00:00:00.5Z", "stable"),
    dated("2031-02-30", "worse"),
    dated("last spring", "better"),
    dated(None, "better"),
    dated("2031-01-07"),
    Record(metadata={"time": "2031-03-01"}),
]


def test_labels_are_counted_month_by_month_without_gaps() -> None:
    found = trends(RECORDS, "tone")
    assert found.periods == ["2031-01", "2031-02", "2031-03", "2031-04"]
    assert found.records == [3, 0, 0, 1]
    assert found.counts == {"better": [2, 0, 0, 0], "stable": [0, 0, 0, 1], "worse": [1, 0, 0, 0]}
    assert found.shares["better"] == [pytest.approx(2 / 3), None, None, 0]


def test_records_without_a_valid_time_or_a_label_are_told_and_in_no_period() -> None:
    found = trends(iter(RECORDS), "tone")
    assert (found.undated, found.unlabelled) == (3, 2)
    assert sum(found.records) + found.undated + found.unlabelled == len(RECORDS)


def test_the_first_label_counts_or_every_one() -> None:
    assert trends(RECORDS, "tone").counts["worse"][0] == 1
    assert trends(RECORDS, "tone", every=True).counts["worse"][0] == 2


def test_rows_are_one_for_each_period_and_label() -> None:
    rows = trends(RECORDS, "tone", by="quarter").to_rows()
    assert rows[0] == {"period": "2031-Q1", "label": "better", "count": 2, "share": pytest.approx(2 / 3), "records": 3}
    assert [(row["period"], row["label"]) for row in rows] == [
        (period, label) for period in ("2031-Q1", "2031-Q2") for label in ("better", "stable", "worse")
    ]


@pytest.mark.parametrize(
    ("by", "first", "last", "periods"),
    [
        ("day", "2030-12-30", "2031-01-05", 7),
        ("week", "2031-W01", "2031-W01", 1),
        ("month", "2030-12", "2031-01", 2),
        ("quarter", "2030-Q4", "2031-Q1", 2),
        ("year", "2030", "2031", 2),
    ],
)
def test_periods_are_those_of_the_calendar(by: str, first: str, last: str, periods: int) -> None:
    found = trends([dated("2030-12-30", "a"), dated("2031-01-05", "a")], "tone", by)
    assert (found.periods[0], found.periods[-1], len(found.periods)) == (first, last, periods)


@settings(max_examples=40)
@given(
    st.lists(st.dates(datetime.date(1990, 1, 1), datetime.date(2040, 1, 1)), min_size=1, max_size=8),
    st.sampled_from(["week", "month", "quarter", "year"]),
)
def test_no_record_is_lost_and_periods_are_in_order(dates: list[datetime.date], by: str) -> None:
    names = {
        "week": lambda d: "{}-W{:02}".format(*d.isocalendar()[:2]),
        "month": lambda d: d.strftime("%Y-%m"),
        "quarter": lambda d: f"{d.year}-Q{(d.month + 2) // 3}",
        "year": lambda d: str(d.year),
    }
    found = trends([dated(date, "a") for date in dates], "tone", by)
    expected = Counter(names[by](date) for date in dates)
    assert {period: n for period, n in zip(found.periods, found.records, strict=True) if n} == expected
    assert all(one < other for one, other in pairwise(found.periods))


@pytest.mark.parametrize(
    "time",
    ["2031-13-01", "2031-01-02x", "20310102", "2031-01-02T25:00", "2031-1-2", " 2031-01-02", 20310102, ["2031-01-02"]],
)
def test_what_is_no_iso_time_is_undated(time: object) -> None:
    found = trends([dated(time, "a")], "tone")
    assert (found.undated, found.periods, found.counts) == (1, [], {})


def test_a_picture_shows_shares_records_and_what_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trends(RECORDS, "tone")
    assert found.plot(tmp_path / "new" / "tone.png") == tmp_path / "new" / "tone.png"
    with Picture.open(tmp_path / "new" / "tone.png") as picture:
        assert picture.format == "PNG"
        assert {(44, 160, 44), (31, 119, 180), (128, 128, 128)} <= {
            c for _, c in picture.convert("RGB").getcolors(1 << 20)
        }
    found.plot(tmp_path / "fewer.png", most=1)
    with Picture.open(tmp_path / "fewer.png") as picture:
        assert (44, 160, 44) not in {c for _, c in picture.convert("RGB").getcolors(1 << 20)}
    drawn: list[list[str]] = []
    monkeypatch.setattr(
        "clinnlp.trends.write_figure",
        lambda figure, path: (
            figure.canvas.draw(),
            drawn.append([text.get_text() for text in figure.axes[0].get_legend().get_texts()]),
        ),
    )
    trends([dated("2031-01-01", "_other"), dated("2031-01-02", "a")], "tone").plot(tmp_path / "underscore.png")
    assert drawn == [["_other", "a"]]
    monkeypatch.undo()
    trends([dated("2031-01-01", "cost in $ or $"), dated("x", "b")], "tone").plot(tmp_path / "dollar.png")


def test_nothing_to_count_or_draw_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="by day, week, month, quarter, year, not by 'hour'"):
        trends(RECORDS, "tone", "hour")
    with pytest.raises(ConfigError, match="no record has the label set 'tones': they have tone"):
        trends(RECORDS, "tones")
    with pytest.raises(ConfigError, match="nothing to draw"):
        trends([dated("?", "a")], "tone").plot(tmp_path / "none.png")
    assert trends([], "tone") == Trends("tone", "month")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"clinnlp\[train\]"):
        trends(RECORDS, "tone").plot(tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_trends_load_neither_torch_nor_matplotlib() -> None:
    heavy = ("torch", "matplotlib", "numpy", "sklearn")
    code = f"import sys, clinnlp.trends; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
