"""A tiny encoder, and a stage of every kind on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import BUILDERS
from tiny import tiny_base

from clinnlp import Stage


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), ["fever", "cough"])


@pytest.fixture(scope="session")
def stages(base: Path) -> dict[str, Stage]:
    """One stage of every kind; those on the encoder have loaded it."""
    made = {kind: build(base) for kind, build in BUILDERS.items()}
    for stage in made.values():
        stage.warm_up()
    return made
