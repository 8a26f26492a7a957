"""A gateway over a real ledger, with runs to be and clients that speak HTTP over its sockets."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from klad.gateway import Gateway, GatewayLedger, ModelUpstream, ScriptedModel, new_token
from klad.ledger import Granted, Ledger, Nudge
from klad.routing import ToSlot
from klad.words import Inbound, Run, Slot

CHAT = "7"
MOUNTS = {"/workspace/group": (2049, 11), "/run/klad": (2049, 12)}


@dataclass
class Agent:
    """What a container has: its run's token, and a socket."""

    run: Run
    token: str
    directory: Path
    session: aiohttp.ClientSession
    tcp: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Klad-Protocol": "1"}

    async def ask(
        self, method: str, target: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """(status, decoded body or None)."""
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        async with self.session.request(
            method, f"{self.tcp or 'http://klad'}{target}", data=data, headers=given
        ) as got:
            text = await got.read()
            self.last = got
            return got.status, json.loads(text) if text else None

    async def turn(self, after: int = 0) -> tuple[int, Any]:
        return await self.ask("GET", f"/agent/turn?after={after}")

    async def post(self, *events: dict[str, Any]) -> tuple[int, Any]:
        return await self.ask("POST", "/agent/events", {"events": list(events)})

    async def tool(self, name: str, call: str = "c1", **given: Any) -> tuple[int, Any]:
        return await self.ask("POST", f"/agent/tools/{name}", {"call": call, "input": given})


@dataclass
class House:
    path: Path
    ledger: Ledger
    gateway: Gateway
    nudges: list[Nudge] = field(default_factory=list)
    mismatches: list[tuple[str, str]] = field(default_factory=list)
    agents: list[Agent] = field(default_factory=list)
    _updates: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def say(self, text: str, slot: Slot = "worker", chat: str = CHAT) -> int:
        """A message arrives, and is routed to a slot; the turn's id."""
        number = next(self._updates)
        self.ledger.commit_update(number, chat, "{}").result(5)
        inbound = Inbound(chat, "private", "", 1, "David", text, number, time.time())
        routed = self.ledger.route(number, inbound, lambda _: ToSlot(slot)).result(5)
        assert routed is not None
        return routed[1].id

    async def agent(self, slot: Slot = "worker", chat: str = CHAT, text: str = "SAY hello") -> Agent:
        """A message, and a run that is to take it, with its container's view of the gateway."""
        self.say(text, slot, chat)
        run, token = self.begin(slot, chat)
        directory = self.path / f"{chat}-{slot}"
        directory.mkdir(exist_ok=True)
        await self.gateway.listen(directory, chat, slot)
        return self.client(run, token, directory)

    def begin(self, slot: Slot, chat: str = CHAT) -> tuple[Run, str]:
        token, token_hash = new_token()
        run_id = f"klad-{token_hash[:12]}"
        begun = self.ledger.begin_run(chat, slot, run_id, token_hash, MOUNTS, 10).result(5)
        assert isinstance(begun, Granted)
        return begun.run, token

    def client(self, run: Run, token: str, directory: Path, *, tcp: bool = False) -> Agent:
        connector = aiohttp.TCPConnector() if tcp else aiohttp.UnixConnector(str(directory / "gateway.sock"), limit=0)
        timeout = aiohttp.ClientTimeout(total=20)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        agent = Agent(run, token, directory, session, f"http://127.0.0.1:{self.gateway.port}" if tcp else "")
        self.agents.append(agent)
        return agent

    async def waiting(self, count: int = 1) -> None:
        """Until so many runs have a long poll that has found nothing; at most 5 s, less than a poll lasts."""
        polls = self.gateway._waiting._by_run
        async with asyncio.timeout(5):
            await until(
                lambda: (
                    len(polls) == count
                    and all(any(getattr(event, "_waiters", ()) for event in events) for events in polls.values())
                )
            )

    def new_gateway(self, model: ModelUpstream | None = None, **options: Any) -> Gateway:
        return Gateway(
            options.pop("ledger", self.ledger),
            model or ScriptedModel(),
            self.nudges.append,
            on_mismatch=lambda run, detail: self.mismatches.append((run.id, detail)),
            **options,
        )


async def until(true: Callable[[], object]) -> None:
    """Let the loop go on until something is so; the test's own limit ends it."""
    while not true():
        await asyncio.sleep(0.001)


@functools.cache
def _empty_ledger() -> bytes:
    """With its schema: bringing that up to date anew would be half of these tests' time."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.db"
        Ledger.open(path).close()
        return path.read_bytes()


@contextlib.asynccontextmanager
async def house(
    path: Path,
    *,
    model: ModelUpstream | None = None,
    ledger: Callable[[Ledger], GatewayLedger] | None = None,
    **options: Any,
) -> AsyncIterator[House]:
    (path / "ledger.db").write_bytes(_empty_ledger())
    real = Ledger.open(path / "ledger.db")
    home = House(path, real, None)  # type: ignore[arg-type]
    if ledger is not None:
        options["ledger"] = ledger(real)
    home.gateway = home.new_gateway(model, **options)
    await home.gateway.start()
    try:
        yield home
    finally:
        for agent in home.agents:
            await agent.session.close()
        await home.gateway.stop()
        real.close()
