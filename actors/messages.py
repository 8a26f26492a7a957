"""Every message between actors: who tells whom, in one line each.

A message is a nudge: what it is about stands in the ledger. Losing one costs time, never words.
"""

from __future__ import annotations

from dataclasses import dataclass

from klad.ledger import CancelWorker, Outbox, Signalled, Took, TurnEnded, Wanted
from klad.runtime import EngineDown, EngineUp, Exited, Failed, Started, Stopped
from klad.words import Slot

__all__ = [
    "Busy",
    "Cancel",
    "CancelWorker",
    "Deadline",
    "EngineDown",
    "EngineUp",
    "Evict",
    "Exited",
    "Failed",
    "Idle",
    "IdleDue",
    "LeaveDue",
    "Listen",
    "Look",
    "Mail",
    "Outbox",
    "PlaceFree",
    "Revoked",
    "RunOver",
    "Signalled",
    "SlotClear",
    "Started",
    "StatusDue",
    "StopDue",
    "Stopped",
    "TakeDue",
    "Took",
    "TurnEnded",
    "Wake",
    "Wanted",
]


@dataclass(frozen=True, slots=True)
class Mail:
    """telegram → chats → router: updates of this chat wait in the ledger."""

    chat: str


@dataclass(frozen=True, slots=True)
class Wake:
    """scheduler, engine → chats: this chat has something unfinished."""

    chat: str


@dataclass(frozen=True, slots=True)
class Look:
    """router, scheduler, gateway → slot: there may be a turn to take, or a run to tell something."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """router → slot: end this run, and tell me when the engine has confirmed that it is gone."""

    stop: int
    """The turn of the router's that waits for this."""
    run: str
    """Named, so that one that is told twice can't end what was begun after the stop."""
    reason: str


@dataclass(frozen=True, slots=True)
class SlotClear:
    """slot → router: what `Cancel` asked for is done, or can't be."""

    stop: int
    run: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Listen:
    """slot → gateway: a run of this slot may come; have its socket."""

    chat: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Evict:
    """slot → slot: a place is needed; go, if you rest."""

    run: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """gateway → slot: the chat slot's agent had this run's turn cancelled; end the run."""

    run: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunOver:
    """slot → gateway: this run has ended; its token is worth nothing from now on."""

    run: str


@dataclass(frozen=True, slots=True)
class PlaceFree:
    """slot → scheduler: a container is gone, or rests and could go; whoever waits may start."""


@dataclass(frozen=True, slots=True)
class Busy:
    """slot → telegram: an agent works on a turn of this chat (show it typing)."""

    chat: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Idle:
    """slot → telegram: it no longer does."""

    chat: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class StatusDue:
    """router's timer → router: has a run taken this status question yet?"""

    turn: int


@dataclass(frozen=True, slots=True)
class Deadline:
    """slot's timer → slot: this turn has had its time."""

    run: str
    turn: int


@dataclass(frozen=True, slots=True)
class IdleDue:
    """slot's timer → slot: this run has rested for IDLE_TIMEOUT since this turn."""

    run: str
    turn: int


@dataclass(frozen=True, slots=True)
class StopDue:
    """router's timer → router: is this stop done?"""

    stop: int


@dataclass(frozen=True, slots=True)
class LeaveDue:
    """slot's timer → slot: this run was told to go; has it?"""

    run: str
    by_force: bool = False
    """Whatever it does: its end was asked of the engine before, which did not confirm it."""


@dataclass(frozen=True, slots=True)
class TakeDue:
    """slot's timer → slot: has this run taken the turn that was open `waited` seconds ago?"""

    run: str
    waited: float
