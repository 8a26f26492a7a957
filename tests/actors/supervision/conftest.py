from __future__ import annotations

from collections.abc import Iterator

import pykka
import pytest

from tests.actors.supervision.support import World


@pytest.fixture
def world() -> Iterator[World]:
    """Whatever a test started is stopped after it, and nobody may be left."""
    world = World()
    yield world
    for tree in world.trees:
        tree.stop()
    assert pykka.ActorRegistry.get_all() == []
    assert world.registry.names == ()
