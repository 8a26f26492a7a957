"""Which host tools a slot's agent may call, and with what. Pure; what they do is the ledger's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klad.gateway.reports import clean
from klad.words import Slot

LONGEST = 32_000
"""Characters of one argument."""

_TOOLS: Mapping[str, tuple[str, bool]] = {
    "worker_status": ("", False),
    "steer_worker": ("text", True),
    "queue_task": ("text", True),
    "cancel_worker": ("reason", False),
    "search_history": ("query", True),
    "remember": ("text", True),
}
"""Name → its one argument, and whether it must be given."""

_OFFERED: Mapping[Slot, frozenset[str]] = {
    "chat": frozenset(_TOOLS),
    "worker": frozenset({"search_history", "remember"}),
}


def known(name: str) -> bool:
    return name in _TOOLS


def offered(slot: Slot, name: str) -> bool:
    return name in _OFFERED[slot]


def arguments(name: str, given: Mapping[str, Any]) -> dict[str, Any] | str:
    """The tool's arguments, or words for the model about what is wrong with them (its mistake, no agent's)."""
    key, needed = _TOOLS[name]
    if not key:
        return {}
    value = given.get(key, "")
    if value is None:
        value = ""
    if not isinstance(value, str):
        return f"{name}: {key} is to be a string."
    value = clean(value).strip()
    if needed and not value:
        return f"{name} needs {key}."
    if len(value) > LONGEST:
        return f"{name}: {key} has {len(value)} characters; at most {LONGEST} are taken."
    return {key: value}
