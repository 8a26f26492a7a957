"""The gateway: a tenant's HTTP server for its own containers, on one loop, behind many sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from klad.errors import KladError, TakenError
from klad.gateway.agent_api import POLL_S, AgentApi
from klad.gateway.door import Door
from klad.gateway.limits import Bucket, Limits
from klad.gateway.listeners import Listener
from klad.gateway.model import ModelUpstream
from klad.gateway.model_api import LARGEST, ModelApi
from klad.gateway.steps import GatewayLedger, Steps
from klad.gateway.tokens import Tokens
from klad.gateway.waiting import Waiting
from klad.ledger.rows import Nudge, Signalled
from klad.words import Run, Slot

log = logging.getLogger(__name__)
_http_log = logging.getLogger("klad.gateway.http")

SLOT_CONNECTIONS = 64
"""At once, on a slot's socket. The rest is broken off, so that one agent can't use up our descriptors."""
PORT_CONNECTIONS = 512
"""At once, on GATEWAY_PORT, where every slot's come."""
GRACE_S = 0.5
"""How long a stop lets requests end by themselves (aiohttp waits for it up to three times)."""


class Gateway:
    """Start it, listen for each slot, wake whoever waits, stop it; all on the loop that started it.

    `wake` and `forget` may be called from any thread. What is committed reaches `notify` on the loop,
    after the commit and before the agent's answer; `notify` and `on_mismatch` must not block.
    """

    def __init__(
        self,
        ledger: GatewayLedger,
        model: ModelUpstream,
        notify: Callable[[Nudge], None],
        port: int | None = None,
        *,
        on_mismatch: Callable[[Run, str], None] = lambda run, detail: None,
        clock: Callable[[], float] = time.monotonic,
        poll_s: float = POLL_S,
    ) -> None:
        """`port` is GATEWAY_PORT, on 127.0.0.1: 0 for a free one (see `port` after the start), None for none.

        `on_mismatch` is told of a run whose mounts are not what the host checked; it is to end it.
        """
        self._notify = notify
        self._clock = clock
        self._wanted_port = port
        self.port: int | None = None
        """Where it listens, once started."""
        self._waiting = Waiting()
        steps = Steps(self._pass_on)
        self._tokens = Tokens(lambda token_hash: steps(ledger.run_by_token(token_hash)), clock)
        door = Door(self._tokens, Limits(clock))
        self._agents = AgentApi(ledger, steps, door, self._waiting, on_mismatch, poll_s)
        self._app = web.Application(middlewares=door.middlewares, client_max_size=LARGEST)
        self._app.add_routes([*self._agents.routes(), *ModelApi(model).routes()])
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tcp: Listener | None = None
        self._slots: dict[Path, Listener] = {}
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Raises `TakenError` when the port is held by somebody else; nothing is left open then."""
        sock = _bind_port(self._wanted_port) if self._wanted_port is not None else None
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(
            self._app,
            handler_cancellation=True,  # a client that goes away ends its long poll or its model call
            shutdown_timeout=GRACE_S,
            access_log=None,
            auto_decompress=False,  # nobody compresses over a local socket, but for a bomb
            logger=_quiet(self._clock),
        )
        try:
            await runner.setup()
            if sock is not None:
                self._tcp = self._listener(None, PORT_CONNECTIONS, runner)
                await self._tcp.open_tcp(sock)
                self.port = sock.getsockname()[1]
        except BaseException:
            if sock is not None:
                sock.close()
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Long polls are answered, streams broken off, sockets closed. Containers try again by themselves."""
        async with self._changing:
            runner, self._runner = self._runner, None
            if runner is None:
                return
            listeners = [*self._slots.values(), *([self._tcp] if self._tcp else [])]
            self._slots, self._tcp, self.port = {}, None, None
            for listener in listeners:
                listener.close()
            self._agents.stopping = True
            self._waiting.wake_all()
            await runner.cleanup()
            for listener in listeners:
                listener.drop()

    async def listen(self, directory: Path, chat: str, slot: Slot) -> None:
        """Have a socket `gateway.sock` in `directory` for the runs of this slot.

        The directory exists and is never touched but for that socket. Again is harmless; connections
        outlive it. Raises `KladError`.
        """
        async with self._changing:
            if self._runner is None:
                raise KladError("the gateway is not running")
            listener = self._slots.get(directory)
            if listener is not None and listener.owner != (chat, slot):
                self._close(directory)
                listener = None
            if listener is not None and listener.in_place:
                return
            if listener is None:
                listener = self._listener((chat, slot), SLOT_CONNECTIONS, self._runner)
            await listener.open_unix(directory)
            self._slots[directory] = listener

    async def unlisten(self, directory: Path) -> None:
        """Remove the slot's socket and break its connections. Harmless when there is none."""
        async with self._changing:
            if directory in self._slots:
                self._close(directory)

    def wake(self, run_id: str) -> None:
        """From any thread: there may be a turn or a signal for this run."""
        self._soon(lambda: self._waiting.wake(run_id))

    def forget(self, run_id: str) -> None:
        """From any thread: this run has ended; from now on its token opens nothing."""
        self._tokens.forget(run_id)
        self.wake(run_id)

    def _pass_on(self, nudge: Nudge) -> None:
        if isinstance(nudge, Signalled):
            self._waiting.wake(nudge.run)  # steering needs nobody else to be well
        self._notify(nudge)

    def _soon(self, action: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(action)

    def _close(self, directory: Path) -> None:
        listener = self._slots.pop(directory)
        listener.close()
        listener.drop()

    def _listener(self, owner: tuple[str, Slot] | None, most: int, runner: web.AppRunner) -> Listener:
        assert runner.server is not None
        return Listener(owner, runner.server, most, self._clock)


def _bind_port(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()  # now: two may bind with SO_REUSEADDR, but only one may listen
    except OSError as error:
        sock.close()
        raise TakenError(
            f"port {port} can't be had ({error.strerror}): stop who holds it, or set another GATEWAY_PORT"
        ) from error
    return sock


def _quiet(clock: Callable[[], float]) -> logging.Logger:
    """aiohttp logs a traceback for each request that is no HTTP; an agent must not fill the disk with them."""
    allowed = Bucket(0.1, 10, clock)

    def few(_: logging.LogRecord) -> bool:
        if allowed.wait():
            return False
        allowed.spend(1)
        return True

    _http_log.filters.clear()
    _http_log.addFilter(few)
    return _http_log
