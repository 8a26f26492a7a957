from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from klad.errors import LedgerError
from klad.telegram import CommittingQueue
from klad.telegram.bot import RawUpdate
from klad.telegram.oversize import LIMIT
from tests.klad.telegram.tools import IllLedger, RushClock, TestLedger, open_ledger, run


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    ledger = open_ledger(tmp_path)
    yield ledger
    ledger.close()


def update(update_id: int = 5, **message: Any) -> RawUpdate:
    raw = {"update_id": update_id, "message": {"message_id": 1, "chat": {"id": 7}, "text": "hi", **message}}
    return RawUpdate(update_id, raw)


def test_put_returns_when_the_update_is_committed_and_its_chat_is_told(ledger: TestLedger) -> None:
    async def test() -> None:
        seen: list[tuple[str, int]] = []
        queue = CommittingQueue(ledger, lambda chat: seen.append((chat, len(ledger.kept().result()))))
        item = update()
        await queue.put(item)
        assert seen == [("7", 1)]
        assert [(id_, chat, json.loads(raw)) for id_, chat, raw in ledger.kept().result()] == [(5, "7", item.raw)]
        assert queue.empty(), "the ledger is the queue"

    run(test())


def test_a_repeat_is_kept_once(ledger: TestLedger) -> None:
    async def test() -> None:
        queue = CommittingQueue(ledger, lambda chat: None)
        await queue.put(update())
        await queue.put(update(text="again"))
        assert len(ledger.kept().result()) == 1

    run(test())


def test_an_update_that_concerns_no_chat_is_kept_and_nobody_is_told(ledger: TestLedger) -> None:
    async def test() -> None:
        told: list[str] = []
        await CommittingQueue(ledger, told.append).put(RawUpdate(5, {"update_id": 5, "poll": []}))
        assert (told, len(ledger.kept().result())) == ([], 1)

    run(test())


@pytest.mark.parametrize("how", [LedgerError("disk full"), RuntimeError("a bug"), asyncio.CancelledError()])
def test_put_waits_while_the_ledger_is_ill_and_never_raises(ledger: TestLedger, how: BaseException) -> None:
    async def test() -> None:
        ill = IllLedger(ledger, how)
        clock = RushClock()
        told: list[str] = []
        queue = CommittingQueue(ill, told.append, clock=clock)
        putting = asyncio.create_task(queue.put(update()))
        while ill.tries < 10:
            await asyncio.sleep(0)
        assert queue.ill
        assert not told
        ill.ill = False
        await putting
        assert told == ["7"]
        assert not queue.ill
        assert clock.waits[:3] == [0.5, 1.0, 2.0]
        assert max(clock.waits) <= 30

    run(test())


def test_cancelling_put_cancels_it(ledger: TestLedger) -> None:
    async def test() -> None:
        queue = CommittingQueue(IllLedger(ledger), lambda chat: None)
        putting = asyncio.create_task(queue.put(update()))
        await asyncio.sleep(0.01)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting

    run(test())


def test_a_listener_that_raises_costs_no_update(ledger: TestLedger, caplog: pytest.LogCaptureFixture) -> None:
    def fail(chat: str) -> None:
        raise RuntimeError("nobody home")

    async def test() -> None:
        await CommittingQueue(ledger, fail).put(update())
        assert len(ledger.kept().result()) == 1

    with caplog.at_level("CRITICAL"):
        run(test())


def test_an_oversize_update_is_kept_by_its_bones(ledger: TestLedger) -> None:
    async def test() -> None:
        told: list[str] = []
        await CommittingQueue(ledger, told.append).put(update(text="x" * (LIMIT + 1)))
        [(_, chat, raw)] = ledger.kept().result()
        assert (chat, told) == ("7", ["7"])
        assert len(raw) < 10_000

    run(test())


def test_text_with_a_lone_surrogate_is_kept(ledger: TestLedger) -> None:
    async def test() -> None:
        await CommittingQueue(ledger, lambda chat: None).put(update(text="\ud800"))
        [(_, _, raw)] = ledger.kept().result()
        assert json.loads(raw)["message"]["text"] == "\ud800"

    run(test())


def test_the_applications_own_signal_passes_through(ledger: TestLedger) -> None:
    async def test() -> None:
        queue = CommittingQueue(ledger, lambda chat: None)
        signal = object()
        await queue.put(signal)
        assert await queue.get() is signal

    run(test())
