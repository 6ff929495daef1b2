"""Risk over a patient's course: the first diagnosis of frequent chronic conditions within a year, on Synthea.

    python tests/benchmarks/courses.py --seeds 3

From all conditions up to a day, age and sex: which of ten chronic conditions is diagnosed for the first time in the
365 days after it. A patient gives several days, and stands on one side of the split alone. Judged by AUROC over those
who do not have the condition yet, beside a logistic regression on counts of the conditions, age and sex.
"""

from __future__ import annotations

import argparse
import datetime
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import clinnlp
from clinnlp import Label, Record
from clinnlp.stages import MultimodalClassifier

YEAR = 365
EXAMPLES = 24


def chronic(patients: Sequence[Record], count: int = 10) -> list[str]:
    """Give the most frequent conditions that mostly do not end."""
    seen, open_ended = Counter[str](), Counter[str]()
    for patient in patients:
        found = {one["name"]: one["stop"] is None for one in patient.metadata["conditions"]}
        seen.update(found)
        open_ended.update(name for name, lasts in found.items() if lasts)
    return [name for name, number in seen.most_common() if open_ended[name] > 0.8 * number][:count]


def examples(patients: Sequence[Record], wanted: Sequence[str], seed: int) -> tuple[list[Record], np.ndarray]:
    """Give records of patients up to a day, with what comes in the year after it; and which each is at risk of."""
    chance = random.Random(seed)
    made, risk = [], []
    for patient in patients:
        conditions = patient.metadata["conditions"]
        days = [datetime.date.fromisoformat(one["start"]) for one in conditions]
        if len(days) < 2:
            continue
        last = days[-1].toordinal() - 1
        for _ in range(EXAMPLES):
            day = datetime.date.fromordinal(chance.randint(days[0].toordinal(), max(last, days[0].toordinal())))
            before = [one for one, start in zip(conditions, days, strict=True) if start <= day]
            had = {one["name"] for one in before}
            after = {
                one["name"]
                for one, start in zip(conditions, days, strict=True)
                if day < start <= day + datetime.timedelta(days=YEAR)
            }
            born = datetime.date.fromisoformat(patient.metadata["birth_date"])
            metadata: dict[str, Any] = {
                "conditions": before,
                "time": day.isoformat(),
                "age": (day - born).days / YEAR,
                "sex": patient.metadata["sex"],
            }
            gold = [Label(name) for name in wanted if name in after - had]
            made.append(Record("", f"{patient.id}:{len(made)}", metadata=metadata, labels={"risk": gold}))
            risk.append([name not in had for name in wanted])
    return made, np.array(risk)


def counts(records: Sequence[Record], names: Sequence[str]) -> np.ndarray:
    """Give how often each condition was diagnosed, age and sex."""
    rows = []
    for record in records:
        seen = Counter(one["name"] for one in record.metadata["conditions"])
        rows.append([*(seen[name] for name in names), record.metadata["age"], record.metadata["sex"] == "F"])
    return np.array(rows, dtype=float)


def aurocs(truth: np.ndarray, scores: np.ndarray, risk: np.ndarray) -> list[float]:
    """Give the AUROC of each condition over those who do not have it yet."""
    return [
        float(roc_auc_score(truth[at, i], scores[at, i])) if truth[at, i].any() else float("nan")
        for i, at in enumerate(risk.T)
    ]


def main() -> None:
    """Print a row for each condition, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--base", default="clinical-en")
    parser.add_argument("--epochs", type=int, default=0)
    options = parser.parse_args()
    parts = clinnlp.corpora.load("synthea")
    wanted = chronic(parts["train"])
    found: dict[str, list[list[float]]] = {"counts": [], "course": []}
    positives = np.zeros(len(wanted))
    for seed in range(options.seeds):
        train, _ = examples(parts["train"], wanted, seed)
        test, risk = examples(parts["devel"], wanted, 1000 + seed)
        truth = np.array([[any(one.name == name for one in r.labels["risk"]) for name in wanted] for r in test])
        gold = np.array([[any(one.name == name for one in r.labels["risk"]) for name in wanted] for r in train])
        positives += (truth & risk).sum(axis=0)
        names = sorted({one["name"] for record in train for one in record.metadata["conditions"]})
        scaler = StandardScaler().fit(counts(train, names))
        x, x_test = scaler.transform(counts(train, names)), scaler.transform(counts(test, names))
        linear = np.stack(
            [
                LogisticRegression(C=0.01, max_iter=3000).fit(x, gold[:, i]).predict_proba(x_test)[:, 1]
                for i in range(len(wanted))
            ],
            axis=1,
        )
        found["counts"].append(aurocs(truth, linear, risk))
        stage = MultimodalClassifier.from_base(
            options.base, wanted, "risk", multi_label=True, images=False, metadata=["age", "sex"], events="conditions"
        )
        config = replace(
            stage.default_fit_config(), seed=seed, **({"epochs": options.epochs} if options.epochs else {})
        )
        began = time.perf_counter()
        stage.fit(train, config=config)
        scores = np.concatenate([stage.predict(test[i : i + 64])[0] for i in range(0, len(test), 64)])
        found["course"].append(aurocs(truth, scores, risk))
        print(
            f"seed {seed}: {len(train)} and {len(test)} records, {time.perf_counter() - began:.0f} s; mean"
            + ", ".join(f" {name} {np.nanmean(rows[-1]):.3f}" for name, rows in found.items()),
            flush=True,
        )
    print("| condition | first diagnoses | counts | course |\n| --- | --- | --- | --- |")
    means = {name: np.nanmean(rows, axis=0) for name, rows in found.items()}
    for i, name in enumerate(wanted):
        print(f"| {name} | {positives[i]:.0f} | {means['counts'][i]:.3f} | {means['course'][i]:.3f} |")
    print(f"| mean | | {np.nanmean(means['counts']):.3f} | {np.nanmean(means['course']):.3f} |")


if __name__ == "__main__":
    main()
