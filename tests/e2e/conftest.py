from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Person, Program, running


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[Program, Person]]:
    """A program with a home of its own, and its owner at the web chat."""
    with running(tmp_path) as pair:
        yield pair
