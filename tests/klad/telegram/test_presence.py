from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from klad.telegram import Presence
from klad.telegram.presence import EVERY
from tests.klad.telegram.fake_api import FakeApi, Fault
from tests.klad.telegram.tools import StillClock, plain_bot, run


@contextlib.asynccontextmanager
async def presence(api: FakeApi, clock: StillClock) -> AsyncIterator[Presence]:
    bot = plain_bot(api.url)
    presence = Presence(bot, clock=clock)
    await presence.start()
    try:
        yield presence
    finally:
        await presence.stop()
        await bot.shutdown()


def shown(api: FakeApi) -> list[tuple[Any, ...]]:
    return [tuple(call.params.values()) for call in api.calls]


def test_a_busy_chat_types_every_few_seconds_until_it_is_idle() -> None:
    async def test() -> None:
        clock = StillClock()
        async with FakeApi() as api, presence(api, clock) as p:
            await asyncio.to_thread(p.busy, "-100:7")
            await clock.until_asleep(1)
            await clock.advance(EVERY)
            await clock.until_asleep(1)
            assert shown(api) == [(-100, "typing", 7)] * 2
            p.idle("-100:7")
            await asyncio.sleep(0.01)
            await clock.advance(60)
            assert len(api.calls) == 2

    run(test())


def test_a_chat_types_until_the_last_of_those_who_work_for_it_is_done() -> None:
    async def test() -> None:
        clock = StillClock()
        async with FakeApi() as api, presence(api, clock) as p:
            p.busy("7", "worker")
            p.busy("7", "chat")
            p.busy("7", "chat")
            await clock.until_asleep(1)
            p.idle("7", "chat")
            await asyncio.sleep(0.01)
            assert clock.asleep() == 1
            p.idle("7", "worker")
            p.idle("7", "worker")
            await asyncio.sleep(0.01)
            assert p._tasks == {}
            assert p._who == {}

    run(test())


@pytest.mark.parametrize(
    "fault", [Fault(400, "Bad Request: chat not found"), Fault(403, "x"), Fault(500, "x"), Fault(cut=True)]
)
def test_failures_are_passed_over(fault: Fault) -> None:
    async def test() -> None:
        clock = StillClock()
        async with FakeApi() as api, presence(api, clock) as p:
            api.fail("sendChatAction", fault)
            p.busy("7")
            await clock.until_asleep(1)
            await clock.advance(EVERY)
            await clock.until_asleep(1)
            assert len(api.calls) == 2

    run(test())


def test_retry_after_is_obeyed() -> None:
    async def test() -> None:
        clock = StillClock()
        async with FakeApi() as api, presence(api, clock) as p:
            api.fail("sendChatAction", Fault(429, "x", {"retry_after": 30}))
            p.busy("7")
            await clock.until_asleep(1)
            await clock.advance(29)
            assert len(api.calls) == 1
            await clock.advance(1)
            await clock.until_asleep(1)
            assert len(api.calls) == 2

    run(test())


def test_stop_ends_it_while_telegram_hangs_and_what_follows_is_ignored() -> None:
    async def test() -> None:
        clock = StillClock()
        async with FakeApi() as api, presence(api, clock) as p:
            api.fail("sendChatAction", Fault(hang=True))
            p.busy("7")
            await api.until(lambda: api.calls)
            async with asyncio.timeout(1):
                await p.stop()
            p.busy("7")
            p.idle("8")
            await asyncio.sleep(0.01)
            assert len(api.calls) == 1

    run(test())
