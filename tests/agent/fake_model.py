"""What the fake gateway's model answers: steps of its script, as the Messages API sends them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Json = dict[str, Any]


class Answer(NamedTuple):
    """What the model's endpoint sends: `events` as a stream, or `body`."""

    status: int = 200
    events: tuple[Json | str, ...] = ()
    body: Json | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    """Drop the connection after the events, without an end."""


def message(*blocks: Json, stop: str = "end_turn") -> Answer:
    """A whole answer as the Messages API streams it, its text and input in pieces."""
    events: list[Json | str] = [{"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}]
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            start, key, pieces = {"type": "text", "text": ""}, "text", block["text"]
        else:
            start, key, pieces = block | {"input": {}}, "partial_json", json.dumps(block["input"])
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events.append({"type": "ping"})
        kind = "text_delta" if key == "text" else "input_json_delta"
        middle = len(pieces) // 2
        for piece in (pieces[:middle], pieces[middle:]):
            delta = {"type": kind, key: piece}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 2}})
    events.append({"type": "message_stop"})
    return Answer(events=tuple(events))


def says(text: str) -> Answer:
    return message({"type": "text", "text": text})


_count = iter(range(1, 1_000_000))


def use(name: str, **given: Any) -> Json:
    return {"type": "tool_use", "id": f"call-{next(_count)}", "name": name, "input": given}


def calls(*uses: Json, text: str = "") -> Answer:
    said = [{"type": "text", "text": text}] if text else []
    return message(*said, *uses, stop="tool_use")


def fails(status: int, text: str, kind: str = "some_error", **headers: str) -> Answer:
    body = {"type": "error", "error": {"type": kind, "message": text}}
    return Answer(status, body=body, headers=tuple((k.replace("_", "-"), v) for k, v in headers.items()))
