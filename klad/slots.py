"""The rules of a slot: what happens to a turn when its container is gone, and who makes place. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from klad.words import Run, Slot, Turn

MAX_ATTEMPTS = 2
CHAT_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Requeue:
    """No tool call had started: nothing can have happened twice, so the turn is tried again."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The turn ends; `text` says what is known."""

    text: str


def after_exit(turn: Turn, cause: str) -> Requeue | Fail:
    """What becomes of a taken turn whose container ended for `cause` (words for a person).

    A side effect is never repeated by itself: with a tool call begun, the user decides.
    """
    if turn.tools == 0 and turn.attempts < MAX_ATTEMPTS:
        return Requeue()
    if turn.tools == 0:
        return Fail(f"I tried this {turn.attempts} times and each time the container ended first: {cause}.")
    calls = "1 tool call" if turn.tools == 1 else f"{turn.tools} tool calls"
    return Fail(
        f"The container ended before this was finished: {cause}. {calls} had started, so I did not try "
        "again by myself. Look at what is there, and send the request again if you want it repeated."
    )


def cause_of_exit(code: int | None, out_of_memory: bool, crash: str) -> str:
    """An exit in words. `code` as the engine reports it (128 + signal when killed); None: unknown."""
    if out_of_memory:
        return "it ran out of memory"
    if crash.strip():
        return f"the agent crashed ({crash.strip().splitlines()[-1][:200]})"
    if code is None:
        return "it is gone, and how it ended is not known"
    known = {0: "it left early", 78: "a mounted directory was not the one that was checked", 137: "it was killed"}
    return known.get(code, f"exit code {code}")


def place_for(slot: Slot, live: Sequence[Run], limit: int) -> bool:
    """Whether one more container may start. Workers leave one place of `limit` for answering."""
    if len(live) >= limit:
        return False
    workers = sum(run.slot == "worker" for run in live)
    return slot == "chat" or workers < limit - 1


def evictable(live: Sequence[Run], busy: frozenset[str]) -> Run | None:
    """The worker that has been idle longest, of those that hold a place without working."""
    idle = [run for run in live if run.slot == "worker" and run.state == "live" and run.id not in busy]
    return min(idle, key=lambda run: run.created, default=None)
