"""What every request passes: who it is, whether it may, how much of it, and how errors look."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from klad.errors import LedgerError
from klad.gateway.limits import CONCURRENT, HELD, MIB, Allowance, Limits
from klad.gateway.listeners import Connection, Listener
from klad.gateway.refusal import Refusal
from klad.gateway.reports import Garbage
from klad.gateway.tokens import Tokens
from klad.words import PROTOCOL, Run

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RUN = web.RequestKey("run", Run)
TOKEN = web.RequestKey("token", str)
ALLOWANCE = web.RequestKey("allowance", Allowance)


class Body:
    """How much of its body a request keeps in memory, in bytes."""

    def __init__(self) -> None:
        self.size = 0


BODY = web.RequestKey("body", Body)

SMALL = MIB
SERVED = frozenset({str(PROTOCOL)})
"""Versions of `/agent/*` that are answered: this one, and those of runs that were adopted."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is raised, as an answer in words; a client that broke off gets none."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()
    except Garbage as garbage:
        return Refusal(400, str(garbage)).response()
    except LedgerError as error:
        log.warning("%s %s: %s", request.method, request.path, error)
        return Refusal(503, f"The host can't write this down now; try again. {error}", retry_after=1).response()
    except web.HTTPException as answer:
        return Refusal(answer.status, answer.reason).response()
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return Refusal(500, "Something failed on the host; its log says what.").response()


class Door:
    """Lets a request in when its token is a live run's, and the listener that run's slot's."""

    def __init__(self, tokens: Tokens, limits: Limits) -> None:
        self._tokens = tokens
        self._limits = limits

    @property
    def middlewares(self) -> tuple[Any, ...]:
        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._admit(request, handler)

        return (errors, admit)

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        listener = listener_of(request)
        token = request.headers.get("x-api-key") or bearer(request.headers.get("Authorization", ""))
        run = await self.who(token, listener)
        allowance = self._limits.of(run.id)
        if allowance.running >= CONCURRENT:
            raise Refusal(429, f"This run has {CONCURRENT} requests under way already.", retry_after=1)
        if wait := allowance.requests.wait():
            raise Refusal(429, "This run asks too often.", retry_after=wait)
        if request.path.startswith("/agent/"):
            version = request.headers.get("Klad-Protocol", "")
            if version not in SERVED:
                raise Refusal(
                    400, f"Klad-Protocol is {version[:20]!r}; this host speaks {', '.join(sorted(SERVED))}."
                )
        allowance.requests.spend(1)
        allowance.running += 1
        request[RUN], request[TOKEN], request[ALLOWANCE], request[BODY] = run, token, allowance, Body()
        try:
            return await handler(request)
        finally:
            allowance.running -= 1
            allowance.held -= request[BODY].size

    async def who(self, token: str, listener: Listener, *, fresh: bool = False) -> Run:
        """The live run that holds `token`. Raises `Refusal` (401, 403, 410, 429)."""
        wait = listener.strangers.wait()
        if wait and not self._tokens.seen(token):
            raise Refusal(429, "Too many unknown tokens came this way.", retry_after=wait)
        run = await self._tokens.run_of(token, fresh=fresh)
        if run == "ended":
            raise Refusal(410, "This run is over.")
        if run is None:
            listener.strangers.spend(1)
            raise Refusal(401, "This is no run's token." if token else "A run's token is needed.")
        if listener.owner is not None and listener.owner != (run.chat, run.slot):
            listener.strangers.spend(1)
            log.warning("the token of %s was used on the socket of another slot", run.id)
            raise Refusal(403, "This token belongs to another slot.")
        return run


def bearer(header: str) -> str:
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def listener_of(request: web.Request) -> Listener:
    """Raises `ConnectionResetError` when the client has gone."""
    transport = request.transport
    connection = transport.get_protocol() if transport is not None else None
    if not isinstance(connection, Connection):
        raise ConnectionResetError
    return connection.listener


async def json_body(request: web.Request, most: int = SMALL) -> Any:
    """The decoded body of at most `most` bytes. Raises `Refusal`.

    It counts towards what the run holds in memory until the request is over.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415, "Compressed bodies are not taken.")
    allowance, body = request[ALLOWANCE], request[BODY]
    if wait := allowance.bytes.wait():
        raise Refusal(429, "This run sends too much.", retry_after=wait)
    parts = []
    try:
        async for part in request.content.iter_any():
            body.size += len(part)
            allowance.held += len(part)
            if body.size > most:
                raise Refusal(413, f"The body is larger than {most // MIB} MiB.")
            if allowance.held > HELD:
                raise Refusal(429, "This run's requests are too large all together.", retry_after=1)
            parts.append(part)
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise Refusal(400, f"The body broke off: {error}") from None
    finally:
        allowance.bytes.spend(body.size)
    try:
        return json.loads(b"".join(parts), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, f"The body is not JSON: {words[:200]}") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")  # RFC 8259 has no NaN or Infinity


def whole(request: web.Request, name: str) -> int:
    """A query parameter, 0 when absent. Raises `Refusal`."""
    text = request.query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Refusal(400, f"{name} is to be a whole number.")
    return int(text)
