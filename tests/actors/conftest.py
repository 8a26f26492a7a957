from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pykka
import pytest

from tests.actors.house import House
from tests.actors.room import Room


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    pykka.ActorRegistry.stop_all(timeout=10)
    made.ledger.close()


@pytest.fixture
def room(house: House) -> Room:
    return Room(house)
