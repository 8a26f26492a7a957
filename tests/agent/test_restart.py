"""A host that restarts, stalls or answers nonsense: nothing is lost, and nothing done twice."""

from __future__ import annotations

from tests.agent.conftest import AgentProcess
from tests.agent.fake_gateway import Answer, FakeGateway, calls, fails, message, says, use


def test_a_command_runs_only_after_its_tool_event_is_acknowledged(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("bash", command="echo x > ran"))]
    gateway.withhold("tool")
    gateway.turn("touch it")
    agent.start()
    gateway.event("tool")
    # Long enough for a bash to have run many times over; nothing can be waited on for what must not be.
    assert not gateway.appears(agent.group / "ran", 0.3)
    gateway.release("tool")
    gateway.event("done")
    assert (agent.group / "ran").exists()


def test_a_restart_of_the_host_in_mid_turn_loses_nothing_and_runs_the_command_once(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    command = "echo start >> p; until [ -e go ]; do sleep 0.05; done; echo end >> p; cat p"
    gateway.script += [calls(use("bash", command=command)), says("fine")]
    gateway.turn("run it")
    agent.start()
    gateway.wait_file(agent.group / "p")
    gateway.stop()
    (agent.group / "go").touch()
    gateway.wait_file(agent.group / "p", "end")
    gateway.start()

    assert gateway.event("done") == {"text": "fine"}

    assert (agent.group / "p").read_text() == "start\nend\n"
    assert sorted(gateway.events) == list(range(1, len(gateway.events) + 1))
    assert [kind for kind in gateway.kinds() if kind != "output"] == ["tool", "tool_end", "done"]


def test_a_restart_before_the_acknowledgement_repeats_the_event_and_not_the_command(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("bash", command="echo x >> p"))]
    gateway.withhold("tool")
    gateway.turn("run it")
    agent.start()
    gateway.event("tool")
    gateway.stop()
    gateway.release("tool")
    gateway.start()
    gateway.event("done")
    assert (agent.group / "p").read_text() == "x\n"
    assert gateway.kinds() == ["tool", "tool_end", "done"]
    assert gateway.posts > 3


def test_a_stream_that_breaks_off_is_asked_for_again(gateway: FakeGateway, agent: AgentProcess) -> None:
    whole = says("never mind").events
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    gateway.script += [
        Answer(events=(*whole[:4], overloaded)),
        Answer(events=whole[:4], cut=True),
        Answer(events=(*whole[:3], "data: {not json\n\n"), cut=True),
        Answer(events=whole[:-1]),
        says("here I am"),
    ]
    gateway.turn("are you there?")
    agent.start()
    assert gateway.event("done") == {"text": "here I am"}
    assert len(gateway.requests) == 5
    assert all(request == gateway.requests[0] for request in gateway.requests)


def test_an_overloaded_model_is_asked_again_after_retry_after(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [fails(529, "busy", Retry_After="0.05"), fails(429, "slow", Retry_After="0.05"), says("ok")]
    gateway.turn("?")
    agent.start()
    assert gateway.event("done") == {"text": "ok"}


def test_an_ill_or_flooded_host_and_garbage_are_waited_out(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.faults["/agent/hello"] += [503, b"what?\r\n\r\n", 401]
    gateway.faults["/agent/turn"] += [b"", 503, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}", 429]
    gateway.faults["/agent/events"] += [503, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut", 429]
    gateway.faults["/agent/signals"] += [500, b"\0\0\0"]
    gateway.faults["/agent/tools/remember"] += [503, b""]
    gateway.script += [calls(use("remember", text="tea"))]
    gateway.turn("I like tea")
    agent.start()
    gateway.event("done")
    assert gateway.kinds() == ["tool", "tool_end", "done"]
    assert [name for name, _ in gateway.tool_calls] == ["remember"]


def test_an_answer_that_is_not_streamed_is_understood_too(gateway: FakeGateway, agent: AgentProcess) -> None:
    body = {"type": "message", "content": [{"type": "text", "text": "plain"}], "stop_reason": "end_turn"}
    gateway.script += [Answer(body=body)]
    gateway.turn("?")
    agent.start()
    assert gateway.event("done") == {"text": "plain"}


def test_a_call_that_was_cut_off_or_is_unknown_is_answered_with_an_error(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    cut = message(use("bash", command="touch ran"), stop="max_tokens")
    events = tuple(e for e in cut.events if not (isinstance(e, dict) and '"}' in str(e.get("delta", ""))))
    assert len(events) == len(cut.events) - 1
    gateway.script += [Answer(events=events), calls(use("fly")), calls(use("bash", cmd="x")), says("I give up")]
    gateway.turn("?")
    agent.start()
    gateway.event("done")
    results = [request["messages"][-1]["content"][0] for request in gateway.requests[1:]]
    assert all(result["is_error"] for result in results)
    assert "cut off" in results[0]["content"]
    assert "no tool fly" in results[1]["content"]
    assert results[2]["content"] == "bash needs 'command'."
    assert gateway.kinds() == ["done"]
