"""A Poller before a fake Bot API, on a clock moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from klad.errors import TelegramRefusedError
from klad.telegram import CommittingQueue, Identity, Poller
from klad.telegram.clock import Clock
from tests.klad.telegram.fake_api import TOKEN, FakeApi
from tests.klad.telegram.tools import RushClock, TestLedger, open_ledger

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBcjCCARmgAwIBAgIUXbW/qryzZbzrWHGWW5Grgv1h5DcwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb3duMCAXDTI2MTEyMzAwNTY0OFoYDzIxMjYxMDMwMDA1NjQ4
WjAOMQwwCgYDVQQDDANvd24wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAR0VElw
ikKXENMLJmVrUyj/8b1iPIPNUR6nGjfdx86G6S3DREVw9C2/YM3pp4CHLJTwG+sT
lDEotjJdx4aP/oFNo1MwUTAdBgNVHQ4EFgQULBSK31Ttrae32xnLuD9lSN0FxVsw
HwYDVR0jBBgwFoAULBSK31Ttrae32xnLuD9lSN0FxVswDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNHADBEAiASbimXw+imhqiaM3fISw0BMvyVpY9aFPasnPEv
Vk8h6AIgAy4obZgaHCX91UrcNndrhSYg1cTd8HvTwp6m8Pxid8U=
-----END CERTIFICATE-----
"""


class World:
    """A server, a ledger, and a poller between them."""

    def __init__(self, api: FakeApi, ledger: TestLedger) -> None:
        self.api, self.ledger = api, ledger
        self.told: list[str] = []
        self.states: list[str] = []
        self.refusals: list[TelegramRefusedError] = []
        self.identities: list[Identity] = []
        self._changed = asyncio.Event()

    def poller(self, *, clock: Clock | None = None, token: str = TOKEN, ledger: Any = None, **more: Any) -> Poller:
        clock = clock or RushClock()
        return Poller(
            token,
            CommittingQueue(ledger or self.ledger, self._tell, clock=clock),
            api_url=more.pop("api_url", self.api.url),
            on_state=self._state,
            on_refused=self._refusal,
            on_identity=self.identities.append,
            clock=clock,
            **more,
        )

    def kept(self) -> list[int]:
        return [update_id for update_id, _, _ in self.ledger.kept().result()]

    async def until_told(self, count: int) -> None:
        await self._until(lambda: len(self.told) >= count)

    async def until_state(self, start: str, after: int = 0) -> None:
        await self._until(lambda: any(state.startswith(start) for state in self.states[after:]))

    async def _until(self, condition: Any) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _tell(self, chat: str) -> None:
        self.told.append(chat)
        self._changed.set()

    def _state(self, state: str) -> None:
        self.states.append(state)
        self._changed.set()

    def _refusal(self, error: TelegramRefusedError) -> None:
        self.refusals.append(error)
        self._changed.set()


@contextlib.asynccontextmanager
async def world(where: Path) -> AsyncIterator[World]:
    ledger = open_ledger(where)
    try:
        async with FakeApi() as api:
            yield World(api, ledger)
    finally:
        ledger.close()


@contextlib.asynccontextmanager
async def polling(poller: Poller) -> AsyncIterator[Poller]:
    poller.start()
    try:
        yield poller
    finally:
        await poller.stop()
