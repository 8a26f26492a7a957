"""What ledger steps return, and the nudges that follow a commit.

A nudge says only *where* something changed; whoever receives it reads the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from klad.words import Slot, Turn


@dataclass(frozen=True, slots=True)
class Outbox:
    """There is something to send in this chat."""

    chat: str


@dataclass(frozen=True, slots=True)
class Took:
    """A run was handed a turn for the first time."""

    chat: str
    slot: Slot
    run: str
    turn: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A run reported the end of its turn."""

    chat: str
    slot: Slot
    run: str
    turn: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal waits for this run."""

    run: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A turn is open in this slot."""

    chat: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class CancelWorker:
    """The chat slot asked for the worker's turn to be ended; it is already `cancelled` in the ledger."""

    chat: str
    run: str
    reason: str


Nudge = Outbox | Took | TurnEnded | Signalled | Wanted | CancelWorker


@dataclass(frozen=True, slots=True)
class TurnTaken:
    turn: Turn
    brief: dict[str, Any]
    first: bool
    """False: the same turn was handed over before (the agent asked again)."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The run is over, or is to go: answer 410."""


@dataclass(frozen=True, slots=True)
class Recorded:
    acked: int
    """The highest sequence number that is committed without a gap."""
    nudges: tuple[Nudge, ...]


@dataclass(frozen=True, slots=True)
class ToolResult:
    text: str
    error: bool = False
    nudges: tuple[Nudge, ...] = ()
