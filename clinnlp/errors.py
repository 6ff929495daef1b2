"""The errors of clinnlp: one line each, saying what was wrong, where, and how to mend it.

No message holds text, a name or a path of a patient: record ids, offsets, counts and classes only.
"""

from __future__ import annotations

__all__ = [
    "AlignmentError",
    "CheckpointError",
    "ClinNLPError",
    "ConfigError",
    "CorpusError",
    "FormatError",
    "ImageError",
    "MissingPackageError",
    "PipelineError",
    "RecordError",
    "StageError",
    "TrainingError",
]


class ClinNLPError(Exception):
    """Base of every error that clinnlp raises on purpose."""


class RecordError(ClinNLPError, ValueError):
    """A record, or something found in one, is not valid."""


class AlignmentError(ClinNLPError, ValueError):
    """Edits overlap, or lie outside their text."""


class PipelineError(ClinNLPError, ValueError):
    """A pipeline cannot be built, loaded or saved as asked."""


class StageError(ClinNLPError, RuntimeError):
    """A stage failed on a record."""


class ConfigError(ClinNLPError, ValueError):
    """A setting is unknown or has a value that cannot be used."""


class FormatError(ClinNLPError, ValueError):
    """A file cannot be read or written in the format it should have."""


class CheckpointError(ClinNLPError, ValueError):
    """Weights or their configuration are missing, corrupt or of another kind."""


class CorpusError(ClinNLPError, ValueError):
    """A corpus is unknown, absent or not what its checksum says."""


class ImageError(ClinNLPError, ValueError):
    """An image cannot be decoded."""


class TrainingError(ClinNLPError, RuntimeError):
    """Training cannot start or go on."""


class MissingPackageError(ClinNLPError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'clinnlp[{extra}]'")
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str]]:
        # Without this an error that comes from a worker process could not be read there.
        return type(self), (self.package, self.extra)
