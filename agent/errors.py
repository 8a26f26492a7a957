"""What can go wrong, as a small family: who catches it tells what becomes of run, turn or request."""

from __future__ import annotations


class AgentError(Exception):
    """Root of the family."""


class EndOfRun(AgentError):
    """This process has to go; `code` is its exit code."""

    code = 1


class Gone(EndOfRun):
    """410: the host says that the run is over."""

    code = 0


class Lost(EndOfRun):
    """The gateway did not answer for longer than the limit (EX_TEMPFAIL)."""

    code = 75


class Mismatch(EndOfRun):
    """409: what is mounted is not what the host checked (EX_CONFIG)."""

    code = 78


class Stopped(AgentError):
    """The process is on its way out: whoever gets this drops what they are doing."""


class Broken(AgentError):
    """The connection broke, or what came over it was no HTTP; the request may be sent again."""


class Refused(AgentError):
    """A 4xx that sending again would not mend. `kind` is the error's type, `str()` its message."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class Cancelled(AgentError):
    """The host ended this turn: no more words about it."""


class TurnFailed(AgentError):
    """The turn can't be finished; `str()` is one line for the user."""
