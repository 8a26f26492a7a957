"""Floods and binary: memory, events and results stay small."""

from __future__ import annotations

import json

from tests.agent.conftest import AgentProcess
from tests.agent.fake_gateway import FakeGateway, calls, use


def test_a_flood_of_output_costs_neither_memory_nor_events(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.script += [calls(use("bash", command="echo first; yes | head -c 200M; echo last"))]
    gateway.turn("flood")
    agent.start()
    gateway.event("tool_end")

    assert agent.status("VmHWM") < 40_000
    assert len(gateway.events) < 50
    gateway.event("done")
    content = gateway.requests[1]["messages"][-1]["content"][0]["content"]
    assert len(content) <= 30_000
    assert content.startswith("first\ny\n")
    assert content.endswith("y\nlast")
    assert "bytes left out; see" in content
    assert (agent.spool / "job-1.out").stat().st_size == 16 << 20


def test_output_is_shown_while_the_command_runs(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.script += [calls(use("bash", command="echo one; until [ -e go ]; do sleep 0.05; done; echo two"))]
    gateway.turn("slow")
    agent.start()
    assert gateway.event("output") == {"tail": "one\n"}
    (agent.group / "go").touch()
    gateway.event("done")
    assert gateway.kinds() == ["tool", "output", "tool_end", "done"]


def test_binary_output_survives(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.script += [calls(use("bash", command="head -c 100000 /dev/urandom; printf 'a\\0b\\377\\033[31mred'"))]
    gateway.turn("noise")
    agent.start()
    gateway.event("done")
    content = gateway.requests[1]["messages"][-1]["content"][0]["content"]
    assert content.endswith("a\ufffdb\ufffdred")
    assert "\0" not in json.dumps(gateway.of("tool_end"))


def test_a_daemon_that_keeps_the_pipe_does_not_keep_the_tool(gateway: FakeGateway, agent: AgentProcess) -> None:
    gateway.script += [calls(use("bash", command="sleep 60 & echo started"))]
    gateway.turn("serve")
    agent.start()
    assert gateway.event("tool_end")["tail"] == "started"
