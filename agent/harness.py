"""What drives a model through a turn: the one seam between an agent's life and its mind."""

from __future__ import annotations

from typing import Any, Protocol

from agent.session import Session

Brief = dict[str, Any]


class Harness(Protocol):
    """Kept for a run's life, so that a warm worker goes on with its conversation."""

    def run_turn(self, brief: Brief, session: Session) -> str:
        """Work on a turn until its final words, which are returned.

        On the main thread. Tools are used, and words before the last said, through the session; steering
        is taken from `session.attention`. Raises TurnFailed with a line for the user, and Cancelled as
        soon as `session.attention.check()` does.
        """
