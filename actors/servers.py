"""The HTTP servers, as actors: the gateway for containers, and the web for people. Both run on the world's loop.

A dead server's sockets are closed in `on_failure`, and its next incarnation binds them again; agents
try again by themselves meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiohttp import web
from pykka import ActorDeadError, ActorRef, Timeout
from pykka.messages import ProxyGetAttr

from actors import names
from actors.member import Member
from actors.messages import (
    CancelWorker,
    Listen,
    Look,
    Outbox,
    Revoked,
    RunOver,
    Signalled,
    Took,
    TurnEnded,
    Wake,
    Wanted,
)
from actors.supervision import Parent
from actors.world import World
from klad import workspace
from klad.botapi import guard
from klad.errors import LedgerError, TakenError
from klad.gateway import Gateway, ScriptedModel
from klad.ledger import Nudge
from klad.words import Run

log = logging.getLogger(__name__)

CLOSE_S = 5.0
TREE_S = 2.0
"""How long /healthz waits for the tree's answer."""


class GatewayActor(Member):
    kind = "gateway"

    def __init__(self, parent: Parent, world: World) -> None:
        super().__init__(parent, world)
        self._gateway: Gateway | None = None

    def on_start(self) -> None:
        # Before a socket is bound: an on_start that raises is followed by no other hook.
        runs = self.step(self.ledger.live_runs())
        gateway = Gateway(
            self.ledger,
            ScriptedModel(),
            self._notify,
            port=self.world.settings.gateway_port,
            on_mismatch=self._mismatched,
        )
        try:
            self.world.loop.run(gateway.start(), 10)
        except TimeoutError:
            _spawn(self.world, gateway.stop())
            raise
        self._gateway = gateway
        for run in runs:
            self._listen(Listen(run.chat, run.slot))

    def on_stop(self) -> None:
        if self._gateway is not None:
            self.world.loop.run(self._gateway.stop(), CLOSE_S)

    def on_failure(self, *_: Any) -> None:
        self.on_stop()

    def handle(self, message: Any) -> None:
        match message:
            case Signalled():
                assert self._gateway is not None
                self._gateway.wake(message.run)
            case Listen():
                self._listen(message)
            case RunOver():
                assert self._gateway is not None
                self._gateway.forget(message.run)
            case _:
                super().handle(message)

    def _listen(self, listen: Listen) -> None:
        assert self._gateway is not None
        world = self.world
        places = workspace.places(world.tenant, world.install, listen.chat, listen.slot, world.identity)
        try:
            workspace.prepare(places, world.identity)
        except OSError as error:
            # One chat's broken directory is no reason for all others to lose their gateway.
            log.error("no socket for chat %s: %s", listen.chat, error)
            return
        _spawn(world, self._gateway.listen(places.socket, listen.chat, listen.slot))

    def _mismatched(self, run: Run, detail: str) -> None:
        self.registry.tell(names.slot(run.chat, run.slot), Revoked(run.id, detail))

    def _notify(self, nudge: Nudge) -> None:
        """From the gateway's loop, after a commit: pass the nudge on to whom it concerns."""
        tell = self.registry.tell
        match nudge:
            case Outbox():
                tell(names.TELEGRAM, nudge)
            case Took() | TurnEnded():
                tell(names.slot(nudge.chat, nudge.slot), nudge)
            case Signalled():
                tell(names.GATEWAY, nudge)
            case Wanted():
                if not tell(names.slot(nudge.chat, nudge.slot), Look()):
                    tell(names.CHATS, Wake(nudge.chat))
            case CancelWorker():
                tell(names.slot(nudge.chat, "worker"), Revoked(nudge.run, nudge.reason))


class WebActor(Member):
    """What people's browsers reach on PORT: the embedded Bot API with its web chat, and /healthz."""

    kind = "web"

    def __init__(self, parent: Parent, world: World) -> None:
        super().__init__(parent, world)
        self._runner: web.AppRunner | None = None

    def on_start(self) -> None:
        try:
            self.world.loop.run(self._open(), 10)
        except BaseException:
            self.on_stop()  # no other hook follows an on_start that raises
            raise

    def on_stop(self) -> None:
        if self._runner is not None:
            self.world.loop.run(self._runner.cleanup(), CLOSE_S)

    def on_failure(self, *_: Any) -> None:
        self.on_stop()

    async def _open(self) -> None:
        app = web.Application(middlewares=[guard])
        app.router.add_get("/healthz", self._healthz)
        if self.world.botapi is not None:
            self.world.botapi.add_to(app)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        port = self.world.settings.port
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise TakenError(
                f"port {port} is taken by another program: stop that, or set another PORT in {self.world.tenant.env}"
            ) from error

    async def _healthz(self, _request: web.Request) -> web.Response:
        """200 when the tree answers, 503 when it doesn't."""
        health = self.world.health.get()
        body: dict[str, Any] = {"tenant": self.world.tenant.name, **health}
        try:
            # A thread of its own waits: no ask between neighbours, and none without a limit.
            answered = await asyncio.to_thread(_tree_answers, self)
            runs = await asyncio.wait_for(asyncio.wrap_future(self.ledger.live_runs()), TREE_S)
        except (TimeoutError, LedgerError):
            answered, runs = False, []
        body["slots"] = {f"{run.chat}/{run.slot}": run.state for run in runs}
        body["dead_letters"] = self.registry.dead_letter_count
        return web.json_response(body, status=200 if answered else 503)


def _tree_answers(actor: WebActor) -> bool:
    """Whether the top, the chats' supervisor and Telegram handle their mailboxes. Waits `TREE_S` at most for each.

    Reading an attribute through the mailbox is the one question that every actor answers.
    """
    for name in (names.TENANT, names.CHATS, names.TELEGRAM):
        mailbox = actor.registry.get(name)
        if not isinstance(mailbox, ActorRef):
            return False
        try:
            mailbox.ask(ProxyGetAttr(attr_path=("path",)), timeout=TREE_S)
        except (ActorDeadError, Timeout):
            return False
    return True


def _spawn(world: World, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run `coroutine` on the loop without waiting; a failure is logged."""

    def done(future: Any) -> None:
        if not future.cancelled() and future.exception() is not None:
            log.error("gateway: %s", future.exception())

    asyncio.run_coroutine_threadsafe(coroutine, world.loop.loop).add_done_callback(done)
