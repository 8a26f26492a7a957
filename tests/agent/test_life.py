"""The real agent as a process, from its first request to its exit code."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.agent.conftest import AgentProcess, alive
from tests.agent.fake_gateway import FakeGateway, calls, fails, says, use


def test_a_turn_is_worked_on_with_tools_and_ends_with_the_models_last_words(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("bash", command="echo one; echo two >&2"), text="I look."), says("It is two.")]
    turn = gateway.turn("what is it?")
    agent.start()

    assert gateway.event("done") == {"text": "It is two."}

    assert gateway.kinds() == ["say", "tool", "tool_end", "done"]
    assert sorted(gateway.events) == [1, 2, 3, 4]
    assert {event["turn"] for event in gateway.events.values()} == {turn}
    assert gateway.of("say") == [{"text": "I look."}]
    assert gateway.of("tool")[0]["input"] == "echo one; echo two >&2"
    assert gateway.of("tool_end")[0] | {"call": ""} == {"call": "", "ok": True, "tail": "one\ntwo"}
    last = gateway.requests[-1]["messages"][-1]["content"][0]
    assert (last["type"], last["content"]) == ("tool_result", "one\ntwo")
    assert last["tool_use_id"] == gateway.of("tool")[0]["call"]


def test_hello_reports_device_and_inode_of_every_mount(gateway: FakeGateway, agent: AgentProcess) -> None:
    (agent.workspace / "extra" / "photos").mkdir(parents=True)
    agent.start()
    gateway.wait(lambda: gateway.asked)

    mounts = gateway.hellos[0]["mounts"]

    def identity(path: Path) -> list[int]:
        return [path.stat().st_dev, path.stat().st_ino]

    assert mounts == {
        "/workspace/group": identity(agent.group),
        "/workspace/home": identity(agent.workspace / "home"),
        "/workspace/inbox": identity(agent.workspace / "inbox"),
        "/workspace/extra/photos": identity(agent.workspace / "extra" / "photos"),
        "/run/klad": identity(Path(gateway.path).parent),
    }


def test_a_mismatch_of_mounts_ends_the_agent_with_78(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.mismatch = True
    gateway.turn("hello")
    assert agent.start().exit() == 78
    assert "another directory" in agent.errors()
    assert gateway.asked == []


def test_a_chat_run_answers_and_exits_with_0_when_the_run_is_over(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("worker_status")), says("~5 min left")]
    turn = gateway.turn("status?", slot="chat")
    agent.start("chat")
    gateway.event("done")
    gateway.wait(lambda: turn in gateway.asked)
    gateway.end_run()

    assert agent.exit() == 0

    assert [tool["name"] for tool in gateway.requests[0]["tools"]] == [
        "read_file", "list_files", "worker_status", "steer_worker", "queue_task", "cancel_worker",
        "search_history", "remember",
    ]  # fmt: skip
    name, body = gateway.tool_calls[0]
    assert (name, body["call"]) == ("worker_status", gateway.of("tool")[0]["call"])
    assert gateway.requests[1]["messages"][-1]["content"][0]["content"] == "the host did worker_status"
    assert not agent.spool.exists()


def test_a_run_that_is_over_while_a_command_runs_ends_with_0_and_no_child(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("bash", command="echo $$ > pid; exec sleep 60"))]
    gateway.turn("wait")
    agent.start()
    child = written_pid(gateway, agent)
    gateway.end_run()
    assert agent.exit() == 0
    assert not alive(child)


def test_a_gateway_lost_for_longer_than_the_limit_ends_the_agent_with_75(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    agent.start(KLAD_LOST_S="0.5")
    gateway.wait(lambda: gateway.asked)
    gateway.stop()
    assert agent.exit() == 75
    assert "did not answer for 0.5 s" in agent.errors()


def test_sigterm_ends_commands_sends_what_is_unsent_and_exits_with_143(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("bash", command="echo $$ > pid; trap '' TERM; sleep 60 & wait; sleep 60"))]
    gateway.turn("wait")
    agent.start()
    child = written_pid(gateway, agent)
    agent.terminate()
    assert agent.exit(5) == 143
    assert not alive(child)
    assert len(gateway.requests) == 1


def test_a_missing_token_ends_the_agent_with_2_and_one_line(agent: AgentProcess) -> None:
    agent.start(KLAD_TOKEN="")
    assert agent.exit() == 2
    assert agent.errors() == "klad agent: KLAD_TOKEN is not set\n"


def test_a_crash_is_posted_with_its_traceback(gateway: FakeGateway, agent: AgentProcess) -> None:
    turn = gateway.turn("x", messages=7)
    agent.start()
    assert "TypeError: 'int' object is not iterable" in gateway.event("crash")["stderr"]
    assert agent.exit() == 1
    assert [event["turn"] for event in gateway.events.values()] == [turn]
    assert "TypeError" in agent.errors()


def test_commands_know_nothing_of_the_token_nor_does_the_agents_own_environ(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [
        calls(use("bash", command="env | grep KLAD_TOKEN; tr '\\0' '\\n' < /proc/$PPID/environ | grep -c TOKEN"))
    ]
    gateway.turn("look")
    agent.start()
    assert gateway.event("tool_end")["tail"] == "0\n[exit 1]"


def test_a_warm_workers_next_turn_goes_on_with_the_conversation(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [says("Ay."), says("Bee.")]
    gateway.turn("a?")
    agent.start()
    gateway.event("done")
    gateway.turn("b?", "c?", memory="likes tea")
    gateway.event("done", 2)

    assert gateway.requests[1]["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Ay."}]},
        {"role": "user", "content": [{"type": "text", "text": "b?"}, {"type": "text", "text": "c?"}]},
    ]
    assert '"memory":"likes tea"' in gateway.requests[1]["system"]


def test_a_model_that_refuses_ends_the_turn_failed_and_the_next_is_served(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [fails(400, "model: no\nsuch thing"), says("better")]
    gateway.turn("a?")
    agent.start()
    assert gateway.event("failed") == {"text": "The model refused the request: model: no such thing (HTTP 400)"}
    gateway.turn("b?")
    assert gateway.event("done") == {"text": "better"}
    assert "I did not finish this" in gateway.requests[1]["messages"][1]["content"][0]["text"]


def test_parallel_calls_run_in_order_and_answer_in_one_message(
    gateway: FakeGateway, agent: AgentProcess
) -> None:
    gateway.script += [calls(use("bash", command="sleep 0.1; echo a >> f"), use("bash", command="cat f"))]
    gateway.turn("both")
    agent.start()
    gateway.event("done")
    assert gateway.kinds() == ["tool", "tool_end", "tool", "tool_end", "done"]
    assert [block["content"] for block in gateway.requests[1]["messages"][-1]["content"]] == ["(no output)", "a"]


def test_progress_is_an_event(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.script += [calls(use("report_progress", done=2, total=5, step="compiling"))]
    gateway.turn("build")
    agent.start()
    assert gateway.event("progress") == {"done": 2.0, "total": 5.0, "step": "compiling"}


def test_a_fatal_signal_leaves_its_stack_in_the_spool(gateway: FakeGateway, agent: AgentProcess) -> None:
    agent.start()
    gateway.wait(lambda: gateway.asked)
    os.kill(agent.pid, signal.SIGSEGV)
    assert agent.exit() == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in (agent.spool / "stderr").read_text()


def written_pid(gateway: FakeGateway, agent: AgentProcess) -> int:
    """The number that a command writes to `pid` as its first deed."""
    gateway.event("tool")
    file = agent.group / "pid"
    gateway.wait_file(file)
    return int(file.read_text())
