"""Keeps a conversation within bounds. Pure; sizes in characters.

Coarse on purpose: what was read long ago gives way first, then whole earlier turns.
"""

from __future__ import annotations

import json
from typing import Any

RESULT = 30_000
"""Longest tool result."""
BUDGET = 400_000
"""Longest conversation: about 100,000 tokens."""
STUB = 1_000
"""What is left of an old result."""

Message = dict[str, Any]


def clip(text: str, size: int = RESULT) -> str:
    """Head and tail of a text that is too long; in between how much is missing."""
    if len(text) <= size:
        return text
    note = f"\n[… {len(text) - size} characters left out …]\n"
    keep = max(size - len(note), 0)
    head = keep // 2
    return text[:head] + note + text[len(text) - (keep - head) :]


def size(messages: list[Message]) -> int:
    return sum(len(json.dumps(message["content"], ensure_ascii=False)) for message in messages)


def forget(messages: list[Message], budget: int = BUDGET) -> list[Message]:
    """Without the oldest turns, as far as that is needed to come within the budget."""
    starts = [i for i, message in enumerate(messages) if _begins(message)]
    for start in starts:
        if size(messages[start:]) <= budget:
            return messages[start:]
    return messages[starts[-1] :] if starts else messages


def shrink(messages: list[Message], budget: int = BUDGET) -> list[Message]:
    """With old tool results cut to stubs, the oldest first, as far as needed; the last message is kept."""
    excess = size(messages) - budget
    if excess <= 0:
        return messages
    kept = list(messages)
    for i, message in enumerate(messages[:-1]):
        if excess <= 0:
            break
        blocks = []
        for block in message["content"]:
            words = block.get("content")
            if block.get("type") == "tool_result" and isinstance(words, str) and len(words) > STUB:
                block = block | {"content": clip(words, STUB)}
                excess -= len(words) - STUB
            blocks.append(block)
        kept[i] = message | {"content": blocks}
    return kept


def _begins(message: Message) -> bool:
    return message["role"] == "user" and not any(b.get("type") == "tool_result" for b in message["content"])
