"""A ledger of its own for every test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from klad.ledger import Ledger, _thread
from tests.klad.ledger.support import Clock, Driver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that has its schema and nothing else: to copy one is quicker than to make one."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    Ledger.open(path).close()
    return path


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power, and a disk that others use as well makes each fsync dear."""
    monkeypatch.setitem(_thread._PRAGMAS, "synchronous", "off")


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock, empty: Path, without_fsync: None) -> Iterator[Ledger]:
    path = tmp_path / "ledger.db"
    shutil.copy(empty, path)
    opened = Ledger.open(path, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def drive(ledger: Ledger, clock: Clock) -> Driver:
    return Driver(ledger, clock)
