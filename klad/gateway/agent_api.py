"""`/agent/*`: what an agent asks of its host. Protocol version 1 (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from klad.gateway import hosttools, reports
from klad.gateway.door import ALLOWANCE, RUN, TOKEN, Door, json_body, listener_of, whole
from klad.gateway.refusal import Refusal
from klad.gateway.steps import GatewayLedger, Steps
from klad.gateway.waiting import Waiting
from klad.ledger.rows import Gone, Nudge, Took, TurnTaken
from klad.words import Run

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_S = 25.0


class AgentApi:
    def __init__(
        self,
        ledger: GatewayLedger,
        steps: Steps,
        door: Door,
        waiting: Waiting,
        on_mismatch: Callable[[Run, str], None],
        poll_s: float = POLL_S,
    ) -> None:
        self._ledger = ledger
        self._step = steps
        self._door = door
        self._waiting = waiting
        self._on_mismatch = on_mismatch
        self._poll_s = poll_s
        self.stopping = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/agent/hello", self.hello),
            web.get("/agent/turn", self.turn),
            web.post("/agent/events", self.events),
            web.get("/agent/signals", self.signals),
            web.post("/agent/tools/{name}", self.tool),
        ]

    async def hello(self, request: web.Request) -> web.Response:
        """Compares what is mounted with what the host checked; 409 when it differs."""
        reported = reports.mounts(await json_body(request))
        run = await self._door.who(request[TOKEN], listener_of(request), fresh=True)
        if detail := reports.mismatch(run.mounts, reported):
            log.error("%s: what is mounted is not what was checked: %s", run.id, detail)
            self._on_mismatch(run, detail)
            raise Refusal(409, f"What is mounted is not what was checked: {detail}.")
        return web.json_response({"run": run.id, "slot": run.slot})

    async def turn(self, request: web.Request) -> web.Response:
        """200 with a brief, 204 when none came in time, 410 when the run is to go. Idempotent."""
        run, after = request[RUN], whole(request, "after")

        def nudges(taken: TurnTaken | Gone | None) -> list[Nudge]:
            if isinstance(taken, TurnTaken) and taken.first:
                return [Took(run.chat, run.slot, run.id, taken.turn.id)]
            return []

        async def ask() -> TurnTaken | Gone | None:
            return await self._step(self._ledger.take_turn(run.id, after), nudges)

        match await self._poll(request, ask):
            case TurnTaken() as taken:
                return web.json_response(taken.brief)
            case Gone():
                raise Refusal(410, "This run is over.")
        return web.Response(status=204)

    async def signals(self, request: web.Request) -> web.Response:
        run, after = request[RUN], whole(request, "after")

        async def ask() -> list[dict[str, object]] | None:
            found = await self._step(self._ledger.signals(run.id, after))
            return [
                {"id": item.id, "kind": item.kind, "text": item.text, "turn": item.turn} for item in found
            ] or None

        return web.json_response({"signals": await self._poll(request, ask) or []})

    async def events(self, request: web.Request) -> web.Response:
        """Acknowledged once committed; a repeat is harmless."""
        allowance = request[ALLOWANCE]
        if wait := allowance.events.wait():
            raise Refusal(429, "This run reports too much.", retry_after=wait)
        found = reports.events(await json_body(request))
        allowance.events.spend(len(found))
        recorded = await self._step(self._ledger.record(request[RUN].id, found), lambda recorded: recorded.nudges)
        return web.json_response({"acked": recorded.acked})

    async def tool(self, request: web.Request) -> web.Response:
        """A host tool, once for each call id. A mistake of the model's is a result, not an HTTP error."""
        run, name = request[RUN], request.match_info["name"]
        if not hosttools.known(name):
            raise Refusal(404, f"There is no host tool {name[:60]!r}.")
        if not hosttools.offered(run.slot, name):
            raise Refusal(403, f"{name} is not for the {run.slot} slot.")
        call, given = reports.call(await json_body(request))
        arguments = hosttools.arguments(name, given)
        if isinstance(arguments, str):
            return web.json_response({"text": arguments, "error": True})
        result = await self._step(self._ledger.call_tool(run.id, call, name, arguments), lambda result: result.nudges)
        return web.json_response({"text": result.text, "error": result.error})

    async def _poll(self, request: web.Request, ask: Callable[[], Awaitable[T | None]]) -> T | None:
        """What `ask` finds, asked now and whenever the run is woken; None after POLL_S. Raises `Refusal`."""
        until = asyncio.get_running_loop().time() + self._poll_s
        with self._waiting.on(request[RUN].id) as woken:
            while True:
                woken.clear()  # before asking, so that a wake in between is not lost
                found = await ask()
                if found is not None or self.stopping:
                    return found
                try:
                    async with asyncio.timeout_at(until):
                        await woken.wait()
                except TimeoutError:
                    return None
                await self._door.who(request[TOKEN], listener_of(request), fresh=True)
