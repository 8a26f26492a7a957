"""A harness for the scripted model that does as the agent's does, without a gateway between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from klad.gateway import messages, scripted

WORKER = ("bash", "bash_wait", "bash_kill", "read_file", "report_progress", "remember", "search_history")
CHATTER = ("worker_status", "steer_worker", "queue_task", "cancel_worker", "remember", "search_history", "read_file")

BUSY: dict[str, Any] = {
    "state": "busy",
    "task": "$ for i in 1 2 3; do echo step $i; sleep 20; done",
    "elapsed_s": 41,
    "progress": None,
    "estimate": None,
    "tool": "bash: for i in 1 2 3; do echo step $i; sleep 20; done",
    "last_lines": "step 1\nstep 2\n",
    "queue": [],
}


class Harness:
    """Asks, carries out calls, asks again; `said` is what reached the user, in order."""

    def __init__(
        self,
        tools: tuple[str, ...] = WORKER,
        run: Callable[[str, dict[str, Any]], str] = lambda name, given: f"ran {given.get('command', given)}",
        worker: dict[str, Any] | None = None,
        **brief: Any,
    ) -> None:
        self.tools = tools
        self.run = run
        self.brief = {"turn": 1, "slot": "chat" if "worker_status" in tools else "worker", "history": [], **brief}
        self.brief["worker"] = worker or {"state": "idle", "task": "", "queue": [], "last_lines": ""}
        self.messages: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.ids: list[str] = []
        self.said: list[str] = []
        self.steers: dict[int, str] = {}
        """Before which request of the turn which words are put in."""

    def request(self) -> dict[str, Any]:
        data = json.dumps(self.brief, ensure_ascii=False, separators=(",", ":"))
        return {
            "model": "klad-scripted",
            "max_tokens": 8192,
            "system": f"You are Klåd.\n<brief>\n{data}\n</brief>",
            "tools": [{"name": name, "input_schema": {"type": "object"}} for name in self.tools],
            "messages": self.messages,
        }

    def turn(self, *texts: str, most: int = 60) -> list[str]:
        """Everything said in a turn, in order."""
        self.said = []
        self.messages.append({"role": "user", "content": [{"type": "text", "text": text} for text in texts]})
        for step in range(1, most):
            if words := self.steers.pop(step, ""):
                self.messages[-1]["content"].append({"type": "text", "text": f"[steer] {words}"})
            asked = self.request()
            assert messages.problem(asked) == ""
            answer = scripted.answer(asked)
            assert answer == scripted.answer(json.loads(json.dumps(asked)))
            self.messages.append({"role": "assistant", "content": answer["content"]})
            self.said += [block["text"] for block in answer["content"] if block["type"] == "text"]
            uses = [block for block in answer["content"] if block["type"] == "tool_use"]
            assert answer["stop_reason"] == ("tool_use" if uses else "end_turn")
            if not uses:
                return self.said
            assert len(uses) == 1
            results = []
            for use in uses:
                self.calls.append((use["name"], use["input"]))
                self.ids.append(use["id"])
                result = self.run(use["name"], use["input"])
                results.append({"type": "tool_result", "tool_use_id": use["id"], "content": result})
            self.messages.append({"role": "user", "content": results})
        raise AssertionError("the turn does not end")
