"""The agent's own stderr, kept so that a crash can be told to the host (containers keep no logs)."""

from __future__ import annotations

import os
import sys

KEPT = 8192
"""Bytes that a `crash` event may carry."""
LONG = 256 << 10


class Stderr:
    """Descriptor 2 is a file from now on. A file, not a pipe: whatever dies can leave its last words there
    without anybody reading, and nothing that writes can be held up.
    """

    def __init__(self, path: str) -> None:
        self._original = os.dup(2)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        os.dup2(self._file, 2)

    def tail(self) -> str:
        """The last KEPT bytes as text."""
        if sys.stderr is not None:
            sys.stderr.flush()
        size = os.fstat(self._file).st_size
        raw = os.pread(self._file, KEPT, max(size - KEPT, 0))
        return raw.decode("utf-8", "replace").replace("\0", "\ufffd")[-KEPT:]

    def trim(self) -> None:
        """Start afresh when it has grown long."""
        if os.fstat(self._file).st_size > LONG:
            os.ftruncate(self._file, 0)

    def replay(self) -> None:
        """Repeat the tail on the stderr that the process was started with."""
        try:
            os.write(self._original, self.tail().encode("utf-8", "replace"))
        except OSError:
            return
