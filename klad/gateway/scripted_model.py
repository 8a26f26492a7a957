"""The scripted model as an upstream: the same API as a real one's, with real streaming."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from klad.gateway import messages, scripted, sse
from klad.gateway.model import ModelReply, ModelRequest
from klad.gateway.refusal import Refusal

_MODEL = {
    "type": "model",
    "id": scripted.MODEL,
    "display_name": "Klåd's scripted model",
    "created_at": "2025-01-01T00:00:00Z",
}


class ScriptedModel:
    """A `ModelUpstream` for a tenant without a key."""

    def __init__(self, pause_s: float = 0.0) -> None:
        """`pause_s`: between two events of a stream."""
        self._pause_s = pause_s

    async def messages(self, request: ModelRequest) -> ModelReply:
        _check(request.body)
        answer = scripted.answer(request.body)
        if request.body.get("stream"):
            headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
            return ModelReply(200, headers, self._stream(answer))
        return _json(answer)

    async def count_tokens(self, request: ModelRequest) -> ModelReply:
        _check(request.body, counting=True)
        return _json({"input_tokens": scripted.tokens(request.body)})

    async def models(self, request: ModelRequest) -> ModelReply:
        return _json({"data": [_MODEL], "has_more": False, "first_id": _MODEL["id"], "last_id": _MODEL["id"]})

    async def _stream(self, message: dict[str, Any]) -> AsyncIterator[bytes]:
        for event in sse.events(message):
            yield sse.encode(event)
            await asyncio.sleep(self._pause_s)


def _check(body: Any, counting: bool = False) -> None:
    problem = messages.problem(body, counting=counting)
    if problem:
        raise Refusal(400, problem)


def _json(value: dict[str, Any]) -> ModelReply:
    async def body() -> AsyncIterator[bytes]:
        yield json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")

    return ModelReply(200, {"Content-Type": "application/json"}, body())
