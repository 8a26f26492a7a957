"""Clocks that never wait, and other things that these tests share."""

from __future__ import annotations

import asyncio
import functools
import heapq
import tempfile
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from klad.errors import LedgerError
from klad.ledger import Ledger
from klad.ledger._thread import step
from klad.telegram import Clock
from tests.klad.telegram.fake_api import TOKEN


def run(test: Coroutine[Any, Any, None], seconds: float = 20) -> None:
    asyncio.run(asyncio.wait_for(test, seconds))


class RushClock(Clock):
    """Every wait is over at once; what was waited for is on record."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class StillClock(Clock):
    """Time passes only when the test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._lain_down = asyncio.Event()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.time + seconds, self._count, wake))
        self._lain_down.set()
        await wake

    def asleep(self) -> int:
        return sum(not wake.done() for _, _, wake in self._sleepers)

    async def until_asleep(self, count: int) -> None:
        while self.asleep() < count:
            self._lain_down.clear()
            await self._lain_down.wait()

    async def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self.time, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)
            for _ in range(5):
                await asyncio.sleep(0)
        self.time = end


class TestLedger(Ledger):
    """The real one, with a way to put a row into the outbox and look at what became of it."""

    __test__ = False

    @step
    def add(self, chat: str, text: str, reply_to: int | None = None) -> None:
        self._say(chat, text, reply_to=reply_to)

    @step
    def rows(self) -> list[tuple[str, str, int, str]]:
        """(state, text, attempts, error) of the outbox."""
        return [(row.state, row.text, row.attempts, row.error or "") for row in self.tables.Outbox.select()]

    @step
    def kept(self) -> list[tuple[int, str | None, str]]:
        """(update_id, chat, raw) of the updates."""
        table = self.tables.Update
        return [(row.update_id, row.chat, row.json) for row in table.select().order_by(table.update_id)]


class IllLedger:
    """A ledger whose steps fail while `ill`, one way or another."""

    def __init__(self, ledger: TestLedger, how: BaseException | None = None, *, healthy_steps: int = 0) -> None:
        self._ledger, self.how = ledger, how or LedgerError("disk full")
        self._healthy = healthy_steps
        self.ill = True
        self.tries = 0

    def __getattr__(self, name: str) -> Callable[..., Future[Any]]:
        def submit(*args: Any) -> Future[Any]:
            self.tries += 1
            if not self.ill or self.tries <= self._healthy:
                future: Future[Any] = getattr(self._ledger, name)(*args)
                return future
            failed: Future[Any] = Future()
            if isinstance(self.how, asyncio.CancelledError):
                failed.cancel()
                failed.set_running_or_notify_cancel()
            else:
                failed.set_exception(self.how)
            return failed

        return submit


def open_ledger(where: Path) -> TestLedger:
    path = where / "ledger.db"
    if not path.exists():
        path.write_bytes(_migrated())
    return TestLedger(path)


@functools.cache
def _migrated() -> bytes:
    """An empty ledger's file: migrating one takes longer than most of these tests."""
    with tempfile.TemporaryDirectory() as where:
        path = Path(where) / "ledger.db"
        Ledger.open(path).close()
        return path.read_bytes()


_PLAIN_HTTP = {"trust_env": False, "verify": False}


def plain_bot(url: str, *, read_timeout: float = 5.0) -> ExtBot[None]:
    return ExtBot(TOKEN, base_url=f"{url}/bot", request=HTTPXRequest(64, read_timeout, httpx_kwargs=_PLAIN_HTTP))
