"""What agents post, checked down to the last field. Pure.

An agent is not trusted: whatever does not have the contract's shape is refused with words, and
texts that are merely too long are cut, since refusing an event would stop the run's journal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from klad.words import PROTOCOL, Event

MOST_EVENTS = 500
MOST_MOUNTS = 100
LONGEST_TEXT = 100_100
BIGGEST = 2**53
"""The largest whole number that every JSON reader keeps."""

Cut = Callable[[str], str]
Field = Callable[[Any, str], Any]


class Garbage(ValueError):
    """`str()` says what is wrong, and where."""


def clean(text: str) -> str:
    """Without lone surrogates, which no UTF-8 writer takes, and NULs, at which C libraries stop."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def _head(size: int) -> Cut:
    return lambda text: text[:size]


def _tail(size: int) -> Cut:
    return lambda text: text[-size:]


def _both(text: str) -> str:
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]}\n[…]\n{text[-half:]}"


def _words(cut: Cut) -> Field:
    def read(value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise Garbage(f"{where} is to be a string")
        return cut(clean(value))

    return read


def _name(size: int) -> Field:
    def read(value: Any, where: str) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= size:
            raise Garbage(f"{where} is to be a string of 1 to {size} characters")
        return clean(value)

    return read


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise Garbage(f"{where} is to be true or false")
    return value


def _whole(value: Any, where: str, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= BIGGEST:
        raise Garbage(f"{where} is to be a whole number from {least}")
    return value


def _share(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Garbage(f"{where} is to be a number or null")
    return value if abs(value) <= BIGGEST and math.isfinite(value) and value >= 0 else None


_KINDS: Mapping[str, Mapping[str, Field]] = {
    "say": {"text": _words(_both)},
    "tool": {"call": _name(200), "name": _name(100), "input": _words(_head(300))},
    "tool_end": {"call": _name(200), "ok": _flag, "tail": _words(_tail(600))},
    "output": {"tail": _words(_tail(2000))},
    "progress": {"done": _share, "total": _share, "step": _words(_head(300))},
    "steered": {"signal": _whole, "at_step": _whole},
    "done": {"text": _words(_both), "left": _whole},
    "failed": {"text": _words(_both), "left": _whole},
    "crash": {"stderr": _words(_tail(8192))},
}
_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(("step", "tail", "input", "stderr"), ""),
    **dict.fromkeys(("done", "total"), None),
    "left": 0,
}


def events(body: Any) -> list[Event]:
    """`{"events":[…]}` of POST /agent/events. Raises `Garbage`. Unknown fields are left out."""
    entries = body.get("events") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_EVENTS:
        raise Garbage(f'the body is to be {{"events":[…]}} with 1 to {MOST_EVENTS} events')
    found = [_event(entry, f"events[{index}]") for index, entry in enumerate(entries)]
    for before, after in pairwise(found):
        if after.seq != before.seq + 1:
            raise Garbage(f"seq {after.seq} follows seq {before.seq}; it rises by 1")
    return found


def _event(entry: Any, where: str) -> Event:
    if not isinstance(entry, dict):
        raise Garbage(f"{where} is to be an object")
    kind = entry.get("kind")
    fields = _KINDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise Garbage(f"{where}.kind is to be one of {', '.join(_KINDS)}")
    data = entry.get("data")
    if not isinstance(data, dict):
        raise Garbage(f"{where}.data is to be an object")
    at = entry.get("at", 0)
    if not isinstance(at, int | float) or isinstance(at, bool):
        raise Garbage(f"{where}.at is to be seconds since the epoch")
    turn = entry.get("turn")
    return Event(
        seq=_whole(entry.get("seq"), f"{where}.seq", 1),
        kind=str(kind),
        turn=None if turn is None else _whole(turn, f"{where}.turn", 1),
        data={key: read(data.get(key, _DEFAULTS.get(key)), f"{where}.data.{key}") for key, read in fields.items()},
    )


def mounts(body: Any) -> dict[str, tuple[int, int]]:
    """`{"protocol":1,"mounts":{path:[device, inode]}}` of POST /agent/hello. Raises `Garbage`."""
    if not isinstance(body, dict) or body.get("protocol") != PROTOCOL:
        raise Garbage(f'the body is to be {{"protocol":{PROTOCOL},"mounts":{{…}}}}')
    found = body.get("mounts")
    if not isinstance(found, dict) or len(found) > MOST_MOUNTS:
        raise Garbage(f"mounts is to be an object with at most {MOST_MOUNTS} entries")
    read = {}
    for path, pair in found.items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise Garbage(f"mounts[{clean(path)!r:.100}] is to be [device, inode]")
        # Devices and inodes are 64 bits wide, and some file systems use them all.
        for value in pair:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
                raise Garbage(f"mounts[{clean(path)!r:.100}] is to be two whole numbers")
        read[path] = (pair[0], pair[1])
    return read


def mismatch(expected: Mapping[str, tuple[int, int]], reported: Mapping[str, tuple[int, int]]) -> str:
    """How what is mounted differs from what the host checked; empty when it doesn't.

    Mounts that the host expects nothing of (tmpfs) may be reported too.
    """
    for path, pair in sorted(expected.items()):
        theirs = reported.get(path)
        if theirs is None:
            return f"{path} is not mounted"
        if tuple(theirs) != tuple(pair):
            return f"{path} is device {theirs[0]} inode {theirs[1]}, not device {pair[0]} inode {pair[1]}"
    return ""


def call(body: Any) -> tuple[str, dict[str, Any]]:
    """`{"call":id,"input":{…}}` of POST /agent/tools/NAME. Raises `Garbage`."""
    if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
        raise Garbage('the body is to be {"call":id,"input":{…}}')
    return _name(200)(body.get("call"), "call"), body["input"]
