"""A classifier beside a bag of words: which is better, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clinnlp._binding import record_name
from clinnlp.errors import TrainingError
from clinnlp.record import Record
from clinnlp.training.baseline import fit_baseline
from clinnlp.training.bootstrap import Difference, Interval, paired_difference, score_intervals
from clinnlp.training.fit import Gold
from clinnlp.training.reports import with_gold
from clinnlp.training.scores import Scores
from clinnlp.training.splits import contradictions, missing_labels, shared_texts

__all__ = ["Comparison", "check_comparable", "compare"]


@dataclass(frozen=True)
class Comparison:
    """A classifier beside a bag of words, on the same test records.

    Parameters
    ----------
    name : str
        Of the stage.
    figure : str
        The primary figure, in which they are compared.
    stage, baseline : Scores
    stage_intervals, baseline_intervals : dict of str to (float, float)
        95% intervals of figures; see `clinnlp.training.bootstrap`.
    difference : Difference
        The stage's primary figure less that of the bag of words, with its 95% interval by the paired bootstrap.
    settings : dict
        Of the bag of words: "features", "strength" and "train_records".
    notes : list of str
        What a reader should know of the records: texts on both sides, contradictory gold, labels without an example.
    """

    name: str
    figure: str
    stage: Scores
    baseline: Scores
    stage_intervals: dict[str, Interval]
    baseline_intervals: dict[str, Interval]
    difference: Difference
    settings: dict[str, Any]
    notes: list[str]

    @property
    def better(self) -> str:
        """Which is better, "stage" or "baseline"; `""` where the interval of the difference has 0 in it."""
        if not self.difference.is_told:
            return ""
        return "stage" if self.difference.value > 0 else "baseline"

    @property
    def verdict(self) -> str:
        """Which is better, in a sentence."""
        it, value = f"stage {self.name!r}", self.difference.value
        told = f"95% interval {self.difference.low:.3f} to {self.difference.high:.3f}"
        if not self.better:
            return (
                f"{it} and the bag of words do not differ on these {len(self.stage.judged)} records: {self.figure}"
                f" differs by {value:.3f} ({told})"
            )
        first, second = (it, "the bag of words") if value > 0 else ("the bag of words", it)
        way = "higher" if value > 0 else "lower"
        return f"{first} is better than {second}: {self.figure} of the stage is {abs(value):.3f} {way} ({told})"

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold of it."""
        return {
            "figure": self.figure,
            "better": self.better,
            "verdict": self.verdict,
            "difference": {
                "value": self.difference.value,
                "low": self.difference.low,
                "high": self.difference.high,
            },
            "intervals": {name: list(pair) for name, pair in self.stage_intervals.items()},
            "baseline": {
                **self.settings,
                "scores": dict(self.baseline),
                "intervals": {name: list(pair) for name, pair in self.baseline_intervals.items()},
                "per_label": dict(self.baseline.per_label),
                "confusion": self.baseline.confusion.tolist(),
            },
            "notes": self.notes,
        }


def check_comparable(stage: Any) -> None:
    """Refuse a stage that a bag of words is no baseline of.

    Raises
    ------
    TrainingError
        If it classifies no texts.
    """
    from clinnlp.stages.reports import ReportClassifier

    if not isinstance(stage, ReportClassifier):
        raise TrainingError(
            f"stage {getattr(stage, 'name', '?')!r} does not classify texts: a bag of words is a baseline of a"
            " ReportClassifier only; leave the baseline out"
        )


def compare(stage: Any, train: Gold, test: Gold, *, allow_shared: bool = False, seed: int = 0) -> Comparison:
    """Compare a classifier of texts with a bag of words that learns from training records.

    Parameters
    ----------
    stage : ReportClassifier
        A fitted one; it stays as it is.
    train : sequence of Record or datasets.Dataset
        What the bag of words learns from: those from which the stage was fitted.
    test : sequence of Record or datasets.Dataset
        Records on which both are judged.
    allow_shared : bool
        Go on where a test record's text is a training record's too: both may remember its label.
    seed : int

    Returns
    -------
    Comparison

    Raises
    ------
    TrainingError
        If the stage classifies no texts, there is no gold, or texts are shared.
    """
    check_comparable(stage)
    ours, test = with_gold(stage, train)[0], with_gold(stage, test)[0]
    notes = _notes(stage, ours, test, allow_shared)
    options: dict[str, Any] = {"multi_label": stage.multi_label, "threshold": stage.thresholds, "reads": stage.reads}
    bag = fit_baseline(ours, stage.labels, stage.name, seed=seed, **options)
    scores, others = stage.evaluate(test), bag.evaluate(test)
    return Comparison(
        name=stage.name,
        figure=scores.primary,
        stage=scores,
        baseline=others,
        stage_intervals=score_intervals(scores),
        baseline_intervals=score_intervals(others),
        difference=paired_difference(scores, others, scores.primary),
        settings={"features": list(bag.features), "strength": bag.strength, "train_records": len(ours)},
        notes=notes,
    )


def _notes(stage: Any, train: list[Record], test: list[Record], allow_shared: bool) -> list[str]:
    """Tell what the records of a comparison lack, and refuse those that are on both sides."""
    notes: list[str] = []
    if shared := shared_texts(train, test):
        places = [place for one in shared for place in one.dev]
        told = f"{len(places)} of {len(test)} test records have the text of a training record"
        if not allow_shared:
            first = min(places)
            raise TrainingError(
                f"stage {stage.name!r}: {told}, such as {record_name(test[first].id, first)}: leave them out, since"
                " their labels may be remembered, or go on with allow_shared (--allow-shared)"
            )
        notes.append(told)
    for side, records in (("training", train), ("test", test)):
        if found := contradictions(records, stage.name, multi_label=stage.multi_label):
            notes.append(f"{len(found)} {side} texts have several records with different gold")
    missing = missing_labels(train, test, stage.labels, stage.name)
    for side, names in (("training", missing.train), ("test", missing.dev)):
        if names:
            notes.append(f"no {side} record has the label {', '.join(map(repr, names))}")
    return notes
