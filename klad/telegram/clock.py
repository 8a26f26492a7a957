"""Time as an argument: everything here that waits, waits on one of these."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Seconds that only go forward; tests give a clock of their own that never waits."""

    def now(self) -> float:
        """Seconds since some fixed moment; only differences mean anything."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable, and at least one turn of the event loop even for 0."""
        await asyncio.sleep(seconds)
