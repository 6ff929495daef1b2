"""The examples run, and do what they say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

import clinnlp

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_text_and_images_go_through_one_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("text_and_image")
    texts = [module.write_note(seed, seed % 2 == 1) for seed in range(200)]
    base = module.tiny_encoder(texts, tmp_path / "encoder")
    records = module.main(tmp_path, base, count=48, epochs=6)
    assert len(records) == 6
    for record in records:
        assert record.errors == []
        assert record.sections
        assert all(record.text[token.start : token.end] == token.text for token in record.tokens)
        assert sum(label.score for label in record.labels["advice"]) == pytest.approx(1)
        assert all(len(image.labels["finding"]) == 2 for image in record.images)
    right = [
        (
            record.labels["advice"][0].name == module.ADVICE[i % 2],
            record.labels["finding"][0].name == module.FINDINGS[i % 2],
        )
        for i, record in enumerate(records)
    ]
    assert sum(map(sum, right)) >= 10
    # The second record has a PNG and a DICOM file, and both show a mass.
    assert [Path(image.path or "").suffix for image in records[1].images] == [".png", ".dcm"]
    lines = [json.loads(line) for line in (tmp_path / "annotated.jsonl").read_text("utf-8").splitlines()]
    assert [line["id"] for line in lines] == [record.id for record in records]
    assert list(clinnlp.load(tmp_path / "pipeline").stages)[-2:] == ["advice", "finding"]
    assert "study-10000" in capsys.readouterr().out
