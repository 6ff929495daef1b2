from __future__ import annotations

import pickle

import pytest

from clinnlp import errors
from clinnlp.errors import ClinNLPError, MissingPackageError

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_clinnlp_error_and_crosses_processes(kind: type[ClinNLPError]) -> None:
    assert issubclass(kind, ClinNLPError)
    error = MissingPackageError("spark", "spark") if kind is MissingPackageError else kind("what was wrong")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error)


def test_every_error_of_the_module_is_public() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(errors.__all__)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.RecordError, ValueError),
        (errors.ConfigError, ValueError),
        (errors.StageError, RuntimeError),
        (errors.MissingPackageError, ImportError),
    ],
)
def test_errors_are_also_of_the_builtin_kind_that_a_user_would_expect(
    kind: type[ClinNLPError], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin)


def test_a_missing_package_is_told_with_the_line_that_mends_it() -> None:
    assert str(MissingPackageError("presidio", "deid")) == "presidio is not installed: pip install 'clinnlp[deid]'"
