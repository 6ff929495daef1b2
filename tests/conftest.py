"""Fixtures for all tests. No test may reach the network."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine may stop any example for a while: time is for the tests that measure it.
settings.register_profile("clinnlp", deadline=None)
settings.load_profile("clinnlp")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no socket connect outside this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError("a test tried to reach the network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def corpora() -> Path:
    """The folder of public corpora, or a skip where a machine has none."""
    folder = Path(os.environ.get("CLINNLP_CORPORA") or Path(__file__).parents[2] / "shared" / "corpora")
    if not folder.is_dir():
        pytest.skip("no folder of corpora: set CLINNLP_CORPORA")
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a folder for one corpus in a CLINNLP_CORPORA of the test's own."""
    monkeypatch.setenv("CLINNLP_CORPORA", str(tmp_path / "own"))

    def make(name: str) -> Path:
        (tmp_path / "own" / name).mkdir(parents=True)
        return tmp_path / "own" / name

    return make
