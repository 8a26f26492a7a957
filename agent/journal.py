"""The run's journal: events are numbered, spooled, and posted in order by a thread of their own.

What is not acknowledged is sent again, for ever, across restarts of the host; the host ignores repeats
by number. Output of commands gives way first: only the newest waits, and none behind a long queue.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from agent import retry
from agent.client import Gateway, chance, encode
from agent.errors import EndOfRun, Refused, Stopped
from agent.spool import Spool

BATCH = 100
BATCH_BYTES = 256 << 10
"""Events and bytes of one request (the gateway takes 1 MiB)."""
TEXT = 100_000
"""Characters of one text in an event; of more, head and tail are kept."""
CROWD = 200
"""With so many events unsent, output is left out."""


class Journal:
    """`post` may be called from any thread."""

    def __init__(self, spool: Spool, gateway: Gateway, end: Callable[[EndOfRun], None],
                 clock: Callable[[], float] = time.time) -> None:
        self._spool = spool
        self._gateway = gateway
        self._end = end
        """Called on the sender's thread when the run is over or the gateway lost."""
        self._clock = clock
        self._changed = threading.Condition()
        self._seq = 0
        self._acked = 0
        self._output: tuple[int | None, str, float] | None = None
        self._thread: threading.Thread | None = None
        self._dead = False

    def post(self, kind: str, data: dict[str, Any], turn: int | None, *, wait: bool = False) -> None:
        """Add an event; with `wait`, return when the host has committed it. Raises Stopped."""
        with self._changed:
            if self._output is not None and kind != "tool_end" and len(self._spool) < CROWD:
                self._number_output()
            self._output = None  # a tool_end brings the last lines itself
            seq = self._number(kind, data, turn, self._clock())
            self._changed.notify_all()
            self._run()
            while wait and self._acked < seq:
                if self._dead:
                    raise Stopped
                self._changed.wait()

    def output(self, tail: str, turn: int | None) -> None:
        """The running command's last lines; replaces what of it was not sent yet."""
        with self._changed:
            self._output = (turn, tail, self._clock())
            self._changed.notify_all()
            self._run()

    def flush(self, timeout: float) -> bool:
        """Wait at most `timeout` s until everything is acknowledged; whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._dead or not (self._spool or self._output), timeout)
            return not self._spool and not self._output

    def _number(self, kind: str, data: dict[str, Any], turn: int | None, at: float) -> int:
        self._seq += 1
        event = {"seq": self._seq, "kind": kind, "turn": turn, "data": _clipped(data, TEXT), "at": round(at, 3)}
        self._spool.append(self._seq, encode(event))
        return self._seq

    def _number_output(self) -> None:
        if self._output is not None:
            turn, tail, at = self._output
            self._output = None
            self._number("output", {"tail": tail}, turn, at)

    def _run(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="journal", daemon=True)
            self._thread.start()

    def _send_all(self) -> None:
        try:
            attempt = 0
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._spool or self._output)
                    if not self._spool:
                        self._number_output()
                    batch = self._spool.first(BATCH, BATCH_BYTES)
                acked = self._send(batch)
                with self._changed:
                    self._acked = max(self._acked, acked)
                    self._spool.drop(acked)
                    self._changed.notify_all()
                attempt = attempt + 1 if acked < batch[0][0] else 0
                if attempt:
                    self._gateway.pause(retry.backoff(attempt, chance()))
        except EndOfRun as end:
            self._die()
            self._end(end)
        except Stopped:
            pass
        finally:
            self._die()

    def _die(self) -> None:
        with self._changed:
            self._dead = True
            self._changed.notify_all()

    def _send(self, batch: list[tuple[int, bytes]]) -> int:
        """Post a batch; the number up to which the host has everything."""
        try:
            return self._post([entry for _, entry in batch])
        except Refused as refusal:
            if len(batch) > 1:
                return self._send(batch[: len(batch) // 2])
            seq, entry = batch[0]
            print(f"event {seq} was refused: {refusal}", file=sys.stderr)
            event = json.loads(entry)
            # One bad event must not hold up the rest; something has to stand under its number, though.
            for instead in ({"data": _clipped(event["data"], 500)}, {"kind": "output", "data": {"tail": ""}}):
                try:
                    return self._post([encode(event | instead)])
                except Refused:
                    continue
            return seq

    def _post(self, entries: list[bytes]) -> int:
        _, answer = self._gateway.call("POST", "/agent/events", b'{"events":[' + b",".join(entries) + b"]}")
        acked = answer.get("acked") if isinstance(answer, dict) else None
        return acked if isinstance(acked, int) else 0


def _clipped(data: dict[str, Any], size: int) -> dict[str, Any]:
    return {key: _shortened(value, size) if isinstance(value, str) else value for key, value in data.items()}


def _shortened(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size // 2]}\n[…]\n{text[-size // 2 :]}"
