"""How many containers may be starting at once, and who is first when more want to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from klad.words import Slot

_RANK: dict[Slot, int] = {"chat": 0, "worker": 1}


class StartGate:
    """A semaphore whose queue puts chat before worker, and is first come, first served within each.

    Starts slow each other down (about twelve a second on two cores, whatever their number), so that
    a few at a time finish sooner than all at once.
    """

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError("a gate without a place would never open")
        self._free = places
        self._condition = threading.Condition()
        self._queue: list[tuple[int, int]] = []
        self._numbers = itertools.count()

    @contextmanager
    def place(self, slot: Slot, given_up: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a place and hold it. False: `given_up` became true first (see `look`)."""
        mine = self._enter(slot, given_up)
        try:
            yield mine
        finally:
            if mine:
                with self._condition:
                    self._free += 1
                    self._condition.notify_all()

    def look(self) -> None:
        """Make everyone who waits ask `given_up` again."""
        with self._condition:
            self._condition.notify_all()

    def _enter(self, slot: Slot, given_up: Callable[[], bool]) -> bool:
        with self._condition:
            ticket = (_RANK[slot], next(self._numbers))
            self._queue.append(ticket)
            self._condition.wait_for(lambda: given_up() or (self._free > 0 and min(self._queue) == ticket))
            self._queue.remove(ticket)
            mine = not given_up()
            if mine:
                self._free -= 1
            self._condition.notify_all()
            return mine
