"""Where the pipelines and corpora that come with clinnlp are."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["HUB_ID", "corpora_folder", "pipelines_folder", "shipped_names", "shipped_pipeline"]

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""The form of the name of a repository on the Hub: owner/name."""

_PACKAGE = Path(__file__).parent


def pipelines_folder() -> Path:
    """Give the folder of shipped pipelines: inside the installed package, or beside it in a checkout."""
    inside = _PACKAGE / "pipelines"
    return inside if inside.is_dir() else _PACKAGE.parent / "pipelines"


def corpora_folder() -> Path:
    """Give the folder of the corpora written by this project, installed or in a checkout."""
    inside = _PACKAGE / "written_corpora"
    return inside if inside.is_dir() else _PACKAGE.parent / "corpora"


def shipped_names() -> list[str]:
    """Give the names of the shipped pipelines."""
    return sorted(path.parent.name for path in pipelines_folder().glob("*/pipeline.yaml"))


def shipped_pipeline(name: str) -> Path | None:
    """Give the folder of a shipped pipeline, or None where no pipeline has that name."""
    return pipelines_folder() / name if name in shipped_names() else None
