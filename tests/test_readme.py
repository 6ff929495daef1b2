"""The Python of README and docs is run as it stands, each block after those before it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "least", "left"),
    [
        ("README.md", 4, ["out/drugs/model.safetensors"]),
        (
            "docs/fine-tuning.md",
            4,
            ["out/drugs/learning_curve.png", "out/drugs/README.md", "out/two-heads/topic/head.safetensors"],
        ),
        (
            "docs/reports.md",
            9,
            [
                "out/quick/head.safetensors",
                "out/course/head.safetensors",
                "out/why.html",
                "out/plots/confusion.png",
                "out/plots/reliability.png",
            ],
        ),
        ("docs/multimodal.md", 3, []),
        ("docs/rules.md", 5, ["out/drugs/rules/rules.jsonl"]),
        ("docs/values.md", 4, []),
        ("docs/assertion.md", 5, ["out/assertion/head.safetensors"]),
        ("docs/deidentification.md", 4, ["out/deid/pipeline.yaml"]),
        ("docs/corpora.md", 4, ["scans.csv"]),
        ("docs/images.md", 5, ["out/films/pipeline.yaml", "out/heat.png"]),
        ("docs/topics.md", 3, ["out/topics.png", "out/over-time/topics/head.safetensors"]),
    ],
)
def test_every_snippet_of_a_page_runs(
    page: str, least: int, left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(snippets) >= least
    names: dict[str, object] = {}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"{page} snippet {number}", "exec"), names)
    assert all((tmp_path / file).is_file() for file in left)


def test_a_whole_fine_tune_takes_less_than_fifteen_lines() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (snippet,) = [code for code in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL) if ".fit(" in code]
    assert len(snippet.strip().splitlines()) < 15
