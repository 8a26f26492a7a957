"""A whole Messages API message as the stream of events that the API would send it in. Pure.

Follows "Streaming Messages" of the Anthropic API documentation: event names, their order, and which
fields stand where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

TEXT_PIECE = 24
JSON_PIECE = 32
"""Characters of one delta."""

Event = tuple[str, dict[str, Any]]


def events(message: Mapping[str, Any]) -> Iterator[Event]:
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**usage, "output_tokens": 1}
    yield "message_start", {"type": "message_start", "message": begun}
    for index, block in enumerate(message["content"]):
        yield from _block(index, block)
        if index == 0:
            yield "ping", {"type": "ping"}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    tokens = {"output_tokens": usage["output_tokens"]}
    yield "message_delta", {"type": "message_delta", "delta": ending, "usage": tokens}
    yield "message_stop", {"type": "message_stop"}


def _block(index: int, block: Mapping[str, Any]) -> Iterator[Event]:
    empty: dict[str, Any]
    deltas: list[dict[str, Any]]
    if block["type"] == "text":
        empty = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"], TEXT_PIECE)]
    else:
        empty = {**block, "input": {}}
        # The real API begins with an empty piece, so a reader that minds it is found out here.
        written = json.dumps(block["input"], ensure_ascii=False)
        pieces = ["", *_pieces(written, JSON_PIECE)]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": empty}
    for delta in deltas:
        yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": index}


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def encode(event: Event) -> bytes:
    """One event on the wire (WHATWG HTML, "Server-sent events"); JSON has no raw line ends."""
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode("utf-8", "replace")
