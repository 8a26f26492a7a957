"""The thread that waits for the host's signals and hands them to Attention."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from agent.attention import Attention
from agent.client import Gateway
from agent.errors import EndOfRun, Refused, Stopped

POLL_S = 40.0
"""Longer than the gateway's long poll of 25 s."""


class Signals:
    def __init__(self, gateway: Gateway, attention: Attention, end: Callable[[EndOfRun], None]) -> None:
        self._gateway = gateway
        self._attention = attention
        self._end = end
        self._thread: threading.Thread | None = None
        self._after = 0

    def start(self) -> None:
        """Begin to listen; from the first turn on, since before it there is nothing to steer."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        try:
            while True:
                try:
                    _, answer = self._gateway.call("GET", f"/agent/signals?after={self._after}", timeout=POLL_S)
                    found = [self._deliver(signal) for signal in answer["signals"]]
                except (Refused, TypeError, KeyError):
                    found = []
                    self._gateway.pause(1.0)
                self._after = max([self._after, *found])
        except EndOfRun as end:
            self._end(end)
        except Stopped:
            pass

    def _deliver(self, signal: dict[str, Any]) -> int:
        id = int(signal["id"])
        if id > self._after:
            turn = signal.get("turn")
            if signal["kind"] == "steer":
                self._attention.steer(id, str(signal.get("text") or ""), turn)
            elif signal["kind"] == "cancel":
                self._attention.cancel(turn)
        return id
