"""The tenant's database: every message, turn, run and event, written before anyone relies on it."""

from klad.ledger.inbox import StopBegun, Update
from klad.ledger.ledger import Ledger
from klad.ledger.rows import (
    CancelWorker,
    Gone,
    Nudge,
    Outbox,
    Recorded,
    Signalled,
    Took,
    ToolResult,
    TurnEnded,
    TurnTaken,
    Wanted,
)
from klad.ledger.runs import Begun, Ended, Granted, NoPlace, Nothing, Occupied

__all__ = [
    "Begun",
    "CancelWorker",
    "Ended",
    "Gone",
    "Granted",
    "Ledger",
    "NoPlace",
    "Nothing",
    "Nudge",
    "Occupied",
    "Outbox",
    "Recorded",
    "Signalled",
    "StopBegun",
    "Took",
    "ToolResult",
    "TurnEnded",
    "TurnTaken",
    "Update",
    "Wanted",
]
