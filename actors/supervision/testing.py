"""What tests of actors stand on: a clock moved by hand, a neighbour that only listens, and ways to wait
for what actors do without sleeping."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pykka
from pykka.messages import ProxyGetAttr

from actors.supervision._clock import Timer
from actors.supervision._parent import Parent
from actors.supervision._registry import Registry
from actors.supervision._spec import Down

PATIENCE = 10.0
"""Seconds after which a test's waiting is a failure; a machine may be slow, so it isn't short."""

T = TypeVar("T")


class ManualClock:
    """A Clock that stands still until `advance`."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, _ManualTimer]] = []
        self._number = itertools.count()

    def now(self) -> float:
        with self._changed:
            return self._now

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        timer = _ManualTimer(action)
        with self._changed:
            heapq.heappush(self._heap, (self._now + delay, next(self._number), timer))
            self._changed.notify_all()
        return timer

    def advance(self, seconds: float) -> None:
        """Go forward, calling what is due in its order, at its own time, in the caller's thread."""
        with self._changed:
            goal = self._now + seconds
        while timer := self._next(goal):
            timer.action()

    def _next(self, goal: float) -> _ManualTimer | None:
        with self._changed:
            while self._heap and self._heap[0][0] <= goal:
                at, _, timer = heapq.heappop(self._heap)
                if not timer.cancelled:
                    self._now = max(self._now, at)
                    return timer
            self._now = goal
            return None

    @property
    def pending(self) -> int:
        """Timers that are armed and not cancelled."""
        with self._changed:
            return sum(not timer.cancelled for _, _, timer in self._heap)

    def wait_for_timers(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Wait until at least `count` timers are armed: an actor arms its own when it gets there."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.pending >= count, timeout):
                raise AssertionError(f"{self.pending} timers armed after {timeout:g} s, not {count}")


class _ManualTimer:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Probe:
    """A mailbox that a test reads: bind it to a neighbour's name, or give it as any callback."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def tell(self, message: Any) -> None:
        self._inbox.put(message)

    __call__ = tell

    def receive(self, timeout: float = PATIENCE) -> Any:
        """The next message; AssertionError when none comes."""
        try:
            return self._inbox.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no message came within {timeout:g} s") from None

    def expect(self, *messages: Any) -> None:
        """The next messages are these, in this order."""
        for wanted in messages:
            got = self.receive()
            assert got == wanted, f"expected {wanted!r}, got {got!r}"

    def expect_type(self, kind: type[T]) -> T:
        """The next message, which is of this class."""
        got = self.receive()
        assert isinstance(got, kind), f"expected a {kind.__name__}, got {got!r}"
        return got

    def expect_nothing(self) -> None:
        """Nothing has come up to now. `flush` whoever might have told something before."""
        try:
            got = self._inbox.get_nowait()
        except queue.Empty:
            return
        raise AssertionError(f"expected nothing, got {got!r}")


def solo(
    name: str = "test/actor",
    *,
    registry: Registry | None = None,
    clock: ManualClock | None = None,
    deliver: Callable[[Down], None] | None = None,
    last_resort: Callable[[str], None] | None = None,
) -> Parent:
    """A Parent for one actor under test, started (`Printer.start(solo())`) or not (`Printer(solo())`).

    Time stands still, jitter is nothing, and a last resort fails the waiting instead of the process.
    """
    return Parent(
        name,
        deliver or Probe(),
        registry or Registry(),
        clock or ManualClock(),
        no_jitter,
        last_resort or Probe(),
    )


def no_jitter() -> float:
    """A `random` for waits that are exactly as the Backoff says."""
    return 0.0


def flush(ref: pykka.ActorRef[Any], timeout: float = PATIENCE) -> None:
    """Returns when the actor has handled all that it was told before, or has ended."""
    try:
        ref.ask(ProxyGetAttr(("actor_urn",)), timeout=timeout)
    except pykka.ActorDeadError:
        return


def wait_until(registry: Registry, holds: Callable[[Registry], bool], timeout: float = PATIENCE) -> None:
    """Wait until names, pictures and dead letters are so that `holds(registry)`; AssertionError if never."""
    assert registry.wait_until(holds, timeout), f"still not so after {timeout:g} s: {registry.names}"
