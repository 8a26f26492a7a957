"""How an update is written down: its JSON, or the bones of it where it is too large to keep. Pure."""

from __future__ import annotations

import json
from typing import Any

LIMIT = 1024 * 1024
"""Bytes of JSON beyond which only the bones of an update are kept."""

OVERSIZE = "klad_oversize"
"""Key that marks such an update; its value is the size in bytes that it had (0: not even measurable)."""

_TEXT = 4096
_KEPT = """
    message_id message_thread_id is_topic_message date edit_date chat from sender_chat id type title first_name
    last_name username is_bot text caption
"""
_BONES = tuple(_KEPT.split())


def written_down(raw: dict[str, Any], update_id: int) -> str:
    """`raw` as ASCII JSON of at most LIMIT bytes. Never raises.

    ASCII, because JSON may carry lone surrogates, which SQLite's UTF-8 cannot.
    """
    try:
        text = json.dumps(raw, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        return _bones(raw, update_id, 0)
    return text if len(text) <= LIMIT else _bones(raw, update_id, len(text))


def _bones(raw: dict[str, Any], update_id: int, size: int) -> str:
    bones: dict[str, Any] = {"update_id": update_id, OVERSIZE: size}
    for name, value in raw.items():
        if isinstance(value, dict) and isinstance(value.get("chat"), dict):
            bones[str(name)[:64]] = _pick(value, depth=2)
            break
    return json.dumps(bones, separators=(",", ":"))


def _pick(value: dict[str, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in _BONES:
        item = value.get(name)
        if isinstance(item, str):
            kept[name] = item[:_TEXT]
        elif isinstance(item, bool) or (isinstance(item, int) and abs(item) < 2**63):
            kept[name] = item
        elif isinstance(item, dict) and depth > 1:
            kept[name] = _pick(item, depth - 1)
    return kept
