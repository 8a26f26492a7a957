"""python-telegram-bot's real polling against a server that speaks the real protocol."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from klad.errors import TelegramRefusedError
from klad.telegram import Identity
from tests.klad.telegram.fake_api import BOT_ID, USERNAME, FakeApi, Fault
from tests.klad.telegram.poller_world import World, polling, world
from tests.klad.telegram.tools import IllLedger, RushClock, StillClock, open_ledger, run


def test_an_update_is_committed_before_it_is_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            acknowledged: list[int] = []

            def check(offset: int) -> None:
                acknowledged.append(offset)
                assert set(range(1, offset)) <= set(w.kept())

            w.api.on_offset = check
            async with polling(w.poller()):
                for number in range(20):
                    await w.api.write(f"m{number}")
                await w.until_told(20)
            assert w.kept() == list(range(1, 21))
            assert acknowledged[-1] == 21, "a clean stop acknowledges what it has"
            assert w.api.updates == []

    run(test())


def test_ended_between_commit_and_acknowledgement_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            for number in range(6):
                await w.api.write(f"m{number}")
            clock = StillClock()
            first = w.poller(ledger=IllLedger(w.ledger, healthy_steps=3), clock=clock)
            first.start()
            await clock.until_asleep(1)
            assert w.kept() == [1, 2, 3]
            assert len(w.api.updates) == 6, "nothing of the batch is acknowledged before all of it is safe"
            await first.stop()

            w.told.clear()
            async with polling(w.poller()):
                await w.until_told(6)
            assert w.kept() == [1, 2, 3, 4, 5, 6]

    run(test())


def test_a_garbage_update_is_recorded_acknowledged_and_stops_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            await w.api.deliver({"message": {"message_id": "x", "chat": {"id": 7, "type": 3}, "date": {}, "from": 5}})
            await w.api.deliver({"message": "nonsense"})
            await w.api.deliver({})
            await w.api.write("hello")
            async with polling(w.poller()):
                await w.until_told(2)
                await w.api.until(lambda: not w.api.updates)
            assert w.kept() == [1, 2, 3, 4]
            assert [chat for _, chat, _ in w.ledger.kept().result()] == ["7", None, None, "7"]
            assert json.loads(w.ledger.kept().result()[1][2]) == {"update_id": 2, "message": "nonsense"}

    run(test())


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Fault(401, "Unauthorized"), "refused"),
        (Fault(404, "Not Found"), "refused"),
        (Fault(409, "Conflict: terminated by other getUpdates request"), "conflict"),
        (Fault(429, "Too Many Requests", {"retry_after": 17}), "connecting: Telegram asks to wait 17 s"),
        (Fault(500, "Internal Server Error"), "connecting"),
        (Fault(502, body=b"<html>Bad Gateway</html>"), "connecting"),
        (Fault(200, body=b"<html>Pay for your wifi</html>"), "connecting"),
        (Fault(200, body=b"{}"), "connecting"),
        (Fault(200, body=b'{"ok":true,"result":{}}'), "connecting"),
        (Fault(200, body=b'{"ok":true,"result":[{}]}'), "connecting"),
        (Fault(200, body=b"[" * 100_000), "connecting"),
        (Fault(cut=True), "connecting"),
    ],
)
def test_polling_survives_and_says_so(tmp_path: Path, fault: Fault, state: str) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = RushClock()
            w.api.fail("getUpdates", fault, times=3)
            async with polling(w.poller(clock=clock)):
                await w.until_state(state)
                await w.api.write("still there?")
                await w.until_told(1)
                await w.until_state("ok", after=len(w.states) - 1)
            assert w.api.count("deleteWebhook") == 1, "one and the same polling survived it"
            assert len(clock.waits) >= 3
            assert min(clock.waits) >= 1, "no busy loop"
            assert w.states[-1] == "ok"

    run(test())


def test_a_conflict_is_over_only_when_polling_stays_undisturbed(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            w.api.fail("getUpdates", Fault(409, "Conflict"), times=1)
            async with polling(w.poller(clock=clock)) as poller:
                await clock.until_asleep(1)
                assert poller.state == "conflict: another program polls this bot"
                await clock.advance(3)
                await w.api.write("one")
                await w.until_told(1)
                assert poller.state.startswith("conflict"), "an answer at once proves nothing"
                await clock.advance(10)
                await w.api.write("two")
                await w.until_told(2)
                assert poller.state == "ok"

    run(test())


def test_two_pollers_of_one_bot_both_live_and_report_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            async with polling(w.poller()), polling(w.poller()):
                await w.until_state("conflict")
                await w.api.write("hello")
                await w.until_told(1)
            assert w.kept() == [1]

    run(test())


def test_after_an_outage_the_state_is_true_again_at_the_next_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail("getUpdates", Fault(500, "x"))
            async with polling(w.poller()):
                await w.until_state("connecting")
                await w.api.until(lambda: w.api.count("getUpdates") == 3)
                assert w.states[-1] == "ok"
            polls = [call.params["timeout"] for call in w.api.calls if call.method == "getUpdates"]
            assert polls[:3] == [20, 0, 20]

    run(test())


def test_it_starts_and_waits_while_telegram_cannot_be_reached(tmp_path: Path) -> None:
    async def test() -> None:
        ledger = open_ledger(tmp_path)
        api = FakeApi()
        await api.start()
        port = int(api.url.rpartition(":")[2])
        await api.stop()
        w = World(api, ledger)
        clock = RushClock()
        async with polling(w.poller(clock=clock)) as poller:
            await w.until_state("connecting: httpx.ConnectError")
            while len(clock.waits) < 4:
                await asyncio.sleep(0.01)
            assert not poller.identity
            await api.start(port)
            await w.until_state("ok")
            assert w.identities == [Identity(BOT_ID, USERNAME, "Klåd")]
            await poller.connected()
        await api.stop()
        ledger.close()
        assert clock.waits[:4] == [1, 2, 4, 8]

    run(test())


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_at_the_start_is_told_once_and_in_one_line(tmp_path: Path, status: int) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail("getMe", Fault(status, "x"), times=5)
            async with polling(w.poller()) as poller:
                with pytest.raises(TelegramRefusedError, match="TELEGRAM_BOT_TOKEN"):
                    await poller.connected()
                await w.until_state("ok")
            assert [error.exit_code for error in w.refusals] == [5]
            assert "refused: Telegram does not know this bot token" in w.states

    run(test())


def test_no_token_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            with pytest.raises(TelegramRefusedError):
                w.poller(token=" ")
            assert w.api.calls == []

    run(test())


def test_the_token_stands_in_no_state_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            token = "42:ANOTHER-SECRET"
            async with polling(w.poller(token=token)):
                await w.until_state("refused")
            assert token not in " ".join(w.states)
            assert token not in str(w.refusals)

    caplog.set_level("INFO")
    run(test())
    assert "ANOTHER-SECRET" not in caplog.text


def test_a_refusal_in_the_middle_is_not_told_as_one_at_the_start(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            async with polling(w.poller()):
                await w.until_state("ok")
                w.api.fail("getUpdates", Fault(401, "Unauthorized"))
                await w.api.write("a")
                await w.until_state("refused")
                await w.until_state("ok", after=len(w.states) - 1)
            assert w.refusals == []

    run(test())
