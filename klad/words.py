"""The glossary as types: the words that ledger, gateway, runtime and actors share.

Frozen values without behaviour. Times are seconds since the epoch (float) unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Slot = Literal["chat", "worker"]
SLOTS: tuple[Slot, Slot] = ("chat", "worker")

TurnState = Literal["open", "taken", "done", "failed", "cancelled"]
"""`open` takes joiners; `taken` is bound to a run; the other three are ends."""

RunState = Literal["starting", "live", "retiring", "ended"]
"""`retiring`: told to go (410) at its next ask; it takes no more turns."""

PROTOCOL = 1
"""Version of `/agent/*`."""


@dataclass(frozen=True, slots=True)
class Message:
    """One inbound message as an agent sees it."""

    id: int
    chat: str
    sender: str
    text: str
    at: float
    telegram_id: int
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Declared by the agent: `done` of `total` (any unit), and the words for the current step."""

    done: float | None = None
    total: float | None = None
    step: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    id: int
    chat: str
    slot: Slot | Literal["router"]
    state: TurnState
    created: float
    run: str | None = None
    taken: float | None = None
    ended: float | None = None
    request: str | None = None
    """The text of a queued task; None for a turn made of messages."""
    title: str = ""
    attempts: int = 0
    tools: int = 0
    """How many tool calls have started."""
    progress: Progress | None = None
    tail: str = ""
    """The last lines of output that the agent reported."""
    waiting: bool = False
    """The user was told that this turn waits for a place or for the engine."""
    result: str = ""
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One container's life in a slot. `id` is the container's name."""

    id: str
    chat: str
    slot: Slot
    state: RunState
    created: float
    ended: float | None = None
    mounts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Container path → (device, inode) of what was checked on the host."""
    last_turn: int | None = None
    crash: str = ""
    """The agent's own last stderr, as it posted it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a run's journal."""

    seq: int
    kind: str
    turn: int | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signal:
    """Something for a running agent: `steer` (text) or `cancel` (reason)."""

    id: int
    kind: Literal["steer", "cancel"]
    text: str
    turn: int | None = None
    """The turn that it is meant for: one that comes late must not touch the next."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One row of the outbox."""

    id: int
    chat: str
    text: str
    """Markdown."""
    turn: int | None = None
    reply_to: int | None = None
    """Telegram message id to reply to."""
    final: bool = False
    """The last words of its turn."""
    sent_parts: int = 0
    """Parts of a long text that Telegram already has."""
    attempts: int = 0
    """Sends begun; over 1 after a crash in mid-send, when the text may appear twice."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What somebody wrote, on its way into the ledger."""

    chat: str
    chat_kind: str
    """Telegram's `Chat.type`: private, group, supergroup, channel."""
    title: str
    sender_id: int
    sender: str
    text: str
    telegram_id: int
    at: float
    reply_to: int | None = None
    reply_text: str = ""


@dataclass(frozen=True, slots=True)
class ChatState:
    """A chat as the ledger has it; what routing, status and briefs are decided from."""

    chat: str
    worker: Turn | None = None
    """The worker slot's turn: the taken one, else the first open one."""
    talk: Turn | None = None
    """The chat slot's turn, likewise."""
    queue: tuple[Turn, ...] = ()
    """Open worker turns after `worker`, in order."""
    worker_run: Run | None = None
    chat_run: Run | None = None
    recent: tuple[Turn, ...] = ()
    """The latest ended tasks, newest first."""
    lines: str = ""
    """The worker's last lines of output."""
    tool: str = ""
    """The worker's current tool call, as `name: input`; empty between calls."""
    durations: tuple[float, ...] = ()
    """How long earlier tasks of the same kind took, in s, newest first."""
