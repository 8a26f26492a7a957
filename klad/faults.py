"""Faults at named points, for tests: `KLAD_FAULTS=point:kind:count,…`.

`kind` is `raise`, `kill` (SIGKILL to this process) or `delay` (one second); it happens at the
first `count` passes. `KLAD_FAULTS=@FILE` reads the same from a file at each pass, so that a test can
arm a point while the program runs; a file's fault is used up by removing its line. Unset (always, in
production), a point costs one comparison.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

log = logging.getLogger(__name__)
_SETTING = os.environ.get("KLAD_FAULTS", "")
_lock = threading.Lock()
_left: dict[str, tuple[str, int]] = {}


class Fault(RuntimeError):
    """Raised at a point on purpose."""


def armed() -> bool:
    """Whether any fault may happen in this process; a start says so loudly."""
    return bool(_SETTING)


def _parse(text: str) -> dict[str, tuple[str, int]]:
    found = {}
    for item in text.replace("\n", ",").split(","):
        parts = item.strip().split(":")
        if len(parts) == 3 and parts[2].isdecimal() and int(parts[2]) > 0:
            found[parts[0]] = (parts[1], int(parts[2]))
    return found


if _SETTING and not _SETTING.startswith("@"):
    _left = _parse(_SETTING)


def point(name: str) -> None:
    """A place where a test may make something fail. Raises `Fault` when armed so."""
    if not _SETTING:
        return
    with _lock:
        kind = _use_up(name)
    if kind is None:
        return
    log.warning("fault at %s: %s", name, kind)
    if kind == "raise":
        raise Fault(name)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "delay":
        time.sleep(1)


def _use_up(name: str) -> str | None:
    path = Path(_SETTING[1:]) if _SETTING.startswith("@") else None
    left = _left
    if path is not None:
        try:
            left = _parse(path.read_text())
        except OSError:
            return None
    if name not in left:
        return None
    kind, count = left[name]
    if count <= 1:
        del left[name]
    else:
        left[name] = (kind, count - 1)
    if path is not None:
        path.write_text("\n".join(f"{point}:{kind}:{count}" for point, (kind, count) in left.items()))
    return kind
