"""The run's life: ask for a turn, work on it, tell its end, ask for the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from agent.attention import Attention
from agent.client import Gateway
from agent.errors import Broken, Cancelled, Refused, TurnFailed
from agent.harness import Brief, Harness
from agent.journal import Journal
from agent.session import Session

POLL_S = 40.0
"""Longer than the gateway's long poll of 25 s."""


def next_turn(gateway: Gateway, after: int) -> Brief:
    """Wait for the turn after that one, however long. Raises Gone, Lost, Stopped."""
    while True:
        try:
            _, brief = gateway.call("GET", f"/agent/turn?after={after}", timeout=POLL_S)
            if brief is None:
                continue  # 204: nothing yet
            if not isinstance(brief, dict) or not isinstance(brief.get("turn"), int):
                raise Broken("that was no brief")
            if brief["turn"] > after:
                return brief
            # Ours already, and its end acknowledged: working on it twice would repeat what it did.
        except (Refused, Broken):
            pass
        gateway.pause(1.0)


def serve(gateway: Gateway, journal: Journal, attention: Attention, start: Callable[[], tuple[Harness, Session]],
          cleanup: Callable[[], None], left: Callable[[], int]) -> NoReturn:
    """Work on turns until the run is over. `start` is called with the first turn; `cleanup` ends the
    commands of a turn that was cancelled; `left` counts the processes that a turn leaves running.
    Raises EndOfRun, Stopped.
    """
    after = 0
    harness: Harness | None = None
    while True:
        brief = next_turn(gateway, after)
        turn: int = brief["turn"]
        attention.begin(turn)
        if harness is None:
            harness, session = start()
        end, words = "failed", ""
        try:
            end, words = "done", harness.run_turn(brief, session)
        except TurnFailed as failure:
            words = str(failure)
        except Cancelled:
            pass
        if attention.cancelled:
            cleanup()  # and not a word: the host has ended the turn already
        else:
            running = left()
            journal.post(end, {"text": words} | ({"left": running} if running else {}), turn, wait=True)
        attention.finish()
        after = turn
