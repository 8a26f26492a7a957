"""A queue of numbered events, kept in a file, so that a long absence of the host costs no memory."""

from __future__ import annotations

import os
from collections import deque
from typing import NamedTuple


class _Place(NamedTuple):
    offset: int
    length: int


class Spool:
    """Not thread-safe. When the disk refuses (full, gone), entries are held in memory instead."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._end = 0
        self._entries: deque[tuple[int, bytes | _Place]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, seq: int, entry: bytes) -> None:
        place: bytes | _Place = entry
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            if os.pwrite(self._file, entry + b"\n", self._end) == len(entry) + 1:
                place = _Place(self._end, len(entry))
                self._end += len(entry) + 1
        except OSError:
            pass
        self._entries.append((seq, place))

    def first(self, count: int, size: int) -> list[tuple[int, bytes]]:
        """The oldest entries: at most `count`, and `size` bytes together (but at least one)."""
        found: list[tuple[int, bytes]] = []
        for seq, place in self._entries:
            size -= len(place) if isinstance(place, bytes) else place.length
            if len(found) == count or (found and size < 0):
                break
            entry = place if isinstance(place, bytes) else os.pread(self._file, place.length, place.offset)
            found.append((seq, entry))
        return found

    def drop(self, upto: int) -> None:
        """Forget the entries up to that number; an empty spool gives its disk back."""
        while self._entries and self._entries[0][0] <= upto:
            self._entries.popleft()
        if not self._entries and self._end:
            self._end = 0
            os.ftruncate(self._file, 0)
