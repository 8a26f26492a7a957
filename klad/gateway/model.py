"""The seam to models: the gateway speaks the Anthropic Messages API to agents, whoever answers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from klad.words import Run, Slot


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call as the agent made it, without the run's token."""

    run: Run
    path: str
    """`/v1/messages`, `/v1/messages/count_tokens` or `/v1/models`."""
    query: str
    """Undecoded, without the `?`; `beta=true` for one."""
    headers: Mapping[str, str]
    """Case-insensitive; `anthropic-version`, `anthropic-beta` and the like, no credentials, none hop by hop."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The decoded JSON object, every key as it came; empty for GET."""

    @property
    def slot(self) -> Slot:
        return self.run.slot


@dataclass(frozen=True, slots=True)
class ModelReply:
    """An answer to pass on as it arrives; `body` is closed when the agent breaks off."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


class ModelUpstream(Protocol):
    """Whoever answers. Each method may raise `Refusal` (before the first byte), and is cancelled, or its
    reply's body closed, when the agent goes away."""

    async def messages(self, request: ModelRequest) -> ModelReply:
        """POST /v1/messages, streamed (`text/event-stream`) or not."""

    async def count_tokens(self, request: ModelRequest) -> ModelReply:
        """POST /v1/messages/count_tokens."""

    async def models(self, request: ModelRequest) -> ModelReply:
        """GET /v1/models."""
