"""The sender around a crash, an ill ledger and a stop: what goes again, and what is marked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from klad.telegram import MARK, render
from klad.telegram.formatting import LIMIT
from tests.klad.telegram.fake_api import Fault
from tests.klad.telegram.sender_world import world
from tests.klad.telegram.tools import IllLedger, StillClock, run


def test_what_a_crash_left_in_mid_send_is_marked_and_goes_before_the_rest(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.ledger.add("7", "hi").result()
            w.ledger.outbox_take("7").result()
            await w.send(("7", "next"))
            assert w.api.texts() == [f"{MARK}hi", "next"]

    run(test())


def test_a_long_text_goes_on_from_the_part_where_a_crash_left_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            words = [f"w{number:04}" for number in range(2000)]
            w.ledger.add("7", " ".join(words)).result()
            row = w.ledger.outbox_take("7").result()
            assert row is not None
            w.ledger.outbox_part(row.id, 1).result()
            await w.send()
            first, last = w.api.texts()
            assert first.startswith(MARK)
            assert not last.startswith(MARK), "only the part that was under way may be a repeat"
            arrived = f"{first.removeprefix(MARK)} {last}".split()
            parts = [part.text for part in render(" ".join(words), LIMIT - len(MARK))]
            assert arrived == " ".join(parts[1:]).split()
            assert w.states() == ["sent"]

    run(test())


def test_what_surely_failed_before_a_crash_is_no_repeat_after_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            w.ledger.add("7", "hi").result()
            w.api.fail("sendMessage", Fault(429, "Too Many Requests", {"retry_after": 1000}))
            async with w.sender(clock=clock):
                await clock.until_asleep(1)
            await w.send()
            assert w.api.texts() == ["hi"]

    run(test())


def test_what_may_have_arrived_before_a_crash_is_a_repeat_after_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            w.ledger.add("7", "hi").result()
            w.api.fail("sendMessage", Fault(cut=True, delivered=True))
            async with w.sender(clock=clock):
                await clock.until_asleep(1)
            await w.send()
            assert w.api.texts() == ["hi", f"{MARK}hi"]

    run(test())


def test_an_ill_ledger_is_waited_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.ledger.add("7", "hi").result()
            ill = IllLedger(w.ledger)
            async with w.sender(ledger=ill) as sender:
                while ill.tries < 5:
                    await asyncio.sleep(0)
                ill.ill = False
                await sender.drained()
            assert (w.api.texts(), w.states()) == (["hi"], ["sent"])

    run(test())


def test_a_send_in_flight_at_the_stop_is_answered_and_on_record(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.ledger.add("7", "one").result()
            w.ledger.add("7", "two").result()
            async with w.sender():
                await w.api.until(lambda: w.api.count("sendMessage"))
            assert w.api.texts() == ["one"]
            assert w.states() == ["sent", "pending"]

    run(test())


def test_a_stop_between_two_parts_marks_nothing_as_a_repeat(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.ledger.add("7", "word " * 1200).result()
            async with w.sender():
                await w.api.until(lambda: w.api.count("sendMessage"))
            assert (len(w.api.sent), w.states()) == (1, ["pending"])
            await w.send()
            assert " ".join(w.api.texts()).split() == ["word"] * 1200

    run(test())


@pytest.mark.parametrize("moment", ["held", "hanging", "ledger ill"])
def test_stop_comes_back_within_its_grace(tmp_path: Path, moment: str) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            ledger: Any = None
            w.ledger.add("7", "one").result()
            if moment == "held":
                w.api.fail("sendMessage", Fault(429, "x", {"retry_after": 1000}))
            elif moment == "hanging":
                w.api.fail("sendMessage", Fault(hang=True))
            else:
                ledger = IllLedger(w.ledger)
            async with w.sender(clock=clock, ledger=ledger) as sender:
                if moment == "hanging":
                    await w.api.until(lambda: w.api.calls)
                else:
                    await clock.until_asleep(1)
                async with asyncio.timeout(2):
                    await sender.stop(grace=0.1)
            assert not [task for task in asyncio.all_tasks() if "outbox" in task.get_name()]

    run(test())
