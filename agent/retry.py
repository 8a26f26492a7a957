"""Whether and when to try again: pure rules. Times in s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Verdict = Literal["ok", "gone", "busy", "ill", "refused"]

LONGEST_WAIT = 60.0


def verdict(status: int) -> Verdict:
    """What an HTTP status of the gateway means for the request.

    401 and 403 are `ill`, not final: only a 410 or a long silence ends a healthy agent, and a host that
    is being restored or moved may not know a token for a moment.
    """
    if 200 <= status < 300:
        return "ok"
    if status == 410:
        return "gone"
    if status == 429:
        return "busy"
    if status >= 500 or status in (401, 403, 408):
        return "ill"
    return "refused"


def backoff(attempt: int, chance: float, first: float = 0.05, cap: float = 2.0) -> float:
    """Doubling from `first` to `cap`, of which the upper half is left to `chance` (0…1).

    A host restart takes a second or two, and the socket is on this very machine: knocking often is cheap.
    """
    full = min(cap, first * 2.0 ** min(attempt, 30))
    return full * (0.5 + chance / 2)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds (RFC 9110 10.2.3; dates are not used on this socket), at most LONGEST_WAIT."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, LONGEST_WAIT) if seconds >= 0 else None
