"""What an import costs, each tried in a fresh interpreter."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import clinnlp

HEAVY = (
    "accelerate", "datasets", "lancedb", "monai", "numpy", "pandas", "PIL", "pyarrow", "pydicom", "scipy", "skimage",
    "sklearn", "spacy", "torch", "transformers", "typer", "rich", "huggingface_hub",
)  # fmt: skip


def python(code: str) -> str:
    """What a program prints in an interpreter of its own, outside the repository."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded(code: str) -> set[str]:
    """Packages that a program has loaded at its end."""
    end = "\nimport sys; print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    return set(python(code + end).splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import clinnlp",
        "from clinnlp import Record, Image, Entity, Pipeline",
        "import clinnlp; dir(clinnlp); clinnlp.stages; clinnlp.corpora; hasattr(clinnlp, 'nothing')",
        "from clinnlp import Record, Pipeline; Pipeline([lambda r: None])(Record('a b')).to_dict()",
        "from clinnlp.stage import stage_names; stage_names()",
        "import clinnlp.shipped as s; s.shipped_names()",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert not loaded(code) & set(HEAVY)


def test_heavy_packages_would_be_seen_if_they_were_loaded() -> None:
    assert "numpy" in loaded("import clinnlp, numpy")


def test_import_takes_less_than_three_tenths_of_a_second() -> None:
    code = "import time; t = time.perf_counter(); import clinnlp; print(time.perf_counter() - t)"
    assert any(float(python(code)) < 0.3 for _ in range(15))  # a busy machine may need more than one try


def test_stages_and_corpora_are_loaded_when_they_are_named() -> None:
    code = """
import sys, clinnlp
before = [name in sys.modules for name in ("clinnlp.stages", "clinnlp.corpora", "clinnlp.training")]
clinnlp.stages, clinnlp.corpora, clinnlp.FitConfig
print(before, [name in sys.modules for name in ("clinnlp.stages", "clinnlp.corpora", "clinnlp.training")])
"""
    assert python(code) == "[False, False, False] [True, True, True]"


def test_every_public_name_is_there() -> None:
    for name in clinnlp.__all__:
        assert getattr(clinnlp, name) is not None
    assert set(clinnlp.__all__) <= set(dir(clinnlp))
    with pytest.raises(AttributeError, match="'clinnlp' has no attribute 'nothing'"):
        _ = clinnlp.nothing
    with pytest.raises(AttributeError, match=r"'clinnlp\.stages' has no attribute 'nothing'"):
        _ = clinnlp.stages.nothing


def test_the_version_is_that_of_the_installed_package() -> None:
    assert clinnlp.__version__ == importlib.metadata.version("clinnlp")


@pytest.mark.parametrize(
    ("module", "below"),
    [
        ("errors", ()),
        ("alignment", ("errors",)),
        ("annotations", ("errors", "labels")),
        ("record", ("errors", "alignment", "annotations", "labels", "image")),
    ],
)
def test_imports_point_one_way(module: str, below: tuple[str, ...]) -> None:
    code = (
        f"import sys, types; p = types.ModuleType('clinnlp'); p.__path__ = [{str(Path(clinnlp.__file__).parent)!r}]\n"
    )
    code += f"sys.modules['clinnlp'] = p; import clinnlp.{module}\n"
    code += "print(*[name.split('.')[1] for name in sys.modules if name.startswith('clinnlp.')])"
    public = {name for name in python(code).split() if not name.startswith("_")}
    assert public == {module, *below}
