"""A small Bot API server that speaks the real protocol over HTTP, and fails when it is told to.

https://core.telegram.org/bots/api#making-requests; getUpdates with offset, long poll and 409 as there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "42:TEST-TOKEN"
BOT_ID = 42
USERNAME = "klad_bot"

Params = dict[str, Any]


@dataclass
class Fault:
    """What happens to one call instead of what should."""

    status: int = 200
    description: str = ""
    parameters: Params | None = None
    body: bytes | None = None
    """An answer that is not the protocol's."""
    cut: bool = False
    """The connection ends without an answer."""
    hang: bool = False
    """No answer, for as long as the client waits."""
    delivered: bool = False
    """The message is delivered before that."""


@dataclass
class Call:
    method: str
    params: Params


@dataclass
class _Plan:
    fault: Fault
    times: int
    when: Callable[[Params], bool]


@dataclass
class FakeApi:
    updates: list[Params] = field(default_factory=list)
    """Not acknowledged yet."""
    calls: list[Call] = field(default_factory=list)
    sent: list[Params] = field(default_factory=list)
    """What arrived in chats, in order."""
    commands: list[Params] = field(default_factory=list)
    on_offset: Callable[[int], None] = lambda offset: None
    """Told each offset that acknowledges something, before anything is forgotten."""
    raw_updates: list[Any] | None = None
    """Given as the result of getUpdates once, whatever it is."""

    url: str = ""
    _plans: dict[str, list[_Plan]] = field(default_factory=dict)
    _next_update: int = 1
    _next_message: int = 1000
    _poller: asyncio.Future[None] | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    # For tests ---------------------------------------------------------------------------------

    async def __aenter__(self) -> FakeApi:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://127.0.0.1:{address[1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def fail(
        self, method: str, fault: Fault, *, times: int = 1, when: Callable[[Params], bool] = lambda params: True
    ) -> None:
        self._plans.setdefault(method, []).append(_Plan(fault, times, when))

    def heal(self) -> None:
        self._plans.clear()

    async def write(self, text: str, *, chat: int = 7, **more: Any) -> int:
        """A person writes; the update's id."""
        message_id = self._message_id()
        person = {"id": chat, "is_bot": False, "first_name": "Ada"}
        message = {
            "message_id": message_id,
            "date": 1_700_000_000,
            "chat": {"id": chat, "type": "private", "first_name": "Ada"},
            "from": person,
            "text": text,
        }
        return await self.deliver({"message": {**message, **more}})

    async def deliver(self, update: Params) -> int:
        update_id = self._next_update
        self._next_update += 1
        self.updates.append({"update_id": update_id, **update})
        await self._notify()
        return update_id

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that a call or an arrival brings about."""
        async with self._changed:
            await self._changed.wait_for(condition)

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)

    def texts(self, chat: int | None = None) -> list[str]:
        return [message["text"] for message in self.sent if chat in (None, message["chat"]["id"])]

    # The protocol --------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        params = {name: _value(value) for name, value in (await request.post()).items() if isinstance(value, str)}
        self.calls.append(Call(method, params))
        await self._notify()
        if request.match_info["token"] != TOKEN:
            return _error(401, "Unauthorized")
        fault = self._fault(method, params)
        if fault is not None:
            if fault.delivered:
                self._arrive(params)
                await self._notify()
            if fault.cut:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if fault.hang:
                await asyncio.Event().wait()
            if fault.body is not None:
                return web.Response(body=fault.body, status=fault.status, content_type="application/json")
            return _error(fault.status, fault.description, fault.parameters)
        handler = getattr(self, f"_{method}", None)
        if handler is None:
            return _error(404, "Not Found")
        answer: web.StreamResponse = await handler(params)
        await self._notify()
        return answer

    def _fault(self, method: str, params: Params) -> Fault | None:
        for plan in self._plans.get(method, ()):
            if plan.times > 0 and plan.when(params):
                plan.times -= 1
                return plan.fault
        return None

    async def _getMe(self, params: Params) -> web.Response:
        return _ok({"id": BOT_ID, "is_bot": True, "first_name": "Klåd", "username": USERNAME})

    async def _setMyCommands(self, params: Params) -> web.Response:
        self.commands = params["commands"]
        return _ok(True)

    async def _deleteWebhook(self, params: Params) -> web.Response:
        return _ok(True)

    async def _sendChatAction(self, params: Params) -> web.Response:
        return _ok(True)

    async def _getUpdates(self, params: Params) -> web.Response:
        if self._poller is not None and not self._poller.done():
            self._poller.set_result(None)
        mine = self._poller = asyncio.get_running_loop().create_future()
        offset = params.get("offset") or 0
        if self.raw_updates is not None:
            result, self.raw_updates = self.raw_updates, None
            return _ok(result)
        if any(update["update_id"] < offset for update in self.updates):
            self.on_offset(offset)
            self.updates = [update for update in self.updates if update["update_id"] >= offset]
        deadline = asyncio.get_running_loop().time() + (params.get("timeout") or 0)
        while not self.updates and not mine.done():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            changed = asyncio.ensure_future(self._change())
            await asyncio.wait({changed, mine}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        if mine.done():
            return _error(409, "Conflict: terminated by other getUpdates request; one bot instance only")
        mine.set_result(None)
        return _ok(self.updates[: params.get("limit") or 100])

    async def _sendMessage(self, params: Params) -> web.Response:
        text = params.get("text", "")
        if not text.strip():
            return _error(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > 4096:
            return _error(400, "Bad Request: message is too long")
        return _ok(self._arrive(params))

    def _arrive(self, params: Params) -> Params:
        message = {
            "message_id": self._message_id(),
            "date": 1_700_000_000,
            "chat": {"id": params["chat_id"], "type": "private"},
            "text": str(params["text"]),
        }
        self.sent.append({**message, "params": params})
        return message

    def _message_id(self) -> int:
        self._next_message += 1
        return self._next_message

    async def _change(self) -> None:
        async with self._changed:
            await self._changed.wait()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ok(result: Any) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _error(status: int, description: str, parameters: Params | None = None) -> web.Response:
    body = {"ok": False, "error_code": status, "description": description}
    return web.json_response(body | ({"parameters": parameters} if parameters else {}), status=status)
