"""The watchdog over polling, and its edges: an ill ledger, stopping, certificates, proxies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from telegram.ext import ApplicationBuilder

from klad.telegram import CommittingQueue, Poller
from klad.telegram import polling as polling_module
from klad.telegram.polling import polling_task
from tests.klad.telegram.fake_api import TOKEN, FakeApi, Fault
from tests.klad.telegram.poller_world import CERTIFICATE, polling, world
from tests.klad.telegram.tools import IllLedger, RushClock, StillClock, plain_bot, run


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
