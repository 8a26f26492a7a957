"""Words in the midst of the work, and its end: while a command runs, while the model speaks."""

from __future__ import annotations

import time

from tests.agent.conftest import AgentProcess, alive
from tests.agent.fake_gateway import Answer, FakeGateway, Json, calls, says, use


def test_steering_reaches_the_next_request_within_3_s_while_the_command_goes_on(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    command = "echo $$ > pid; echo before; until [ -e go ]; do sleep 0.05; done; echo after"
    gateway.script += [calls(use("bash", command=command)), calls(use("bash_wait", job=1)), says("both said")]
    gateway.turn("take your time")
    agent.start()
    gateway.wait_file(agent.group / "pid")
    began = time.monotonic()
    signal = gateway.signal("steer", "make it blue")
    gateway.wait(lambda: len(gateway.requests) >= 2)

    assert time.monotonic() - began < 3
    result, steer = gateway.requests[1]["messages"][-1]["content"]
    assert result["content"].startswith("[still running: job 1]\nbefore")
    assert steer == {"type": "text", "text": "[steer] make it blue"}
    assert gateway.event("steered") == {"signal": signal, "at_step": 2}
    assert alive(int((agent.group / "pid").read_text()))

    (agent.group / "go").touch()
    gateway.event("done")
    assert gateway.requests[2]["messages"][-1]["content"][0]["content"] == "before\nafter"


def test_a_command_that_ends_at_once_is_not_put_in_the_background_by_steering(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    def steered(request: Json) -> Answer:
        gateway.signal("steer", "also this")
        return calls(use("bash", command="sleep 0.2; echo quick"))

    gateway.script += [steered]
    gateway.turn("go")
    agent.start()
    gateway.event("done")
    assert [block.get("content") or block["text"] for block in gateway.requests[1]["messages"][-1]["content"]] == [
        "quick",
        "[steer] also this",
    ]


def test_steering_that_comes_with_the_last_words_is_still_answered(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.model_holds.clear()
    gateway.script += [says("I am done."), says("Blue it is.")]
    turn = gateway.turn("go")
    agent.start()
    gateway.listened()
    gateway.signal("steer", "for another turn", turn=turn + 5)
    gateway.signal("steer", "blue", turn=turn)
    gateway.wait(lambda: gateway.signals_read >= 2)
    gateway.model_holds.set()

    assert gateway.event("done") == {"text": "Blue it is."}
    assert gateway.of("say") == [{"text": "I am done."}]
    assert [message["role"] for message in gateway.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert gateway.requests[1]["messages"][2]["content"] == [{"type": "text", "text": "[steer] blue"}]


def test_a_command_over_its_time_goes_on_in_the_background_and_can_be_killed(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [
        calls(use("bash", command="echo $$ > pid; echo hi; exec sleep 60", timeout_s=0.2)),
        calls(use("bash_kill", job=1)),
        calls(use("bash_kill", job=9)),
    ]
    gateway.turn("go")
    agent.start()
    gateway.event("done")
    late, killed, unknown = (request["messages"][-1]["content"][0] for request in gateway.requests[1:])
    assert late["content"].startswith("[still running: job 1]\nhi")
    assert "after 0.2 s" in late["content"]
    assert killed["content"] == "hi\n[exit 143]"
    assert unknown["is_error"]
    assert not alive(int((agent.group / "pid").read_text()))


def test_cancel_ends_the_command_and_what_it_put_in_the_background_and_says_nothing(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [
        calls(use("bash", command="setsid sleep 61 & echo $! > a; (setsid sleep 62 &) ; echo $$ > pid; sleep 63")),
        says("the next"),
    ]
    turn = gateway.turn("go")
    agent.start()
    gateway.wait_file(agent.group / "pid")
    pids = [int((agent.group / name).read_text()) for name in ("a", "pid")]
    gateway.cancel(turn)
    gateway.wait(lambda: turn in gateway.asked)

    assert not any(alive(pid) for pid in pids)
    assert not agent.running("sleep 62")
    assert gateway.kinds() == ["tool"]

    gateway.turn("and now?")
    assert gateway.event("done") == {"text": "the next"}
    assert "it was cancelled" in gateway.requests[1]["messages"][1]["content"][0]["text"]


def test_cancel_ends_a_turn_whose_model_does_not_come_to_an_end(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.model_holds.clear()
    turn = gateway.turn("go")
    agent.start()
    gateway.listened()
    gateway.cancel(turn)
    gateway.wait(lambda: turn in gateway.asked)
    assert gateway.kinds() == []


def test_a_cancel_meant_for_an_earlier_turn_does_not_end_this_one(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.model_holds.clear()
    turn = gateway.turn("go")
    agent.start()
    gateway.listened()
    gateway.signal("cancel", turn=turn - 1)
    gateway.wait(lambda: gateway.signals_read >= 1)
    gateway.model_holds.set()
    assert gateway.event("done") == {"text": "well done"}
