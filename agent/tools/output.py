"""A command's output in bounded memory: its head and its tail."""

from __future__ import annotations

import re

HEAD = 12_000
TAIL = 16_000
"""Bytes kept; together below what a tool result may have."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Output:
    """Not thread-safe, but one may write while others read: what they see is a moment old at worst."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._limits = (head, tail)
        self._head = b""
        self._tail = b""
        self.total = 0
        """Bytes that came."""

    @property
    def complete(self) -> bool:
        """Whether nothing had to be left out."""
        return self.total == len(self._head) + len(self._tail)

    def add(self, chunk: bytes) -> None:
        head, tail = self._limits
        room = head - len(self._head)
        if room > 0:
            self._head += chunk[:room]
        rest = chunk[room:] if room > 0 else chunk
        self._tail = (self._tail + rest)[-tail:] if len(rest) < tail else rest[-tail:]
        self.total += len(chunk)

    def text(self, place: str = "") -> str:
        """All of it, or head and tail with a note; `place` says where the rest is."""
        head, tail, total = self._head, self._tail, self.total
        missing = total - len(head) - len(tail)
        if missing <= 0:
            return tidy((head + tail).decode("utf-8", "replace"))
        where = f"; see {place}" if place else ""
        return (
            tidy(head.decode("utf-8", "replace"))
            + f"\n[… {missing} of {total} bytes left out{where} …]\n"
            + tidy(tail.decode("utf-8", "replace"))
        )

    def last(self, characters: int) -> str:
        """The last lines, tidied."""
        raw = (self._head + self._tail)[-4 * characters :]
        return tidy(raw.decode("utf-8", "replace"))[-characters:]


def tidy(text: str) -> str:
    """Without terminal escapes, what a progress bar had overwritten, and control characters."""
    text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("\ufffd", text)
