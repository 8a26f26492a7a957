"""With a bot token: the same program, speaking to a Bot API server that is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from klad.aio import LoopThread
from klad.botapi import ApiError, BotApi, BotApiStore, Fault
from tests.e2e.program import OWNER, Person, Program, containers, free_ports, log_in, remove_containers, until
from tests.e2e.test_scenario import gate, open_gate, printed

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
TOKEN = "123456789:AAExampleExampleExampleExampleExample"
UP = "listens to Telegram"


@dataclass
class Telegram:
    """A Bot API server in the test's own process, and a person who uses it."""

    port: int
    api: BotApi
    person: Person

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def telegram(tmp_path: Path) -> Iterator[Telegram]:
    loop = LoopThread("bot api")
    loop.start()
    api = BotApi(BotApiStore(tmp_path / "telegram.db"), TOKEN, "Test bot", owner_id=OWNER)
    (port,) = free_ports(1)
    app = web.Application()
    api.add_to(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def up() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    loop.run(up(), 30)
    person = Person(port, log_in(port, api.link(f"http://127.0.0.1:{port}")))
    person.listen()
    yield Telegram(port, api, person)
    person.close()
    loop.run(runner.cleanup(), 30)
    loop.stop()


@pytest.fixture
def program(tmp_path: Path, telegram: Telegram) -> Iterator[Program]:
    home = tmp_path / "home"
    home.mkdir()
    settings = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url, "ALLOWED_USERS": OWNER}
    made = Program(home, **settings)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()
    remove_containers(home)


def test_the_scenario_on_telegram(program: Program, telegram: Telegram) -> None:
    program.launch(UP)
    person = telegram.person
    work = person.send(f"$ echo step 2; {gate(program, 'go')}; echo step 3")
    until(lambda: printed(person, "step 2"), "the worker has printed step 2")
    assert "step 2" in person.send("what did step 2 print?").answer("step 2").text
    open_gate(program, "go")
    work.answer("step 3")
    assert TOKEN not in program.log() + "\n".join(program.output)


def test_a_stranger_is_refused_and_starts_nothing(program: Program, telegram: Telegram) -> None:
    env = program.root / ".env"
    env.write_text(env.read_text().replace(f"ALLOWED_USERS={OWNER}", "ALLOWED_USERS=4242"))
    program.launch(UP)
    telegram.person.send("$ echo hello").answer("private assistant")
    assert containers(program.home) == {}


def test_a_refused_token_ends_the_start_with_its_exit_code(program: Program, telegram: Telegram) -> None:
    env = program.root / ".env"
    env.write_text(env.read_text().replace(TOKEN, "987654321:AAWrongWrongWrongWrongWrongWrongWrong"))
    program.launch(UP)
    assert program.process is not None
    assert program.process.wait(60) == 5
    assert "does not know this bot token" in "\n".join(program.output[-3:])


def test_it_starts_without_telegram_waits_for_it_and_sends_what_waited(program: Program, telegram: Telegram) -> None:
    telegram.api.faults.add(Fault("getMe", ApiError(502, "Bad Gateway"), times=3))
    telegram.api.faults.add(Fault("getUpdates", ApiError(502, "Bad Gateway"), times=2))
    sent = telegram.person.send("SAY hello")
    program.launch(UP)
    sent.answer("hello")


def test_another_poller_is_survived_and_so_is_a_flood_limit(program: Program, telegram: Telegram) -> None:
    program.launch(UP)
    person = telegram.person
    person.send("SAY one").answer("one")
    telegram.api.faults.add(Fault("getUpdates", ApiError(409, "Conflict: terminated by other getUpdates request")))
    telegram.api.faults.add(Fault("sendMessage", ApiError(429, "Too Many Requests", retry_after=1)))
    person.send("SAY two").answer("two")
    assert [seen.text for seen in person.seen if seen.by_bot] == ["one", "two"]
