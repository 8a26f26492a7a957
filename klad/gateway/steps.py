"""Ledger steps from the loop: waited for with a limit, their nudges passed on whatever becomes of the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from klad.errors import LedgerError
from klad.ledger.rows import Gone, Nudge, Recorded, ToolResult, TurnTaken
from klad.words import Event, Run, Signal

log = logging.getLogger(__name__)
T = TypeVar("T")

LIMIT_S = 10.0


class GatewayLedger(Protocol):
    """What the gateway needs of `klad.ledger.Ledger`."""

    def run_by_token(self, token_hash: str, /) -> Future[Run | None]: ...
    def take_turn(self, run_id: str, after: int, /) -> Future[TurnTaken | Gone | None]: ...
    def record(self, run_id: str, events: Sequence[Event], /) -> Future[Recorded]: ...
    def signals(self, run_id: str, after: int, /) -> Future[list[Signal]]: ...
    def call_tool(self, run_id: str, call_id: str, name: str, args: dict[str, Any], /) -> Future[ToolResult]: ...


def _none(_: Any) -> Iterable[Nudge]:
    return ()


class Steps:
    def __init__(self, notify: Callable[[Nudge], None]) -> None:
        self._notify = notify

    async def __call__(self, future: Future[T], nudges: Callable[[T], Iterable[Nudge]] = _none) -> T:
        """The step's result. Raises `LedgerError`, also when the ledger takes longer than LIMIT_S.

        The step is never called off with the request: it commits all the same, and a nudge that was
        dropped would leave the committed unnoticed.
        """
        step = asyncio.wrap_future(future)
        step.add_done_callback(lambda done: self._committed(done, nudges))
        try:
            async with asyncio.timeout(LIMIT_S):
                return await asyncio.shield(step)
        except TimeoutError:
            raise LedgerError(f"the ledger did not answer for {LIMIT_S:g} s") from None

    def _committed(self, step: asyncio.Future[T], nudges: Callable[[T], Iterable[Nudge]]) -> None:
        if step.cancelled() or step.exception() is not None:
            return
        for nudge in nudges(step.result()):
            try:
                self._notify(nudge)
            except Exception:
                log.exception("nobody took the nudge %s", nudge)
