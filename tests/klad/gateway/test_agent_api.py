"""/agent/*, with a real ledger behind it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from klad.errors import LedgerError
from klad.gateway import steps
from klad.ledger import CancelWorker, Ledger, Outbox, Signalled, Took, TurnEnded, Wanted

from .house import CHAT, MOUNTS, Agent, house, until


def event(seq: int, kind: str, turn: int | None, **data: Any) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "turn": turn, "data": data, "at": 1.5}


class Wrapped:
    """A ledger of whose methods a test replaces some."""

    def __init__(self, ledger: Ledger, **replaced: Any) -> None:
        self._ledger = ledger
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(self._ledger, name)


async def test_hello_greets_a_run_whose_mounts_are_those_that_were_checked(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        found = {path: list(pair) for path, pair in MOUNTS.items()} | {"/workspace/home": [9, 9]}
        status, body = await agent.ask("POST", "/agent/hello", {"protocol": 1, "mounts": found})
        assert (status, body) == (200, {"run": agent.run.id, "slot": "worker"})
        assert home.mismatches == []


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ({"/run/klad": [2049, 12]}, "/workspace/group is not mounted"),
        ({"/run/klad": [2049, 12], "/workspace/group": [2049, 99]}, "inode 99"),
        ({"/run/klad": [1, 12], "/workspace/group": [2049, 11]}, "device 1 "),
    ],
)
async def test_hello_with_other_mounts_is_a_conflict_that_the_host_is_told_of(
    tmp_path: Path, mounts: dict[str, list[int]], words: str
) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        status, body = await agent.ask("POST", "/agent/hello", {"protocol": 1, "mounts": mounts})
        assert status == 409
        assert words in body["error"]["message"]
        assert [run for run, detail in home.mismatches if words in detail] == [agent.run.id]


async def test_a_turn_is_handed_over_again_until_it_ended_but_announced_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent(text="SAY hello")
        status, brief = await agent.turn()
        assert status == 200
        assert [message["text"] for message in brief["messages"]] == ["SAY hello"]
        assert (await agent.turn())[1]["turn"] == brief["turn"]
        assert home.nudges == [Took(CHAT, "worker", agent.run.id, brief["turn"])]


async def test_without_a_turn_the_agent_is_to_ask_again(tmp_path: Path) -> None:
    async with house(tmp_path, poll_s=0.05) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        assert await agent.turn(turn) == (204, None)


async def test_a_wake_hands_a_new_turn_over_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        waits = asyncio.create_task(agent.turn(turn))
        await home.waiting()
        following = home.say("SAY again")
        await asyncio.to_thread(home.gateway.wake, agent.run.id)  # from any thread
        status, brief = await asyncio.wait_for(waits, 2)
        assert (status, brief["turn"]) == (200, following)


async def test_a_wake_while_the_ledger_is_asked_is_not_lost(tmp_path: Path) -> None:
    """The answer "nothing" is on its way when the turn comes and its wake passes."""
    waked = asyncio.Event()

    def late(real: Ledger) -> Any:
        def take_turn(run_id: str, after: int) -> Future[Any]:
            if waked.is_set() or not after:
                return real.take_turn(run_id, after)
            nothing: Future[Any] = Future()
            home.say("SAY again")
            home.gateway.wake(run_id)
            waked.set()
            asyncio.get_running_loop().call_later(0.02, nothing.set_result, None)
            return nothing

        return Wrapped(real, take_turn=take_turn)

    async with house(tmp_path, ledger=late) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        status, _ = await asyncio.wait_for(agent.turn(turn), 2)
        assert status == 200


async def test_a_wake_for_nothing_makes_the_poll_look_once(tmp_path: Path) -> None:
    looks = 0

    def counted(real: Ledger) -> Any:
        def take_turn(run_id: str, after: int) -> Future[Any]:
            nonlocal looks
            looks += 1
            return real.take_turn(run_id, after)

        return Wrapped(real, take_turn=take_turn)

    async with house(tmp_path, ledger=counted, poll_s=0.3) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        waits = asyncio.create_task(agent.turn(turn))
        await home.waiting()
        await until(lambda: looks == 2)
        home.gateway.wake(agent.run.id)
        assert (await waits)[0] == 204
        assert looks == 3


async def test_a_client_that_goes_away_ends_its_long_poll(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        waits = asyncio.create_task(agent.turn(turn))
        await home.waiting()
        waits.cancel()
        await home.waiting(0)


async def test_a_turn_taken_for_a_client_that_left_is_announced_all_the_same(tmp_path: Path) -> None:
    """The ledger has bound it: without the nudge, nobody would count its deadline."""
    asked, go = asyncio.Event(), asyncio.Event()

    def slow(real: Ledger) -> Any:
        def take_turn(run_id: str, after: int) -> Future[Any]:
            answer: Future[Any] = Future()

            async def later() -> None:
                asked.set()
                await go.wait()
                answer.set_result(await asyncio.wrap_future(real.take_turn(run_id, after)))

            tasks.append(asyncio.ensure_future(later()))
            return answer

        return Wrapped(real, take_turn=take_turn)

    tasks: list[asyncio.Future[None]] = []
    async with house(tmp_path, ledger=slow) as home:
        agent = await home.agent()
        waits = asyncio.create_task(agent.turn())
        await asked.wait()
        waits.cancel()
        await home.waiting(0)
        go.set()
        await until(lambda: home.nudges)
        assert isinstance(home.nudges[0], Took)


async def test_a_run_that_is_to_go_is_told_so(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        waits = asyncio.create_task(agent.turn(turn))
        await home.waiting()
        home.ledger.retire(agent.run.id).result(5)
        home.gateway.wake(agent.run.id)
        status, body = await asyncio.wait_for(waits, 2)
        assert (status, body["error"]["type"]) == (410, "gone_error")


async def test_the_token_of_a_run_that_ended_opens_nothing_any_more(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        assert (await agent.turn())[0] == 200
        listens = asyncio.create_task(agent.ask("GET", "/agent/signals?after=0"))
        await home.waiting()
        home.ledger.end_run(agent.run.id, 0, "it ended").result(5)
        home.gateway.forget(agent.run.id)
        assert (await asyncio.wait_for(listens, 2))[0] == 410
        assert (await agent.turn())[0] == 410
        assert (await agent.post(event(1, "say", 1, text="late")))[0] == 410


async def test_events_are_committed_before_they_are_acknowledged_and_nudges_follow(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        home.nudges.clear()
        events = [event(1, "say", turn, text="soon"), event(2, "done", turn, text="hello")]
        assert await agent.post(*events) == (200, {"acked": 2})
        assert home.nudges == [Outbox(CHAT), TurnEnded(CHAT, "worker", agent.run.id, turn)]
        first = home.ledger.outbox_take(CHAT).result(5)
        assert first is not None
        assert first.text == "soon"


async def test_repeated_events_are_harmless(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        say = event(1, "say", turn, text="once")
        assert await agent.post(say) == (200, {"acked": 1})
        home.nudges.clear()
        assert await agent.post(say, event(2, "tool", turn, call="c", name="bash", input="ls")) == (200, {"acked": 2})
        assert home.nudges == []


async def test_steering_reaches_the_worker_that_waits_for_it_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        worker, chat = await home.agent("worker"), await home.agent("chat")
        await worker.turn()
        await chat.turn()
        listens = asyncio.create_task(worker.ask("GET", "/agent/signals?after=0"))
        await home.waiting()
        status, body = await chat.tool("steer_worker", text="be quick")
        assert (status, body["error"]) == (200, False)
        status, body = await asyncio.wait_for(listens, 2)
        assert [(signal["kind"], signal["text"]) for signal in body["signals"]] == [("steer", "be quick")]
        assert Signalled(worker.run.id) in home.nudges
        last = body["signals"][-1]["id"]
        again = asyncio.create_task(worker.ask("GET", f"/agent/signals?after={last}"))
        await home.waiting()
        again.cancel()


async def test_no_signals_are_an_empty_list(tmp_path: Path) -> None:
    async with house(tmp_path, poll_s=0.02) as home:
        agent = await home.agent()
        assert await agent.ask("GET", "/agent/signals?after=0") == (200, {"signals": []})


async def test_a_host_tool_is_called_once_for_each_call_id(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        chat = await home.agent("chat", text="$ make")
        await chat.turn()
        home.nudges.clear()
        first = await chat.tool("queue_task", text="$ make")
        assert await chat.tool("queue_task", text="$ make") == first
        assert home.nudges == [Wanted(CHAT, "worker")]


async def test_the_chat_slot_can_cancel_the_worker(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        worker, chat = await home.agent("worker"), await home.agent("chat")
        await worker.turn()
        await chat.turn()
        assert (await chat.tool("cancel_worker", reason="enough"))[0] == 200
        assert CancelWorker(CHAT, worker.run.id, "enough") in home.nudges
        assert (await worker.turn())[0] == 410


@pytest.mark.parametrize("name", ["worker_status", "steer_worker", "queue_task", "cancel_worker"])
async def test_a_worker_has_no_tools_of_the_chat_slot(tmp_path: Path, name: str) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent("worker")
        await agent.turn()
        status, body = await agent.tool(name, text="x")
        assert (status, body["error"]["type"]) == (403, "permission_error")
        assert await agent.tool("remember", text="x") == (200, {"text": "Remembered.", "error": False})


async def test_a_tool_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await (await home.agent()).tool("open_the_pod_bay_doors"))[0] == 404


@pytest.mark.parametrize("given", [{}, {"text": ""}, {"text": None}, {"text": 7}, {"text": "x" * 40_000}])
async def test_a_mistake_of_the_models_is_a_result_that_it_can_read(tmp_path: Path, given: dict[str, Any]) -> None:
    async with house(tmp_path) as home:
        status, body = await (await home.agent()).tool("remember", **given)
        assert (status, body["error"]) == (200, True)
        assert body["text"].startswith("remember")


@pytest.mark.parametrize("version", ["", "2", "one"])
async def test_another_protocol_version_is_refused_with_words(tmp_path: Path, version: str) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        status, body = await agent.ask("GET", "/agent/turn", Klad_Protocol=version)
        assert status == 400
        assert "speaks 1" in body["error"]["message"]


def _fails(error: Exception) -> Any:
    def step(*_: Any) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed

    return step


async def test_an_ill_ledger_is_told_so_and_to_try_again(tmp_path: Path) -> None:
    ill = _fails(LedgerError("the disk is full"))
    async with house(tmp_path, ledger=lambda real: Wrapped(real, record=ill)) as home:
        agent = await home.agent()
        status, body = await agent.post(event(1, "say", 1, text="x"))
        assert status == 503
        assert "the disk is full" in body["error"]["message"]
        assert agent.last.headers["Retry-After"] == "1"


async def test_a_ledger_that_hangs_holds_nobody_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LIMIT_S", 0.05)
    async with house(tmp_path, ledger=lambda real: Wrapped(real, record=lambda *_: Future())) as home:
        assert (await (await home.agent()).post(event(1, "say", 1, text="x")))[0] == 503


async def test_a_bug_on_the_host_is_a_500_without_its_details(tmp_path: Path) -> None:
    broken = _fails(KeyError("secret"))
    async with house(tmp_path, ledger=lambda real: Wrapped(real, record=broken)) as home:
        status, body = await (await home.agent()).post(event(1, "say", 1, text="x"))
        assert (status, body["error"]["type"]) == (500, "api_error")
        assert "secret" not in str(body)


async def test_who_takes_no_nudge_does_not_fail_the_agent(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.gateway._notify = lambda nudge: 1 / 0  # type: ignore[assignment]
        agent = await home.agent()
        assert (await agent.turn())[0] == 200


async def test_a_stop_answers_long_polls(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent: Agent = await home.agent()
        turn = (await agent.turn())[1]["turn"]
        await agent.post(event(1, "done", turn, text="hello"))
        waits = asyncio.create_task(agent.turn(turn))
        await home.waiting()
        before = asyncio.get_running_loop().time()
        await home.gateway.stop()
        assert await waits == (204, None)
        assert asyncio.get_running_loop().time() - before < 2
