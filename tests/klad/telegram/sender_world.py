"""A Sender before a fake Bot API, with a real ledger behind it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from klad.telegram import Sender
from klad.telegram.clock import Clock
from tests.klad.telegram.fake_api import FakeApi
from tests.klad.telegram.tools import RushClock, TestLedger, open_ledger, plain_bot


class World:
    def __init__(self, api: FakeApi, ledger: TestLedger) -> None:
        self.api, self.ledger = api, ledger
        self.failed: list[tuple[str, str]] = []

    def states(self) -> list[str]:
        return [state for state, _, _, _ in self.ledger.rows().result()]

    @contextlib.asynccontextmanager
    async def sender(
        self, *, clock: Clock | None = None, ledger: Any = None, read_timeout: float = 5.0
    ) -> AsyncIterator[Sender]:
        bot = plain_bot(self.api.url, read_timeout=read_timeout)
        sender = Sender(
            bot,
            ledger or self.ledger,
            clock=clock or RushClock(),
            on_failed=lambda chat, reason: self.failed.append((chat, reason)),
        )
        await sender.start()
        try:
            yield sender
        finally:
            await sender.stop(grace=0.3)
            await bot.shutdown()

    async def send(self, *rows: tuple[str, str], **more: Any) -> None:
        """These rows, until the outbox is empty."""
        for chat, text in rows:
            self.ledger.add(chat, text).result()
        async with self.sender(**more) as sender:
            await sender.drained()


@contextlib.asynccontextmanager
async def world(where: Path) -> AsyncIterator[World]:
    ledger = open_ledger(where)
    try:
        async with FakeApi() as api:
            yield World(api, ledger)
    finally:
        ledger.close()
