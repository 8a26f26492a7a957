"""What a harness may do during a turn: speak, use tools, heed steering. Everything it does is an event."""

from __future__ import annotations

import json

from agent import context
from agent.attention import Attention
from agent.journal import Journal
from agent.stream import Call
from agent.tools import Result, Toolbox

PREVIEW = 300
TAIL = 600
"""Characters of a call's input and of its result in events."""


class Session:
    """One run's; `turn` is the one under way."""

    def __init__(self, journal: Journal, attention: Attention, toolbox: Toolbox) -> None:
        self.attention = attention
        self.toolbox = toolbox
        self._journal = journal

    @property
    def turn(self) -> int | None:
        return self.attention.turn

    def say(self, text: str) -> None:
        """Words for the user now, before more work."""
        self._journal.post("say", {"text": text}, self.turn)

    def use(self, call: Call) -> Result:
        """Carry out a tool call. It runs only after the host has committed that it will. Raises Cancelled."""
        problem = self.toolbox.problem(call)
        if problem:
            return Result(problem, error=True)
        self._journal.post(
            "tool", {"call": call.id, "name": call.name, "input": preview(call)}, self.turn, wait=True
        )
        self.attention.check()
        result = self.toolbox.run(call)
        self.attention.check()
        result = result._replace(text=context.clip(result.text))
        # A command that goes on is shown by its own lines, not by what the model is told about it.
        tail = "" if result.text.startswith("[still running") else result.text[-TAIL:]
        self._journal.post("tool_end", {"call": call.id, "ok": not result.error, "tail": tail}, self.turn)
        return result

    def steered(self, signal: int, step: int) -> None:
        """Steering was put in the request of that step."""
        self._journal.post("steered", {"signal": signal, "at_step": step}, self.turn)


def preview(call: Call) -> str:
    """A call's input in short: the command or path itself where there is one."""
    given = call.input or {}
    for key in ("command", "path", "text", "query", "step"):
        if isinstance(given.get(key), str):
            return str(given[key])[:PREVIEW]
    if isinstance(given.get("job"), int):
        return f"job {given['job']}"
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"))[:PREVIEW] if given else ""
