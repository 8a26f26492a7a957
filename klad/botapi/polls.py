"""Who may wait in getUpdates: the newest poller alone. On the loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Poll:
    """One getUpdates that is being served."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """There may be an update, or one of the two below became true."""
        self.terminated = False
        """A newer one came."""
        self.closed = False
        """The server stops: answer now, with what there is."""


class Polls:
    def __init__(self) -> None:
        self._current: Poll | None = None
        self._closed = False

    @contextmanager
    def enter(self) -> Iterator[Poll]:
        """The newest poll; the one before it is terminated."""
        if self._current is not None:
            self._current.terminated = True
            self._current.changed.set()
        poll = self._current = Poll()
        poll.closed = self._closed
        try:
            yield poll
        finally:
            if self._current is poll:
                self._current = None

    def wake(self) -> None:
        if self._current is not None:
            self._current.changed.set()

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True
        if self._current is not None:
            self._current.closed = True
            self._current.changed.set()

    @property
    def waiting(self) -> bool:
        return self._current is not None
