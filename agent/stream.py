"""A streamed answer of the Messages API, put together again. Pure: bytes in, one Reply out.

https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from agent.errors import Broken


class Call(NamedTuple):
    """The model wants a tool. `input` is None when what it wrote was no JSON object."""

    id: str
    name: str
    input: dict[str, Any] | None


class Reply(NamedTuple):
    content: list[dict[str, Any]]
    """As it is sent back with the next request: never empty, no empty text."""
    stop: str
    """The API's stop_reason."""
    calls: list[Call]
    text: str


class StreamError(Exception):
    """The API reported an error in mid-stream; `kind` is its type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The data of each server-sent event. Raises Broken for data that is no JSON object."""
    data: list[bytes] = []
    for line in lines:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield _object(b"\n".join(data))
            data = []
    # An event without its blank line was cut off: the standard says to drop it.


def assemble(found: Iterable[dict[str, Any]]) -> Reply:
    """The message that these events tell. Raises Broken when it stops before its end, and StreamError."""
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, list[str]] = {}
    stop = ""
    try:
        for event in found:
            match event.get("type"):
                case "content_block_start":
                    blocks[event["index"]] = dict(event["content_block"])
                case "content_block_delta":
                    _add(blocks[event["index"]], event["delta"], inputs.setdefault(event["index"], []))
                case "message_delta":
                    stop = event["delta"].get("stop_reason") or stop
                case "message_stop":
                    for index, parts in inputs.items():
                        if parts:
                            blocks[index]["input"] = "".join(parts)
                    return reply([blocks[index] for index in sorted(blocks)], stop)
                case "error":
                    error = event.get("error") or {}
                    raise StreamError(str(error.get("type")), str(error.get("message")))
    except (KeyError, TypeError, AttributeError) as error:
        raise Broken(f"a malformed event: {error!r}") from error
    raise Broken("the model's answer broke off")


def whole(raw: bytes) -> Reply:
    """The Reply in an answer that was not streamed. Raises Broken."""
    try:
        message = _object(raw)
        return reply([dict(block) for block in message["content"]], str(message.get("stop_reason") or ""))
    except (KeyError, TypeError, ValueError) as error:
        raise Broken(f"a malformed answer: {error!r}") from error


def reply(blocks: list[dict[str, Any]], stop: str) -> Reply:
    """Sort a message's blocks into what is said and what is called for."""
    content, calls, words = [], [], []
    for block in blocks:
        if block.get("type") == "text":
            if not str(block.get("text") or "").strip():
                continue  # the API refuses empty text in a request
            words.append(str(block["text"]))
        elif block.get("type") == "tool_use":
            given = _input(block.get("input"))
            calls.append(Call(str(block["id"]), str(block["name"]), given))
            block = block | {"input": given or {}}
        content.append(block)
    if not content:
        content = [{"type": "text", "text": "(nothing)"}]
    return Reply(content, stop, calls, "\n\n".join(words).strip())


def _add(block: dict[str, Any], delta: dict[str, Any], parts: list[str]) -> None:
    match delta.get("type"):
        case "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        case "input_json_delta":
            parts.append(delta["partial_json"])
        case "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]


def _input(given: Any) -> dict[str, Any] | None:
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else {}
        except ValueError:
            return None
    return given if isinstance(given, dict) else None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        raise Broken("an event that was no JSON") from None
    if not isinstance(value, dict):
        raise Broken("an event that was no object")
    return value
