"""The way to the gateway: JSON over its socket, repeated across a restart of the host.

Every request of the contract is idempotent, so a broken one is simply sent again. One Gateway serves one
thread; `interrupt` and `stop` may be called from any.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from agent import retry
from agent.errors import Broken, Gone, Lost, Refused, Stopped
from agent.wire import Connection, Response

PROTOCOL = "1"
T = TypeVar("T")


class _Ill(Exception):
    """The host answers, but can't do it now."""

    def __init__(self, what: str, after: float | None) -> None:
        super().__init__(what)
        self.after = after


class _Busy(_Ill):
    """429: too much at once. The host is well, so this never counts as losing it."""


def nothing() -> None:
    """The check of requests that nothing calls off."""


def chance() -> float:
    """Jitter, 0…1 (`random` would cost 5 ms to import)."""
    return os.urandom(1)[0] / 255


class Gateway:
    def __init__(self, path: str, token: str, *, lost_s: float = 600.0,
                 now: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], object] | None = None) -> None:
        self._arguments = (path, token, lost_s, now, sleep)
        self._connection = Connection(path)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Klad-Protocol": PROTOCOL,
            "Content-Type": "application/json",
        }
        self._lost_s = lost_s
        self._now = now
        self._wake = threading.Event()
        self._sleep = sleep or self._wake.wait
        self._stopped = False

    def sibling(self) -> Gateway:
        """Another connection to the same gateway, for another thread."""
        path, token, lost_s, now, sleep = self._arguments
        return Gateway(path, token, lost_s=lost_s, now=now, sleep=sleep)

    def call(self, method: str, target: str, body: Any = None, *, timeout: float = 30.0,
             check: Callable[[], None] = nothing) -> tuple[int, Any]:
        """One request; (status, decoded JSON or None). `body` is encoded unless it is bytes.

        `timeout` is in s for each read. `check` is called before each try and may raise to call it off.
        Raises Gone, Lost, Refused, Stopped.
        """
        payload = body if body is None or isinstance(body, bytes) else encode(body)

        def once() -> tuple[int, Any]:
            response = self._connection.send(method, target, self._headers, payload, timeout)
            raw = response.read()
            match retry.verdict(response.status):
                case "ok":
                    return response.status, _decode(raw)
                case "gone":
                    raise Gone("the run is over")
                case "busy":
                    raise _Busy("the gateway is flooded", retry.retry_after(response.headers) or 1.0)
                case "ill":
                    raise _Ill(f"HTTP {response.status}", retry.retry_after(response.headers))
                case "refused":
                    raise Refused(response.status, *error_of(raw, response.status))

        return self._until(once, check)

    def stream(self, target: str, body: bytes, headers: dict[str, str], *, timeout: float,
               check: Callable[[], None] = nothing) -> Response:
        """POST; the answer's head, whatever its status but 410, its body unread.

        Raises Gone, Lost, Stopped.
        """

        def once() -> Response:
            response = self._connection.send("POST", target, self._headers | headers, body, timeout)
            if response.status == 410:
                response.read()
                raise Gone("the run is over")
            return response

        return self._until(once, check)

    def pause(self, seconds: float, check: Callable[[], None] = nothing) -> None:
        """Sleep, but wake for `interrupt` and `stop`. Raises Stopped and what `check` raises."""
        self._wake.clear()
        self._check(check)
        self._sleep(seconds)
        self._check(check)

    def interrupt(self) -> None:
        """Make the request or the pause that is under way look again at its `check`."""
        self._wake.set()
        self._connection.interrupt()

    def stop(self) -> None:
        """Whoever uses this now or later gets Stopped."""
        self._stopped = True
        self.interrupt()

    def _check(self, check: Callable[[], None]) -> None:
        if self._stopped:
            raise Stopped
        check()

    def _until(self, once: Callable[[], T], check: Callable[[], None]) -> T:
        since: float | None = None
        attempt = 0
        while True:
            # Before the check: what is called off after it is then seen by the sleep and by the connection.
            self._wake.clear()
            self._connection.heed()
            self._check(check)
            reused = self._connection.open
            wait = retry.backoff(attempt, chance())
            try:
                return once()
            except _Busy as busy:
                since = None
                wait = max(wait, busy.after or 0)
            except (Broken, _Ill) as error:
                now = self._now()
                since = now if since is None else since
                left = since + self._lost_s - now
                if left <= 0:
                    raise Lost(f"the gateway did not answer for {self._lost_s:g} s: {error}") from error
                if isinstance(error, _Ill) and error.after is not None:
                    wait = max(wait, error.after)
                elif reused and attempt == 0:
                    wait = 0.0  # an idle connection that the host had closed
                wait = min(wait, left)
            attempt += 1
            if wait:
                self._sleep(wait)


def encode(value: Any) -> bytes:
    """Compact JSON. Lone surrogates (from a model's \\ud800) become question marks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _decode(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise _Ill("that was no JSON", None) from None


def error_of(raw: bytes, status: int) -> tuple[str, str]:
    """(type, message) of an error body `{"error":{"type":…,"message":…}}`, or something like it."""
    try:
        error = json.loads(raw)["error"]
        return str(error["type"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "error", raw.decode("utf-8", "replace").strip()[:300] or f"HTTP {status}"
