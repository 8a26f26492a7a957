"""`/v1/*`: the Anthropic Messages API for agents, passed to the tenant's upstream as it streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from multidict import CIMultiDict

from klad.gateway.door import RUN, json_body
from klad.gateway.limits import MIB
from klad.gateway.model import ModelReply, ModelRequest, ModelUpstream
from klad.gateway.refusal import Refusal

log = logging.getLogger(__name__)

LARGEST = 32 * MIB
"""The Messages API's own limit ("Request size limits")."""

_CREDENTIALS = frozenset({"authorization", "x-api-key", "cookie", "set-cookie", "host"})
_CONNECTION = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
    | {"proxy-authenticate", "proxy-authorization"}
)
"""What describes one connection alone (RFC 9110 7.6.1)."""
_BODY = frozenset({"content-length", "content-encoding", "accept-encoding"})
"""What is no longer true of a body that we decoded."""
_OURS = _CREDENTIALS | _CONNECTION | _BODY
_REPLY_OURS = _OURS | {"date", "server"}


class ModelApi:
    def __init__(self, upstream: ModelUpstream) -> None:
        self._upstream = upstream

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/messages", self.messages),
            web.post("/v1/messages/count_tokens", self.count_tokens),
            web.get("/v1/models", self.models),
        ]

    async def messages(self, request: web.Request) -> web.StreamResponse:
        return await self._pass(request, self._upstream.messages)

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        return await self._pass(request, self._upstream.count_tokens)

    async def models(self, request: web.Request) -> web.StreamResponse:
        return await self._pass(request, self._upstream.models)

    async def _pass(
        self, request: web.Request, answer: Callable[[ModelRequest], Awaitable[ModelReply]]
    ) -> web.StreamResponse:
        body = await json_body(request, LARGEST) if request.method == "POST" else {}
        if not isinstance(body, dict):
            raise Refusal(400, "The body is to be a JSON object.")
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _OURS)
        reply = await answer(ModelRequest(request[RUN], request.path, request.query_string, headers, body))
        response = web.StreamResponse(
            status=reply.status,
            headers={k: v for k, v in reply.headers.items() if k.lower() not in _REPLY_OURS},
        )
        # The one place that closes the upstream: at the end, and when the agent breaks off (aiohttp
        # then cancels this very handler, or fails the write).
        async with _closing(reply.body):
            await response.prepare(request)
            try:
                async for part in reply.body:
                    await response.write(part)
            except (asyncio.CancelledError, ConnectionError):
                raise
            except Exception:
                log.exception("%s: the upstream broke off", request.path)
                await self._broke_off(response)
            await response.write_eof()
        return response

    async def _broke_off(self, response: web.StreamResponse) -> None:
        """The status is sent already: an `error` event says it (Messages API, "Streaming"), then the end.

        An answer that is no stream is left without its end, so that the agent can tell.
        """
        if response.content_type != "text/event-stream":
            raise ConnectionResetError("the upstream broke off")
        error = Refusal(500, "The model's answer broke off; try again.").body()
        await response.write(f"event: error\ndata: {json.dumps(error)}\n\n".encode())


@contextlib.asynccontextmanager
async def _closing(body: AsyncIterator[bytes]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()
