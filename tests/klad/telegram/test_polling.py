"""python-telegram-bot's real polling against a server that speaks the real protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from telegram.ext import ApplicationBuilder

from klad.errors import TelegramRefusedError
from klad.telegram import CommittingQueue, Identity, Poller
from klad.telegram import polling as polling_module
from klad.telegram.clock import Clock
from klad.telegram.polling import polling_task
from tests.klad.telegram.fake_api import BOT_ID, TOKEN, USERNAME, FakeApi, Fault
from tests.klad.telegram.tools import IllLedger, RushClock, StillClock, TestLedger, open_ledger, plain_bot, run

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


class BrokenQueue(CommittingQueue):
    """A queue with the fault that ends python-telegram-bot's polling without a word."""

    broken = True

    async def put(self, item: object) -> None:
        if self.broken:
            raise RuntimeError("a bug")
        await super().put(item)


def test_the_watchdog_starts_polling_again_when_its_task_dies(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            queue = BrokenQueue(w.ledger, w._tell)
            poller = Poller(TOKEN, queue, api_url=w.api.url, on_state=w._state, clock=clock)
            async with polling(poller):
                await w.api.write("hello")
                await w.until_state("connecting: polling ended (RuntimeError('a bug'))")
                await clock.until_asleep(1)
                queue.broken = False
                await clock.advance(1)
                await w.until_told(1)
                await w.api.until(lambda: not w.api.updates)
                assert poller.state == "ok"
            assert w.kept() == [1]
            assert w.api.count("deleteWebhook") == 2

    run(test())


def test_a_polling_that_dies_at_once_each_time_is_restarted_ever_more_slowly(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = RushClock()
            poller = Poller(TOKEN, BrokenQueue(w.ledger, w._tell), api_url=w.api.url, clock=clock)
            await w.api.write("hello")
            async with polling(poller):
                while len(clock.waits) < 4:
                    await asyncio.sleep(0.01)
            assert clock.waits[:4] == [1, 2, 4, 8]

    run(test())


def test_a_cancelled_polling_task_is_started_again_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w, polling(w.poller()):
            await w.until_state("ok")
            [task] = [task for task in asyncio.all_tasks() if "polling_task" in task.get_name()]
            task.cancel()
            await w.until_state("connecting: polling ended (cancelled)")
            await w.api.write("hello")
            await w.until_told(1)

    run(test())


def test_updates_wait_with_telegram_while_the_ledger_is_ill(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            ill = IllLedger(w.ledger)
            await w.api.write("hello")
            async with polling(w.poller(ledger=ill)):
                while ill.tries < 5:
                    await asyncio.sleep(0.01)
                assert len(w.api.updates) == 1
                ill.ill = False
                await w.until_told(1)
                await w.api.until(lambda: not w.api.updates)

    run(test())


def test_it_asks_for_messages_only_and_drops_none_that_wait(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            await w.api.write("from before")
            async with polling(w.poller(commands=[("status", "What goes on")])):
                await w.until_told(1)
            calls = {call.method: call.params for call in w.api.calls}
            assert calls["getUpdates"]["allowed_updates"] == ["message", "edited_message"]
            assert not calls["deleteWebhook"].get("drop_pending_updates")
            assert w.api.commands == [{"command": "status", "description": "What goes on"}]

    run(test())


def test_commands_that_are_refused_stop_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            w.api.fail("setMyCommands", Fault(400, "Bad Request: BOT_COMMAND_INVALID"))
            async with polling(w.poller(commands=[("A B", "x")])):
                await w.until_state("ok")

    run(test())


@pytest.mark.parametrize("moment", ["connecting", "backing off", "ledger ill", "polling"])
def test_stop_comes_back_soon_and_leaves_no_task(tmp_path: Path, moment: str) -> None:
    async def test() -> None:
        async with world(tmp_path) as w:
            clock = StillClock()
            ledger: Any = None
            if moment == "connecting":
                w.api.fail("getMe", Fault(hang=True))
            elif moment == "backing off":
                w.api.fail("getUpdates", Fault(429, "x", {"retry_after": 1000}), times=100)
            elif moment == "ledger ill":
                ledger = IllLedger(w.ledger)
                await w.api.write("hello")
            poller = w.poller(clock=clock, ledger=ledger)
            poller.start()
            if moment == "connecting":
                await w.api.until(lambda: w.api.calls)
            elif moment == "polling":
                await w.api.until(lambda: w.api.count("getUpdates"))
            else:
                await clock.until_asleep(1)
            async with asyncio.timeout(2):
                await poller.stop()
            await asyncio.sleep(0.01)
            ours = [task.get_name() for task in asyncio.all_tasks() if "olling" in task.get_name()]
            assert ours == []

    run(test())


def test_the_polling_task_is_where_the_watchdog_looks_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with FakeApi() as api:
            application = ApplicationBuilder().bot(plain_bot(api.url)).job_queue(None).build()
            assert application.updater is not None
            async with application:
                with pytest.raises(RuntimeError):
                    polling_task(application.updater)
                await application.updater.start_polling()
                assert polling_task(application.updater).get_name() == "Updater:start_polling:polling_task"
                await application.updater.stop()

    run(test())


def test_further_authorities_are_trusted_besides_the_usual(tmp_path: Path) -> None:
    def authorities(ca_bundle: str | None, url: str = "https://api.telegram.org") -> int:
        context = polling_module._client_settings(url, ca_bundle)["verify"]
        return int(context.cert_store_stats()["x509_ca"])

    own = tmp_path / "own.pem"
    own.write_text(CERTIFICATE)
    assert authorities(str(own)) == authorities(None) + 1
    assert authorities(None, "http://127.0.0.1:3000") == 0
    with pytest.raises(OSError, match="No such file"):
        authorities(str(tmp_path / "none.pem"))


@pytest.mark.parametrize(
    ("url", "used"), [("http://127.0.0.1:3000", False), ("http://localhost:3", False), ("https://a.b", True)]
)
def test_a_proxy_of_the_environment_is_not_used_for_this_machine(url: str, used: bool) -> None:
    assert polling_module._client_settings(url, None)["trust_env"] is used
