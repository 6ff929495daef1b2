from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_OUTSIDE = """
import clinnlp, json
from pathlib import Path
place = Path(clinnlp.__file__).resolve()
nlp = clinnlp.load("clinical-en")
record = nlp("Pt denies chest pain. Started metformin 500mg BID.")
notes = clinnlp.corpora.load("notes")
print(json.dumps([str(place), [e.text for e in record.entities], len(next(iter(notes.values())))]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    (path,) = folder.glob("clinnlp-*.whl")
    return path


def test_the_wheel_works_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _OUTSIDE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    import json

    place, entities, notes = json.loads(run.stdout.strip().splitlines()[-1])
    assert place.startswith(str((tmp_path / "site").resolve()))
    assert "metformin" in entities
    assert notes > 10


def test_the_wheel_holds_code_rules_pipelines_and_licence_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in (
        "clinnlp/py.typed",
        "clinnlp/rules/en/sections.yaml",
        "clinnlp/corpora.yaml",
        "clinnlp/pipelines/clinical-en/pipeline.yaml",
        "clinnlp/pipelines/clinical-en/entities/model.safetensors",
        "clinnlp/written_corpora/notes/sample.jsonl",
        "clinnlp/written_corpora/reports/train.jsonl",
        "clinnlp/written_corpora/ultrasound/halves.jsonl",
        "clinnlp/written_corpora/ultrasound/pictures/halves-0001.png",
    ):
        assert wanted in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests/")]
