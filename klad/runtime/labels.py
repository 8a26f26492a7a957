"""The labels that mark a container as ours, and what is read back from them. Pure.

All five are always set: an image's own labels are inherited by its containers, so a label left out
could come from an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klad.runtime import Found, Launch

INSTALL = "klad.install"
TENANT = "klad.tenant"
CHAT = "klad.chat"
SLOT = "klad.slot"
RUN = "klad.run"

_ALIVE = frozenset({"running", "paused", "restarting"})
"""States of the Engine API in which a container has processes."""


def labels(launch: Launch) -> dict[str, str]:
    return {
        INSTALL: launch.install,
        TENANT: launch.tenant,
        CHAT: launch.chat,
        SLOT: launch.slot,
        RUN: launch.run,
    }


def filters(install: str, tenant: str) -> dict[str, list[str]]:
    """The `filters` of `GET /containers/json` that name one tenant of one installation."""
    return {"label": [f"{INSTALL}={install}", f"{TENANT}={tenant}"]}


def found(summary: Mapping[str, Any], install: str, tenant: str) -> Found | None:
    """One entry of `GET /containers/json`, or None where it is not exactly this tenant's.

    The engine's label filter was asked already; looking again keeps a sweep from ever removing
    something on the strength of a filter that an engine understood differently.
    """
    own = summary.get("Labels") or {}
    if own.get(INSTALL) != install or own.get(TENANT) != tenant or not own.get(RUN):
        return None
    state = str(summary.get("State", "")).lower()
    return Found(own[RUN], own.get(CHAT, ""), own.get(SLOT, ""), state in _ALIVE)
