"""Corpora of patients without notes: histories and tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clinnlp import corpora as catalogue
from clinnlp.errors import CorpusError, FormatError

CONDITIONS = """START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION
2011-08-09,2011-08-16,p2,e1,444814009,Viral sinusitis (disorder)
2001-05-01,,p2,e2,40055000,Chronic sinusitis (disorder)
2001-05-01,,p2,e2,162864005,"Body mass index 30+ - obesity, finding"
2020-01-01,,p9,e3,38341003,Hypertension
"""
PATIENTS = """Id,BIRTHDATE,DEATHDATE,SSN,FIRST,LAST,MARITAL,RACE,ETHNICITY,GENDER,ADDRESS
p2,1989-05-25,,999,Jo,Secret,M,white,hispanic,M,1 Road
p1,1940-01-02,2010-03-04,998,Al,Secret,,asian,nonhispanic,F,2 Road
"""


def test_a_patient_of_synthea_has_its_conditions_in_order_of_time(own: Callable[[str], Path]) -> None:
    folder = own("synthea")
    (folder / "conditions.csv").write_text(CONDITIONS, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"no file patients\.csv"):
        catalogue.load("synthea")
    (folder / "patients.csv").write_text(PATIENTS, encoding="utf-8")
    found = catalogue.load("synthea")
    assert [record.id for record in found["train"]] == ["p1", "p2", "p9"]
    assert found["devel"] == []
    first, second, third = found["train"]
    assert first.metadata == {
        "patient": "p1", "birth_date": "1940-01-02", "death_date": "2010-03-04", "sex": "F", "race": "asian",
        "ethnicity": "nonhispanic", "conditions": [],
    }  # fmt: skip
    assert [(one["start"], one["stop"], one["code"], one["name"]) for one in second.metadata["conditions"]] == [
        ("2001-05-01", None, "40055000", "Chronic sinusitis (disorder)"),
        ("2001-05-01", None, "162864005", "Body mass index 30+ - obesity, finding"),
        ("2011-08-09", "2011-08-16", "444814009", "Viral sinusitis (disorder)"),
    ]
    assert third.metadata["conditions"][0]["name"] == "Hypertension"
    assert "Secret" not in str([record.to_dict() for record in found["train"]])


@pytest.mark.parametrize(
    "header", ["age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,target\n", ""]
)
def test_a_row_of_heart_disease_is_a_record_of_its_site(own: Callable[[str], Path], header: str) -> None:
    folder = own("uci_heart")
    rows = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,,0\n67.0,0.0,4.0,160,286,0,2,108,1,1.5,2,3,3,2\n"
    (folder / "processed.cleveland.data").write_text(header + rows, encoding="utf-8")
    (folder / "processed.hungarian.data").write_text(header + "28,1,2,130,?,0,2,185,0,0,?,?,?,1\n", encoding="utf-8")
    found = catalogue.load("uci_heart")
    assert {part: [record.id for record in some] for part, some in found.items()} == {
        "cleveland": ["cleveland-1", "cleveland-2"],
        "hungarian": ["hungarian-1"],
    }
    first, second = found["cleveland"]
    assert first.metadata == {
        "site": "cleveland", "age": 63, "sex": "M", "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2,
        "thalach": 150, "exang": 0, "oldpeak": 2.3, "slope": 3, "ca": 0,
    }  # fmt: skip
    assert second.metadata["sex"] == "F"
    assert "chol" not in found["hungarian"][0].metadata
    labels = [record.labels["disease"][0].name for some in found.values() for record in some]
    assert labels == ["no", "yes", "yes"]
    (folder / "processed.hungarian.data").write_text(header + rows.replace("63.0", "secret"), encoding="utf-8")
    with pytest.raises(FormatError, match=r"hungarian\.data, row 1: not a row of the heart disease data$"):
        catalogue.load("uci_heart")


def test_the_public_tables_are_what_their_sources_say(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINNLP_CORPORA", str(corpora))
    histories = catalogue.load("synthea")
    patients = [record for some in histories.values() for record in some]
    assert len({record.id for record in patients}) == len(patients) == 1171
    conditions = [record.metadata["conditions"] for record in patients]
    assert sum(map(len, conditions)) == 8376
    starts = [[one["start"] for one in some] for some in conditions]
    assert all(some == sorted(some) for some in starts)
    heart = catalogue.load("uci_heart")
    assert {site: len(some) for site, some in heart.items()} == {"cleveland": 303, "hungarian": 294}
    assert sum(record.labels["disease"][0].name == "no" for record in heart["cleveland"]) == 164
