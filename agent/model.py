"""The Messages API through the gateway: one request, repeated until it is answered or hopeless.

Nothing of an answer is used before all of it is here, so that a broken stream can be asked for again.
"""

from __future__ import annotations

from typing import Any

from agent import retry, stream
from agent.attention import Attention
from agent.client import Gateway, chance, encode, error_of
from agent.errors import Broken, TurnFailed
from agent.stream import Reply

TRIES = 8
"""Of one request that is answered with 429, 5xx, or a broken stream; with the pauses about two minutes."""
STALL_S = 300.0
"""Longest silence in a stream; the API sends pings in between."""
HEADERS = {"anthropic-version": "2023-06-01", "Accept": "text/event-stream"}
PASSING = ("overloaded_error", "api_error", "rate_limit_error", "timeout_error", "None")
"""Types of an error in mid-stream that may be gone the next time."""


class TooLong(TurnFailed):
    """The conversation does not fit (413, or the API's "prompt is too long")."""


class Messages:
    def __init__(self, gateway: Gateway, attention: Attention) -> None:
        self._gateway = gateway
        self._check = attention.check

    def create(self, request: dict[str, Any]) -> Reply:
        """Ask the model. Raises Cancelled, TooLong, TurnFailed, and what Gateway.stream raises."""
        body = encode(request | {"stream": True})
        for attempt in range(TRIES):
            wait = retry.backoff(attempt, chance(), first=1.0, cap=30.0)
            try:
                response = self._gateway.stream(
                    "/v1/messages", body, HEADERS, timeout=STALL_S, check=self._check
                )
                if response.status == 200:
                    if response.headers.get("content-type", "").startswith("application/json"):
                        return stream.whole(response.read())
                    answer = stream.assemble(stream.events(response.lines()))
                    response.drain()
                    return answer
                kind, message = error_of(response.read(), response.status)
                if response.status not in (408, 429) and response.status < 500:
                    raise _refusal(response.status, kind, message)
                cause = f"{message} (HTTP {response.status})"
                after = retry.retry_after(response.headers)
                wait = wait if after is None else max(after, 0.01)
            except stream.StreamError as error:
                if error.kind not in PASSING:
                    raise _refusal(200, error.kind, str(error)) from error
                cause = f"{error} ({error.kind})"
            except Broken as error:
                cause = str(error)
                wait = min(wait, retry.backoff(attempt, chance()))
            self._gateway.pause(wait, self._check)
        raise TurnFailed(f"The model could not be reached after {TRIES} tries: {_line(cause)}")


def _refusal(status: int, kind: str, message: str) -> TurnFailed:
    line = f"The model refused the request: {_line(message)}" + (f" (HTTP {status})" if status != 200 else "")
    if status == 413 or (status == 400 and "too long" in message):
        return TooLong(line)
    return TurnFailed(line if status != 402 else _line(message))


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
