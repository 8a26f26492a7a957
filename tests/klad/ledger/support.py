"""A driver of the ledger for tests: it does what router, slot, gateway and agent do, one step a call."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any, TypeVar

from klad.ledger import Granted, Ledger, Recorded, StopBegun, TurnTaken
from klad.ledger.runs import Begun
from klad.routing import ToSlot, choose_slot
from klad.words import Event, Inbound, Slot, Turn

T = TypeVar("T")
WAIT_S = 20.0
HOME = "7"


def do(future: Future[T]) -> T:
    return future.result(WAIT_S)


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def inbound(text: str, chat: str = HOME, *, telegram_id: int = 1, at: float = 1_700_000_000.0) -> Inbound:
    return Inbound(
        chat=chat,
        chat_kind="private",
        title="David",
        sender_id=42,
        sender="David",
        text=text,
        telegram_id=telegram_id,
        at=at,
    )


def query(ledger: Ledger, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows as a connection of its own sees them: the committed ones."""
    return read(ledger.path, sql, *values)


def read(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


@contextmanager
def held(ledger: Ledger) -> Iterator[None]:
    """While this lasts, the ledger's thread stands still and steps wait."""
    begun, gate = Flag(), Flag()

    def stand_still() -> None:
        begun.set()
        gate.wait(WAIT_S)

    standing = ledger.submit(stand_still)
    assert begun.wait(WAIT_S)
    try:
        yield
    finally:
        gate.set()
        do(standing)


class Driver:
    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock
        self._updates = itertools.count(1)
        self._runs = itertools.count(1)
        self._seqs: dict[str, int] = {}

    def update(self, chat: str = HOME) -> int:
        number = next(self._updates)
        assert do(self.ledger.commit_update(number, chat, "{}"))
        return number

    def route(self, text: str, chat: str = HOME, **more: Any) -> tuple[ToSlot, Turn]:
        """A message on its whole way into a turn."""
        number = self.update(chat)
        said = inbound(text, chat, telegram_id=number, **more)
        routed = do(self.ledger.route(number, said, lambda state: choose_slot(text, state)))
        assert routed is not None
        return routed

    def try_to_begin(self, slot: Slot = "worker", chat: str = HOME, limit: int = 10) -> tuple[str, Begun]:
        run = f"klad-{next(self._runs):012x}"
        return run, do(self.ledger.begin_run(chat, slot, run, f"hash of {run}", {"/workspace/group": (1, 2)}, limit))

    def begin(self, slot: Slot = "worker", chat: str = HOME, limit: int = 10) -> str:
        run, begun = self.try_to_begin(slot, chat, limit)
        assert isinstance(begun, Granted), begun
        return run

    def take(self, run: str, after: int = 0) -> TurnTaken:
        taken = do(self.ledger.take_turn(run, after))
        assert isinstance(taken, TurnTaken), taken
        return taken

    def working(self, text: str = "build it", slot: Slot = "worker", chat: str = HOME) -> tuple[str, Turn]:
        """A message that a run of the slot has taken; for the chat slot, the worker must be busy."""
        self.route(text, chat)
        run = self.begin(slot, chat)
        return run, self.take(run).turn

    def post(self, run: str, kind: str, turn: int | None, **data: Any) -> Recorded:
        self._seqs[run] = seq = self._seqs.get(run, 0) + 1
        return do(self.ledger.record(run, [Event(seq, kind, turn, data)]))

    def done(self, run: str, turn: int, text: str = "Here it is.") -> Recorded:
        return self.post(run, "done", turn, text=text)

    def stop(self, chat: str = HOME) -> StopBegun:
        number = self.update(chat)
        begun = do(self.ledger.begin_stop(number, inbound("/stop", chat, telegram_id=number)))
        assert begun is not None
        return begun

    def turn(self, number: int) -> dict[str, Any]:
        names = [row[1] for row in query(self.ledger, "PRAGMA table_info('turn')")]
        (row,) = query(self.ledger, "SELECT * FROM turn WHERE id = ?", number)
        return dict(zip(names, row, strict=True))

    def run(self, name: str) -> dict[str, Any]:
        names = [row[1] for row in query(self.ledger, "PRAGMA table_info('run')")]
        (row,) = query(self.ledger, "SELECT * FROM run WHERE id = ?", name)
        return dict(zip(names, row, strict=True))

    def finals(self, turn: int) -> list[str]:
        """The last words of a turn: one, when it has ended."""
        rows = query(self.ledger, "SELECT text FROM outbox WHERE turn = ? AND final = 1 ORDER BY id", turn)
        return [text for (text,) in rows]

    def said(self, chat: str = HOME) -> list[str]:
        """Everything on its way out, in order."""
        return [text for (text,) in query(self.ledger, "SELECT text FROM outbox WHERE chat = ? ORDER BY id", chat)]
