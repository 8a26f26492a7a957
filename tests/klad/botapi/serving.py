"""The server on a real port, with its owner logged in, for tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from klad.botapi import BotApi, BotApiStore, guard

TOKEN = "777:correct-horse"
OWNER = 1


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Served:
    def __init__(self, api: BotApi, port: int, client: aiohttp.ClientSession) -> None:
        self.api = api
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.client = client
        """Without a cookie until `log_in`."""

    async def call(self, method: str, **params: Any) -> Any:
        """As the bot; the result, or AssertionError with the description."""
        status, answer = await self.raw(method, **params)
        assert status == 200, answer
        return answer["result"]

    async def raw(self, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        async with self.client.post(f"{self.base}/bot{TOKEN}/{method}", json=params) as response:
            answer = await response.json()
            if not answer["ok"]:
                assert answer["error_code"] == response.status
            return response.status, answer

    async def refusal(self, method: str, **params: Any) -> str:
        status, answer = await self.raw(method, **params)
        assert status == 400, answer
        return str(answer["description"])

    async def log_in(self) -> None:
        async with self.client.get(self.api.link(self.base), allow_redirects=False) as response:
            assert response.status == 303

    async def say(self, text: str, chat: int = OWNER, **more: Any) -> dict[str, Any]:
        """As the owner; the message."""
        body = {"text": text, **more}
        async with self.client.post(f"{self.base}/api/chats/{chat}/messages", json=body) as response:
            answer = await response.json()
            assert response.status in (200, 201), answer
            return dict(answer["message"])

    async def get(self, path: str) -> Any:
        async with self.client.get(self.base + path) as response:
            assert response.status == 200, await response.text()
            return await response.json()


@asynccontextmanager
async def serving(
    directory: Path, clock: Callable[[], float] = time.time, token: str = TOKEN
) -> AsyncIterator[Served]:
    app = web.Application(middlewares=[guard])
    api = BotApi(BotApiStore(directory / "botapi.db"), token, "Klåd", owner_id=OWNER, clock=clock)
    api.add_to(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        jar = aiohttp.CookieJar(unsafe=True)  # cookies for an address, too
        async with aiohttp.ClientSession(cookie_jar=jar) as client:
            here = Served(api, port, client)
            await here.log_in()
            yield here
    finally:
        await runner.cleanup()


class Stream:
    """An open /api/events, read one event at a time."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.last_id = ""

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next one that isn't a comment."""
        while True:
            kind, data = "", ""
            while (line := (await self._response.content.readline()).decode()) not in ("\n", ""):
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.last_id = value
            if line == "":
                raise ConnectionError("the stream has ended")
            if kind:
                return kind, json.loads(data)


@asynccontextmanager
async def streaming(here: Served, after: str = "") -> AsyncIterator[Stream]:
    """The stream after its `hello`, which must say whether it goes on after `after`."""
    headers = {"Last-Event-ID": after} if after else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=10)
    url = f"{here.base}/api/events"
    async with here.client.get(url, headers=headers, timeout=timeout) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Stream(response)


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Gives the loop its turns until `condition` holds; AssertionError when it doesn't in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
