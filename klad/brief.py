"""All that an agent is given with a turn, composed from plain values. Pure.

The shape is part of protocol version 1 of `/agent/*` (docs/architecture.md, "The brief").
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from klad.estimate import estimate
from klad.slots import CHAT_DEADLINE_S
from klad.words import PROTOCOL, ChatState, Turn

HISTORY_ITEMS = 40
HISTORY_CHARS = 12_000
MAX_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class About:
    """What a brief says of the tenant."""

    assistant: str = "Klåd"
    timezone: str = "UTC"
    model: str = "klad-scripted"
    chat_model: str = "klad-scripted"


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of a chat's history."""

    who: str
    """`user`, `klad` (the chat slot and Klåd's own words) or `worker`."""
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One message of the turn."""

    id: int
    sender: str
    text: str
    at: float
    reply_text: str = ""


def compose(
    turn: Turn,
    asked: Sequence[Asked],
    history: Sequence[Said],
    memory: Sequence[str],
    state: ChatState,
    about: About,
    now: float,
) -> dict[str, Any]:
    """The brief of `turn`; `history` is chronological and cut to what fits, newest kept."""
    zone = ZoneInfo(about.timezone)

    def moment(at: float) -> str:
        try:
            return datetime.datetime.fromtimestamp(at, zone).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):
            return moment(now)  # a date beyond the calendar: the turn must not wait for ever because of it

    chat = turn.slot == "chat"
    return {
        "protocol": PROTOCOL,
        "turn": turn.id,
        "chat": turn.chat,
        "slot": turn.slot,
        "assistant": about.assistant,
        "now": moment(now),
        "model": about.chat_model if chat else about.model,
        "max_tokens": MAX_TOKENS,
        "deadline_s": CHAT_DEADLINE_S if chat else None,
        "messages": [
            {
                "id": item.id,
                "from": item.sender,
                "text": item.text,
                "at": moment(item.at),
                **({"reply_to": item.reply_text} if item.reply_text else {}),
            }
            for item in asked
        ],
        "history": [{"who": item.who, "text": item.text, "at": moment(item.at)} for item in _newest(history)],
        "memory": "\n".join(f"- {line}" for line in memory),
        "worker": worker_status(state, now),
    }


def worker_status(state: ChatState, now: float) -> dict[str, Any]:
    """What the chat slot knows of the worker; times in s."""
    turn = state.worker
    if turn is None:
        return {
            "state": "idle",
            "task": "",
            "elapsed_s": 0.0,
            "progress": None,
            "estimate": None,
            "tool": "",
            "last_lines": "",
            "queue": [],
            "last": _last(state),
        }
    elapsed = now - (turn.taken or now)
    found = estimate(elapsed, turn.progress, state.durations) if turn.state == "taken" else None
    progress = turn.progress
    return {
        "state": "busy" if turn.state == "taken" else "waiting",
        "task": turn.title,
        "elapsed_s": round(elapsed, 1),
        "progress": None
        if progress is None
        else {"done": progress.done, "total": progress.total, "step": progress.step},
        "estimate": None
        if found is None
        else {"low_s": round(found.low_s), "high_s": round(found.high_s), "source": found.source},
        "tool": state.tool,
        "last_lines": state.lines,
        "queue": [queued.title for queued in state.queue],
        "last": _last(state),
    }


def _last(state: ChatState) -> dict[str, str] | None:
    if not state.recent:
        return None
    turn = state.recent[0]
    return {"task": turn.title, "state": turn.state, "result": turn.result[-1500:]}


def _newest(history: Sequence[Said]) -> list[Said]:
    kept: list[Said] = []
    room = HISTORY_CHARS
    for item in reversed(history[-HISTORY_ITEMS:]):
        text = item.text if len(item.text) <= 2000 else item.text[:1000] + "\n[…]\n" + item.text[-900:]
        room -= len(text)
        if room < 0:
            break
        kept.append(Said(item.who, text, item.at))
    return kept[::-1]
