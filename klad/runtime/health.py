"""Whether the engine answers: one thread that holds a quiet event stream open.

The stream ends (without an error, on every version seen) when the engine stops; one that only hangs
is found out by a ping now and then. Nothing else is learnt here: each run's end is told by its own
armed `wait`, and what was missed is looked up for that run alone.
"""

from __future__ import annotations

import logging
import selectors
import threading
from collections.abc import Callable

from klad.runtime import EngineDown, EngineUp, calls
from klad.runtime.engine import FAULTS, Engine

logger = logging.getLogger(__name__)

PING_EVERY_S = 15.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 2.0


class Health:
    """Reports `EngineUp` or `EngineDown` at once, then at each change, until `close`."""

    def __init__(self, engine: Engine, report: Callable[[EngineUp | EngineDown], None]) -> None:
        self._engine = engine
        self._report = report
        self._closing = threading.Event()
        self._stream: calls.Stream | None = None

    def run(self) -> None:
        """Blocks; give it a thread."""
        up: bool | None = None
        retry_s = _FIRST_RETRY_S
        while not self._closing.is_set():
            try:
                with self._engine.client(10) as client:
                    self._stream = calls.heartbeat(client)
                    # After the stream began, so that no restart can fall between the two.
                    client.ping()
                    up, retry_s = True, _FIRST_RETRY_S
                    self._tell(EngineUp())
                    self._beat(self._stream)
                reason = f"the engine at {self._engine.address.host} went away"
            except FAULTS as error:
                reason = str(self._engine.explain(error))
            self._engine.forget_version()
            if up is not False:
                up = False
                self._tell(EngineDown(reason))
            self._closing.wait(retry_s)
            retry_s = min(retry_s * 2, _LAST_RETRY_S)

    def close(self) -> None:
        """End `run`; nothing is reported from here on."""
        self._closing.set()
        if self._stream is not None:
            self._stream.cut()

    def _beat(self, stream: calls.Stream) -> None:
        """Return when the stream ends; raise when the engine no longer answers."""
        with selectors.DefaultSelector() as selector:
            selector.register(stream.socket, selectors.EVENT_READ)
            while not self._closing.is_set():
                if selector.select(PING_EVERY_S):
                    if not stream.socket.recv(4096):
                        return
                else:
                    with self._engine.client(5) as client:
                        client.ping()

    def _tell(self, news: EngineUp | EngineDown) -> None:
        if self._closing.is_set():
            return
        try:
            self._report(news)
        except Exception:
            logger.exception("nobody could be told %r", news)
