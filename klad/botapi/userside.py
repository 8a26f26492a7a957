"""The person's side of the chat: what the page (or a test, as the person) calls under /api."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from klad.botapi.auth import HEADERS, Handler, cookie_name
from klad.botapi.errors import ApiError, StoreError
from klad.botapi.events import Events, Subscription, encode
from klad.botapi.methods import DEFAULT_COMMANDS
from klad.botapi.params import Params, json_object, read_body, whole
from klad.botapi.polls import Polls
from klad.botapi.shapes import People
from klad.botapi.store import BotApiStore, StoredMessage
from klad.botapi.text import TEXT_LIMIT, found, units

CHATS = 200
"""More can't be made."""

KEEPALIVE = 15.0
"""Seconds of silence on the event stream before a comment is sent."""

STALLED = 30.0
"""Seconds that one write to a reader may take."""


class Refused(Exception):
    """An answer for the person, in words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class UserSide:
    def __init__(
        self,
        store: BotApiStore,
        people: People,
        events: Events,
        polls: Polls,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._people = people
        self._events = events
        self._polls = polls
        self._clock = clock

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/chats", self.chats),
            ("POST", "/api/chats", self.new_chat),
            ("GET", "/api/chats/{chat}/messages", self.messages),
            ("POST", "/api/chats/{chat}/messages", self.send),
            ("GET", "/api/events", self.event_stream),
        ]

    def answered(self, handler: Handler) -> Handler:
        """Every failure as `{"error": words}`."""

        async def inner(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as refused:
                return web.json_response({"error": str(refused)}, status=refused.status)
            except ApiError as error:
                return web.json_response({"error": error.description}, status=error.code)
            except StoreError as error:
                return web.json_response({"error": f"Try again: {error}"}, status=503)
            except ConnectionError:
                return web.Response(status=400)  # nobody is there to read it

        return inner

    async def chats(self, _: web.Request) -> web.StreamResponse:
        """Everything the page needs at first, but the messages of the open chat."""
        found_chats = [
            {"id": chat.id, "title": chat.title, "last": None if last is None else self._people.message(last)}
            for chat, last in await self._store.chats()
        ]
        return web.json_response(
            {
                "bot": self._people.bot(),
                "owner": self._people.owner(),
                "chats": found_chats,
                "commands": await self._store.get(DEFAULT_COMMANDS) or [],
            }
        )

    async def new_chat(self, request: web.Request) -> web.StreamResponse:
        params = await _json(request)
        title = re.sub(r"[\x00-\x1f\x7f\s]+", " ", params.text("title")).strip()
        if len(title) > 64:
            raise Refused(400, f"That title has {len(title)} characters; the most is 64.")
        chat = await self._store.new_chat(title, CHATS)
        if chat is None:
            raise Refused(409, f"There are {CHATS} chats, and that is the most.")
        shown = {"id": chat.id, "title": chat.title, "last": None}
        self._events.publish("chat", {"chat": shown})
        return web.json_response({"chat": shown}, status=201)

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """`?before=` a message id, `?limit=` up to 100 (50); oldest first."""
        chat = await self._chat(request)
        params = Params(dict(request.query))
        limit = min(max(params.integer("limit", 50), 1), 100)
        rows = await self._store.messages(chat, params.integer("before"), limit + 1)
        shown = [self._people.message(row) for row in rows[-limit:]]
        return web.json_response({"messages": shown, "more": len(rows) > limit})

    async def send(self, request: web.Request) -> web.StreamResponse:
        """`{text, reply_to?, nonce?}`: the message and its update are stored when this returns."""
        chat = await self._chat(request)
        params = await _json(request)
        text = params.text("text").strip()
        size = units(text)
        if not text:
            raise Refused(400, "There is nothing to send: the message is empty.")
        if size > TEXT_LIMIT:
            words = f"That message has {size} characters and the most is {TEXT_LIMIT}; send it in parts."
            raise Refused(400, words)
        reply_to = await self._reply_target(chat, params.integer("reply_to"))
        message = StoredMessage(
            chat=chat,
            by_bot=False,
            date=int(self._clock()),
            text=text,
            entities=tuple(found(text)),
            reply_to=reply_to,
            nonce=params.text("nonce")[:64] or None,
        )
        allowed = await self._store.get("allowed_updates")
        wanted = not allowed or "message" in allowed
        stored, new = await self._store.add(message, self._as_update if wanted else None)
        shown = self._people.message(stored)
        if new:
            self._polls.wake()
            self._events.publish("message", {"message": shown, "nonce": stored.nonce})
        return web.json_response({"message": shown}, status=201 if new else 200)

    def _as_update(self, message: StoredMessage) -> dict[str, Any]:
        return {"message": self._people.message(message)}

    async def _reply_target(self, chat: int, wanted: int) -> StoredMessage | None:
        if wanted == 0:
            return None
        target = await self._store.message(chat, wanted)
        if target is None:
            raise Refused(400, "The message that this replies to is gone.")
        return replace(target, reply_to=None)

    async def _chat(self, request: web.Request) -> int:
        chat = whole(request.match_info["chat"])
        if chat is None or await self._store.chat(chat) is None:
            raise Refused(404, "There is no such chat.")
        return chat

    async def event_stream(self, request: web.Request) -> web.StreamResponse:
        """`hello`, then `message`, `edit`, `delete`, `chat`, `commands`, `typing`, at the last `bye`; see Events."""
        after = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        reader = self._events.join(after, request.cookies.get(cookie_name(request), ""))
        if reader is None:
            raise Refused(503, "Too many windows are open.")
        try:
            return await self._stream(request, reader)
        finally:
            self._events.leave(reader)

    async def _stream(self, request: web.Request, reader: Subscription) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream; charset=utf-8"})
        transport = request.transport
        if transport is not None:
            reader.cut = transport.abort
        number = None if reader.resumed else self._events.last_id
        frame: bytes | None = b"retry: 1000\n" + encode("hello", {"resumed": reader.resumed}, number)
        try:
            await response.prepare(request)
            while frame is not None:
                await asyncio.wait_for(response.write(frame), STALLED)
                frame = await reader.next(KEEPALIVE)
        except TimeoutError:
            reader.cut()
        except ConnectionError:
            pass  # the page went away, or was cut
        return response


async def _json(request: web.Request) -> Params:
    return Params(json_object(await read_body(request)))
