"""What the host wants of the turn that is under way: steering, or its end. Shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from agent.errors import Cancelled


class Steer(NamedTuple):
    id: int
    text: str


class Attention:
    def __init__(self) -> None:
        self.bell = threading.Condition(threading.RLock())
        """Rung when there is steering or a cancel, and by jobs when one has ended."""
        self.interrupt: Callable[[], None] = _nothing
        """Wakes the main thread's request when the turn is cancelled."""
        self._turn: int | None = None
        self._steers: list[Steer] = []
        self._cancelled = False

    @property
    def turn(self) -> int | None:
        return self._turn

    def begin(self, turn: int) -> None:
        with self.bell:
            self._turn, self._cancelled = turn, False
            self._steers.clear()

    def finish(self) -> None:
        """Steering that came too late is dropped; it was never reported `steered`, so the host knows."""
        with self.bell:
            self._turn, self._cancelled = None, False
            self._steers.clear()

    def steer(self, id: int, text: str, turn: int | None = None) -> None:
        """Words for the turn under way (with `turn`: only for that one)."""
        with self.bell:
            if self._turn is not None and turn in (None, self._turn):
                self._steers.append(Steer(id, text))
                self.bell.notify_all()

    def cancel(self, turn: int | None = None) -> None:
        """End the turn under way (with `turn`: only that one)."""
        with self.bell:
            if self._turn is None or turn not in (None, self._turn):
                return
            self._cancelled = True
            self.bell.notify_all()
        self.interrupt()

    @property
    def steered(self) -> bool:
        """Whether words wait for the next request."""
        return bool(self._steers)

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def take(self) -> list[Steer]:
        with self.bell:
            steers = list(self._steers)
            self._steers.clear()
            return steers

    def check(self) -> None:
        """Raises Cancelled when the turn was."""
        if self._cancelled:
            raise Cancelled


def _nothing() -> None:
    pass
