"""Long polls wait here, and are woken by run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Waiting:
    """For one loop; only `Gateway.wake` reaches it from other threads, by way of that loop."""

    def __init__(self) -> None:
        self._by_run: dict[str, set[asyncio.Event]] = {}

    @contextlib.contextmanager
    def on(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that `wake` sets. Clear it *before* looking for what it announces."""
        event = asyncio.Event()
        events = self._by_run.setdefault(run_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events and self._by_run.get(run_id) is events:
                del self._by_run[run_id]

    def wake(self, run_id: str) -> None:
        for event in self._by_run.get(run_id, ()):
            event.set()

    def wake_all(self) -> None:
        for run_id in list(self._by_run):
            self.wake(run_id)

    def __len__(self) -> int:
        return len(self._by_run)
