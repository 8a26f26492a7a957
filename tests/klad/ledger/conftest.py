"""A ledger of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from klad.ledger import Ledger
from tests.klad.ledger.support import Clock, Driver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def drive(ledger: Ledger, clock: Clock) -> Driver:
    return Driver(ledger, clock)
