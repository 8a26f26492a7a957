"""Per-run tokens. Only their SHA-256 is ever stored; the token itself is in its container's environment."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import inf
from typing import Literal

from klad.words import Run

KEEP_S = 5.0
"""How long a look-up counts. `forget` ends it at once; this is for an end that nobody told us of."""
REMEMBERED = 4096


def new_token() -> tuple[str, str]:
    """(token, what to store of it): 256 random bits, and their SHA-256 in hex."""
    token = "klad_" + secrets.token_urlsafe(32)
    return token, digest(token)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Tokens:
    """Whose a token is, with a short memory before the ledger.

    The memory also tells a run that is over (410, its agent exits) from a token never seen (401).
    """

    def __init__(self, look_up: Callable[[str], Awaitable[Run | None]], clock: Callable[[], float]) -> None:
        self._look_up = look_up
        self._clock = clock
        self._known: dict[str, tuple[Run, float]] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    async def run_of(self, token: str, *, fresh: bool = False) -> Run | Literal["ended"] | None:
        """The run that holds `token`, `ended` if one did, None if it is unknown. `fresh`: ask the ledger."""
        if not 0 < len(token) <= 200 or not token.isascii():
            return None
        key = digest(token)
        with self._lock:
            known = self._known.get(key)
            forgotten = self._forgotten
        if known is not None and known[0].state == "ended":
            return "ended"
        if not fresh and known is not None and self._clock() < known[1]:
            return known[0]
        run = await self._look_up(key)
        with self._lock:
            if run is not None:
                # A run forgotten while it was looked up may have ended after that: it counts this once.
                until = self._clock() + KEEP_S if forgotten == self._forgotten else -inf
                self._keep(key, run, until)
            elif known is not None:
                self._keep(key, replace(known[0], state="ended"), inf)
                return "ended"
        return run

    def seen(self, token: str) -> bool:
        """Whether it was a run's before; asking about such a one is no guess."""
        return digest(token) in self._known

    def forget(self, run_id: str) -> None:
        """From any thread: the next use of this run's token asks the ledger."""
        with self._lock:
            self._forgotten += 1
            for key, (run, _) in self._known.items():
                if run.id == run_id:
                    self._known[key] = (run, -inf)

    def _keep(self, key: str, run: Run, until: float) -> None:
        self._known.pop(key, None)
        self._known[key] = (run, until)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
