"""The embedded Bot API server: `/bot<token>/METHOD` for the bot, `/api/*` and one page for its owner."""

from __future__ import annotations

import asyncio
import hmac
import html
import logging
import re
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from aiohttp import web

from klad.botapi.auth import (
    SESSION_LIFE,
    Handler,
    Links,
    cookie_name,
    guarded,
    new_session,
    session_digest,
)
from klad.botapi.errors import ApiError, StoreError, not_found, unauthorized
from klad.botapi.events import Events
from klad.botapi.faults import Faults
from klad.botapi.flood import Flood
from klad.botapi.methods import Methods
from klad.botapi.params import read_params
from klad.botapi.polls import Polls
from klad.botapi.shapes import People
from klad.botapi.store import BotApiStore, Chat
from klad.botapi.userside import UserSide

log = logging.getLogger(__name__)

_TOKEN = re.compile(r"([0-9]{1,16}):[A-Za-z0-9_-]{1,128}\Z")

_STATIC = {
    "app.css": "text/css",
    "app.js": "text/javascript",
    "wire.js": "text/javascript",
    "words.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class BotApi:
    """Mount it with `add_to`; everything runs on that application's loop, but `link`, which any thread may call.

    `token` is what the bot client uses here ("<bot id>:<secret>"; ValueError if it hasn't that form);
    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        store: BotApiStore,
        token: str,
        bot_name: str,
        owner_id: int = 1,
        owner_name: str = "You",
        clock: Callable[[], float] = time.time,
    ) -> None:
        match = _TOKEN.match(token)
        if match is None:
            raise ValueError("a bot token is digits, a colon, and letters, digits, - or _")
        self.people = People(int(match[1]), bot_name, owner_id, owner_name)
        self.faults = Faults()
        """For tests of clients."""
        self.flood = Flood(clock)
        """`flood.limit = (messages, seconds)` turns a limit a chat on."""
        self.events = Events()
        self._store = store
        self._token = token
        self._clock = clock
        self._links = Links(clock)
        self._polls = Polls()
        self._methods = Methods(store, self.people, self.events, self._polls, self.flood, clock)
        self._user = UserSide(store, self.people, self.events, self._polls, clock)
        static = files("klad.botapi") / "static"
        self._files = {name: (static / name).read_bytes() for name in _STATIC}
        self._page = (static / "index.html").read_text("utf-8")
        self._door = (static / "door.html").read_text("utf-8")

    # -- life

    async def start(self) -> None:
        """Opens the store and makes the owner's chat. Raises StoreError. Harmless when repeated."""
        self._polls.open()
        self.events.open()
        # A store that was deleted must not give ids again that the ledger has seen: begin at the time.
        await self._store.open(first_update=int(self._clock()))
        await self._store.ensure_chat(Chat(self.people.owner_id, self.people.bot_name))

    async def hush(self) -> None:
        """Ends what waits (long polls, event streams), so that the web server can stop at once."""
        self._polls.close()
        self.events.close()

    async def stop(self) -> None:
        """Closes the store; pending updates and messages stay in it. Harmless when repeated."""
        await self.hush()
        await self._store.close()

    def add_to(self, app: web.Application) -> None:
        """Routes, and start and stop with the application."""

        async def start(_: web.Application) -> None:
            await self.start()

        async def hush(_: web.Application) -> None:
            await self.hush()

        async def stop(_: web.Application) -> None:
            await self.stop()

        app.add_routes(self.routes())
        app.on_startup.append(start)
        app.on_shutdown.append(hush)
        app.on_cleanup.append(stop)

    def routes(self) -> list[web.RouteDef]:
        """Each checks Host and Origin by itself. Whoever mounts them calls `start` and `stop`."""
        user = self._user
        handlers: list[tuple[str, str, Handler]] = [
            ("*", r"/bot{token:[^/]*}/{method:[^/]*}", self._bot),
            ("*", r"/bot{rest:.*}", self._no_such_bot),
            ("GET", "/", self._or_ill(self._index)),
            ("GET", "/login", self._or_ill(self._login)),
            ("GET", "/static/{name}", self._file),
            *((verb, path, user.answered(self._for_owner(handler))) for verb, path, handler in user.routes()),
        ]
        return [_route(verb, path, guarded(handler)) for verb, path, handler in handlers]

    def link(self, base_url: str) -> str:
        """A login link for the owner: works once, within LINK_LIFE seconds, until the next restart."""
        return f"{base_url.rstrip('/')}/login?code={self._links.mint()}"

    # -- the bot's side

    async def _bot(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
            return web.json_response(error.body(), status=error.code, headers=headers)
        except StoreError as error:
            log.error("%s", error)
        except ConnectionError:
            return web.Response(status=400)  # nobody is there to read it
        except Exception:  # the boundary: a client must get an answer in the Bot API's shape
            log.exception("a Bot API request failed")
        return web.json_response(ApiError(500, "Internal Server Error").body(), status=500)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        token, method = request.match_info["token"], request.match_info["method"]
        if not _TOKEN.match(token):
            raise not_found()
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise unauthorized()
        if request.method not in ("GET", "POST"):
            raise ApiError(405, "Method Not Allowed")
        params = await read_params(request)
        fault = self.faults.take(method, params)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.error is not None:
                raise fault.error
        result: Any = await self._methods.call(method, params)
        if fault is not None and fault.cut and request.transport is not None:
            request.transport.abort()
        return web.json_response({"ok": True, "result": result})

    async def _no_such_bot(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(not_found().body(), status=404)

    # -- the owner's side

    def _or_ill(self, handler: Handler) -> Handler:
        async def inner(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except StoreError as error:
                return self._at_the_door(503, html.escape(str(error)))

        return inner

    def _for_owner(self, handler: Handler) -> Handler:
        async def inner(request: web.Request) -> web.StreamResponse:
            if not await self.is_owner(request):
                return web.json_response({"error": "Open the link that Klåd printed at its start."}, status=401)
            return await handler(request)

        return inner

    async def is_owner(self, request: web.Request) -> bool:
        """The request carries a live session. Other pages of the same application may ask too."""
        value = request.cookies.get(cookie_name(request), "")
        if not value:
            return False
        return await self._store.has_session(session_digest(value), self._clock())

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if await self.is_owner(request):
            return web.Response(text=self._page, content_type="text/html")
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            # A link clicked on another site (a terminal in the browser): SameSite=Strict holds the
            # cookie back until this page itself has asked.
            return web.Response(text=_ONCE_MORE, content_type="text/html")
        return self._at_the_door(401, f"To come in, open the link that Klåd printed in its terminal. {_ANOTHER}")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if "prefetch" in request.headers.get("Sec-Purpose", request.headers.get("Purpose", "")):
            # Browsers load ahead what is typed or pasted in the address bar; that must not use the link up.
            return web.Response(status=503, text="Not ahead of time.")
        fresh = self._links.redeem(request.query.get("code", ""))
        response = web.Response(status=303, headers={"Location": "/"})
        if await self.is_owner(request):
            return response
        if not fresh:
            words = f"This link was used before, or is too old. {_ANOTHER}"
            return self._at_the_door(403, words)
        value, now = new_session(), self._clock()
        await self._store.add_session(session_digest(value), now + SESSION_LIFE, now)
        response.set_cookie(
            cookie_name(request),
            value,
            max_age=int(SESSION_LIFE),
            path="/",
            httponly=True,
            samesite="Strict",
        )
        return response

    def _at_the_door(self, status: int, words: str) -> web.Response:
        return web.Response(
            status=status,
            text=self._door.replace("{words}", words),
            content_type="text/html",
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._files:
            return web.Response(status=404, text="Not found.")
        return web.Response(body=self._files[name], content_type=_STATIC[name], charset="utf-8")


def _route(verb: str, path: str, handler: Handler) -> web.RouteDef:
    # aiohttp adds HEAD to GET unasked; a HEAD for the link would use it up, and one for events never ends.
    return web.get(path, handler, allow_head=False) if verb == "GET" else web.route(verb, path, handler)


_ANOTHER = "A link works once; for a new one, press Enter in the terminal where Klåd runs."

_ONCE_MORE = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>Klåd</title>'
