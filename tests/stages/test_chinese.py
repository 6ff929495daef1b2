"""The Chinese rules on sentences and snippets of our own: no worse than they were."""

from __future__ import annotations

import pytest
from chinese.scores import JUDGES, figures


@pytest.mark.parametrize(
    ("name", "part", "precision", "recall"),
    [
        ("assertion", "devel", 0.99, 0.99),
        ("assertion", "test", 0.96, 0.96),
        ("values", "devel", 0.96, 0.96),
        ("values", "test", 0.89, 0.91),
        ("identifiers", "devel", 1.0, 1.0),
        ("identifiers", "test", 0.96, 0.92),
        ("sections", "devel", 1.0, 1.0),
        ("sections", "test", 1.0, 1.0),
    ],
)
def test_chinese_rules_stay_as_good_as_they_were(name: str, part: str, precision: float, recall: float) -> None:
    right, found, gold = figures(JUDGES[name](part))["all"]
    assert gold > 20
    assert right / found >= precision
    assert right / gold >= recall
