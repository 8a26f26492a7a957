"""The one family of errors that Klåd raises on purpose.

Each is one line for a person: what happened and what to do. `exit_code` is the contract's
(see docs/architecture.md, "Exit codes"); the entries print the line and exit with it.
"""

from __future__ import annotations


class KladError(Exception):
    """Something a person can mend; `str()` is the one line they see."""

    exit_code = 1


class UsageError(KladError):
    """A bad command line, setting or tenant name."""

    exit_code = 2


class TakenError(KladError):
    """A port, or a tenant's lock, is held by somebody else."""

    exit_code = 3


class EngineError(KladError):
    """The container engine is absent, refuses us, or failed."""

    exit_code = 4


class ImageMissingError(EngineError):
    """The agent's image is not there and could not be built."""


class TelegramRefusedError(KladError):
    """Telegram does not know this bot token."""

    exit_code = 5


class GaveUpError(KladError):
    """The supervision tree reached its restart limit."""

    exit_code = 70


class LedgerError(KladError):
    """The ledger could not carry out a step; nothing of it was written."""
