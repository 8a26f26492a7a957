"""Time as an argument: actors ask a Clock, so that tests never wait."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)


class Timer(Protocol):
    """What `Clock.call_later` gives back."""

    def cancel(self) -> None:
        """Don't call; harmless when it has been called already."""


class Clock(Protocol):
    """Seconds that only go forward, and calls later on."""

    def now(self) -> float:
        """Seconds since some fixed point (as time.monotonic)."""

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """Call `action` after `delay` seconds, in a thread of the clock's: it must be short, such as a tell."""


class SystemClock:
    """The machine's monotonic clock. One daemon thread serves all timers, and lives while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, _Timer]] = []
        self._number = itertools.count()
        self._serving = False

    def now(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        timer = _Timer(action, self._changed)
        with self._changed:
            heapq.heappush(self._heap, (self.now() + delay, next(self._number), timer))
            if self._serving:
                self._changed.notify()
            else:
                threading.Thread(target=self._serve, name="timers", daemon=True).start()
                self._serving = True
        return timer

    def _serve(self) -> None:
        while timer := self._next():
            try:
                timer.run()
            except BaseException:  # one bad action must not cost everybody else their timers
                log.exception("a timer's action failed")

    def _next(self) -> _Timer | None:
        with self._changed:
            while self._heap:
                at, _, timer = self._heap[0]
                wait = at - self.now()
                if wait <= 0 or timer.cancelled:
                    heapq.heappop(self._heap)
                    if not timer.cancelled:
                        return timer
                else:
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
            self._serving = False
            return None


class _Timer:
    def __init__(self, action: Callable[[], None], changed: threading.Condition) -> None:
        self._action: Callable[[], None] | None = action
        self._changed = changed

    @property
    def cancelled(self) -> bool:
        return self._action is None

    def run(self) -> None:
        if (action := self._action) is not None:
            action()

    def cancel(self) -> None:
        with self._changed:
            self._action = None  # lets go of what it closes over; the heap drops the rest when it is the next
            self._changed.notify()
