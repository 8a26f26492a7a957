"""Server-sent events to the open pages (WHATWG HTML, "Server-sent events"). On the loop's thread only.

Invariant: publishing never waits. A reader that falls behind its bounded queue is cut; it comes
back with its Last-Event-ID and is replayed what it missed, or told to load everything anew.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

KEPT_EVENTS = 500
KEPT_BYTES = 4 << 20
"""Of events kept for replay."""

QUEUE = 256
"""Frames that a reader may lag behind."""

READERS = 32

READERS_PER_SESSION = 4
"""A browser allows 6 connections to a host over HTTP/1.1: what streams take, requests must do without."""


class Subscription:
    """One reader. `cut` is called when it is dropped for lagging, to end a write it blocks."""

    def __init__(self, backlog: list[bytes], resumed: bool, session: str = "") -> None:
        self.session = session
        self.resumed = resumed
        """Everything after its last event follows; False: it must load the state anew."""
        self.cut: Callable[[], None] = lambda: None
        self._frames: deque[bytes] = deque(backlog)
        self._room = QUEUE + len(backlog)
        self._ready = asyncio.Event()
        self.over = False

    def push(self, frame: bytes) -> bool:
        """False: it lags too far."""
        if len(self._frames) >= self._room:
            return False
        self._frames.append(frame)
        self._ready.set()
        return True

    def end(self, farewell: bytes | None = None) -> None:
        self.over = True
        self._frames.clear()
        if farewell is not None:
            self._frames.append(farewell)
        self._ready.set()

    async def next(self, silence: float) -> bytes | None:
        """The next frame; a comment after `silence` seconds of it; None at the end."""
        while not self._frames:
            if self.over:
                return None
            self._ready.clear()
            try:
                await asyncio.wait_for(self._ready.wait(), silence)
            except TimeoutError:
                return b": still here\n\n"
        return self._frames.popleft()


class Events:
    def __init__(self) -> None:
        # Ids of another incarnation of this server must not be taken for ours.
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._readers: dict[Subscription, None] = {}  # oldest first
        self._closed = False

    @property
    def readers(self) -> int:
        return len(self._readers)

    @property
    def last_id(self) -> str:
        return f"{self._epoch}-{self._number}"

    def publish(self, kind: str, data: dict[str, Any], lasting: bool = True) -> None:
        """`lasting`: kept for replay. Typing is not: it is over before anyone is back."""
        if lasting:
            self._number += 1
        frame = encode(kind, data, self.last_id if lasting else None)
        if lasting:
            self._kept.append((self._number, frame))
            self._bytes += len(frame)
            while len(self._kept) > KEPT_EVENTS or self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.popleft()[1])
        for reader in tuple(self._readers):
            if not reader.push(frame):
                self.leave(reader)
                reader.cut()

    def join(self, after: str, session: str = "") -> Subscription | None:
        """A reader who has seen everything up to the id `after` ("": nothing). None: too many readers, or closed.

        The oldest of READERS_PER_SESSION with the same `session` (if any) is ended by `bye` for it.
        """
        own = [reader for reader in self._readers if session and reader.session == session]
        if len(own) >= READERS_PER_SESSION:
            del self._readers[own[0]]
            own[0].end(encode("bye", {}, None))
        if self._closed or len(self._readers) >= READERS:
            return None
        epoch, _, number = after.partition("-")
        oldest = self._kept[0][0] if self._kept else self._number + 1
        seen = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1
        resumed = epoch == self._epoch and oldest - 1 <= seen <= self._number
        backlog = [frame for at, frame in self._kept if at > seen] if resumed else []
        reader = Subscription(backlog, resumed, session)
        self._readers[reader] = None
        return reader

    def leave(self, reader: Subscription) -> None:
        self._readers.pop(reader, None)
        reader.end()

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True
        for reader in tuple(self._readers):
            self.leave(reader)


def encode(kind: str, data: dict[str, Any], number: str | None) -> bytes:
    """One event on the wire. JSON has no raw line break, so `data` is one line."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
