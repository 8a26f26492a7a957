"""How much one run may ask of the host, so that no agent's flood is felt by another's.

The clock is an argument (s, monotonic); nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable

MIB = 1024 * 1024

CONCURRENT = 16
"""Requests of one run under way at once, long polls included."""
HELD = 64 * MIB
"""Bytes of request bodies of one run in memory at once."""
IDLE_S = 120.0


class Bucket:
    """A token bucket that may go into debt: who finds it above zero may spend any amount."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        """`rate` is per s."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = burst
        self._at = clock()

    def wait(self) -> float:
        """Seconds until something may be spent; 0 for now."""
        self._refill()
        return 0.0 if self._level > 0 else (1 - self._level) / self._rate

    def spend(self, amount: float) -> None:
        self._refill()
        self._level -= amount

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now


class Allowance:
    """What one run has left, and what it uses just now."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.requests = Bucket(100, 400, clock)
        self.events = Bucket(200, 1000, clock)
        # Decoding 32 MiB of JSON holds the loop for a third of a second, so bytes have a rate as well.
        self.bytes = Bucket(4 * MIB, 64 * MIB, clock)
        self.running = 0
        self.held = 0
        self.used = clock()


class Limits:
    """Allowances by run, made on first use and dropped when unused for IDLE_S (they are full again by then)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_run: dict[str, Allowance] = {}
        self._swept = clock()

    def of(self, run_id: str) -> Allowance:
        now = self._clock()
        if now - self._swept > IDLE_S:
            self._swept = now
            for key, one in list(self._by_run.items()):
                if not one.running and now - one.used > IDLE_S:
                    del self._by_run[key]
        allowance = self._by_run.setdefault(run_id, Allowance(self._clock))
        allowance.used = now
        return allowance

    def __len__(self) -> int:
        return len(self._by_run)
